//! Files in and out for people, over TLS with a ten-minute token: who may ask for a token is RBAC's decision, whose token it is the API
//! server tells, and which file it opens the path says. Plain bytes exist here only while they pass through memory.

mod audit;
mod results;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use api::names;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::StatusCode;
use kube::ResourceExt;
use runtime::listen::{MinRate, MinRateBody};

use super::serve::to_its_end;
use crate::keeper::admission::entrance::{Entrance, Known, Shares};
use crate::keeper::admission::{Admission, Call};
use crate::keeper::audit::Audit;
use crate::keeper::audit::Event;
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::Error;
use crate::keeper::files::FileStore;
use crate::keeper::files::room::Full;
use crate::keeper::vault::{TenantKeys, Vault};

/// Files of a tenant that pass at the same time, in each direction.
const FILES: usize = 8;
/// Slower than any line that a person sends a file over.
const MIN_RATE: MinRate = MinRate { pause: Duration::from_secs(30), rate: 1 << 10 };

/// What the calls of people need.
pub(crate) struct Gateway {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    files: Arc<FileStore>,
    admission: Arc<Admission>,
}

impl Gateway {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        vault: Arc<Vault>,
        files: Arc<FileStore>,
        admission: Arc<Admission>,
    ) -> Arc<Self> {
        Arc::new(Self { cluster, audit, vault, files, admission })
    }
}

/// How people are let in to one of the accounts.
struct Door {
    gateway: Arc<Gateway>,
    entrance: Arc<Entrance>,
    shares: Shares,
    account: &'static str,
}

pub(crate) fn app(gateway: Arc<Gateway>) -> Router {
    let entrance = Arc::new(Entrance::new(gateway.admission.clone(), "gateway", names::files_audience));
    let door = |account| Arc::new(Door { gateway: gateway.clone(), entrance: entrance.clone(), shares: Shares::new(FILES), account });
    let uploads = Router::new()
        .route("/v1/namespaces/{namespace}/uploads/{name}", put(upload::put_file))
        .route_layer(from_fn_with_state(door(names::FILES_WRITER_ACCOUNT), enter));
    let results = Router::new()
        .route("/v1/namespaces/{namespace}/importruns/{name}/results/{file}", get(results::get_file))
        .route("/v1/namespaces/{namespace}/audit", get(audit::lines_of_tenant))
        .route("/v1/namespaces/{namespace}/audit/report", get(audit::report_to_tenant))
        .route_layer(from_fn_with_state(door(names::FILES_READER_ACCOUNT), enter));
    let auditors = Arc::new(Entrance::new(gateway.admission.clone(), "gateway", names::audit_audience));
    let auditors =
        Arc::new(Door { gateway: gateway.clone(), entrance: auditors, shares: Shares::new(FILES), account: names::AUDIT_READER_ACCOUNT });
    let regions = Router::new()
        .route("/v1/regions/{region}/audit", get(audit::lines_of_region))
        .route("/v1/regions/{region}/audit/report", get(audit::report_of_region))
        .route_layer(from_fn_with_state(auditors, enter));
    uploads.merge(results).merge(regions).layer(DefaultBodyLimit::disable()).with_state(gateway)
}

/// Nothing of a file is read for a caller that the API server does not know, nor for a tenant that has enough of them on their way.
async fn enter(State(door): State<Arc<Door>>, call: Call, mut request: Request, next: Next) -> Response {
    let caller = match door.entrance.known(&call).await {
        Ok(Known::Caller(caller)) => caller,
        Ok(Known::Stranger) => {
            let refused = Refused::Token(door.account);
            door.gateway.audit_refused(namespace_of(request.uri().path()), "enter", &refused).await;
            return refused.into_response();
        }
        Ok(Known::StrangerAgain) => return Refused::Token(door.account).into_response(),
        Err(error) => return Refused::from(error).into_response(),
    };
    let Some(admission) = door.entrance.admission(&door.shares, &caller, &request) else { return Refused::Busy(FILES).into_response() };
    request.extensions_mut().insert(caller);
    to_its_end(request.map(|body| Body::new(MinRateBody::new(body, MIN_RATE))), next, admission).await
}

