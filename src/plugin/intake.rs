//! `kubectl import intake CONNECTION`: what the owner of a Secret or ServiceAccount must allow before the keeper can use it, and how far it is.
//! With `-f` from manifests, without a cluster: for users who keep them in Git.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use api::connection::{CredentialKind, CredentialSource};
use api::names::CONSENT_ANNOTATION;
use api::{Connection, conditions};
use domain::connection::{Consent, allowance};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;
use kube::api::ObjectMeta;
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

/// What lets the keeper have one Secret, or tokens of one ServiceAccount, and show it to the endpoints of these Connections.
struct Grant {
    namespace: String,
    source: CredentialSource,
    system_namespace: String,
    consent: Consent,
    rules: Vec<PolicyRule>,
    /// In words, for the user who decides.
    remarks: Vec<String>,
}

impl Grant {
    fn new(namespace: &str, source: CredentialSource, system_namespace: &str, consent: Consent) -> Self {
        let [namespace, system_namespace] = [namespace, system_namespace].map(str::to_owned);
        Self { namespace, source, system_namespace, consent, rules: Vec::new(), remarks: Vec::new() }
    }

    fn add(mut self, connection: &Connection) -> Self {
        // Of two that take the same Secret, one may have it deleted.
        if self.rules.is_empty() || connection.spec.credentials.is_deleted_after_intake() {
            self.rules = allowance(&connection.spec);
        }
        self.consent = self.consent.and(&connection.name_any(), &connection.spec.endpoint_digest());
        let it = self.source.shown();
        self.remarks.push(format!("Connection {} shows {it} to {}", connection.name_any(), connection.spec.endpoint()));
        self
    }

    fn permission(&self) -> (Role, RoleBinding) {
        permission(&self.namespace, &self.source, self.rules.clone(), &self.system_namespace)
    }

    fn consent(&self) -> Value {
        let Self { namespace, source, .. } = self;
        let mut consent = json!({"namespace": namespace, "annotation": CONSENT_ANNOTATION, "value": self.consent.to_string()});
        let field = match source.kind {
            CredentialKind::Secret => "secret",
            CredentialKind::ServiceAccount => "serviceAccount",
            CredentialKind::Sealed => "sealed",
        };
        consent[field] = json!(source.name);
        consent
    }

    fn text(&self) -> String {
        let Self { namespace, source, consent, .. } = self;
        // A server's words may be among them: one line each, or they would be part of what is applied.
        let remarks: String = self.remarks.iter().map(|remark| format!("# {}\n", remark.replace(char::is_control, " "))).collect();
        let (role, binding) = self.permission();
        let yaml = [serde_saphyr::to_string(&role), serde_saphyr::to_string(&binding)];
        let yaml = yaml.map(|y| y.expect("a Role is YAML")).join("---\n");
        let (resource, name) = (source.resource(), &source.name);
        format!(
            "# {source} in {namespace}\n{remarks}# Its owner consents with this line, or with the annotation in its manifest:\n\
             #   kubectl annotate {resource} {name} -n {namespace} --overwrite {CONSENT_ANNOTATION}={consent}\n\
             # kubectl apply this to let the keeper, and nobody else, have {}:\n{yaml}",
            source.shown()
        )
    }
}

async fn of_cluster(common: &Common, target: &ObjectName) -> Result<Grant> {
    let access = Access::open(common).await?;
    let connection: Connection = access.get(target).await?;
    let namespace = access.namespace_of(target);
    let source = source_of(&connection)?;
    // A user who may not read it is told the line without what others have in it.
    let found = metadata(&access, namespace, &source).await;
    let (consent, unread) = match &found {
        Some(found) => (Consent::of(found), None),
        None => {
            let remark =
                format!("you may not read {source}, or it is not there yet: if it carries the annotation already, add to it with a comma");
            (Consent::default(), Some(remark))
        }
    };
    let mut grant = Grant::new(namespace, source, &access.system_namespace, consent).add(&connection);
    let ready = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY));
    let said = ready.map_or("the keeper has not looked at it yet".to_owned(), |c| format!("{} ({}): {}", c.status, c.reason, c.message));
    grant.remarks.extend(unread);
    grant.remarks.push(format!("Ready={said}"));
    Ok(grant)
}

async fn metadata(access: &Access, namespace: &str, source: &CredentialSource) -> Option<ObjectMeta> {
    let target = ObjectName { namespace: Some(namespace.to_owned()), name: source.name.clone() };
    match source.kind {
        CredentialKind::Secret => access.api::<Secret>(&target).get_metadata(&target.name).await.ok().map(|found| found.metadata),
        CredentialKind::ServiceAccount => {
            access.api::<ServiceAccount>(&target).get_metadata(&target.name).await.ok().map(|found| found.metadata)
        }
        CredentialKind::Sealed => None,
    }
}

