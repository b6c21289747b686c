//! The API for workers. Every refusal is a `403` and has a line in the audit. A stranger learns no more; the current worker of a run is told
//! what ends its run or what it should wait for. Trouble of ours says come again.

mod caller;
mod files;
mod lease;
mod run_status;

use std::sync::Arc;
use std::time::Duration;

use api::keeper::Refused;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use domain::chunk::ChunkRefusal;
use domain::lease::{Admitted, Caller, Refusal};
use http::StatusCode;
use http::request::Parts;
use runtime::listen::{Pace, Paced, Peer};
use secrecy::SecretString;

use super::entrance::{Entrance, Known, Shares};
use super::error::Error;
use super::room::Full;
use super::serve::to_its_end;
use super::state::Keeper;

pub(crate) use caller::RunKey;
pub(super) use files::until;
pub(super) use run_status::{Ours, Turns};

/// JSON of a worker: a chunk with its cursor is the largest.
const BODY_LIMIT: usize = 1 << 20;
const BODY_PACE: Pace = Pace { pause: Duration::from_secs(10), rate: 64 << 10 };
/// Calls of a tenant's workers at the same time; whoever comes too many comes again.
const CALLS: usize = 64;
/// Files of a tenant's workers on their way at the same time: three of each run. They have no pace, results come as the org gives them.
const FILES: usize = 96;

/// How calls of a kind are let in.
struct Door {
    entrance: Arc<Entrance>,
    shares: Shares,
    pace: Option<Pace>,
}

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
    let entrance = Arc::new(Entrance::new(keeper.clone(), "workers", api::names::keeper_audience));
    let door = |calls, pace| Arc::new(Door { entrance: entrance.clone(), shares: Shares::new(calls), pace });
    let json = json.route_layer(from_fn_with_state(door(CALLS, Some(BODY_PACE)), enter));
    let bytes = bytes.route_layer(from_fn_with_state(door(FILES, None), enter));
    json.merge(bytes).with_state(keeper)
}

/// Nothing of a body is read for whoever the API server does not know.
async fn enter(State(door): State<Arc<Door>>, call: Call, mut request: Request, next: Next) -> Response {
    let refused = || Rejection::from(Refusal::Token).into_response();
    let caller = match door.entrance.known(&call).await {
        Ok(Known::Caller(caller)) => caller,
        Ok(Known::Stranger) => {
            door.entrance.keeper().refuse_stranger(request.uri().path()).await;
            return refused();
        }
        Ok(Known::StrangerAgain) => return refused(),
        Err(error) => return Rejection::from(error).into_response(),
    };
    let Some(admission) = door.entrance.admission(&door.shares, &caller, &request) else { return come_again() };
    request.extensions_mut().insert(caller);
    let request = match door.pace {
        Some(pace) => request.map(|body| Body::new(Paced::new(body, pace))),
        None => request,
    };
    to_its_end(request, next, admission).await
}

fn come_again() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(http::header::RETRY_AFTER, "2")]).into_response()
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
    fn about(admitted: &Admitted, object: &str, refusal: Refusal) -> Self {
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

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(_) => StatusCode::FORBIDDEN.into_response(),
            Self::Told(_, told) => (StatusCode::FORBIDDEN, Json(told)).into_response(),
            // The worker proved who it is: it may know what is wrong with what it sent.
            Self::Chunk(refusal) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()).into_response(),
            Self::Full(full) => (StatusCode::PAYLOAD_TOO_LARGE, full.to_string()).into_response(),
            Self::Taken => (StatusCode::UNPROCESSABLE_ENTITY, "the file is complete").into_response(),
            Self::Trouble(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "a worker's call failed");
                come_again()
            }
        }
    }
}

type Kept = State<Arc<Keeper>>;
type RunUid = Path<String>;
type Answer<T> = Result<Json<T>, Rejection>;
