//! Credentials that end soon, made anew before they do, of a token that says who we are.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use object_store::CredentialProvider;
use reqwest::Url;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::transport::{Failure, beginning};
use crate::error::Error;
use crate::exchange::{ANSWER, Peer};

/// One that ends sooner is not used for one more request, which may take as long.
const LEAST_LEFT: SignedDuration = SignedDuration::from_mins(5);

/// A credential and its end.
pub(super) struct Ending<C> {
    pub(super) credential: Arc<C>,
    pub(super) ends: Timestamp,
}

impl<C> Ending<C> {
    pub(super) fn serves(&self, now: Timestamp) -> bool {
        self.ends.duration_since(now) > LEAST_LEFT
    }
}

/// Who makes them.
#[async_trait]
pub(super) trait Maker: fmt::Debug + Send + Sync {
    type Credential: Send + Sync + fmt::Debug;

    async fn make(&self) -> Result<Ending<Self::Credential>, Error>;
}

/// Credentials of a maker, each as long as it lasts.
pub(super) struct Lasting<M: Maker> {
    maker: M,
    current: Mutex<Option<Ending<M::Credential>>>,
}

impl<M: Maker> Lasting<M> {
    pub(super) fn new(maker: M) -> Self {
        Self { maker, current: Mutex::default() }
    }
}

impl<M: Maker> fmt::Debug for Lasting<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lasting({:?})", self.maker)
    }
}

#[async_trait]
impl<M: Maker> CredentialProvider for Lasting<M> {
    type Credential = M::Credential;

    async fn get_credential(&self) -> object_store::Result<Arc<M::Credential>> {
        let mut current = self.current.lock().await;
        if let Some(ending) = current.as_ref().filter(|ending| ending.serves(Timestamp::now())) {
            return Ok(Arc::clone(&ending.credential));
        }
        let made = self.maker.make().await.map_err(failure)?;
        Ok(Arc::clone(&current.insert(made).credential))
    }
}

fn failure(error: Error) -> object_store::Error {
    object_store::Error::Generic { store: "identity", source: Failure(Arc::new(error)).into() }
}

/// What a service answers to a form, as far as it is read.
pub(super) async fn post_form(peer: &Peer, url: Url, fields: &[(&str, &str)]) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Error> {
    let form = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = peer.https.request(Method::POST, url)?.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let answer = peer.send(request, ANSWER).await?;
    let status = answer.status();
    let body = tokio::time::timeout(ANSWER, beginning(answer)).await.map_err(|_| peer.timed_out(ANSWER))?;
    Ok((status, Zeroizing::new(body)))
}

/// Whether the same may work a moment later.
pub(super) fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}
