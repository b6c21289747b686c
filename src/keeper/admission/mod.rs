//! Who is let in, and to what: tokens are shown to the API server, workers prove that they are the current one of their run, and a lease
//! holds what such a run may have and nothing else. Answers in no protocol: that is for the listeners.

pub(crate) mod caller;
pub(crate) mod cursors;
pub(crate) mod entrance;
pub(crate) mod lease;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use api::keeper::Refused;
use axum::extract::FromRequestParts;
use domain::chunk::ChunkRefusal;
use domain::lease::{Admitted, Caller, PeerIpCheck, Refusal};
use http::request::Parts;
use runtime::listen::Peer;
use secrecy::SecretString;

use crate::keeper::audit::Audit;
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::Error;
use crate::keeper::files::room::Full;
use caller::RunKey;

/// How workers prove themselves.
pub(crate) struct Admission {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    peer_check: PeerIpCheck,
    memory: Mutex<Memory>,
}

/// What may be forgotten at a restart.
#[derive(Default)]
struct Memory {
    /// Token id → the pod that showed it first.
    tokens: BTreeMap<String, (String, Instant)>,
    /// Callers of progress that were admitted a short while ago.
    admitted: BTreeMap<String, (Instant, RunKey)>,
}

impl Admission {
    pub(crate) fn new(cluster: Arc<Cluster>, audit: Arc<Audit>, peer_check: PeerIpCheck) -> Self {
        Self { cluster, audit, peer_check, memory: Mutex::default() }
    }
}

/// Who calls: the token and address that came, and whom the API server takes the token for.
pub(crate) struct Call {
    pub(crate) token: Option<SecretString>,
    pub(crate) peer: Option<Peer>,
    pub(crate) caller: Option<Caller>,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { token: bearer(parts), peer: parts.extensions.get().copied(), caller: parts.extensions.get().cloned() })
    }
}

/// The bearer token of a request.
pub(crate) fn bearer(parts: &Parts) -> Option<SecretString> {
    let value = parts.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ")?.trim();
    (!token.is_empty()).then(|| SecretString::from(token.to_owned()))
}

/// Why a worker gets no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The same for one that proved itself: it is told what that means for its run.
    #[error("refused: {0}")]
    Told(Refusal, Refused),
    #[error("{0}")]
    Chunk(#[from] ChunkRefusal),
    /// There is no room for the file: what did not fit, and how much there is.
    #[error("{0}")]
    Full(Full),
    /// The file is there already, complete.
    #[error("the file is complete")]
    Taken,
    #[error(transparent)]
    Trouble(#[from] Error),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Rejection {
    /// A refusal about this Connection or Upload of the worker's run.
    pub(crate) fn about(admitted: &Admitted, object: &str, refusal: Refusal) -> Self {
        match admitted.told(refusal, object) {
            Some(told) => Self::Told(refusal, told),
            None => Self::Refused(refusal),
        }
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) | Self::Told(refusal, _) => Some(*refusal),
            Self::Chunk(_) | Self::Full(_) | Self::Taken | Self::Trouble(_) => None,
        }
    }
}
