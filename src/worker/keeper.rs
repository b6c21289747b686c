//! The keeper as a worker calls it: TLS that trusts the keeper's own authority only, the pod's token read anew for every call,
//! and patience while the keeper is away.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::import_run::RunReason;
use api::keeper::{
    ChunkWrite, Control, FileGrant, FileReport, Lease, LeaseRequest, NewFile, OutcomeReport, Progress, Refused, SalesforceSession,
    SessionRequest, SourceCredential, SourceRequest,
};
use bytes::Bytes;
use connect::{AddressPolicy, Dialer, Https, HttpsOptions, Trust};
use engine::load::StopSignal;
use futures::stream::BoxStream;
use http::header::RANGE;
use http::{Method, StatusCode};
use reqwest::{Body, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::Args;

/// How long a call waits for a keeper that is away, before the attempt is left to another one.
const PATIENCE: Duration = Duration::from_secs(300);
/// Network policies take effect a moment after the pod starts, and the operator writes down which pod it is: both look like a refusal at first.
const FIRST_DIAL: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So that nobody who was refused for good asks a hundred times.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(2);
/// For calls of one JSON document.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Keeper {
    http: Https,
    base: Url,
    run: String,
    attempt: i32,
    token_path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The keeper does not say why, since this pod has no say in its run: it is over, another attempt has taken over, or nobody has
    /// written down yet that this pod is one.
    #[error("the keeper does not know this pod as the current worker of its run")]
    Refused,
    /// The run cannot go on, for this reason.
    #[error("{1}")]
    Over(RunReason, String),
    /// Not now, but perhaps later.
    #[error("the keeper says to wait: {0}")]
    NotYet(String),
    #[error("the keeper cannot be reached: {0}")]
    Unreachable(String),
    #[error("the keeper answered {0}: {1}")]
    Answered(StatusCode, String),
}

impl CallError {
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotYet(_))
    }

    /// Whether another attempt may do better.
    pub(super) fn is_resumable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotYet(_) | Self::Refused)
    }

    /// Stops the run if it cannot go on.
    pub(super) fn stop_run(&self, stop_signal: &StopSignal) {
        if let Self::Over(reason, message) = self {
            stop_signal.stop(*reason, message.as_str());
        }
    }
}

