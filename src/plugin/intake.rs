//! `kubectl import intake CONNECTION`: who must allow what before the keeper can take a credential, and how far it is.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use api::connection::AfterIntake;
use api::{Connection, conditions};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;

use super::access::Access;
use super::{Common, Target, output};

const KEEPER_ACCOUNT: &str = "dataimporter-keeper";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The Connection, as NAME or NAMESPACE/NAME.
    connection: Target,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let connection: Connection = access.get(&args.connection).await?;
    let namespace = access.namespace_of(&args.connection);
    let source =
        connection.spec.credentials.secret_ref.as_ref().ok_or_else(|| anyhow!("this Connection takes no credential from a Secret"))?;
    let (role, binding) = permission(namespace, &source.name, source.after_intake, &access.system_namespace);
    let ready = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY).cloned());
    let both = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    output::either(common.output, &both, || {
        let said =
            ready.map_or("the keeper has not looked at it yet".to_owned(), |c| format!("{} ({}): {}", c.status, c.reason, c.message));
        let yaml = [serde_saphyr::to_string(&role), serde_saphyr::to_string(&binding)].map(|y| y.expect("a Role is YAML")).join("---\n");
        format!(
            "# Connection {namespace}/{}: Ready={said}\n# kubectl apply this to let the keeper, and nobody else, read Secret {}:\n{yaml}",
            args.connection.name, source.name
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// Exactly one Secret, by name.
fn permission(namespace: &str, secret: &str, after: AfterIntake, system_namespace: &str) -> (Role, RoleBinding) {
    let name = format!("dataimporter-intake-{secret}");
    let metadata = ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let verbs: &[&str] = match after {
        AfterIntake::Keep => &["get"],
        AfterIntake::Delete => &["get", "delete"],
    };
    let role = Role {
        metadata: metadata.clone(),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".into()]),
            resource_names: Some(vec![secret.to_owned()]),
            verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
            non_resource_urls: None,
        }]),
    };
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name },
        subjects: Some(vec![Subject {
            kind: <ServiceAccount as k8s_openapi::Resource>::KIND.into(),
            name: KEEPER_ACCOUNT.into(),
            namespace: Some(system_namespace.to_owned()),
            api_group: None,
        }]),
    };
    (role, binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_gets_one_secret_and_delete_only_where_it_must_delete() {
        let verbs = |after| permission("acme", "crm", after, "sys").0.rules.unwrap().remove(0);
        assert_eq!(verbs(AfterIntake::Keep).verbs, ["get"]);
        let rule = verbs(AfterIntake::Delete);
        assert_eq!((rule.verbs, rule.resource_names), (vec!["get".to_owned(), "delete".to_owned()], Some(vec!["crm".to_owned()])));
    }
}
