//! `kubectl import intake CONNECTION`: what a Secret's owner must allow before the keeper can take a credential, and how far it is. With
//! `-f` from manifests, without a cluster: for users who keep Secrets in Git.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use api::connection::AfterIntake;
use api::names::CONSENT_ANNOTATION;
use api::{Connection, conditions};
use domain::connection::Consent;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;
use kube::api::{ObjectMeta, PartialObjectMeta};
use serde_json::{Value, json};

use super::access::Access;
use super::{Common, ObjectName, output};

const KEEPER_ACCOUNT: &str = "dataimporter-keeper";

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Args {
    /// The Connection, as NAME or NAMESPACE/NAME.
    connection: Option<ObjectName>,
    /// Files with Connections (`-`: standard input), and with their Secrets if these are in Git, instead of a cluster.
    #[arg(short, long)]
    filename: Vec<PathBuf>,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let grants = match &args.connection {
        Some(target) => vec![of_cluster(common, target).await?],
        None => of_files(common, &args.filename)?,
    };
    let items: Vec<Value> = grants.iter().map(Grant::permission).flat_map(|(role, binding)| [json!(role), json!(binding)]).collect();
    let consents: Vec<Value> = grants.iter().map(Grant::consent).collect();
    // A List for `kubectl apply`, which passes over what is no item.
    let all = json!({"apiVersion": "v1", "kind": "List", "items": items, "consents": consents});
    output::either(common.output, &all, || grants.iter().map(Grant::text).collect::<Vec<_>>().join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What lets the keeper read one Secret, and show it to the endpoints of these Connections.
struct Grant {
    namespace: String,
    secret: String,
    system_namespace: String,
    consent: Consent,
    after_intake: AfterIntake,
    /// In words, for the user who decides.
    remarks: Vec<String>,
}

impl Grant {
    fn new(namespace: &str, secret: &str, system_namespace: &str, consent: Consent) -> Self {
        let [namespace, secret, system_namespace] = [namespace, secret, system_namespace].map(str::to_owned);
        Self { namespace, secret, system_namespace, consent, after_intake: AfterIntake::Keep, remarks: Vec::new() }
    }

    fn add(mut self, connection: &Connection) -> Self {
        if connection.spec.credentials.secret_ref().is_some_and(|source| source.after_intake == AfterIntake::Delete) {
            self.after_intake = AfterIntake::Delete;
        }
        self.consent = self.consent.and(&connection.name_any(), &connection.spec.endpoint_digest());
        self.remarks.push(format!("Connection {} shows it to {}", connection.name_any(), connection.spec.endpoint()));
        self
    }

    fn permission(&self) -> (Role, RoleBinding) {
        permission(&self.namespace, &self.secret, self.after_intake, &self.system_namespace)
    }

    fn consent(&self) -> Value {
        json!({"namespace": self.namespace, "secret": self.secret, "annotation": CONSENT_ANNOTATION, "value": self.consent.to_string()})
    }

    fn text(&self) -> String {
        let Self { namespace, secret, consent, .. } = self;
        // A server's words may be among them: one line each, or they would be part of what is applied.
        let remarks: String = self.remarks.iter().map(|remark| format!("# {}\n", remark.replace(char::is_control, " "))).collect();
        let (role, binding) = self.permission();
        let yaml = [serde_saphyr::to_string(&role), serde_saphyr::to_string(&binding)];
        let yaml = yaml.map(|y| y.expect("a Role is YAML")).join("---\n");
        format!(
            "# Secret {namespace}/{secret}\n{remarks}# Its owner consents with this line, or with the annotation in its manifest:\n\
             #   kubectl annotate secret {secret} -n {namespace} --overwrite {CONSENT_ANNOTATION}={consent}\n\
             # kubectl apply this to let the keeper, and nobody else, read it:\n{yaml}"
        )
    }
}

async fn of_cluster(common: &Common, target: &ObjectName) -> Result<Grant> {
    let access = Access::open(common).await?;
    let connection: Connection = access.get(target).await?;
    let namespace = access.namespace_of(target);
    let source = reference(&connection)?;
    // A user who may not read it is told the line without what others have in it.
    let secret = ObjectName { namespace: Some(namespace.to_owned()), name: source.name.clone() };
    let found: Option<PartialObjectMeta<Secret>> = access.api::<Secret>(&secret).get_metadata(&secret.name).await.ok();
    let (consent, unread) = match &found {
        Some(found) => (Consent::of(&found.metadata), None),
        None => {
            let remark =
                "you may not read the Secret, or it is not there yet: if it carries the annotation already, add to it with a comma";
            (Consent::default(), Some(remark.to_owned()))
        }
    };
    let mut grant = Grant::new(namespace, &source.name, &access.system_namespace, consent).add(&connection);
    let ready = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY));
    let said = ready.map_or("the keeper has not looked at it yet".to_owned(), |c| format!("{} ({}): {}", c.status, c.reason, c.message));
    grant.remarks.extend(unread);
    grant.remarks.push(format!("Ready={said}"));
    Ok(grant)
}

