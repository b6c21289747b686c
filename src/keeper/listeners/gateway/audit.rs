//! The audit for people: the lines of a tenant for its members, those of a region for its administrators, and whether they are whole.

use std::sync::Arc;

use api::keeper::AuditReport;
use api::{Region, names};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::header;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Gateway, Refused};
use crate::keeper::admission::Call;
use crate::keeper::audit::{Event, Lines};
use crate::keeper::base::error::Error;

type Kept = State<Arc<Gateway>>;

pub(super) async fn report_to_tenant(
    State(gateway): Kept,
    call: Call,
    Path(namespace): Path<String>,
) -> Result<Json<AuditReport>, Refused> {
    let asked = gateway.member(&call, &namespace).await;
    let (region, lines) = gateway.refused(&namespace, "audit", asked).await?;
    Ok(Json(gateway.read_audit(&region, &lines, None).await?))
}

pub(super) async fn lines_of_tenant(State(gateway): Kept, call: Call, Path(namespace): Path<String>) -> Result<Response, Refused> {
    let asked = gateway.member(&call, &namespace).await;
    let (region, lines) = gateway.refused(&namespace, "audit", asked).await?;
    Ok(export(gateway, region, lines))
}

pub(super) async fn report_of_region(State(gateway): Kept, call: Call, Path(region): Path<String>) -> Result<Json<AuditReport>, Refused> {
    let asked = gateway.administrator(&call, &region).await;
    let region = gateway.refused("", "audit", asked).await?;
    Ok(Json(gateway.read_audit(&region, &Lines::OfRegion, None).await?))
}

pub(super) async fn lines_of_region(State(gateway): Kept, call: Call, Path(region): Path<String>) -> Result<Response, Refused> {
    let asked = gateway.administrator(&call, &region).await;
    let region = gateway.refused("", "audit", asked).await?;
    Ok(export(gateway, region, Lines::OfRegion))
}

impl Gateway {
    /// A member who may read a tenant's results may read its lines.
    async fn member(&self, call: &Call, namespace: &str) -> Result<(Arc<Region>, Lines), Refused> {
        let (keys, credential) = self.person(call, namespace, names::FILES_READER_ACCOUNT).await?;
        let event = Event::new("AuditRead").with("tenant", keys.scope.tenant_uid.as_str()).with("credential", credential);
        self.audit.line(&keys.region, event).await?;
        Ok((keys.region.clone(), Lines::OfTenant(keys.scope.tenant_uid.clone())))
    }

    /// A user who may ask for a token of the account that the chart makes for this, in our own namespace.
    async fn administrator(&self, call: &Call, region: &str) -> Result<Arc<Region>, Refused> {
        let account = names::AUDIT_READER_ACCOUNT;
        let caller = call.caller.as_ref().ok_or(Refused::Token(account))?;
        let ours = caller.username == format!("system:serviceaccount:{}:{account}", self.cluster.namespace);
        if !ours || !caller.audiences.contains(&names::audit_audience(region, &self.cluster.installation)) {
            return Err(Refused::Token(account));
        }
        let region = self.cluster.region(region)?;
        let event = Event::new("AuditRead").with("credential", caller.credential_id.clone().unwrap_or_default());
        self.audit.line(&region, event).await?;
        Ok(region)
    }

    async fn read_audit(&self, region: &Region, lines: &Lines, out: Option<mpsc::Sender<Bytes>>) -> Result<AuditReport, Error> {
        self.audit.read(region, lines, out).await
    }
}

/// The lines as they lie. A reader who is told of no error has all that fit; whether that is all there were the report tells.
fn export(gateway: Arc<Gateway>, region: Arc<Region>, lines: Lines) -> Response {
    let (out, parts) = mpsc::channel(4);
    let reading = tokio::spawn(async move { gateway.read_audit(&region, &lines, Some(out)).await });
    let end = futures::stream::once(async move {
        match reading.await {
            Ok(Ok(_)) => Ok(Bytes::new()),
            Ok(Err(error)) => Err(std::io::Error::other(error)),
            Err(error) => Err(std::io::Error::other(error)),
        }
    });
    let body = ReceiverStream::new(parts).map(Ok).chain(end);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}