/// A grant for each Secret and ServiceAccount that the Connections of the files name.
fn of_files(common: &Common, paths: &[PathBuf]) -> Result<Vec<Grant>> {
    let (mut connections, mut consents) = (Vec::new(), BTreeMap::new());
    for path in paths {
        let text = read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|_| anyhow!("{}: not YAML", path.display()))?;
        for document in documents {
            match (document["apiVersion"].as_str(), document["kind"].as_str()) {
                (Some("dataimporter.io/v1alpha1"), Some("Connection")) => {
                    connections.push(serde_json::from_value::<Connection>(document).with_context(|| path.display().to_string())?);
                }
                (Some("v1"), Some(kind @ ("Secret" | "ServiceAccount"))) => {
                    let metadata: ObjectMeta = serde_json::from_value(document["metadata"].clone()).unwrap_or_default();
                    let kind = if kind == "Secret" { CredentialKind::Secret } else { CredentialKind::ServiceAccount };
                    let source = CredentialSource { kind, name: metadata.name.clone().unwrap_or_default() };
                    consents.insert((metadata.namespace.clone(), source.recorded()), Consent::of(&metadata));
                }
                _ => {}
            }
        }
    }
    let mut grants: BTreeMap<(Option<String>, String), Grant> = BTreeMap::new();
    for connection in connections.iter().filter(|connection| connection.spec.credentials.sealed().is_none()) {
        let source = source_of(connection).with_context(|| format!("Connection {}", connection.name_any()))?;
        let key = (connection.namespace(), source.recorded());
        let grant = grants.remove(&key).unwrap_or_else(|| {
            let namespace = key.0.as_deref().or(common.namespace.as_deref()).unwrap_or("default");
            let consent = consents.get(&key).cloned().unwrap_or_default();
            Grant::new(namespace, source, &common.system_namespace, consent)
        });
        grants.insert(key, grant.add(connection));
    }
    if grants.is_empty() {
        bail!("the files hold no Connection that takes its credential from a Secret or ServiceAccount");
    }
    Ok(grants.into_values().collect())
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
}

fn source_of(connection: &Connection) -> Result<CredentialSource> {
    match connection.spec.credentials.source() {
        Some(CredentialSource { kind: CredentialKind::Sealed, name: _ }) => {
            bail!(
                "the credential of Connection {} is sealed in it, for its endpoint and no other: nobody has to allow anything",
                connection.name_any()
            )
        }
        Some(source) => Ok(source),
        None => bail!("this Connection's credentials are none that this version knows"),
    }
}

/// Exactly one object, by name.
fn permission(namespace: &str, source: &CredentialSource, rules: Vec<PolicyRule>, system_namespace: &str) -> (Role, RoleBinding) {
    let name = match source.kind {
        CredentialKind::Secret => format!("dataimporter-intake-{}", source.name),
        // A name that is no Secret's.
        CredentialKind::ServiceAccount => format!("dataimporter-intake-serviceaccount:{}", source.name),
        CredentialKind::Sealed => String::new(),
    };
    let metadata = ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let role = Role { metadata: metadata.clone(), rules: Some(rules) };
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
        let mut grant =
            Grant::new("acme", CredentialSource::of_record("db"), "sys", Consent::default()).add(&serde_json::from_value(object).unwrap());
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
                    && d["metadata"]["name"] == grant.source.name.as_str()
                    && d["metadata"]["namespace"] == grant.namespace.as_str()
            });
            assert_eq!(
                secret.unwrap()["metadata"]["annotations"][CONSENT_ANNOTATION],
                grant.consent.to_string().as_str(),
                "{}",
                grant.source
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

    #[test]
    fn tokens_of_a_service_account_are_allowed_in_its_name_and_no_other() {
        let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: loader, namespace: acme}\n---\n\
            apiVersion: dataimporter.io/v1alpha1\nkind: Connection\nmetadata: {name: lake, namespace: acme}\nspec:\n  s3: {bucket: lake, \
            region: eu-central-1, auth: {webIdentity: {roleArn: 'arn:aws:iam::123456789012:role/reader'}}}\n  \
            credentials: {serviceAccountRef: {name: loader}}\n";
        let grants = grants(text);
        let [grant] = grants.as_slice() else { panic!("one ServiceAccount is one grant") };
        let text = grant.text();
        for part in [
            "kubectl annotate serviceaccount loader -n acme --overwrite dataimporter.io/consent=lake=",
            "as role arn:aws:iam::123456789012:role/reader, by tokens for sts.amazonaws.com",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let rules = grant.permission().0.rules.unwrap();
        let allowed: Vec<_> = rules.iter().map(|rule| (rule.resources.clone().unwrap(), rule.verbs.clone())).collect();
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(allowed, [(one("serviceaccounts"), one("get")), (one("serviceaccounts/token"), one("create"))]);
        assert!(rules.iter().all(|rule| rule.resource_names == Some(vec!["loader".to_owned()])));
        assert_eq!(grant.consent()["serviceAccount"], "loader");
    }
}
