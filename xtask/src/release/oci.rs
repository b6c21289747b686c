//! OCI image layouts: what a registry has of an image or a chart, as files. `skopeo`, `crane`, `ctr` and `podman` read them.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::image::Packed;
use crate::tar::Tar;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CHART_CONFIGURATION: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// A layout, and the digest by which registries and clusters know what it holds.
pub(super) struct Layout {
    pub(super) archive: Vec<u8>,
    pub(super) digest: String,
}

#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

/// An image for several architectures, each in Go's words.
pub(super) fn image(architectures: &[(&str, Packed)], tag: &str, annotations: &Value) -> Result<Layout> {
    let mut blobs = Blobs::default();
    let mut manifests = Vec::new();
    for (architecture, packed) in architectures {
        let configuration = blobs.add(CONFIGURATION, packed.configuration.clone());
        let layer = blobs.add(LAYER, gzip(&packed.layer)?);
        let mut manifest = blobs.manifest(&configuration, &layer, annotations);
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(manifest);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations});
    let index = blobs.add(INDEX, index.to_string().into_bytes());
    blobs.layout(index, tag)
}

/// A packed chart, as Helm pushes one. `said` is its `Chart.yaml`.
pub(super) fn chart(packed: Vec<u8>, said: &Value, tag: &str, annotations: &Value) -> Result<Layout> {
    let mut blobs = Blobs::default();
    let configuration = blobs.add(CHART_CONFIGURATION, said.to_string().into_bytes());
    let content = blobs.add(CHART, packed);
    let manifest = blobs.manifest(&configuration, &content, annotations);
    blobs.layout(manifest, tag)
}

pub(super) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    // Without a name and without a time: the same content gives the same bytes.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(content)?;
    Ok(packed.finish()?)
}

impl Blobs {
    /// Answers with its descriptor.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = hex::encode(Sha256::digest(&content));
        let descriptor = json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()});
        self.0.insert(digest, content);
        descriptor
    }

    fn manifest(&mut self, configuration: &Value, layer: &Value, annotations: &Value) -> Value {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": [layer], "annotations": annotations,
        });
        self.add(MANIFEST, manifest.to_string().into_bytes())
    }

    fn layout(self, mut root: Value, tag: &str) -> Result<Layout> {
        let digest = root["digest"].as_str().unwrap_or_default().to_owned();
        root["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let mut archive = Tar::default();
        archive.file("oci-layout", 0o644, json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
        archive.file("index.json", 0o644, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]}).to_string().as_bytes())?;
        for (digest, content) in &self.0 {
            archive.file(&format!("blobs/sha256/{digest}"), 0o644, content)?;
        }
        Ok(Layout { archive: archive.finish(), digest })
    }
}
