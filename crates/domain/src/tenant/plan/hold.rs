//! The mark of a namespace that a tenant holds, where an admission policy can see it: one account that no process has may do there what
//! nobody does. A person who wants to make such a mark must have that right to give, and only the operator may bind it.

use api::Tenant;
use api::names::{HELD_NAME, REGION_LABEL, TENANT_LABEL};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels;

/// The RoleBinding that marks `namespace` as held by this Tenant, for an account in the system namespace that no process has.
pub fn binding(tenant: &Tenant, namespace: &str, system_namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: ObjectMeta {
            name: Some(HELD_NAME.into()),
            namespace: Some(namespace.into()),
            labels: Some(labels::set(&[(TENANT_LABEL, labels::name(&tenant.metadata)), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "ClusterRole".into(), name: HELD_NAME.into() },
        subjects: Some(vec![Subject {
            api_group: None,
            kind: "ServiceAccount".into(),
            name: HELD_NAME.into(),
            namespace: Some(system_namespace.into()),
        }]),
    }
}
