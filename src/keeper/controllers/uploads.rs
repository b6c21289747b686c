//! The first word of an Upload's status; the gateway and the sweeper say the rest.

use api::Upload;
use kube::{Api, ResourceExt};
use runtime::work::Next;

use super::Controllers;
use crate::keeper::base::error::{Result, kube};

pub(crate) async fn reconcile(controllers: &Controllers, namespace: &str, name: &str) -> Result<Next> {
    let uploads: Api<Upload> = Api::namespaced(controllers.cluster.client.clone(), namespace);
    let found = uploads.get_opt(name).await.map_err(kube("read the Upload"))?;
    let Some(upload) = found.filter(|u| u.status.as_ref().is_none_or(|s| s.conditions.is_empty())) else { return Ok(Next::Idle) };
    let status =
        domain::upload::waiting(&upload.status.clone().unwrap_or_default(), upload.metadata.generation, controllers.cluster.now()?);
    // With the version we saw: a file that arrived this moment must not be forgotten.
    controllers
        .cluster
        .writer
        .apply_status(&uploads, &runtime::store::ObjectKey::of(&upload), upload.resource_version().as_deref(), &status)
        .await?;
    Ok(Next::Idle)
}
