//! The library's requests, sent through the one HTTPS client: it signs, we dial. Refusals are read here, where their bodies are bounded.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use reqwest::Response;
use tokio::time::Sleep;

use super::refusal::refusal;
use crate::error::{Diagnosis, Error, diagnose};
use crate::https::Https;
use crate::reasons;

/// From the request to the head of the answer, besides what a body of ours takes.
const ANSWER: Duration = Duration::from_secs(30);

/// A body of ours that goes more slowly is given up.
const SLOWEST_BYTES_A_SECOND: u64 = 64 << 10;

/// How long the next piece of a body may take while it is waited for.
const PIECE: Duration = Duration::from_secs(30);

/// So much is read of an answer that says no.
const REFUSAL_BYTES: usize = 16 << 10;

/// Why an exchange did not succeed, on its way through the library.
#[derive(Clone, Debug)]
pub(super) struct Failure(pub(super) Arc<Error>);

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

impl Failure {
    fn http(error: Error) -> HttpError {
        // `Request`: the library may send it again.
        let kind = if error.is_transient() { HttpErrorKind::Request } else { HttpErrorKind::Unknown };
        HttpError::new(kind, Self(Arc::new(error)))
    }
}

#[derive(Clone)]
pub(super) struct Transport {
    pub(super) https: Https,
    /// Whom errors name.
    pub(super) target: Arc<str>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Transport({})", self.target)
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.exchange(request).await.map_err(Failure::http)
    }
}

impl Transport {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().parse().map_err(|_| self.protocol("its address is none"))?;
        let limit = ANSWER + Duration::from_secs(body.content_length() as u64 / SLOWEST_BYTES_A_SECOND);
        let request = self.https.request(parts.method.clone(), url)?.headers(parts.headers).body(reqwest::Body::wrap(body));
        let answer = tokio::time::timeout(limit, request.send()).await.map_err(|_| self.timed_out(limit))?;
        let answer = answer.map_err(|error| self.failed(&error))?;
        if answer.status().is_success() {
            let answer: http::Response<reqwest::Body> = answer.into();
            return Ok(answer.map(|body| HttpResponseBody::new(Pieces { body, waited: None, transport: self.clone() })));
        }
        self.refused(&parts.method, answer).await
    }

    /// An answer that says no, with its body if it is one that the library understands.
    async fn refused(&self, method: &Method, answer: Response) -> Result<HttpResponse, Error> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = tokio::time::timeout(ANSWER, beginning(answer)).await.map_err(|_| self.timed_out(ANSWER))?;
        match refusal(method, status, &headers, &String::from_utf8_lossy(&body)) {
            Some(refusal) => Err(Error::S3Refused { target: self.target.to_string(), refusal }),
            None => {
                let mut answer = http::Response::new(body.into());
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                Ok(answer)
            }
        }
    }

    fn failed(&self, error: &(dyn StdError + 'static)) -> Error {
        let Diagnosis { reason, text, transient } = diagnose(error);
        let target = &*self.target;
        match reason {
            reasons::TLS_REFUSED => Error::Tls { target: target.to_owned(), reason: text },
            reasons::UNREACHABLE if !text.contains(target) => Error::Exchange(Diagnosis {
                reason,
                text: format!("the exchange with {target} broke off ({text}): it may succeed later"),
                transient,
            }),
            _ => Error::Exchange(Diagnosis { reason, text, transient }),
        }
    }

    fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { target: self.target.to_string(), after }
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::S3Protocol { target: self.target.to_string(), reason: reason.into() }
    }
}

/// The first bytes of an answer; what cannot be read any more is left out.
async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut found = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        found.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES - found.len())]);
        if found.len() == REFUSAL_BYTES {
            break;
        }
    }
    found
}

/// The body of an answer, each piece within its time. Nothing is counted while nobody waits for a piece.
struct Pieces {
    body: reqwest::Body,
    waited: Option<Pin<Box<Sleep>>>,
    transport: Transport,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waited = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| Failure::http(this.transport.failed(&error)))));
        }
        let waited = this.waited.get_or_insert_with(|| Box::pin(tokio::time::sleep(PIECE)));
        ready!(waited.as_mut().poll(context));
        Poll::Ready(Some(Err(Failure::http(this.transport.timed_out(PIECE)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
