//! What the keeper publishes at its first start and the operator cannot work without: the installation's UID and the
//! certificate authority that workers pin.

use std::time::{Duration, Instant};

use anyhow::Context;
use api::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use runtime::health::Health;

/// Key of the UID in ConfigMap `dataimporter-installation`.
const UID_KEY: &str = "uid";
/// Key of the PEM in ConfigMap `dataimporter-public`.
const CA_KEY: &str = "ca.crt";
const RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub(super) uid: String,
    pub(super) keeper_ca: String,
}

/// Waits until both ConfigMaps are there; says every time what is missing.
pub(super) async fn wait_for(client: &Client, namespace: &str, health: &Health) -> Installation {
    loop {
        match read(client, namespace).await {
            Ok(installation) => return installation,
            Err(error) => tracing::info!(error = format!("{error:#}"), "waiting for the keeper's first start"),
        }
        health.beat(Instant::now());
        tokio::time::sleep(RETRY).await;
    }
}

/// Reads both ConfigMaps once.
async fn read(client: &Client, namespace: &str) -> anyhow::Result<Installation> {
    let uid = value(client, namespace, names::INSTALLATION_CONFIGMAP, UID_KEY).await?;
    let keeper_ca = value(client, namespace, names::PUBLIC_CONFIGMAP, CA_KEY).await?;
    Ok(Installation { uid, keeper_ca })
}

async fn value(client: &Client, namespace: &str, name: &str, key: &str) -> anyhow::Result<String> {
    let map =
        Api::<ConfigMap>::namespaced(client.clone(), namespace).get(name).await.with_context(|| format!("ConfigMap {namespace}/{name}"))?;
    map.data.and_then(|mut data| data.remove(key)).with_context(|| format!("ConfigMap {namespace}/{name} has no key {key}"))
}
