//! The API for workers. Every refusal is the same answer, and has a line in the audit, which alone says why. Trouble of ours says come
//! again.

mod caller;
mod files;
mod lease;
mod run_status;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use domain::chunk::ChunkRefusal;
use domain::lease::Refusal;
use http::StatusCode;
use http::request::Parts;
use secrecy::SecretString;

use super::error::Error;
use super::room::Full;
use super::serve::Peer;
use super::state::Keeper;

pub(crate) use caller::RunKey;
pub(super) use files::until;
pub(super) use run_status::{Ours, Turns};

/// JSON of a worker: a chunk with its cursor is the largest.
const BODY_LIMIT: usize = 1 << 20;

pub(crate) fn app(keeper: Arc<Keeper>) -> Router {
    let json = Router::new()
        .route("/v1/runs/{uid}/lease", post(lease::lease))
        .route("/v1/runs/{uid}/session", post(lease::session))
        .route("/v1/runs/{uid}/chunks/{number}", put(run_status::chunk))
        .route("/v1/runs/{uid}/progress", post(run_status::progress))
        .route("/v1/runs/{uid}/outcome", post(run_status::outcome))
        .route("/v1/runs/{uid}/files", post(files::begin))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT));
    let bytes =
        Router::new().route("/v1/files/{uid}", get(files::read).put(files::write)).layer(axum::extract::DefaultBodyLimit::disable());
    json.merge(bytes).with_state(keeper)
}

/// Who calls, before anything is checked.
pub(crate) struct Call {
    pub(crate) token: Option<SecretString>,
    pub(crate) peer: Option<Peer>,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { token: bearer(parts), peer: parts.extensions.get::<Peer>().copied() })
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

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(_) => StatusCode::FORBIDDEN.into_response(),
            // The worker proved who it is: it may know what is wrong with what it sent.
            Self::Chunk(refusal) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()).into_response(),
            Self::Full(full) => (StatusCode::PAYLOAD_TOO_LARGE, full.to_string()).into_response(),
            Self::Taken => (StatusCode::UNPROCESSABLE_ENTITY, "the file is complete").into_response(),
            Self::Trouble(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "a worker's call failed");
                (StatusCode::SERVICE_UNAVAILABLE, [(http::header::RETRY_AFTER, "2")]).into_response()
            }
        }
    }
}

type Kept = State<Arc<Keeper>>;
type RunUid = Path<String>;
type Answer<T> = Result<Json<T>, Rejection>;
