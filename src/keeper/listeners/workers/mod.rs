//! The API for workers, over HTTP. Every refusal is a `403` and has a line in the audit. A stranger learns no more; the current worker of a run is told
//! what ends its run or what it should wait for. Trouble of ours says come again.

mod files;
mod lease;
mod run_status;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use domain::lease::Refusal;
use http::StatusCode;
use runtime::listen::{MinRate, MinRateBody};

use super::serve::to_its_end;
use crate::keeper::admission::entrance::{Entrance, Known, Shares};
use crate::keeper::admission::lease::Leases;
use crate::keeper::admission::{Admission, Call, Rejection};
use crate::keeper::audit::Audit;
use crate::keeper::base::cluster::Cluster;
use crate::keeper::files::FileStore;
use crate::keeper::vault::Vault;

use run_status::RunLocks;

/// JSON of a worker: a chunk with its cursor is the largest.
const BODY_LIMIT: usize = 1 << 20;
const MIN_BODY_RATE: MinRate = MinRate { pause: Duration::from_secs(10), rate: 64 << 10 };
/// Calls of a tenant's workers at the same time; a call that is one too many comes again.
const CALLS: usize = 64;
/// Files of a tenant's workers on their way at the same time: three of each run. They have no least rate: results come as the org gives them.
const FILES: usize = 96;

/// What the calls of workers need.
pub(crate) struct Workers {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    files: Arc<FileStore>,
    admission: Arc<Admission>,
    leases: Leases,
    run_locks: RunLocks,
    /// When a run's progress was last written.
    progress: Mutex<BTreeMap<String, Instant>>,
}

impl Workers {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        vault: Arc<Vault>,
        files: Arc<FileStore>,
        admission: Arc<Admission>,
    ) -> Arc<Self> {
        let leases = Leases::new(cluster.clone(), audit.clone(), vault.clone(), files.clone(), admission.clone());
        Arc::new(Self { cluster, audit, vault, files, admission, leases, run_locks: RunLocks::default(), progress: Mutex::default() })
    }
}

/// How calls of a kind are let in.
struct Door {
    workers: Arc<Workers>,
    entrance: Arc<Entrance>,
    shares: Shares,
    min_rate: Option<MinRate>,
}

pub(crate) fn app(workers: Arc<Workers>) -> Router {
    let json = Router::new()
        .route("/v1/runs/{uid}/lease", post(lease::lease))
        .route("/v1/runs/{uid}/session", post(lease::session))
        .route("/v1/runs/{uid}/source", post(lease::source))
        .route("/v1/runs/{uid}/chunks/{number}", put(run_status::chunk))
        .route("/v1/runs/{uid}/progress", post(run_status::progress))
        .route("/v1/runs/{uid}/outcome", post(run_status::outcome))
        .route("/v1/runs/{uid}/file", post(run_status::file))
        .route("/v1/runs/{uid}/files", post(files::begin))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT));
    let bytes =
        Router::new().route("/v1/files/{uid}", get(files::read).put(files::write)).layer(axum::extract::DefaultBodyLimit::disable());
    let entrance = Arc::new(Entrance::new(workers.admission.clone(), "workers", api::names::keeper_audience));
    let door =
        |calls, min_rate| Arc::new(Door { workers: workers.clone(), entrance: entrance.clone(), shares: Shares::new(calls), min_rate });
    let json = json.route_layer(from_fn_with_state(door(CALLS, Some(MIN_BODY_RATE)), enter));
    let bytes = bytes.route_layer(from_fn_with_state(door(FILES, None), enter));
    json.merge(bytes).with_state(workers)
}

/// Nothing of a body is read for a caller that the API server does not know.
async fn enter(State(door): State<Arc<Door>>, call: Call, mut request: Request, next: Next) -> Response {
    let refused = || Rejection::from(Refusal::Token).into_response();
    let caller = match door.entrance.known(&call).await {
        Ok(Known::Caller(caller)) => caller,
        Ok(Known::Stranger) => {
            door.workers.admission.refuse_stranger(request.uri().path()).await;
            return refused();
        }
        Ok(Known::StrangerAgain) => return refused(),
        Err(error) => return Rejection::from(error).into_response(),
    };
    let Some(admission) = door.entrance.admission(&door.shares, &caller, &request) else { return come_again() };
    request.extensions_mut().insert(caller);
    let request = match door.min_rate {
        Some(min_rate) => request.map(|body| Body::new(MinRateBody::new(body, min_rate))),
        None => request,
    };
    to_its_end(request, next, admission).await
}

fn come_again() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(http::header::RETRY_AFTER, "2")]).into_response()
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(_) => StatusCode::FORBIDDEN.into_response(),
            Self::Told(_, told) => (StatusCode::FORBIDDEN, Json(told)).into_response(),
            // The worker proved who it is: it may know what is wrong with what it sent.
            Self::Chunk(refusal) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()).into_response(),
            Self::Full(full) => (StatusCode::PAYLOAD_TOO_LARGE, full.to_string()).into_response(),
            Self::Taken => (StatusCode::CONFLICT, "the file is complete").into_response(),
            Self::Trouble(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "a worker's call failed");
                come_again()
            }
        }
    }
}

type Kept = State<Arc<Workers>>;
type RunUid = Path<String>;
type Answer<T> = Result<Json<T>, Rejection>;
