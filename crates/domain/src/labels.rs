//! Labels that all our children carry, and small readers of object metadata.

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

/// Value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "dataimporter";
/// Selects everything we make.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=dataimporter";
/// On a run namespace: the UID of the Tenant it was made for.
pub const TENANT_UID_LABEL: &str = "dataimporter.io/tenant-uid";
/// On anchors: the run's full name, which a label cannot always hold.
pub const RUN_NAME_ANNOTATION: &str = "dataimporter.io/run-name";

/// These labels and the one that says that we manage the object.
pub fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let ours = [(names::MANAGED_BY_LABEL, MANAGED_BY)];
    ours.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Name of an object; empty for one that was given none yet.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// Where an object stands; absent for kinds of the whole cluster.
pub fn namespace(meta: &ObjectMeta) -> Option<&str> {
    meta.namespace.as_deref().filter(|namespace| !namespace.is_empty())
}

/// Whether it is being deleted.
pub fn is_leaving(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// Value of a label.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str)
}

/// Value of an annotation.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref().and_then(|annotations| annotations.get(key)).map(String::as_str)
}

/// Whether an object of a run stands in the run namespace of the tenant that its label names. A label alone proves nothing: anybody may
/// write it elsewhere.
pub fn stands_with_its_tenant(meta: &ObjectMeta) -> bool {
    let (Some(tenant), Some(namespace)) = (label(meta, names::TENANT_LABEL), namespace(meta)) else { return false };
    names::run_namespace(tenant) == namespace
}

/// The conditions of these types: what one writer owns of a list that several share.
pub fn owned(conditions: &[Condition], types: &[&str]) -> Vec<Condition> {
    conditions.iter().filter(|c| types.contains(&c.type_.as_str())).cloned().collect()
}
