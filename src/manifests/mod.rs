//! The objects of an import, from files instead of an API server, and the org that they lead to. `run` loads with them, `validate` only asks.

pub(crate) mod org;
mod plain;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use api::connection::{Connection, ConnectionSpec, CredentialOrigin};
use api::import_job::{ImportJob, ImportJobSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What the files hold of use. Objects find each other within their namespace, as in a cluster.
#[derive(Default)]
pub(crate) struct Manifests {
    jobs: Vec<Job>,
    connections: BTreeMap<Name, ConnectionSpec>,
    secrets: BTreeMap<Name, BTreeMap<String, SecretString>>,
}

type Name = (Option<String>, String);
type Unquoted = HashMap<String, String>;

/// A document that holds nothing.
const EMPTY: [&str; 5] = ["", "~", "null", "Null", "NULL"];

pub(crate) struct Job {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) spec: ImportJobSpec,
}

impl Manifests {
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut manifests = Self::default();
        for path in paths {
            let text = text_of(path).with_context(|| format!("{} cannot be read", path.display()))?;
            manifests.add(&text).with_context(|| path.display().to_string())?;
        }
        Ok(manifests)
    }

    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        // Its text is never part of an error: there may be Secrets in it.
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| match error.location() {
            Some(place) => anyhow!("not YAML, at line {}, column {}", place.line(), place.column()),
            None => anyhow!("not YAML"),
        })?;
        // Readers of YAML pass over empty documents, and so do numbers of documents here.
        let unquoted =
            plain::scalars(text).into_iter().filter(|scalars| scalars.get("").is_none_or(|text| !EMPTY.contains(&text.as_str())));
        let documents = documents.into_iter().filter(|document| !document.is_null());
        documents.zip(unquoted).try_for_each(|(document, unquoted)| self.add_one(document, &unquoted))
    }

    fn add_one(&mut self, document: Value, unquoted: &Unquoted) -> anyhow::Result<()> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (text("apiVersion").as_str(), text("kind").as_str()) {
            ("dataimporter.io/v1alpha1", "ImportJob") => {
                let job: ImportJob = strict("ImportJob", &document, unquoted)?;
                self.jobs.push(Job::from(job));
            }
            ("dataimporter.io/v1alpha1", "Connection") => {
                self.add_connection(strict("Connection", &document, unquoted)?);
            }
            ("v1", "Secret") => {
                // Its text is never part of an error.
                self.add_secret(serde_json::from_value(document).map_err(|_| anyhow!("a Secret that is none: data must be base64"))?);
            }
            ("", _) | (_, "") => bail!("a document without apiVersion and kind"),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn add_connection(&mut self, connection: Connection) {
        self.connections.insert((connection.namespace(), connection.name_any()), connection.spec);
    }

    pub(crate) fn add_secret(&mut self, secret: Secret) {
        self.secrets.insert((secret.namespace(), secret.name_any()), values(secret));
    }

    /// The one job, or the one that is asked for.
    pub(crate) fn job(&self, asked: Option<&str>) -> anyhow::Result<&Job> {
        let is_asked = |job: &&Job| asked.is_none_or(|asked| asked == job.name || asked == job.full_name());
        let found: Vec<&Job> = self.jobs.iter().filter(is_asked).collect();
        match (found.as_slice(), asked) {
            ([job], _) => Ok(job),
            ([], None) => bail!("the manifests hold no ImportJob"),
            ([], Some(asked)) => bail!("the manifests hold no ImportJob {asked}, only {}", names(&self.jobs.iter().collect::<Vec<_>>())),
            (several, _) => bail!("the manifests hold several ImportJobs: choose one of {} with --job", names(several)),
        }
    }

    pub(crate) fn connection(&self, job: &Job, name: &str) -> anyhow::Result<&ConnectionSpec> {
        self.connections
            .get(&(job.namespace.clone(), name.to_owned()))
            .with_context(|| format!("ImportJob {} uses Connection {name}: add it to the manifests, in the same namespace", job.name))
    }

    /// One value of the Secret that a connection refers to.
    pub(crate) fn secret(&self, job: &Job, name: &str, connection: &ConnectionSpec, key: &str) -> anyhow::Result<SecretString> {
        let reference = match connection.credentials.origin() {
            Some(CredentialOrigin::Secret(reference)) => reference,
            Some(CredentialOrigin::Sealed(_)) => {
                bail!("Connection {name}: what is sealed opens only in its Region: name a Secret in credentials.secretRef here")
            }
            Some(CredentialOrigin::ServiceAccount(_)) | None => {
                bail!("Connection {name}: a ServiceAccount has tokens only in a cluster: name a Secret in credentials.secretRef here")
            }
        };
        let secret = self.secrets.get(&(job.namespace.clone(), reference.name.clone())).with_context(|| {
            format!("Connection {name} needs Secret {}: add it to the manifests, in the same namespace", reference.name)
        })?;
        secret.get(key).cloned().with_context(|| format!("Secret {} has no key {key}, which Connection {name} needs", reference.name))
    }
}

