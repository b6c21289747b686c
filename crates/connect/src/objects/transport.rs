//! The library's requests, sent through the one HTTPS client: it signs, we dial. Refusals are read here, where their bodies are bounded.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use reqwest::{Response, Url};

use crate::dial::Dialer;
use crate::error::Error;
use crate::exchange::{ANSWER, Peer, Pieces};
use crate::files::Removed;
use crate::https::{Bodies, HttpsOptions};
use crate::trust::Trust;

/// A body of ours that goes more slowly is given up.
const SLOWEST_BYTES_A_SECOND: u64 = 64 << 10;

/// So much of a list comes in one answer: a thousand names of at most a thousand bytes, and what is said of each.
const LIST_BYTES: usize = 8 << 20;

/// With what a list begins: S3's and Google's, and Azure's.
const LISTS: [&[u8]; 2] = [b"<ListBucketResult", b"<EnumerationResults"];

/// How far from its start, behind what XML begins with.
const LIST_BEGINS: usize = 1024;

pub(super) const NO_LIST: &str = "it answers a request for a list as no such store does";

/// And as long may it take.
const LIST_TIME: Duration = Duration::from_secs(120);

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

/// What differs between stores.
pub(super) trait Dialect: Send + Sync {
    /// What an answer means that is no success. `None`: the library understands it.
    fn refusal(&self, target: &str, method: &Method, status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Error>;

    /// An error about a server that is no such store.
    fn protocol(&self, target: &str, reason: String) -> Error;

    /// Whether the credential was accepted and may not do what was asked.
    fn is_denied(&self, error: &Error) -> bool;

    /// Whether an empty object answers like this when it is asked for its first byte.
    fn may_be_empty(&self, error: &Error) -> bool;
}

#[derive(Clone)]
pub(super) struct Transport {
    pub(super) peer: Peer,
    pub(super) dialect: &'static dyn Dialect,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Transport({})", self.peer.target)
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
    /// `target`: whom errors name.
    pub(super) fn new(dialer: &Dialer, dialect: &'static dyn Dialect, ca_bundle: Option<&str>, target: String) -> Result<Self, Error> {
        let https = dialer.https_with(HttpsOptions { trust: Trust::SystemAnd(ca_bundle) }, Bodies::AsTheyAre)?;
        Ok(Self { peer: Peer { https, target: target.into() }, dialect })
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let (parts, body) = request.into_parts();
        let is_list = parts.uri.query().is_some_and(|query| query.split('&').any(|part| matches!(part, "list-type=2" | "comp=list")));
        let url = parts.uri.to_string().parse().map_err(|_| self.protocol("its address is none"))?;
        let limit = ANSWER + Duration::from_secs(body.content_length() as u64 / SLOWEST_BYTES_A_SECOND);
        let request = self.peer.https.request(parts.method.clone(), url)?.headers(parts.headers).body(reqwest::Body::wrap(body));
        let answer = self.peer.send(request, limit).await?;
        if answer.status().is_success() {
            // Azure may answer before it has begun: the object that is copied must not be deleted then.
            if parts.method == Method::PUT && answer.headers().get("x-ms-copy-status").is_some_and(|status| status != "success") {
                return Err(self.protocol("it has not made the copy yet that it was asked for"));
            }
            let answer: http::Response<reqwest::Body> = answer.into();
            if is_list {
                return self.list(answer).await;
            }
            return Ok(answer.map(|body| HttpResponseBody::new(Pieces::new(body, self.peer.clone(), Failure::http))));
        }
        self.refused(&parts.method, answer).await
    }

    /// Deletes what is there; nothing is deleted where nothing is.
    pub(super) async fn delete(&self, url: Url) -> Result<Removed, Error> {
        let answer = self.peer.send(self.peer.https.request(Method::DELETE, url)?, ANSWER).await?;
        if answer.status().is_success() {
            return Ok(Removed::Deleted);
        }
        // What is passed on is no failure of ours: nothing is there.
        self.refused(&Method::DELETE, answer).await.map(|_| Removed::Absent)
    }

    async fn list(&self, answer: http::Response<reqwest::Body>) -> Result<HttpResponse, Error> {
        tokio::time::timeout(LIST_TIME, self.whole_list(answer)).await.map_err(|_| self.peer.timed_out(LIST_TIME))?
    }

    /// The library reads a list as a whole, however long it is.
    async fn whole_list(&self, answer: http::Response<reqwest::Body>) -> Result<HttpResponse, Error> {
        let (parts, body) = answer.into_parts();
        let mut pieces = Pieces::new(body, self.peer.clone(), |error| error);
        let mut list = BytesMut::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut pieces).poll_frame(context)).await.transpose()? {
            let Ok(piece) = frame.into_data() else { continue };
            if list.len() + piece.len() > LIST_BYTES {
                return Err(self.protocol(format!("a page of its list has more than {} MiB", LIST_BYTES >> 20)));
            }
            list.extend_from_slice(&piece);
        }
        // The library takes a page of anything else for a list with nothing in it.
        if !LISTS.iter().any(|root| list.windows(root.len()).take(LIST_BEGINS).any(|window| window == *root)) {
            return Err(self.protocol(NO_LIST));
        }
        Ok(http::Response::from_parts(parts, list.freeze().into()))
    }

    /// An answer that says no, with its body if it is one that the library understands.
    async fn refused(&self, method: &Method, answer: Response) -> Result<HttpResponse, Error> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = tokio::time::timeout(ANSWER, beginning(answer)).await.map_err(|_| self.peer.timed_out(ANSWER))?;
        match self.dialect.refusal(&self.peer.target, method, status, &headers, &String::from_utf8_lossy(&body)) {
            Some(refusal) => Err(refusal),
            None => {
                let mut answer = http::Response::new(body.into());
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                Ok(answer)
            }
        }
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> Error {
        self.dialect.protocol(&self.peer.target, reason.into())
    }
}

/// The first bytes of an answer; what cannot be read any more is left out.
pub(super) async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut found = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        found.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES - found.len())]);
        if found.len() == REFUSAL_BYTES {
            break;
        }
    }
    found
}
