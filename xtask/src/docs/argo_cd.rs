//! The scripts for Argo CD as entries of its ConfigMap `argocd-cm`, for installations whose version does not bring them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::workspace;

const SCRIPTS: &str = "docs/gitops/argo-cd/resource_customizations/dataimporter.io";

pub(super) fn page() -> Result<String> {
    let mut data = BTreeMap::new();
    for kind in names(&workspace::root().join(SCRIPTS))? {
        let folder = workspace::root().join(SCRIPTS).join(&kind);
        data.insert(format!("resource.customizations.health.dataimporter.io_{kind}"), read(&folder.join("health.lua"))?);
        if folder.join("actions").exists() {
            data.insert(format!("resource.customizations.actions.dataimporter.io_{kind}"), actions(&folder.join("actions"))?);
        }
    }
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": data,
    });
    let about = "# Written by `cargo xtask docs` from resource_customizations/; edit there. Merge it into the ConfigMap that is there:\n\
                 # kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml\n";
    Ok(format!("{about}{}", serde_saphyr::to_string(&map)?))
}

fn actions(folder: &Path) -> Result<String> {
    let mut definitions: Vec<Value> = Vec::new();
    for name in names(folder)?.into_iter().filter(|name| folder.join(name).join("action.lua").exists()) {
        definitions.push(json!({"name": name, "action.lua": read(&folder.join(&name).join("action.lua"))?}));
    }
    let discovery = read(&folder.join("discovery.lua"))?;
    Ok(serde_saphyr::to_string(&json!({"discovery.lua": discovery, "definitions": definitions}))?)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<String>>>()?;
    names.retain(|name| folder.join(name).is_dir());
    names.sort();
    Ok(names)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}
