//! `kubectl import seal`: a Connection whose credential lies sealed in it, so that both may lie in Git. It opens for that Connection and its endpoint,
//! in the Region whose key it was sealed to, and nowhere else.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use api::connection::SealedCredential;
use api::seal_key::PublishedSealKey;
use api::{Connection, names};
use clap::builder::NonEmptyStringValueParser;
use domain::connection::required_keys;
use envelope::Policy;
use envelope::sealed::{Entries, PublicSealKey};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::access::Access;
use super::gateway::{config_map, files_account, label};
use super::{Common, output};
use crate::{sealing, terminal};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files with Connections (`-`: standard input), and with the Secrets that they name if the values are to be taken from there.
    #[arg(short, long, required = true)]
    filename: Vec<PathBuf>,
    /// The value of one entry, in place of a Secret's: ENTRY=FILE, as in password=password.txt (`-`: standard input).
    #[arg(long, value_name = "ENTRY=FILE", value_parser = entry)]
    from_file: Vec<(String, PathBuf)>,
    /// A key as `kubectl import seal-key` prints it, to seal without a cluster.
    #[arg(long, value_name = "FILE", requires = "tenant")]
    seal_key: Option<PathBuf>,
    /// The Tenant that lists the Connections' namespace, if the cluster does not say so yet.
    #[arg(long, value_name = "NAME", requires = "seal_key", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
}

fn entry(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("it is written ENTRY=FILE, as in password=password.txt".to_owned()),
    }
}

#[derive(clap::Args)]
pub(crate) struct KeyArgs {
    /// The Region; that of the current namespace's Tenant when absent.
    region: Option<String>,
}

/// `kubectl import seal-key`: what `seal` needs to work without a cluster. Nothing of it is secret.
pub(crate) async fn key(common: &Common, args: KeyArgs) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let region = match args.region {
        Some(region) => region,
        None => whose(&access, access.namespace()).await?.region,
    };
    let key = published(&access, &region).await?;
    output::either(common.output, &key, || yaml(&key).trim_end().to_owned())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let found = Found::read(&args.filename)?;
    let given = given(&args.from_file)?;
    let count = found.connections.len();
    ensure!(given.is_empty() || count == 1, "--from-file goes with one Connection, and the files hold {count}");
    let offline = match (&args.seal_key, args.tenant) {
        (Some(path), Some(tenant)) => Some((key_of_file(path)?, tenant)),
        _ => None,
    };
    let access = if offline.is_some() { None } else { Some(Access::open(common).await?) };
    let mut sealed = Vec::new();
    for document in &found.connections {
        let connection = understood(document)?;
        let namespace = connection.namespace().or_else(|| common.namespace.clone());
        let target = match (&offline, &access) {
            (Some((key, tenant)), _) => Target { key: key.clone(), tenant: tenant.clone(), namespace: named(namespace, &connection)? },
            (None, Some(access)) => Target::of_cluster(access, namespace).await?,
            (None, None) => bail!("there is neither a key nor a cluster"),
        };
        let from_secret = if given.is_empty() { found.values(document, &target.namespace)? } else { None };
        let entries = chosen(&connection, from_secret.as_ref().unwrap_or(&given))?;
        if let Some(remark) = remark(&target.key, Timestamp::now())? {
            terminal::error_line(format_args!("{remark}"));
        }
        sealed.push(target.seal(document, &connection, &entries)?);
        terminal::error_line(format_args!("{}", target.told(&connection, &entries)));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": sealed});
    output::either(common.output, &list, || sealed.iter().map(yaml).collect::<Vec<_>>().join("---\n").trim_end().to_owned())?;
    Ok(ExitCode::SUCCESS)
}

/// Where a credential is to open.
struct Target {
    key: PublishedSealKey,
    tenant: String,
    namespace: String,
}

impl Target {
    async fn of_cluster(access: &Access, namespace: Option<String>) -> Result<Self> {
        let namespace = namespace.unwrap_or_else(|| access.namespace().to_owned());
        let Holder { tenant, region } = whose(access, &namespace).await?;
        Ok(Self { key: published(access, &region).await?, tenant, namespace })
    }