/// A grant for each Secret that the Connections of the files name.
fn of_files(common: &Common, paths: &[PathBuf]) -> Result<Vec<Grant>> {
    let (mut connections, mut secrets) = (Vec::new(), BTreeMap::new());
    for path in paths {
        let text = read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|_| anyhow!("{}: not YAML", path.display()))?;
        for document in documents {
            match (document["apiVersion"].as_str(), document["kind"].as_str()) {
                (Some("dataimporter.io/v1alpha1"), Some("Connection")) => {
                    connections.push(serde_json::from_value::<Connection>(document).with_context(|| path.display().to_string())?);
                }
                (Some("v1"), Some("Secret")) => {
                    let metadata: ObjectMeta = serde_json::from_value(document["metadata"].clone()).unwrap_or_default();
                    secrets.insert((metadata.namespace.clone(), metadata.name.clone().unwrap_or_default()), Consent::of(&metadata));
                }
                _ => {}
            }
        }
    }
    let mut grants: BTreeMap<(Option<String>, String), Grant> = BTreeMap::new();
    for connection in &connections {
        let source = reference(connection).with_context(|| format!("Connection {}", connection.name_any()))?;
        let key = (connection.namespace(), source.name.clone());
        let grant = grants.remove(&key).unwrap_or_else(|| {
            let namespace = key.0.as_deref().or(common.namespace.as_deref()).unwrap_or("default");
            let consent = secrets.get(&key).cloned().unwrap_or_default();
            Grant::new(namespace, &source.name, &common.system_namespace, consent)
        });
        grants.insert(key, grant.add(connection));
    }
    if grants.is_empty() {
        bail!("the files hold no Connection");
    }
    Ok(grants.into_values().collect())
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
}

fn reference(connection: &Connection) -> Result<&api::connection::SecretRef> {
    connection.spec.credentials.secret_ref().ok_or_else(|| anyhow!("this Connection takes no credential from a Secret"))
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
    use crate::output::Output;

    #[test]
    fn the_keeper_gets_one_secret_and_delete_only_where_it_must_delete() {
        let verbs = |after| permission("acme", "crm", after, "sys").0.rules.unwrap().remove(0);
        assert_eq!(verbs(AfterIntake::Keep).verbs, ["get"]);
        let rule = verbs(AfterIntake::Delete);
        assert_eq!((rule.verbs, rule.resource_names), (vec!["get".to_owned(), "delete".to_owned()], Some(vec!["crm".to_owned()])));
    }

    fn grants(text: &str) -> Vec<Grant> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let common = Common { namespace: None, context: None, system_namespace: "sys".into(), output: Output::Text };
        of_files(&common, &[file.path().to_owned()]).unwrap()
    }

    /// The author of a Connection does not write what its namespace's admin applies.
    #[test]
    fn a_connection_adds_nothing_to_what_is_applied() {
        let evil = "x\n---\napiVersion: v1\nkind: Pod\n";
        let spec = json!({"postgres": {"host": evil, "database": evil, "user": evil}, "credentials": {"secretRef": {"name": "db", "afterIntake": "Keep"}}});
        let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "crm"}, "spec": spec});
        let mut grant = Grant::new("acme", "db", "sys", Consent::default()).add(&serde_json::from_value(object).unwrap());
        grant.remarks.push(format!("Ready=False: {evil}"));
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&grant.text()).unwrap();
        assert_eq!(manifests.iter().filter_map(|m| m["kind"].as_str()).collect::<Vec<_>>(), ["Role", "RoleBinding"]);
    }

    #[test]
    fn the_examples_carry_their_consent() {
        let text = include_str!("../../examples/30-connections.yaml");
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let grants = grants(text);
        assert_eq!(grants.len(), 3);
        for grant in grants {
            let secret = documents.iter().find(|d| {
                d["kind"] == "Secret"
                    && d["metadata"]["name"] == grant.secret.as_str()
                    && d["metadata"]["namespace"] == grant.namespace.as_str()
            });
            assert_eq!(
                secret.unwrap()["metadata"]["annotations"][CONSENT_ANNOTATION],
                grant.consent.to_string().as_str(),
                "{}",
                grant.secret
            );
        }
    }

    fn connection(name: &str, host: &str) -> String {
        format!(
            "apiVersion: dataimporter.io/v1alpha1\nkind: Connection\nmetadata: {{name: {name}, namespace: acme}}\nspec:\n  \
             postgres: {{host: {host}, database: crm, user: reader}}\n  credentials: {{secretRef: {{name: db, afterIntake: Keep}}}}\n---\n"
        )
    }

    #[test]
    fn manifests_give_the_consent_without_a_cluster() {
        let digest = "a".repeat(64);
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: db, namespace: acme, annotations: {{{CONSENT_ANNOTATION}: old={digest}}}}}\n"
        );
        let grants = grants(&format!("{}{}{secret}", connection("one", "db1"), connection("two", "db2")));
        let [grant] = grants.as_slice() else { panic!("one Secret is one grant") };
        let of = |host: &str| {
            let text = connection("x", host);
            let object: Connection = serde_saphyr::from_str(text.trim_end_matches("---\n")).unwrap();
            object.spec.endpoint_digest()
        };
        assert_eq!(grant.consent.to_string(), format!("old={digest},one={},two={}", of("db1"), of("db2")));
        let text = grant.text();
        for part in
            ["kubectl annotate secret db -n acme --overwrite dataimporter.io/consent=old=", "PostgreSQL db2:5432, database crm as reader"]
        {
            assert!(text.contains(part), "{text}");
        }
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(manifests.iter().filter_map(|m| m["kind"].as_str()).collect::<Vec<_>>(), ["Role", "RoleBinding"]);
    }
}
