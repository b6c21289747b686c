//! Filling a server with manifests, and waiting for what becomes of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::{Api, Client};

const FIELD_MANAGER: &str = "testkit";
/// How long a definition may take until objects of its kind are accepted.
const DEFINITION_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Applies every document in order, as `kubectl apply --server-side` does, and returns what the server made of them. A
/// document may use a kind that an earlier one defines.
pub async fn apply_yaml(client: &Client, yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(yaml).context("the manifests are not YAML")?;
    let mut applied = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        applied.push(apply(client, document).await?);
    }
    Ok(applied)
}

async fn apply(client: &Client, document: serde_json::Value) -> Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(document).context("a manifest is no Kubernetes object")?;
    let types = object.types.clone().context("a manifest lacks apiVersion and kind")?;
    let name = object.metadata.name.clone().with_context(|| format!("a {} lacks a name", types.kind))?;
    let kind = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = find_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
        (Scope::Namespaced, None) => bail!("{} {name} lacks a namespace", kind.kind),
    };
    let applied = api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await;
    applied.with_context(|| format!("{} {name} was not accepted", kind.kind))
}

async fn find_kind(client: &Client, kind: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
    let began = Instant::now();
    loop {
        match pinned_kind(client, kind).await {
            Ok(found) => return Ok(found),
            Err(error) if began.elapsed() > DEFINITION_LIMIT => return Err(error).context(format!("the server knows no {}", kind.kind)),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// Asks until there is an answer. An error ends the waiting: what may fail for a while is `Ok(None)`.
pub async fn wait_for<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await.with_context(|| format!("waiting for {what}"))? {
            return Ok(answer);
        }
        if began.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiServer;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_manifest_may_use_a_kind_that_it_defines() {
        let client = ApiServer::shared().await.unwrap().client().await.unwrap();
        let yaml = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer, minimum: 1}}}}}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one, namespace: default}
spec: {size: 3}
"#;
        let applied = apply_yaml(&client, yaml).await.unwrap();
        assert_eq!(applied[1].data["spec"]["size"], 3);
        let error = apply_yaml(&client, &yaml.replace("size: 3}", "size: 0}")).await.unwrap_err();
        assert!(format!("{error:#}").contains("Thing one was not accepted"), "{error:#}");
        assert!(format!("{error:#}").contains("spec.size"), "{error:#}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespaced_object_needs_its_namespace_said() {
        let client = ApiServer::shared().await.unwrap().client().await.unwrap();
        let error = apply_yaml(&client, "{apiVersion: v1, kind: ConfigMap, metadata: {name: lost}}").await.unwrap_err();
        assert_eq!(error.to_string(), "ConfigMap lost lacks a namespace");
    }

    #[tokio::test]
    async fn waiting_in_vain_says_for_what() {
        let error = wait_for::<()>("rain", Duration::ZERO, async || Ok(None)).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s in vain for rain");
    }
}