    /// The Connection with its credential sealed in it.
    fn seal(&self, document: &Value, connection: &Connection, entries: &Entries) -> Result<Value> {
        let Self { key, tenant, namespace } = self;
        let destination = sealing::destination(&key.region, &key.installation, tenant, namespace, connection);
        let public = key.kid.parse().ok().and_then(|kid| PublicSealKey::from_base64(kid, &key.public_key));
        let public =
            public.ok_or_else(|| anyhow!("the key of region {} is none: print it again with `kubectl import seal-key {0}`", key.region))?;
        let made = public.seal(&destination, entries).with_context(|| format!("Connection {namespace}/{}", connection.name_any()))?;
        let mut document = document.clone();
        document["spec"]["credentials"] = json!({"sealed": SealedCredential { kid: made.kid, enc: made.enc, ciphertext: made.ciphertext }});
        Ok(document)
    }

    /// In words, for the user who decides whether that is what was meant.
    fn told(&self, connection: &Connection, entries: &Entries) -> String {
        let Self { key, tenant, namespace } = self;
        let names = entries.keys().cloned().collect::<Vec<_>>().join(", ");
        format!(
            "sealed {names} for Connection {namespace}/{} of Tenant {tenant} in Region {}, for {}",
            connection.name_any(),
            key.region,
            connection.spec.endpoint()
        )
    }
}

fn named(namespace: Option<String>, connection: &Connection) -> Result<String> {
    namespace.with_context(|| {
        let name = connection.name_any();
        format!("Connection {name} says no namespace, and it is sealed for one: write metadata.namespace, or pass --namespace")
    })
}

/// Who holds a namespace.
struct Holder {
    tenant: String,
    region: String,
}

async fn whose(access: &Access, namespace: &str) -> Result<Holder> {
    let account = files_account(access, namespace, names::FILES_READER_ACCOUNT)
        .await
        .context("pass --seal-key and --tenant to seal before the Tenant is there")?;
    Ok(Holder { tenant: label(&account, names::TENANT_LABEL)?, region: label(&account, names::REGION_LABEL)? })
}

async fn published(access: &Access, region: &str) -> Result<PublishedSealKey> {
    let public = config_map(access, names::PUBLIC_CONFIGMAP).await?;
    let text = public.data.as_ref().and_then(|data| data.get(&names::public_seal_key(region)));
    let text =
        text.with_context(|| format!("Region {region} has published no key for sealing: is it there, and its condition KeyCustody True?"))?;
    serde_saphyr::from_str(text)
        .map_err(|_| anyhow!("the published key of Region {region} cannot be read; is another version of Dataimporter installed?"))
}

fn key_of_file(path: &Path) -> Result<PublishedSealKey> {
    let text = text(path)?;
    serde_saphyr::from_str(&text)
        .map_err(|_| anyhow!("{} holds no key for sealing: it is what `kubectl import seal-key REGION` prints", path.display()))
}

/// What there is to say about the age of a key.
fn remark(key: &PublishedSealKey, now: Timestamp) -> Result<Option<String>> {
    let PublishedSealKey { region, opens_until, .. } = key;
    let another = format!("print the present one with `kubectl import seal-key {region}`");
    ensure!(now < opens_until.0, "the key of Region {region} opens nothing since {}: {another}", opens_until.0);
    let superseded = opens_until.0.duration_since(now) < Policy::SEALED.settles;
    Ok(superseded.then(|| {
        format!(
            "warning: there is a newer key of Region {region}; what is sealed to this one is taken in until {}: {another}",
            opens_until.0
        )
    }))
}

/// What the files hold of use.
#[derive(Default)]
struct Found {
    connections: Vec<Value>,
    /// By namespace and name, as they are written.
    secrets: BTreeMap<(Option<String>, String), Entries>,
}