impl From<ImportJob> for Job {
    fn from(job: ImportJob) -> Self {
        Self { namespace: job.namespace(), name: job.name_any(), spec: job.spec }
    }
}

impl Job {
    fn full_name(&self) -> String {
        self.namespace.as_ref().map_or_else(|| self.name.clone(), |namespace| format!("{namespace}/{}", self.name))
    }
}

fn names(jobs: &[&Job]) -> String {
    jobs.iter().map(|job| job.full_name()).collect::<Vec<_>>().join(", ")
}

fn text_of(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn values(secret: Secret) -> BTreeMap<String, SecretString> {
    let encoded = secret.data.unwrap_or_default().into_iter();
    let plain = secret.string_data.unwrap_or_default().into_iter();
    let decoded = encoded.filter_map(|(key, value)| Some((key, SecretString::from(String::from_utf8(value.0).ok()?))));
    decoded.chain(plain.map(|(key, value)| (key, SecretString::from(value)))).collect()
}

/// Reads an object and refuses fields that its kind does not have: a misspelled one would be passed over in silence. What stands without
/// quotes and is no text any more is refused with the quotes to add.
fn strict<T: DeserializeOwned + Serialize>(kind: &str, document: &Value, unquoted: &Unquoted) -> anyhow::Result<T> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
    let object: T = serde_path_to_error::deserialize(document).map_err(|error| {
        let (path, cause) = (error.path().to_string(), error.into_inner().to_string());
        match unquoted.get(&path) {
            Some(written) if cause.ends_with("expected a string") => {
                anyhow!("{kind} {name}: {path}: {written} is no text to readers of YAML; write it in quotes: \"{written}\"")
            }
            _ if path == "." => anyhow!("{kind} {name}: {cause}"),
            _ => anyhow!("{kind} {name}: {path}: {cause}"),
        }
    })?;
    let understood = serde_json::to_value(&object).with_context(|| format!("{kind} {name}"))?;
    let (given, understood) = (document.get("spec").unwrap_or(&Value::Null), understood.get("spec").unwrap_or(&Value::Null));
    match unknown(given, understood, "spec") {
        Some(field) => bail!("{kind} {name}: there is no field {field}"),
        None => Ok(object),
    }
}

