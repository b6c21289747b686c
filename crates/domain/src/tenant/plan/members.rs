//! Members and their roles: one RoleBinding per role and namespace, to ClusterRoles that the chart installs.

use api::Tenant;
use api::names::{REGION_LABEL, TENANT_LABEL};
use api::tenant::Role;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels;

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
const ROLES: [Role; 3] = [Role::Owner, Role::Editor, Role::Viewer];

/// Name of the RoleBinding and of the ClusterRole it points to.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "dataimporter-owner",
        Role::Editor => "dataimporter-editor",
        Role::Viewer => "dataimporter-viewer",
    }
}

/// All names that a RoleBinding of ours can have.
pub fn role_names() -> [&'static str; 3] {
    ROLES.map(role_name)
}

/// Bindings of the roles that somebody has, and the names of the others.
pub fn role_bindings(tenant: &Tenant, namespace: &str) -> (Vec<RoleBinding>, Vec<&'static str>) {
    let people = |role: Role| tenant.spec.members.iter().filter(move |m| m.role == role).map(|m| m.email.as_str());
    let (held, vacant): (Vec<Role>, Vec<Role>) = ROLES.into_iter().partition(|role| people(*role).next().is_some());
    let bindings = held.into_iter().map(|role| role_binding(tenant, namespace, role, people(role))).collect();
    (bindings, vacant.into_iter().map(role_name).collect())
}

fn role_binding<'a>(tenant: &Tenant, namespace: &str, role: Role, people: impl Iterator<Item = &'a str>) -> RoleBinding {
    let name = role_name(role);
    RoleBinding {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            labels: Some(labels::set(&[(TENANT_LABEL, labels::name(&tenant.metadata)), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        role_ref: RoleRef { api_group: RBAC_GROUP.into(), kind: "ClusterRole".into(), name: name.into() },
        subjects: Some(
            people
                .map(|email| Subject { api_group: Some(RBAC_GROUP.into()), kind: "User".into(), name: email.into(), namespace: None })
                .collect(),
        ),
    }
}