impl Found {
    fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut found = Self::default();
        for path in paths {
            found.add(&text(path)?).with_context(|| path.display().to_string())?;
        }
        ensure!(!found.connections.is_empty(), "the files hold no Connection");
        Ok(found)
    }

    /// The text of a document is never part of an error: there are Secrets in it.
    fn add(&mut self, text: &str) -> Result<()> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| match error.location() {
            Some(place) => anyhow!("not YAML, at line {}, column {}", place.line(), place.column()),
            None => anyhow!("not YAML"),
        })?;
        documents.into_iter().try_for_each(|document| self.add_one(document))
    }

    fn add_one(&mut self, mut document: Value) -> Result<()> {
        match (document["apiVersion"].as_str(), document["kind"].as_str()) {
            (Some("dataimporter.io/v1alpha1"), Some("Connection")) => self.connections.push(document),
            (Some("v1"), Some("Secret")) => {
                let secret: Secret = serde_json::from_value(document).map_err(|_| anyhow!("a Secret that is none: data must be base64"))?;
                self.secrets.insert((secret.namespace(), secret.name_any()), entries_of(secret));
            }
            (Some("v1"), Some("List")) => {
                let items = document["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
                // A List in a List is none of Kubernetes'.
                return items.into_iter().filter(|item| item["kind"] != "List").try_for_each(|item| self.add_one(item));
            }
            _ => {}
        }
        Ok(())
    }

    /// The values of the Secret that a Connection names, if it names one.
    fn values(&self, document: &Value, namespace: &str) -> Result<Option<Entries>> {
        let Some(name) = document.pointer("/spec/credentials/secretRef/name").and_then(Value::as_str) else { return Ok(None) };
        let key = |namespace: Option<&str>| (namespace.map(str::to_owned), name.to_owned());
        let found = self.secrets.get(&key(Some(namespace))).or_else(|| self.secrets.get(&key(None)));
        let found = found.with_context(|| {
            format!("Secret {namespace}/{name} is not in the files: give them it, too, or its entries with --from-file")
        })?;
        Ok(Some(found.clone()))
    }
}

fn entries_of(secret: Secret) -> Entries {
    let encoded = secret.data.unwrap_or_default().into_iter().map(|(name, value)| (name, Zeroizing::new(value.0)));
    let plain = secret.string_data.unwrap_or_default().into_iter().map(|(name, value)| (name, Zeroizing::new(value.into_bytes())));
    encoded.chain(plain).collect()
}

/// The Connection as its Region will read it, whatever its credential comes from now.
fn understood(document: &Value) -> Result<Connection> {
    let mut document = document.clone();
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    let spec = document["spec"].as_object_mut().with_context(|| format!("Connection {name}: it has no spec"))?;
    spec.insert("credentials".into(), json!({"sealed": {"kid": "", "enc": "", "ciphertext": ""}}));
    let connection: Connection = serde_json::from_value(document).with_context(|| format!("Connection {name}"))?;
    let login = connection.spec.login();
    let login = login.with_context(|| format!("Connection {name} names no system, or no way to log in, that this version knows"))?;
    ensure!(login.audience.is_none(), "Connection {name} logs in with tokens of a ServiceAccount: there is nothing to seal");
    Ok(connection)
}

/// Exactly the entries that the Connection logs in with.
fn chosen(connection: &Connection, values: &Entries) -> Result<Entries> {
    let required = required_keys(&connection.spec);
    let missing: Vec<&str> = required.iter().copied().filter(|name| values.get(*name).is_none_or(|value| value.is_empty())).collect();
    let name = connection.name_any();
    ensure!(
        missing.is_empty(),
        "Connection {name} logs in with {}: give it {1} as --from-file {1}=FILE",
        required.join(", "),
        missing.join(", ")
    );
    Ok(required.iter().filter_map(|name| Some(((*name).to_owned(), values.get(*name)?.clone()))).collect())
}

fn given(from_file: &[(String, PathBuf)]) -> Result<Entries> {
    let mut entries = Entries::new();
    for (name, path) in from_file {
        let mut value = Zeroizing::new(Vec::new());
        let read = match path.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut value),
            false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut value)),
        };
        read.with_context(|| format!("{} cannot be read", path.display()))?;
        ensure!(entries.insert(name.clone(), value).is_none(), "--from-file {name} is given twice");
    }
    Ok(entries)
}

fn text(path: &Path) -> Result<Zeroizing<String>> {
    let read = if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    read.map(Zeroizing::new).with_context(|| format!("{} cannot be read", path.display()))
}

