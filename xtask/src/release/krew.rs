//! The manifest by which krew, kubectl's package manager, finds and checks the plugin.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::platform::Platform;

/// An archive of the plugin for a platform.
pub(super) struct Archive {
    pub(super) platform: &'static Platform,
    pub(super) file: String,
    pub(super) sha256: String,
}

/// YAML. `downloads` is the address of the folder that the archives will lie in.
pub(super) fn manifest(number: &str, downloads: &str, archives: &[Archive]) -> Result<String> {
    let platforms: Vec<Value> = archives
        .iter()
        .map(|archive| {
            let Platform { os, architecture, .. } = archive.platform;
            let plugin = archive.platform.plugin();
            json!({
                "selector": {"matchLabels": {"os": os, "arch": architecture}},
                "uri": format!("{}/{}", downloads.trim_end_matches('/'), archive.file),
                "sha256": archive.sha256,
                "files": [{"from": plugin, "to": "."}, {"from": "LICENSE", "to": "."}, {"from": "THIRD-PARTY-LICENSES", "to": "."}],
                "bin": plugin,
            })
        })
        .collect();
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "import"},
        "spec": {
            "version": format!("v{number}"),
            "homepage": downloads,
            "shortDescription": "Load data into Salesforce from Kubernetes",
            "description": "Sends files to Dataimporter for Kubernetes, starts, follows and stops imports into Salesforce, fetches their\n\
                            result files, seals credentials for Git and disconnects systems.\n",
            "caveats": "It needs Dataimporter for Kubernetes in the cluster.\n",
            "platforms": platforms,
        },
    });
    serde_saphyr::to_string(&manifest).context("a manifest is plain data")
}
