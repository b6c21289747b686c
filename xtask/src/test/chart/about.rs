//! What the chart says of itself to Artifact Hub: the kinds it installs, its image, its licence.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::workspace;

const CHART: &str = "charts/dataimporter/Chart.yaml";

pub(super) fn check() -> Result<()> {
    let chart = yaml(CHART)?;
    let mut kinds = Vec::new();
    for entry in fs::read_dir(workspace::root().join("crds"))? {
        kinds.push(yaml(&format!("crds/{}", entry?.file_name().to_string_lossy()))?);
    }
    ensure!(kinds.len() == 6, "crds/ has {} kinds", kinds.len());
    let manifest = fs::read_to_string(workspace::root().join("Cargo.toml"))?;
    let license = manifest.lines().find_map(|line| line.strip_prefix("license = ")).context("Cargo.toml has a licence")?;
    said(&chart, &kinds, license.trim_matches('"'))
}

fn yaml(path: &str) -> Result<Value> {
    let text = fs::read_to_string(workspace::root().join(path)).with_context(|| format!("{path} cannot be read"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{path} is not YAML"))
}

fn said(chart: &Value, kinds: &[Value], license: &str) -> Result<()> {
    let annotation = |name: &str| {
        chart["annotations"][format!("artifacthub.io/{name}")].as_str().with_context(|| format!("{CHART} has no artifacthub.io/{name}"))
    };
    let list = |name: &str| -> Result<Vec<Value>> {
        serde_saphyr::from_str(annotation(name)?).with_context(|| format!("artifacthub.io/{name} of {CHART} is not a list"))
    };
    ensure!(annotation("license")? == license, "{CHART} names another licence than {license}");
    let image = format!("dataimporter:{}", chart["appVersion"].as_str().unwrap_or_default());
    ensure!(list("images")?.iter().any(|listed| listed["image"] == image.as_str()), "{CHART} does not list the image {image}");
    let listed = list("crds")?;
    for kind in kinds {
        let (spec, version) = (&kind["spec"], &kind["spec"]["versions"][0]);
        let described = json!({
            "kind": spec["names"]["kind"], "displayName": spec["names"]["kind"], "version": version["name"],
            "name": kind["metadata"]["name"], "description": version["schema"]["openAPIV3Schema"]["description"],
        });
        ensure!(listed.contains(&described), "artifacthub.io/crds of {CHART} has no entry {described}");
    }
    ensure!(listed.len() == kinds.len(), "artifacthub.io/crds of {CHART} lists {} kinds of {}", listed.len(), kinds.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_that_says_something_else_is_refused() {
        let kind = json!({"metadata": {"name": "a.b"}, "spec": {"names": {"kind": "A"}, "versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"description": "An A."}}}]}});
        let crds = "[{kind: A, displayName: A, version: v1, name: a.b, description: An A.}]";
        let chart = |crds: &str, image: &str| {
            json!({"appVersion": "1", "annotations": {"artifacthub.io/license": "MIT", "artifacthub.io/crds": crds,
                   "artifacthub.io/images": format!("[{{image: \"{image}\"}}]")}})
        };
        let kinds = [kind];
        said(&chart(crds, "dataimporter:1"), &kinds, "MIT").unwrap();
        assert!(said(&chart(crds, "dataimporter:1"), &kinds, "ISC").is_err());
        assert!(said(&chart(crds, "dataimporter:2"), &kinds, "MIT").is_err());
        assert!(said(&chart(&crds.replace("An A", "A B"), "dataimporter:1"), &kinds, "MIT").is_err());
        assert!(said(&chart(crds, "dataimporter:1"), &[], "MIT").is_err());
    }
}
