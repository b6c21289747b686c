//! Files in and out for people, over TLS with a ten-minute token: who may ask for a token is RBAC's decision, whose token it is the API
//! server tells, and which file it opens the path says. Plain bytes exist here only while they pass through memory.

mod results;
mod upload;

use std::sync::Arc;

use api::names;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use http::StatusCode;

use super::error::Error;
use super::room::Full;
use super::state::{Home, Keeper};
use super::workers::Call;

pub(crate) fn app(keeper: Arc<Keeper>) -> Router {
    Router::new()
        .route("/v1/namespaces/{namespace}/uploads/{name}", put(upload::put_file))
        .route("/v1/namespaces/{namespace}/importruns/{name}/results/{file}", get(results::get_file))
        .layer(DefaultBodyLimit::disable())
        .with_state(keeper)
}

/// Why a person gets no answer; here the words help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the token is not one of account {0} in this namespace for this region: ask for a new one with `kubectl create token`")]
    Token(&'static str),
    #[error("namespace {0} belongs to no tenant, or to one that is not ready")]
    Namespace(String),
    #[error("{0} does not exist")]
    NotFound(String),
    #[error("{0} has its file already, or somebody is sending it: create another Upload")]
    Taken(String),
    #[error("{0} is gone: its time has passed")]
    Expired(String),
    #[error("the bytes are not those of the digest that was announced")]
    Digest,
    #[error("the announced digest is not a SHA-256")]
    BadDigest,
    #[error("{0}")]
    Full(Full),
    #[error("the file is empty")]
    Empty,
    #[error("the file was cut off on its way")]
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
            Self::Digest => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadDigest | Self::Empty | Self::CutOff => StatusCode::BAD_REQUEST,
            Self::Full(full) if full.is_for_good() => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Trouble(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "a file could not be passed through");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}

impl Keeper {
    /// Whether the token is one of `account` in `namespace`, and the tenant that holds the namespace. Answers with the token's id for the
    /// audit: the API server's own audit says who asked for it.
    async fn person(&self, call: &Call, namespace: &str, account: &'static str) -> Result<(Home, String), Refused> {
        let caller = self.review(call.token.as_ref(), names::files_audience).await?.ok_or(Refused::Token(account))?;
        if caller.username != format!("system:serviceaccount:{namespace}:{account}") {
            return Err(Refused::Token(account));
        }
        let tenant = self.tenant_of(namespace).await?.ok_or_else(|| Refused::Namespace(namespace.to_owned()))?;
        if !caller.audiences.contains(&names::files_audience(&tenant.spec.region, &self.installation)) {
            return Err(Refused::Token(account));
        }
        let home = self.home(tenant).await?;
        Ok((home, caller.credential_id.unwrap_or_default()))
    }
}
