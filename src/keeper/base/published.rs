//! What everybody may know of a Region, in ConfigMap `dataimporter-public`.

use std::collections::BTreeMap;

use api::names;
use api::seal_key::PublishedSealKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use serde_json::json;

use super::cluster::Cluster;
use super::error::{Result, kube};

/// Publishes the key that credentials of a Region are sealed to. Each Region's entry is owned by itself, so that none overwrites another's; written
/// again when nothing changed, too: what somebody else made of it does not stay.
pub(crate) async fn seal_key(cluster: &Cluster, key: &PublishedSealKey) -> Result<()> {
    let text = serde_saphyr::to_string(key).expect("names and texts are YAML");
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(names::PUBLIC_CONFIGMAP.into()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(names::public_seal_key(&key.region), text)])),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply(&names::seal_key_manager(&key.region)).force();
    maps(cluster).patch(names::PUBLIC_CONFIGMAP, &params, &Patch::Apply(&map)).await.map_err(kube(doing(cluster)))?;
    Ok(())
}

/// Takes the key of a Region back that is gone. Makes no ConfigMap where there is none: an installation may be leaving.
pub(crate) async fn no_seal_key(cluster: &Cluster, region: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"data": {names::public_seal_key(region): null}}));
    match maps(cluster).patch(names::PUBLIC_CONFIGMAP, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(kube(doing(cluster))(error)),
    }
}

fn maps(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

fn doing(cluster: &Cluster) -> String {
    format!("ConfigMap {}/{}", cluster.namespace, names::PUBLIC_CONFIGMAP)
}
