//! The end of the installation. The ConfigMap that says who we are is asked to say it: an annotation with our own UID, which the hook of an
//! uninstall or an administrator writes. Obeyed only when no Tenant and no Connection is left that needs us; then nothing of ours works any
//! more, and our Secrets go, root keys among them. Used up by the act: the ConfigMap goes next, and a UID never comes again.

use std::time::Duration;

use api::{Connection, Tenant, names};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::keeper::base::error::{Error, Result, kube};

const RETRY: Duration = Duration::from_secs(5);

/// Resolves when we are asked to erase what we keep, and may.
pub(crate) async fn asked(client: &Client, namespace: &str) {
    loop {
        match is_asked(client, namespace).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = error.chain(), "whether this installation is to end cannot be read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let told = await_condition(maps, names::INSTALLATION_CONFIGMAP, |map: Option<&ConfigMap>| map.is_some_and(asks)).await;
        if let Err(error) = told {
            tracing::warn!(error = %error, "whether this installation is to end cannot be watched");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Whether we are asked to erase what we keep, and may.
pub(crate) async fn is_asked(client: &Client, namespace: &str) -> Result<bool> {
    let map = installation(client, namespace).get_opt(names::INSTALLATION_CONFIGMAP).await.map_err(kube("read our ConfigMap"))?;
    if !map.as_ref().is_some_and(asks) {
        return Ok(false);
    }
    let one = ListParams::default().limit(1);
    let tenants = Api::<Tenant>::all(client.clone()).list_metadata(&one).await.map_err(kube("list Tenants"))?;
    let connections = Api::<Connection>::all(client.clone()).list_metadata(&one).await.map_err(kube("list Connections"))?;
    if tenants.items.is_empty() && connections.items.is_empty() {
        return Ok(true);
    }
    // Not kept for the day when the last of them goes.
    tracing::warn!("asked to erase what the keeper keeps while Tenants or Connections need it: nothing is erased");
    annotate(client, namespace, json!({names::ERASE_ANNOTATION: null})).await?;
    Ok(false)
}

fn asks(map: &ConfigMap) -> bool {
    let uid = map.data.as_ref().and_then(|data| data.get(names::INSTALLATION_UID_KEY)).filter(|uid| !uid.is_empty());
    uid.is_some() && map.annotations().get(names::ERASE_ANNOTATION) == uid
}

/// Deletes all Secrets of ours and says so; tried until it is done.
pub(crate) async fn erase(client: &Client, namespace: &str) {
    while let Err(error) = erase_once(client, namespace).await {
        tracing::error!(error = error.chain(), reason = error.reason(), "what the keeper keeps could not be erased; tried again in 5 s");
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!("what the keeper kept is erased");
}

async fn erase_once(client: &Client, namespace: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={}", names::MANAGED_BY_LABEL, names::KEEPER_MANAGER));
    for secret in secrets.list_metadata(&ours).await.map_err(kube("list our Secrets"))? {
        match secrets.delete(&secret.name_any(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(kube(format!("delete Secret {}", secret.name_any()))(error)),
        }
    }
    if let Some(left) = secrets.list_metadata(&ours).await.map_err(kube("list our Secrets"))?.items.first() {
        return Err(Error::Record { name: left.name_any(), detail: "it is still there after its deletion" });
    }
    annotate(client, namespace, json!({names::ERASED_ANNOTATION: "true"})).await
}

async fn annotate(client: &Client, namespace: &str, annotations: serde_json::Value) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    match installation(client, namespace).patch(names::INSTALLATION_CONFIGMAP, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(kube("annotate our ConfigMap")(error)),
    }
}

fn installation(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}
