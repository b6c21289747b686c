//! The one path every request takes: session, tries, error classes, usage.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect::Https;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{Class, Delivery, Error, NetworkError};
use crate::limits::ApiUsage;
use crate::retry::{Repeat, Retry, RetryPolicy};
use crate::session::{Session, SessionSource};
use crate::versions::ApiVersion;
use crate::wire_error::ApiError;

/// Most bytes of an answer that are read into memory, as they are once unpacked. Something about us, a token: well below 4 KB.
pub(crate) const TINY: usize = 64 << 10;
/// A job, the org's limits: well below 100 KB.
const SMALL: usize = 1 << 20;
/// A describe with many picklists is below 5 MB, a page of wide rows below 10 MB.
pub(crate) const LARGE: usize = 16 << 20;
/// An error page of a proxy may be large; more than this is of no use.
const MAX_ERROR: usize = 64 << 10;

/// How long the head of an answer may take whose rest is a stream.
const HEAD_WITHIN: Duration = Duration::from_secs(120);

/// A call by name, what it may be repeated for, how long its answer may take and how long it may be.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) repeat: Repeat,
    /// Time for the whole exchange; `None` for streams, which are watched for standstill instead.
    pub(crate) timeout: Option<Duration>,
    /// Most bytes of an answer that is read into memory.
    pub(crate) most: usize,
}

/// A read: harmless to repeat.
pub(crate) const READ: Call = Call { name: "read", repeat: Repeat::Harmless, timeout: Some(Duration::from_secs(60)), most: SMALL };

impl Call {
    pub(crate) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(crate) const fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// A Salesforce org, through the session of one user. Clones share session, tries and usage.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: Https,
    sessions: Arc<dyn SessionSource>,
    version: ApiVersion,
    retry: Retry,
    usage: Mutex<Option<ApiUsage>>,
}

impl Client {
    /// Speaks the default [`ApiVersion`] and tries as the default [`RetryPolicy`] says. `http` comes from the one dialer: it decides whom
    /// we may talk to and never follows redirects.
    pub fn new(http: Https, sessions: Arc<dyn SessionSource>) -> Self {
        Self::with(http, sessions, ApiVersion::default(), Retry::system(RetryPolicy::default()))
    }

    /// As [`Client::new`], with another version of the API or other tries.
    pub fn with(http: Https, sessions: Arc<dyn SessionSource>, version: ApiVersion, retry: Retry) -> Self {
        Self { shared: Arc::new(Shared { http, sessions, version, retry, usage: Mutex::new(None) }) }
    }

