//! What the keeper publishes and the operator cannot work without: the installation's UID, once and for all, and the authorities that
//! workers trust, which change as time passes.

use std::time::{Duration, Instant};

use anyhow::Context;
use api::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use runtime::causes;
use runtime::health::Health;

const RETRY: Duration = Duration::from_secs(2);

/// Waits until both ConfigMaps are there; says every time what is missing. Answers the UID.
pub(super) async fn wait_for(client: &Client, namespace: &str, health: &Health) -> String {
    loop {
        match read(client, namespace).await {
            Ok(uid) => return uid,
            Err(error) => tracing::info!(error = causes::chain(error.as_ref()), "waiting for the keeper's first start"),
        }
        health.beat(Instant::now());
        tokio::time::sleep(RETRY).await;
    }
}

/// Reads both ConfigMaps once.
async fn read(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let absent = |name: &str, key: &str| format!("ConfigMap {namespace}/{name} has no key {key}");
    let (map, key) = (names::INSTALLATION_CONFIGMAP, names::INSTALLATION_UID_KEY);
    let uid = value(&maps, map, key).await?.with_context(|| absent(map, key))?;
    keeper_ca(&maps).await?.with_context(|| absent(names::PUBLIC_CONFIGMAP, names::PUBLIC_CA_KEY))?;
    Ok(uid)
}

/// Whom a worker that begins now trusts, in PEM. Absent while the keeper has not published it.
pub(super) async fn keeper_ca(maps: &Api<ConfigMap>) -> Result<Option<String>, kube::Error> {
    value(maps, names::PUBLIC_CONFIGMAP, names::PUBLIC_CA_KEY).await
}

async fn value(maps: &Api<ConfigMap>, name: &str, key: &str) -> Result<Option<String>, kube::Error> {
    Ok(maps.get_opt(name).await?.and_then(|map| map.data).and_then(|mut data| data.remove(key)))
}
