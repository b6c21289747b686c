//! The source Secret: which keys it must have, and who would bring it back if it were deleted.

use api::ConnectionSpec;
use api::connection::LoginProfile;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Keys the Secret must have; no other key is read. None for a system, or a way to log in, that this version does not know.
pub fn required_keys(spec: &ConnectionSpec) -> Vec<&'static str> {
    spec.login().map(names_of_keys).unwrap_or_default()
}

/// The required keys that are absent or empty.
pub(super) fn missing_keys(login: &LoginProfile, has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    names_of_keys(login).into_iter().filter(|key| !has(key)).collect()
}

fn names_of_keys(login: &LoginProfile) -> Vec<&'static str> {
    login.keys.iter().map(|key| key.name).collect()
}

/// Labels and annotations by which tools mark what they would write again.
const LABELS: &[(&str, &str)] = &[
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("helm.sh/chart", "Helm"),
    ("olm.managed", "OLM"),
];
const ANNOTATIONS: &[(&str, &str)] = &[
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("meta.helm.sh/release-name", "Helm"),
    ("config.k8s.io/owning-inventory", "kpt or cli-utils"),
    ("objectset.rio.cattle.io/id", "Fleet"),
];

/// What manages the Secret, if something does: deleting it would only bring it back.
pub fn managed_by(metadata: &ObjectMeta) -> Option<String> {
    if let Some(owner) = metadata.owner_references.iter().flatten().next() {
        return Some(format!("{} {}", owner.kind, owner.name));
    }
    let labels = metadata.labels.iter().flatten();
    if labels.clone().any(|(key, value)| key == "app.kubernetes.io/managed-by" && value == "Helm") {
        return Some("Helm".into());
    }
    let marked = |known: &[(&str, &str)], key: &str| known.iter().find(|(mark, _)| *mark == key).map(|(_, tool)| (*tool).to_owned());
    labels
        .filter_map(|(key, _)| marked(LABELS, key))
        .chain(metadata.annotations.iter().flatten().filter_map(|(key, _)| marked(ANNOTATIONS, key)))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(value: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_mark_of_a_tool_is_seen() {
        assert_eq!(managed_by(&metadata(json!({"labels": {"app": "crm"}}))), None);
        assert_eq!(managed_by(&metadata(json!({"labels": {"app.kubernetes.io/managed-by": "kustomize"}}))), None);
        let owner = json!({"ownerReferences": [{"apiVersion": "v1", "kind": "SealedSecret", "name": "crm", "uid": "u"}]});
        assert_eq!(managed_by(&metadata(owner)).as_deref(), Some("SealedSecret crm"));
        assert_eq!(managed_by(&metadata(json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}))).as_deref(), Some("Helm"));
        assert_eq!(managed_by(&metadata(json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}))).as_deref(), Some("Argo CD"));
        assert_eq!(managed_by(&metadata(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}))).as_deref(), Some("Flux"));
    }
}
