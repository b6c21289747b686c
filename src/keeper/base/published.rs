//! What everybody may know of a Region, in ConfigMap `dataimporter-public`.

use std::collections::BTreeMap;

use api::names;
use api::seal_key::PublishedSealKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;

use super::cluster::Cluster;
use super::error::{Result, kube};

/// Publishes the key that credentials of a Region are sealed to, or takes it back. Each Region's entry is owned by itself, so that none overwrites another's;
/// written again when nothing changed, too: what somebody else made of it does not stay.
pub(crate) async fn seal_key(cluster: &Cluster, region: &str, key: Option<&PublishedSealKey>) -> Result<()> {
    let text = |key| serde_saphyr::to_string(key).expect("names and texts are YAML");
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(names::PUBLIC_CONFIGMAP.into()), ..ObjectMeta::default() },
        data: Some(key.map(|key| (names::public_seal_key(region), text(key))).into_iter().collect::<BTreeMap<_, _>>()),
        ..ConfigMap::default()
    };
    Api::<ConfigMap>::namespaced(cluster.client.clone(), &cluster.namespace)
        .patch(names::PUBLIC_CONFIGMAP, &PatchParams::apply(&names::seal_key_manager(region)).force(), &Patch::Apply(&map))
        .await
        .map_err(kube(format!("ConfigMap {}/{}", cluster.namespace, names::PUBLIC_CONFIGMAP)))?;
    Ok(())
}
