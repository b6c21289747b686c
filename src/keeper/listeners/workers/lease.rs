//! The lease, a fresh session when Salesforce refused the one that it held, and a source's credential once more when that has ended.

use api::keeper::{Lease, LeaseRequest, SalesforceSession, SessionRequest, SourceCredential, SourceRequest};
use axum::Json;
use axum::extract::{Path, State};

use super::{Answer, Kept, RunUid};
use crate::keeper::admission::Call;
use crate::keeper::admission::caller::{About, RunKey};

pub(super) async fn lease(State(workers): Kept, call: Call, Path(uid): RunUid, Json(request): Json<LeaseRequest>) -> Answer<Lease> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "lease").await?;
    let outcome = workers.leases.lease(&admitted, request.ending).await;
    workers.admission.judged(&RunKey::of(&admitted), "lease", outcome).await.map(Json)
}

pub(super) async fn session(
    State(workers): Kept,
    call: Call,
    Path(uid): RunUid,
    Json(request): Json<SessionRequest>,
) -> Answer<SalesforceSession> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "session").await?;
    let outcome = workers.leases.renewed_session(&admitted, &request).await;
    workers.admission.judged(&RunKey::of(&admitted), "session", outcome).await.map(Json)
}

pub(super) async fn source(
    State(workers): Kept,
    call: Call,
    Path(uid): RunUid,
    Json(request): Json<SourceRequest>,
) -> Answer<SourceCredential> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "source").await?;
    let outcome = workers.leases.renewed_source(&admitted).await;
    workers.admission.judged(&RunKey::of(&admitted), "source", outcome).await.map(Json)
}