fn yaml(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(value).expect("what was YAML is YAML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    const CONNECTION: &str = "
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {name: warehouse, namespace: acme, annotations: {team: data}}
spec:
  postgres: {host: db, database: crm, user: reader}
  credentials: {secretRef: {name: login, afterIntake: Keep}}
";
    const SECRET: &str = "
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: acme}
stringData: {password: hush, more: not asked for}
";

    fn key(opens_until: &str) -> PublishedSealKey {
        PublishedSealKey {
            region: "eu".into(),
            installation: "i".into(),
            kid: "07".repeat(16),
            // The recipient of RFC 9180's vectors.
            public_key: "Qw9LmFlmUUWmsbonQCRIe9ZvA6LdV313U8aNfX0AwAw=".into(),
            opens_until: Time(opens_until.parse().unwrap()),
        }
    }

    fn found(text: &str) -> Found {
        let mut found = Found::default();
        found.add(text).unwrap();
        found
    }

    fn target(key: PublishedSealKey) -> Target {
        Target { key, tenant: "acme".into(), namespace: "acme".into() }
    }

    #[test]
    fn the_secret_goes_and_everything_else_stays() {
        let found = found(&format!("{CONNECTION}{SECRET}"));
        let [document] = found.connections.as_slice() else { panic!("one Connection") };
        let connection = understood(document).unwrap();
        let entries = chosen(&connection, &found.values(document, "acme").unwrap().unwrap()).unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["password"], "nothing that is not asked for");
        let target = target(key("2026-12-01T00:00:00Z"));
        let sealed = target.seal(document, &connection, &entries).unwrap();
        let told = target.told(&connection, &entries);
        assert_eq!(
            told,
            "sealed password for Connection acme/warehouse of Tenant acme in Region eu, for PostgreSQL db:5432, database crm as reader"
        );
        let text = yaml(&sealed);
        assert!(!text.contains("hush") && !text.contains("aHVzaA") && !text.contains("secretRef"), "{text}");
        let back: Connection = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back.annotations().get("team").map(String::as_str), Some("data"));
        assert_eq!(back.spec.credentials.sealed().unwrap().kid, "07".repeat(16));
        assert_eq!(back.spec.endpoint_digest(), serde_json::from_value::<Connection>(document.clone()).unwrap().spec.endpoint_digest());
        assert_ne!(sealed, target.seal(document, &connection, &entries).unwrap(), "never the same twice");
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_give_it() {
        let alone = found(CONNECTION);
        let error = alone.values(&alone.connections[0], "acme").unwrap_err().to_string();
        assert_eq!(error, "Secret acme/login is not in the files: give them it, too, or its entries with --from-file");
        let connection = understood(&alone.connections[0]).unwrap();
        let error = chosen(&connection, &Entries::new()).unwrap_err().to_string();
        assert_eq!(error, "Connection warehouse logs in with password: give it password as --from-file password=FILE");
        let other = found(&format!("{CONNECTION}{}", SECRET.replace("namespace: acme", "namespace: globex")));
        assert!(other.values(&other.connections[0], "acme").is_err(), "that of another namespace is another one");
    }

    #[test]
    fn a_connection_without_credentials_is_fine_and_one_with_tokens_is_not() {
        let bare = CONNECTION.replace("  credentials: {secretRef: {name: login, afterIntake: Keep}}\n", "");
        assert!(understood(&found(&bare).connections[0]).is_ok());
        let role = "{s3: {bucket: b, region: eu-central-1, auth: {webIdentity: {roleArn: 'arn:aws:iam::123456789012:role/r'}}}}";
        let by_role = format!("apiVersion: dataimporter.io/v1alpha1\nkind: Connection\nmetadata: {{name: lake}}\nspec: {role}\n");
        let error = understood(&found(&by_role).connections[0]).unwrap_err().to_string();
        assert_eq!(error, "Connection lake logs in with tokens of a ServiceAccount: there is nothing to seal");
        let unknown = found("apiVersion: dataimporter.io/v1alpha1\nkind: Connection\nmetadata: {name: x}\nspec: {oracle: {}}\n");
        assert!(understood(&unknown.connections[0]).is_err());
    }

    #[test]
    fn an_old_key_is_told_and_one_that_opens_nothing_is_refused() {
        let key = key("2026-12-01T00:00:00Z");
        let remark = |now: &str| remark(&key, now.parse().unwrap()).map_err(|error| error.to_string());
        assert_eq!(remark("2026-10-02T00:00:00Z"), Ok(None), "sixty days are left");
        assert!(remark("2026-10-02T00:00:01Z").unwrap().unwrap().contains("taken in until 2026-12-01"));
        assert!(remark("2026-12-01T00:00:00Z").unwrap_err().contains("opens nothing since"));
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = key("2026-12-01T00:00:00Z");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml(&key)).unwrap();
        assert_eq!(key_of_file(file.path()).unwrap(), key);
        std::fs::write(file.path(), "kind: ConfigMap\n").unwrap();
        assert!(key_of_file(file.path()).unwrap_err().to_string().contains("seal-key REGION"));
    }

    #[test]
    fn what_is_no_yaml_shows_nothing_of_it() {
        let error = Found::default().add("a: b\nc: [hush\nd: e\n").unwrap_err().to_string();
        assert!(error.starts_with("not YAML, at line ") && !error.contains("hush"), "{error}");
    }
}
