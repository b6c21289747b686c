//! Who is let in, and to what: tokens are shown to the API server, workers prove that they are the current one of their run, and a lease
//! holds what such a run may have and nothing else. Answers in no protocol: that is for the listeners.

pub(crate) mod caller;
pub(crate) mod cursors;
pub(crate) mod entrance;
pub(crate) mod lease;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// How long an admission may stand for calls of progress.
const ADMITTED_FOR: Duration = Duration::from_secs(60);
/// A token lives ten minutes and is renewed after eight; ids older than this are never shown again.
const TOKEN_REMEMBERED: Duration = Duration::from_secs(3600);
/// What has had its time is looked for this often, because looking goes through all of it.
const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// What may be forgotten at a restart.
#[derive(Default)]
struct Memory {
    /// Token id → the pod that showed it first.
    tokens: BTreeMap<String, (String, Instant)>,
    /// Callers of progress that were admitted a short while ago.
    admitted: BTreeMap<String, (Instant, RunKey)>,
    swept: Option<Instant>,
}

impl Memory {
    /// The pod that showed the token first: this one, if nobody did.
    fn first_shown_by(&mut self, token_id: String, pod: String, now: Instant) -> &str {
        self.sweep(now);
        &self.tokens.entry(token_id).or_insert((pod, now)).0
    }

    fn admitted(&self, key: &str, now: Instant) -> Option<&RunKey> {
        self.admitted.get(key).filter(|(at, _)| now.duration_since(*at) < ADMITTED_FOR).map(|(_, run)| run)
    }

    fn remember_admitted(&mut self, key: String, run: RunKey, now: Instant) {
        self.sweep(now);
        self.admitted.insert(key, (now, run));
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.duration_since(at) < SWEPT_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.tokens.retain(|_, (_, at)| now.duration_since(*at) < TOKEN_REMEMBERED);
        self.admitted.retain(|_, (at, _)| now.duration_since(*at) < ADMITTED_FOR);
    }
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
        match admitted.refused(refusal, object) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunKey {
        let (text, uid) = (|| "r".to_owned(), || api::Uid::new("r").unwrap());
        RunKey { namespace: text(), name: text(), uid: uid(), pod_uid: uid(), attempt: 1, region: text(), tenant_uid: uid() }
    }

    #[test]
    fn an_admission_ends_after_its_minute_and_a_token_belongs_to_its_first_pod() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        memory.remember_admitted("a".into(), run(), at(30));
        assert!(memory.admitted("a", at(89)).is_some() && memory.admitted("a", at(90)).is_none() && memory.admitted("b", at(30)).is_none());
        assert_eq!(memory.first_shown_by("t".into(), "mine".into(), at(31)), "mine");
        assert_eq!(memory.first_shown_by("t".into(), "another".into(), at(600)), "mine");
    }

    #[test]
    fn what_has_had_its_time_is_forgotten() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        for second in 0..8_000 {
            let now = begun + Duration::from_secs(second);
            memory.remember_admitted(second.to_string(), run(), now);
            memory.first_shown_by(second.to_string(), "pod".into(), now);
        }
        assert!((60..=120).contains(&memory.admitted.len()) && (3_600..=3_660).contains(&memory.tokens.len()));
    }
}
