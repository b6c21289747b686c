//! What the demo adds to `examples/` because it differs from machine to machine: volumes, root keys, server certificates
//! and the chart's values.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::certificate;
use crate::cluster::{API_SERVICE, BESIDE, NODES};
use crate::image::USER;

pub(crate) const SYSTEM: &str = "dataimporter-system";
/// Short names of the regions, as the volumes and root keys are called.
const REGIONS: [&str; 3] = ["frankfurt", "dallas", "sydney"];
/// Regions whose root key is a file; Dallas shows the trial form.
const FILE_KEYS: [&str; 2] = ["frankfurt", "sydney"];

/// Namespace, volumes and claims of the keeper's storage. A trial's volumes are folders of one node, where the keeper then runs.
pub(crate) fn storage(folder: &Path, node: &str) -> Result<Value> {
    let mut items = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})];
    for region in REGIONS {
        let path = folder.join(region);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        std::os::unix::fs::chown(&path, Some(USER), Some(USER))
            .with_context(|| format!("cannot give {} to the keeper's user", path.display()))?;
        let name = format!("dataimporter-{region}");
        items.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "dataimporter-demo", "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
            },
        }));
        items.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": SYSTEM},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "dataimporter-demo", "volumeName": name,
                     "resources": {"requests": {"storage": "10Gi"}}},
        }));
    }
    Ok(list(items))
}

/// One Secret a root key file, made at the first demo and never again: a new key would open nothing that is stored.
pub(crate) fn root_key(region: &str, key: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": root_key_name(region), "namespace": SYSTEM}, "stringData": {"key": key}})
}

pub(crate) fn root_key_name(region: &str) -> String {
    format!("root-key-{region}")
}

pub(crate) fn file_keys() -> [&'static str; 2] {
    FILE_KEYS
}

/// `node_port`: where the gateway is on the host's loopback and on every node, in the cluster of this checkout; absent in another, where
/// only a forwarded port leads to it and nobody here knows where its API server is.
pub(crate) fn values(repository: &str, tag: &str, node_port: Option<u16>, log_level: &str) -> Value {
    let service = node_port.map_or(json!({}), |port| json!({"type": "NodePort", "nodePort": port}));
    let ports = [2222, 3306, 4443, 5432, 8443, 9000, 9443, 10000].map(|port| json!({"protocol": "TCP", "port": port}));
    let mut private = vec![
        json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "demo"}}, "podSelector": {}}], "ports": ports}),
    ];
    let mut api_server = json!({});
    if node_port.is_some() {
        private.push(json!({"to": [{"ipBlock": {"cidr": format!("{BESIDE}/32")}}], "ports": ports}));
        api_server = json!({"cidrs": [format!("{}/32", NODES[0].address()), format!("{API_SERVICE}/32")]});
    }
    json!({
        "image": {"repository": repository, "tag": tag},
        "regions": ["eu-frankfurt", "us-dallas", "ap-sydney"],
        "storage": {"volumes": REGIONS.map(|r| json!({
            "name": r, "source": {"persistentVolumeClaim": {"claimName": format!("dataimporter-{r}")}}}))},
        "rootKeys": FILE_KEYS.map(|r| json!({"name": r, "source": {"secret": {"secretName": root_key_name(r)}}})),
        "gateway": {"hosts": ["127.0.0.1", "localhost"], "service": service},
        "operator": {"logLevel": log_level},
        "keeper": {"logLevel": log_level, "privateEndpoints": private},
        "apiServer": api_server,
        "worker": {"logLevel": log_level},
        // A demo must be removable with one command.
        "drain": {"policy": "Erase"},
    })
}

/// A server certificate of the demo's authority, as a TLS Secret of namespace `demo`.
pub(crate) fn tls_secret(name: &str, host: &str, scratch: &Path) -> Result<Value> {
    let made = certificate::of_server(name, host, scratch)?;
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": "demo"},
        "stringData": {"tls.crt": read(&made.certificate)?, "tls.key": read(&made.key)?},
    }))
}

pub(crate) fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
