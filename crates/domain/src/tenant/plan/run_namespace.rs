//! The namespace that a tenant's workers run in. Tenants have no rights there.

use api::names::{REGION_LABEL, TENANT_LABEL, run_namespace};
use api::{Region, Tenant, Uid};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels::{self, TENANT_UID_LABEL};

/// Says to the admission policy of worker pods whether they must be bound to the region's nodes: `labelled` or `all`.
pub const NODES_LABEL: &str = "dataimporter.io/nodes";

/// Value of [`NODES_LABEL`] for a Region: `all` if every node is its own, else `labelled`.
pub fn nodes(region: &Region) -> &'static str {
    if region.spec.nodes.are_all() { "all" } else { "labelled" }
}

/// The run namespace of a Tenant, of which `uid` is the UID, with the Pod Security level `restricted`.
pub fn namespace(tenant: &Tenant, uid: &Uid, region: &Region) -> Namespace {
    let name = labels::name(&tenant.metadata);
    let labels = labels::set(&[
        (REGION_LABEL, &tenant.spec.region),
        (TENANT_LABEL, name),
        (TENANT_UID_LABEL, uid.as_str()),
        (NODES_LABEL, nodes(region)),
        ("pod-security.kubernetes.io/enforce", "restricted"),
        ("pod-security.kubernetes.io/audit", "restricted"),
        ("pod-security.kubernetes.io/warn", "restricted"),
    ]);
    Namespace { metadata: ObjectMeta { name: Some(run_namespace(name)), labels: Some(labels), ..Default::default() }, ..Default::default() }
}