impl Keeper {
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        let (host, port) = (args.keeper_url.host_str().unwrap_or_default(), args.keeper_url.port_or_known_default().unwrap_or_default());
        // The one private host that needs no Region to list it; who answers there is proved by its certificate.
        let dialer = Dialer::new(AddressPolicy::closed().open_host(host, &[port]));
        Ok(Self {
            http: dialer.https(HttpsOptions { trust: Trust::Only(&args.keeper_ca) })?,
            base: args.keeper_url.clone(),
            run: args.run_uid.clone(),
            attempt: args.attempt,
            token_path: args.token_path.clone(),
        })
    }

    pub(super) fn attempt(&self) -> i32 {
        self.attempt
    }

    pub(super) async fn lease(&self) -> Result<Lease, CallError> {
        let (began, mut pause) = (Instant::now(), PAUSE);
        loop {
            match self.ask_lease(false).await {
                Err(CallError::Refused) if began.elapsed() < FIRST_DIAL => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(LONGEST_FIRST_PAUSE);
                }
                other => return other,
            }
        }
    }

    /// What is needed to bring a run that cannot go on to its end.
    pub(super) async fn lease_to_end(&self) -> Result<Lease, CallError> {
        self.ask_lease(true).await
    }

    async fn ask_lease(&self, ending: bool) -> Result<Lease, CallError> {
        self.ask(Method::POST, &self.of_run("lease"), &LeaseRequest { attempt: self.attempt, ending }).await
    }

    pub(super) async fn session(&self, connection: &str, refused_sha256: &str) -> Result<SalesforceSession, CallError> {
        let request =
            SessionRequest { attempt: self.attempt, connection: connection.to_owned(), refused_sha256: refused_sha256.to_owned() };
        self.ask(Method::POST, &self.of_run("session"), &request).await
    }

    pub(super) async fn source(&self) -> Result<SourceCredential, CallError> {
        self.ask(Method::POST, &self.of_run("source"), &SourceRequest { attempt: self.attempt }).await
    }

    /// Writing the same step twice leaves it as it is, so a lost answer is asked for again.
    pub(super) async fn chunk(&self, write: &ChunkWrite) -> Result<Control, CallError> {
        self.ask(Method::PUT, &self.of_run(&format!("chunks/{}", write.chunk.number)), write).await
    }

    /// Not repeated: the next one says more.
    pub(super) async fn progress(&self, progress: &Progress) -> Result<Control, CallError> {
        let response = self.send(self.request(Method::POST, &self.of_run("progress"))?.json(progress).timeout(ANSWER_WITHIN)).await?;
        decode(response).await
    }

    /// Asking twice for the same name gives the same file.
    pub(super) async fn new_file(&self, name: &str) -> Result<FileGrant, CallError> {
        self.ask(Method::POST, &self.of_run("files"), &NewFile { attempt: self.attempt, name: name.to_owned() }).await
    }

    pub(super) async fn outcome(&self, report: &OutcomeReport) -> Result<(), CallError> {
        self.tell("outcome", report).await
    }

    /// The run is over with it.
    pub(super) async fn file(&self, report: &FileReport) -> Result<(), CallError> {
        self.tell("file", report).await
    }

    /// A file's ciphertext, from its beginning.
    pub(super) async fn read_file(&self, uid: &str) -> Result<Response, CallError> {
        patiently(|| async { self.send(self.request(Method::GET, &format!("v1/files/{uid}"))?).await }).await
    }

    /// Some bytes of it, and at least one. `None`: a keeper of an earlier version, which gives all of it or nothing.
    pub(super) async fn read_part(&self, uid: &str, part: Range<u64>) -> Result<Option<Response>, CallError> {
        let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
        let path = format!("v1/files/{uid}");
        let answer = patiently(|| async { self.send(self.request(Method::GET, &path)?.header(RANGE, &range)).await }).await?;
        Ok(Some(answer).filter(|answer| answer.status() == StatusCode::PARTIAL_CONTENT))
    }

    /// A stream cannot be sent twice, so this is tried once.
    pub(super) async fn write_file(&self, uid: &str, sealed: BoxStream<'static, Result<Bytes, std::io::Error>>) -> Result<(), CallError> {
        let request = self.request(Method::PUT, &format!("v1/files/{uid}"))?.body(Body::wrap_stream(sealed));
        self.send(request).await.map(drop)
    }

    /// The same of a file that is whole: it is sent again while the keeper is away. That it is complete is the answer when the keeper had
    /// taken it before, and its word of that was lost.
    pub(super) async fn write_whole_file(&self, uid: &str, sealed: Bytes) -> Result<(), CallError> {
        let path = format!("v1/files/{uid}");
        let send = || async {
            let request = self.request(Method::PUT, &path)?.body(sealed.clone()).timeout(ANSWER_WITHIN);
            self.send(request).await.map(drop)
        };
        match patiently(send).await {
            Err(CallError::Answered(StatusCode::CONFLICT, _)) => Ok(()),
            answer => answer,
        }
    }

    /// A question without an answer; it can be told twice.
    async fn tell<Q: Serialize>(&self, what: &str, told: &Q) -> Result<(), CallError> {
        let path = self.of_run(what);
        patiently(|| async { self.send(self.request(Method::POST, &path)?.json(told).timeout(ANSWER_WITHIN)).await.map(drop) }).await
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(&self, method: Method, path: &str, question: &Q) -> Result<A, CallError> {
        patiently(|| async {
            let request = self.request(method.clone(), path)?.json(question).timeout(ANSWER_WITHIN);
            decode(self.send(request).await?).await
        })
        .await
    }

    fn of_run(&self, what: &str) -> String {
        format!("v1/runs/{}/{what}", self.run)
    }

    /// The kubelet replaces the token long before it ends; a copy of ours would grow old.
    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let token = std::fs::read_to_string(&self.token_path).map(Zeroizing::new);
        let token = token.map_err(|error| CallError::Unreachable(format!("the pod's token cannot be read: {error}")))?;
        let url = self.base.join(path).map_err(|error| CallError::Unreachable(error.to_string()))?;
        let request = self.http.request(method, url).map_err(|error| CallError::Unreachable(connect::explain(&error)))?;
        Ok(request.bearer_auth(token.trim()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let response = request.send().await.map_err(|error| CallError::Unreachable(connect::diagnose(&error).text))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::FORBIDDEN => Err(refusal(&response.bytes().await.unwrap_or_default())),
            StatusCode::UNAUTHORIZED => Err(CallError::Refused),
            status if status.is_server_error() => Err(CallError::Unreachable(format!("it answered {status}"))),
            status => Err(CallError::Answered(status, response.text().await.unwrap_or_default())),
        }
    }
}

/// One without a word is for a caller that has no say.
fn refusal(body: &[u8]) -> CallError {
    match serde_json::from_slice(body) {
        Ok(Refused { end: Some(reason), message }) => CallError::Over(reason, message),
        Ok(Refused { end: None, message }) => CallError::NotYet(message),
        Err(_) => CallError::Refused,
    }
}

async fn decode<A: DeserializeOwned>(response: Response) -> Result<A, CallError> {
    response.json().await.map_err(|error| CallError::Unreachable(connect::diagnose(&error).text))
}

/// Repeats a call while the keeper is away, for as long as a worker waits.
async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let (began, mut pause) = (Instant::now(), PAUSE);
    loop {
        match call().await {
            Err(error) if error.may_pass() && began.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_or_says_nothing() {
        assert!(matches!(refusal(b""), CallError::Refused));
        assert!(matches!(refusal(b"<html>"), CallError::Refused));
        let end = refusal(br#"{"end":"UploadGone","message":"Upload rows was deleted"}"#);
        assert!(matches!(&end, CallError::Over(RunReason::UploadGone, message) if message == "Upload rows was deleted"), "{end:?}");
        assert!(matches!(refusal(br#"{"message":"suspended"}"#), CallError::NotYet(_)));
    }

    #[test]
    fn only_what_may_pass_is_left_to_another_attempt() {
        let over = || CallError::Over(RunReason::UploadGone, String::new());
        assert!(CallError::Refused.is_resumable() && CallError::NotYet(String::new()).is_resumable());
        assert!(!over().is_resumable() && !over().may_pass() && !CallError::Refused.may_pass());
    }
}