    /// The org's use of API calls as of the newest answer; `None` before the first.
    pub fn usage(&self) -> Option<ApiUsage> {
        *self.shared.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET {instance}/services/data/vXX.X/{segments}?{query}`.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, call: Call, segments: &[&str], query: &[(&str, &str)]) -> Result<T, Error> {
        self.json(call, |client, session| {
            let mut url = client.resource(session, segments);
            if !query.is_empty() {
                url.query_pairs_mut().extend_pairs(query);
            }
            client.request(Method::GET, url)
        })
        .await
    }

    /// Sends, and reads a JSON answer; both are part of one try.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        call: Call,
        request: impl Fn(&Self, &Session) -> Result<RequestBuilder, Error> + Send + Sync,
    ) -> Result<T, Error> {
        let request = &request;
        let attempt = |session| async move { read_whole(call, self.exchange(call, &session, request).await?).await }.boxed();
        let bytes = self.tries(call, attempt).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::unreadable(call.name, error))
    }

    /// Sends, and hands out the answer to a success unread.
    pub(crate) async fn response(
        &self,
        call: Call,
        request: impl Fn(&Self, &Session) -> Result<RequestBuilder, Error> + Send + Sync,
    ) -> Result<Response, Error> {
        let request = &request;
        let attempt = |session: Session| {
            async move {
                let answer = tokio::time::timeout(HEAD_WITHIN, self.exchange(call, &session, request)).await;
                answer.unwrap_or_else(|_| Err(Error::stalled(call.name, session.instance_url.host_str().unwrap_or_default(), HEAD_WITHIN)))
            }
            .boxed()
        };
        self.tries(call, attempt).await
    }

    /// The loop: one renewal of the session when it is refused, and the tries that the call allows. A refused session means that
    /// nothing was carried out, so the repetition after a renewal is safe for every call. An attempt is boxed, because the compiler
    /// cannot see that a future of an async closure may move between threads, and callers spawn what calls us.
    pub(crate) async fn tries<'a, T>(&self, call: Call, attempt: impl Fn(Session) -> BoxFuture<'a, Result<T, Error>>) -> Result<T, Error> {
        let mut session = self.shared.sessions.session().await?;
        let mut renewed = false;
        let mut tries = self.shared.retry.begin();
        loop {
            match attempt(session.clone()).await {
                Ok(done) => return Ok(done),
                Err(error) if error.class() == Class::Auth && !renewed => {
                    renewed = true;
                    session = self.shared.sessions.renew(&session).await?;
                }
                Err(error) => tries.again(call.name, call.repeat, error).await?,
            }
        }
    }

    /// One request and the head of its answer.
    pub(crate) async fn exchange(
        &self,
        call: Call,
        session: &Session,
        request: &(impl Fn(&Self, &Session) -> Result<RequestBuilder, Error> + Send + Sync),
    ) -> Result<Response, Error> {
        let mut request = request(self, session)?.bearer_auth(session.access_token.expose_secret());
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        let host = session.instance_url.host_str().unwrap_or_default();
        let response = request.send().await.map_err(|error| Error::network(call.name, host, error))?;
        self.note_usage(&response);
        accept(call.name, response).await
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Error> {
        let host = url.host_str().unwrap_or_default().to_owned();
        self.shared.http.request(method, url).map_err(|error| Error::undialed(&host, &error))
    }

    /// `{instance}/services/data/vXX.X/{segments}`, every segment escaped.
    pub(crate) fn resource(&self, session: &Session, segments: &[&str]) -> Url {
        let mut url = session.instance_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["services", "data", &self.shared.version.to_string()]).extend(segments);
        }
        url
    }

    fn note_usage(&self, response: &Response) {
        let usage = response.headers().get("sforce-limit-info").and_then(|value| value.to_str().ok()).and_then(ApiUsage::parse);
        if usage.is_some() {
            *self.shared.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        }
    }
}

/// Turns an answer that is not a success into an error.
async fn accept(call: &'static str, response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = retry_after(&response);
    let body = read_error(response).await;
    Err(Error::Refused { call, status: status.as_u16(), errors: ApiError::parse_all(status.as_u16(), &body), retry_after })
}

/// Seconds; the form with a date is not used by Salesforce.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(reqwest::header::RETRY_AFTER)?;
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// What can be read of an error's body. A body that breaks off does not hide the status.
pub(crate) async fn read_error(response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(Ok(part)) = stream.next().await {
        body.extend_from_slice(&part[..part.len().min(MAX_ERROR - body.len())]);
        if body.len() == MAX_ERROR {
            break;
        }
    }
    body
}

/// Reads an answer to its end, or to where it is longer than the call's ever is. What is counted is what comes out of a packed one.
pub(crate) async fn read_whole(call: Call, response: Response) -> Result<Vec<u8>, Error> {
    let host = response.url().host_str().unwrap_or_default().to_owned();
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| broke_off(call.name, &host, error))?;
        if body.len() + part.len() > call.most {
            return Err(Error::unreadable(call.name, format_args!("it is longer than {} bytes", call.most)));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The head of the answer came, the rest did not.
pub(crate) fn broke_off(call: &'static str, host: &str, source: reqwest::Error) -> Error {
    Error::Network {
        call,
        host: host.to_owned(),
        delivery: Delivery::Answered,
        source: NetworkError::Http(connect::diagnose(&source.without_url())),
    }
}
