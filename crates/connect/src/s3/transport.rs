//! The library's requests, sent through the one HTTPS client: it signs, we dial. Refusals are read here, where their bodies are bounded.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use reqwest::Response;

use super::refusal::refusal;
use crate::error::Error;
use crate::exchange::{ANSWER, Peer, Pieces};

/// A body of ours that goes more slowly is given up.
const SLOWEST_BYTES_A_SECOND: u64 = 64 << 10;

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
pub(super) struct Transport(pub(super) Peer);

impl std::fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Transport({})", self.0.target)
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
        let request = self.0.https.request(parts.method.clone(), url)?.headers(parts.headers).body(reqwest::Body::wrap(body));
        let answer = self.0.send(request, limit).await?;
        if answer.status().is_success() {
            let answer: http::Response<reqwest::Body> = answer.into();
            return Ok(answer.map(|body| HttpResponseBody::new(Pieces::new(body, self.0.clone(), Failure::http))));
        }
        self.refused(&parts.method, answer).await
    }

    /// An answer that says no, with its body if it is one that the library understands.
    async fn refused(&self, method: &Method, answer: Response) -> Result<HttpResponse, Error> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = tokio::time::timeout(ANSWER, beginning(answer)).await.map_err(|_| self.0.timed_out(ANSWER))?;
        match refusal(method, status, &headers, &String::from_utf8_lossy(&body)) {
            Some(refusal) => Err(Error::S3Refused { target: self.0.target.to_string(), refusal }),
            None => {
                let mut answer = http::Response::new(body.into());
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                Ok(answer)
            }
        }
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::S3Protocol { target: self.0.target.to_string(), reason: reason.into() }
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