/// The first field that was given and not understood. Empty lists are not written back, and say nothing.
fn unknown(given: &Value, understood: &Value, path: &str) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), understood) => given.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match understood.get(key) {
                Some(known) => unknown(value, known, &path),
                None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => {
            given.iter().zip(understood).enumerate().find_map(|(at, (given, known))| unknown(given, known, &format!("{path}[{at}]")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    const CONNECTION: &str = "
apiVersion: v1
kind: Secret
metadata: {name: crm-oauth, namespace: acme}
stringData: {clientSecret: hush}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: other, namespace: acme}
---
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {name: crm, namespace: acme}
spec:
  salesforce: {myDomain: acme, auth: {clientCredentials: {clientId: me}}}
  credentials: {secretRef: {name: crm-oauth, afterIntake: Keep}}
";

    fn job(namespace: &str, more: &str) -> String {
        format!(
            "
apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: accounts, namespace: {namespace}}}
spec:
  source: {{upload: {{name: file}}}}
  target: {{salesforce: {{connectionRef: {{name: crm}}, object: Account, operation: Insert, mapping: [{{from: a, to: Name}}]}}}}
{more}"
        )
    }

    fn manifests(documents: &[&str]) -> anyhow::Result<Manifests> {
        let mut manifests = Manifests::default();
        documents.iter().try_for_each(|text| manifests.add(text)).map(|()| manifests)
    }

    #[test]
    fn objects_find_each_other_and_foreign_kinds_are_passed_over() {
        let manifests = manifests(&[CONNECTION, &job("acme", "")]).unwrap();
        let job = manifests.job(None).unwrap();
        let connection = manifests.connection(job, "crm").unwrap();
        assert_eq!(manifests.secret(job, "crm", connection, "clientSecret").unwrap().expose_secret(), "hush");
        let missing = manifests.secret(job, "crm", connection, "password").unwrap_err().to_string();
        assert_eq!(missing, "Secret crm-oauth has no key password, which Connection crm needs");
    }

    #[test]
    fn a_connection_of_another_namespace_is_not_found() {
        let manifests = manifests(&[CONNECTION, &job("globex", "")]).unwrap();
        assert!(manifests.connection(manifests.job(None).unwrap(), "crm").is_err());
    }

    #[test]
    fn several_jobs_want_a_choice() {
        let manifests = manifests(&[&job("acme", ""), &job("globex", "")]).unwrap();
        let error = manifests.job(None).err().unwrap().to_string();
        assert!(error.contains("acme/accounts, globex/accounts"), "{error}");
        assert_eq!(manifests.job(Some("globex/accounts")).unwrap().namespace.as_deref(), Some("globex"));
    }

    #[test]
    fn a_text_that_lacks_its_quotes_is_told_with_them() {
        let table = [
            (
                "{from: true, to: Name}",
                "spec.target.salesforce.mapping[0].from: true is no text to readers of YAML; write it in quotes: \"true\"",
            ),
            (
                "{value: 0047, to: Name}",
                "spec.target.salesforce.mapping[0].value: 0047 is no text to readers of YAML; write it in quotes: \"0047\"",
            ),
            (
                "{value: 1.50, to: Name}",
                "spec.target.salesforce.mapping[0].value: 1.50 is no text to readers of YAML; write it in quotes: \"1.50\"",
            ),
            (
                "{from: No, to: Name}",
                "spec.target.salesforce.mapping[0].from: No is no text to readers of YAML; write it in quotes: \"No\"",
            ),
        ];
        for (mapping, told) in table {
            let wrong = job("acme", "").replace("{from: a, to: Name}", mapping);
            let documents = format!("--- # nothing\n---\n{CONNECTION}---\n{wrong}");
            let error = manifests(&[&documents]).err().unwrap();
            assert_eq!(format!("{error:#}"), format!("ImportJob accounts: {told}"));
            let (field, rest) = mapping[1..].split_once(": ").unwrap();
            let (value, rest) = rest.split_once(',').unwrap();
            let right = job("acme", "").replace("{from: a, to: Name}", &format!("{{{field}: \"{value}\",{rest}"));
            assert!(manifests(&[&right]).is_ok(), "{right}");
        }
        let number = manifests(&[&job("acme", "  results: {keepDays: many}\n")]).err().unwrap();
        assert!(format!("{number:#}").contains("spec.results.keepDays: invalid type"), "{number:#}");
    }

    #[test]
    fn what_is_no_yaml_has_a_place_and_shows_nothing() {
        let error = manifests(&["a: b\nc: [hush\nd: e\n"]).err().unwrap().to_string();
        assert!(error.starts_with("not YAML, at line ") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn a_misspelled_field_is_named() {
        let error = manifests(&[&job("acme", "  gards: {maxFailedPercent: 5}\n")]).err().unwrap();
        assert_eq!(format!("{error:#}"), "ImportJob accounts: there is no field spec.gards");
        let nested = job("acme", "").replace("{from: a, to: Name}", "{from: a, to: Name, form: b}");
        let error = manifests(&[&nested]).err().unwrap();
        assert_eq!(format!("{error:#}"), "ImportJob accounts: there is no field spec.target.salesforce.mapping[0].form");
    }
}
