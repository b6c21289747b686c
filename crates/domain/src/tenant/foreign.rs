//! What stands in a run namespace and was made neither by the operator nor by the cluster's own controllers. Policies keep it out; this
//! finds what is from before them, or from while they were off. A ConfigMap that takes no run's name has no bearing on any.

use api::names::{self, ATTEMPT_LABEL, RUN_UID_LABEL, WORKER_ACCOUNT};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::plan::RunNamespaceContents;
use crate::labels;

/// The account that the cluster puts into every namespace.
const DEFAULT_ACCOUNT: &str = "default";
/// What a ConfigMap with a snapshot is called, before the UID.
const SNAPSHOT_PREFIX: &str = "run-";

/// Whether an object in a run namespace is somebody else's, by its `kind` and metadata; `contents` is what the operator puts there.
pub fn is_foreign(kind: &str, meta: &ObjectMeta, contents: &RunNamespaceContents) -> bool {
    let name = labels::name(meta);
    let run = labels::label(meta, RUN_UID_LABEL);
    match kind {
        "ConfigMap" => (run.is_some() || name.starts_with(SNAPSHOT_PREFIX)) && run.map(names::snapshot_configmap).as_deref() != Some(name),
        "Pod" => {
            let attempt = labels::label(meta, ATTEMPT_LABEL).and_then(|attempt| attempt.parse().ok());
            run.zip(attempt).map(|(run, attempt)| names::worker_pod(run, attempt)).as_deref() != Some(name)
        }
        "NetworkPolicy" => !contents.policies.iter().any(|policy| labels::name(&policy.metadata) == name),
        "ResourceQuota" => labels::name(&contents.quota.metadata) != name,
        "ServiceAccount" => ![WORKER_ACCOUNT, DEFAULT_ACCOUNT].contains(&name),
        // Nobody is granted anything there, and nobody's defaults apply.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{RunNamespacePlan, plan};
    use super::*;
    use crate::testing::{observed_tenant, settings};

    fn meta(name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta { name: Some(name.into()), labels: Some(labels::set(labels)), ..Default::default() }
    }

    #[test]
    fn what_the_operator_and_the_cluster_put_there_is_not_foreign_and_all_else_is() {
        let RunNamespacePlan::Furnish { contents, .. } = plan(&observed_tenant(), &settings()).run_namespace else { panic!("furnished") };
        let (run, first) = ((RUN_UID_LABEL, "u"), (ATTEMPT_LABEL, "1"));
        let table = [
            ("ConfigMap", "kube-root-ca.crt", &[][..], false),
            ("ConfigMap", "run-u", &[run], false),
            ("ConfigMap", "run-u", &[], true),
            ("ConfigMap", "run-v", &[run], true),
            ("ConfigMap", "other", &[run], true),
            ("Pod", "run-u-a1", &[run, first], false),
            ("Pod", "run-u-a2", &[run, first], true),
            ("Pod", "run-u-a1", &[run], true),
            ("Pod", "other", &[], true),
            ("NetworkPolicy", "default-deny", &[], false),
            ("NetworkPolicy", "open", &[], true),
            ("ResourceQuota", "dataimporter", &[], false),
            ("ResourceQuota", "tight", &[], true),
            ("ServiceAccount", "default", &[], false),
            ("ServiceAccount", "worker", &[], false),
            ("ServiceAccount", "other", &[], true),
            ("RoleBinding", "dataimporter-owner", &[], true),
            ("LimitRange", "any", &[], true),
        ];
        for (kind, name, labels, foreign) in table {
            assert_eq!(is_foreign(kind, &meta(name, labels), &contents), foreign, "{kind} {name} {labels:?}");
        }
    }
}