/// The namespace that a path names, or nothing.
fn namespace_of(path: &str) -> &str {
    path.strip_prefix("/v1/namespaces/").and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// Why a person gets no answer; here the words help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "the token is not one of account {0} in this namespace for this region, or it lives longer than ten minutes: ask for a new one with `kubectl create token {0} --duration=10m --audience=…`"
    )]
    Token(&'static str),
    #[error("namespace {0} belongs to no tenant, or to one that is not ready")]
    Namespace(String),
    #[error("{0} does not exist")]
    NotFound(String),
    #[error("{0} has its file already, or somebody is sending it: create another Upload")]
    Taken(String),
    #[error("{0} is gone: its time has passed")]
    Expired(String),
    #[error("{0} files of this tenant are on their way already: try again when one of them is through")]
    Busy(usize),
    #[error("the bytes are not those of the digest that was announced")]
    Digest,
    #[error("the announced digest is not a SHA-256")]
    BadDigest,
    #[error("{0}")]
    Full(Full),
    #[error("the file is empty")]
    Empty,
    #[error("the file was cut off on its way, or came more slowly than 1 KiB a second")]
    CutOff,
    #[error("the keeper cannot do this now; try again")]
    Trouble(#[from] Error),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Token(_) => StatusCode::FORBIDDEN,
            Self::Namespace(_) | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Taken(_) => StatusCode::CONFLICT,
            Self::Expired(_) => StatusCode::GONE,
            Self::Busy(_) => {
                let after = [(http::header::RETRY_AFTER, "5")];
                return (StatusCode::TOO_MANY_REQUESTS, after, format!("{self}\n")).into_response();
            }
            Self::Digest => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadDigest | Self::Empty | Self::CutOff => StatusCode::BAD_REQUEST,
            Self::Full(full) if full.is_for_good() => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            // The sender can do something about it.
            Self::Trouble(error @ Error::Full { .. }) => return (StatusCode::INSUFFICIENT_STORAGE, format!("{error}\n")).into_response(),
            Self::Trouble(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "a file could not be passed through");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}

impl Refused {
    /// One word for the audit. Trouble of ours is no refusal.
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Token(_) => Some("Token"),
            Self::Namespace(_) => Some("Namespace"),
            Self::NotFound(_) => Some("NotFound"),
            Self::Taken(_) => Some("Taken"),
            Self::Expired(_) => Some("Expired"),
            Self::Digest | Self::BadDigest => Some("Digest"),
            Self::Full(_) => Some("Full"),
            Self::Busy(_) => Some("Busy"),
            Self::Empty => Some("Empty"),
            Self::CutOff => Some("CutOff"),
            Self::Trouble(_) => None,
        }
    }
}

impl Gateway {
    /// Audits a refusal: in the region of the tenant whose namespace is named, or in every one.
    async fn audit_refused(&self, namespace: &str, what: &'static str, refused: &Refused) {
        if let Some(word) = refused.word() {
            // As the watch has it: a refusal costs the API server nothing.
            let tenant = self.cluster.tenants.by(namespace).into_iter().next();
            let event = Event::new("GatewayRefused")
                .with("tenant", tenant.as_ref().and_then(|tenant| tenant.uid()).unwrap_or_default())
                .with("call", what)
                .with("namespace", namespace)
                .with("refusal", word);
            let region = tenant.and_then(|tenant| self.cluster.region(&tenant.spec.region).ok());
            let regions = region.map_or_else(|| self.cluster.regions.all(), |region| vec![region]);
            self.audit.refusal(&regions, &format!("{what}/{word}"), event).await;
        }
    }

    async fn refused<T>(&self, namespace: &str, what: &'static str, outcome: Result<T, Refused>) -> Result<T, Refused> {
        if let Err(refused) = &outcome {
            self.audit_refused(namespace, what, refused).await;
        }
        outcome
    }

    /// Whether the token is one of `account` in `namespace`, and the tenant that holds the namespace. Answers with the token's id for the
    /// audit: the API server's own audit says who asked for it.
    async fn person(&self, call: &Call, namespace: &str, account: &'static str) -> Result<(TenantKeys, String), Refused> {
        // Nothing is taken or given while nobody knows what time it is.
        self.cluster.at_latest()?;
        let caller = call.caller.as_ref().ok_or(Refused::Token(account))?;
        if caller.username != format!("system:serviceaccount:{namespace}:{account}") {
            return Err(Refused::Token(account));
        }
        let tenant = self.cluster.tenant_of(namespace).await?.ok_or_else(|| Refused::Namespace(namespace.to_owned()))?;
        if !caller.audiences.contains(&names::files_audience(&tenant.spec.region, &self.cluster.installation)) {
            return Err(Refused::Token(account));
        }
        let keys = self.vault.keys_of(tenant).await?;
        Ok((keys, caller.credential_id.clone().unwrap_or_default()))
    }
}
