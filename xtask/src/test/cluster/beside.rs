//! A Salesforce, databases and servers of files that are not in the cluster, as a tenant's are not: what they hold lies on none of its
//! disks, so a value that is found there came through us. And a tenant who uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::minio::{self, Bucket};
use super::org::Org;
use crate::certificate::{self, Certificate};
use crate::cluster::{BESIDE, Cluster};
use crate::demo::manifests::list;
use crate::demo::{Demo, postgres};
use crate::kubectl::{Kubectl, condition};
use crate::{mariadb, process, served};

const NAMESPACE: &str = "beside";
const REGION: &str = "us-dallas";
pub(super) const ORG: Org = Org { host: "salesforce.beside.svc", address: BESIDE, port: 8443 };
const DATABASE: &str = "warehouse.beside.svc";
pub(super) const SHOP: &str = "shop.beside.svc";
pub(super) const LAKE: &str = "lake.beside.svc";
const PARTNER: &str = "partner.beside.svc";
const EXPORTS: &str = "exports.beside.svc";
/// A call of a worker that has nothing yet, and one of a worker with rows in memory.
pub(super) const DESCRIBE: (&str, &str) = ("GET", "*/sobjects/*/describe*");
pub(super) const COMMIT: (&str, &str) = ("PATCH", "*/jobs/ingest/*");
/// Tenants that the Region lets through to the address beside the cluster.
const TENANTS: [&str; 10] = ["canary", "keeping", "lakeside", "moving", "phoenix", "proxied", "restored", "sealer", "shopper", "upgraded"];

/// An SFTP server.
pub(super) struct Partner {
    /// Where its files lie.
    pub(super) files: PathBuf,
    /// Fingerprint of its key.
    pub(super) host_key: String,
}

/// The servers; they end with it.
pub(super) struct Beside<'a> {
    demo: &'a Demo,
    folder: PathBuf,
    servers: Vec<Child>,
    /// What their secrets and all values of the table contain.
    pub(super) marker: String,
}

impl<'a> Beside<'a> {
    pub(super) fn start(demo: &'a Demo) -> Result<Self> {
        let cluster = Cluster::find()?;
        let marker = format!("q{}", process::output(Command::new("openssl").args(["rand", "-hex", "9"]))?.trim());
        let folder = std::env::temp_dir().join(format!("dataimporter-beside-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut beside = Self { demo, folder, servers: Vec::new(), marker };
        beside.database(&cluster)?;
        beside.names()?;
        beside.salesforce(&ORG)?;
        listens(5432, "PostgreSQL")?;
        Ok(beside)
    }

    pub(super) fn client_secret(&self) -> String {
        format!("{}client", self.marker)
    }

    pub(super) fn password(&self) -> String {
        format!("{}password", self.marker)
    }

    /// For files of servers.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A server that ends with the others. Comes back once it listens.
    pub(super) fn keep(&mut self, server: Child, port: u16, name: &str) -> Result<()> {
        self.servers.push(server);
        listens(port, name)
    }

    /// The server that was started last takes connections and answers none, or does so again.
    pub(super) fn newest_server_answers(&self, answers: bool) -> Result<()> {
        let server = self.servers.last().context("no server was started")?;
        let signal = if answers { "-CONT" } else { "-STOP" };
        process::output(Command::new("kill").args([signal, &server.id().to_string()])).map(drop)
    }

    /// A file of two thousand rows, which are two chunks of a worker's memory, with the marker in each.
    pub(super) fn contacts(&self) -> String {
        self.contacts_of(2_000)
    }

    pub(super) fn contacts_of(&self, rows: u32) -> String {
        let marker = &self.marker;
        let rows = (1..=rows).map(|row| format!("{row},Given{marker}{row},{marker}{row},{}\n", marker.repeat(1_200)));
        std::iter::once("id,first_name,last_name,padding\n".to_owned()).chain(rows).collect()
    }

    fn certificate(&self, name: &str, host: &str) -> Result<Certificate> {
        certificate::of_server(name, host, &self.folder)
    }

    /// Starts a Salesforce, with a certificate of its name.
    pub(super) fn salesforce(&mut self, org: &Org) -> Result<()> {
        let tls = self.certificate(org.host, org.host)?;
        let mut server = org.server(self.demo, &tls, &self.client_secret())?;
        self.servers.push(server.spawn().context("cannot start the emulator")?);
        process::wait_until("a Salesforce beside the cluster", Duration::from_secs(30), || org.ask("/services/data", &[]).map(drop))
    }

    /// Two thousand rows with the marker in each, in their key, too; the last name of one of them is no number.
    fn database(&mut self, cluster: &Cluster) -> Result<()> {
        let schema = format!(
            "CREATE TABLE contacts (id bigint PRIMARY KEY, first_name text, last_name text, code text COLLATE \"C\" UNIQUE);\n\
             INSERT INTO contacts SELECT i, 'Given{0}' || i, '{0}' || i, '{0}' || to_char(i, 'FM0000') FROM generate_series(1, 2000) AS i;\n\
             CREATE ROLE importer LOGIN PASSWORD '{1}';\n\
             GRANT SELECT ON contacts TO importer;\n",
            self.marker,
            self.password()
        );
        let folder = self.folder.join("database");
        std::fs::create_dir_all(&folder)?;
        postgres::lay_out(&folder, &schema, &self.certificate("warehouse", DATABASE)?)?;
        let start = folder.join("start").to_string_lossy().into_owned();
        let mut server = cluster.in_network(&["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "sh", &start])?;
        server
            .env("FOLDER", &folder)
            .env("ADDRESS", BESIDE)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.servers.push(server.spawn().context("cannot start PostgreSQL")?);
        Ok(())
    }

    /// The same rows in a MariaDB, whose key is a text that no two collations order alike.
    pub(super) fn mariadb(&mut self) -> Result<()> {
        let statements = [
            "CREATE DATABASE shop;".to_owned(),
            "CREATE TABLE shop.contacts (id BIGINT PRIMARY KEY, first_name VARCHAR(60), last_name VARCHAR(60), code VARCHAR(60) UNIQUE);"
                .to_owned(),
            format!(
                "INSERT INTO shop.contacts SELECT seq, CONCAT('Given{0}', seq), CONCAT('{0}', seq), CONCAT('{0}', LPAD(seq, 4, '0')) \
                 FROM shop.seq_1_to_2000;",
                self.marker
            ),
            format!("CREATE USER importer@'%' IDENTIFIED BY '{}' REQUIRE SSL;", self.password()),
            "GRANT SELECT ON shop.contacts TO importer@'%';".to_owned(),
        ];
        let folder = self.folder.join("mariadb");
        let arguments = mariadb::lay_out(&folder, &statements, &self.certificate("shop", SHOP)?, BESIDE, 3306)?;
        let mut server = Cluster::find()?.in_network(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        server.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(folder.join("log"))?);
        self.keep(server.spawn().context("cannot start MariaDB")?, 3306, "MariaDB")
    }

    /// Has the MariaDB's administrator do this.
    pub(super) fn shop_does(&self, statement: &str) -> Result<()> {
        let socket = format!("--socket={}", self.folder.join("mariadb/socket").display());
        process::output(Command::new("mariadb").args(["--no-defaults", "--user=root", &socket, "--execute", statement])).map(drop)
    }

    /// A Connection to the MariaDB with this password, and with what its certificate has to name.
    pub(super) fn shop(&self, namespace: &str, name: &str, password: &str, server_name: &str) -> Result<()> {
        let tls = json!({"caBundle": authority()?, "serverName": server_name});
        let spec = json!({"mysql": {"host": SHOP, "database": "shop", "user": "importer", "tls": tls}});
        self.connection(namespace, name, &[("password", password)], spec)
    }

    /// A MinIO with one empty bucket. Answers once it is there.
    pub(super) fn minio(&mut self) -> Result<Bucket> {
        let bucket = Bucket::lay_out(&self.folder.join("minio"), &self.certificate("lake", LAKE)?, &self.password())?;
        self.serve_bucket(bucket)
    }

    /// A MinIO with one bucket, which lets this cluster's ServiceAccounts in.
    pub(super) fn minio_for_accounts(&mut self) -> Result<Bucket> {
        let mut bucket = Bucket::lay_out(&self.folder.join("minio"), &self.certificate("lake", LAKE)?, &self.password())?;
        bucket.trust(&Cluster::find()?)?;
        self.serve_bucket(bucket)
    }

    fn serve_bucket(&mut self, bucket: Bucket) -> Result<Bucket> {
        let mut server = bucket.server(BESIDE)?;
        self.keep(server.spawn().context("cannot start MinIO")?, 9000, "MinIO")?;
        Ok(bucket)
    }

    /// A Connection to the bucket by a role, with tokens of this ServiceAccount.
    pub(super) fn lake_by_role(&self, namespace: &str, name: &str, account: &str, role: &str) -> Result<()> {
        let metadata = |name: &str| json!({"name": name, "namespace": namespace});
        let s3 = json!({
            "endpoint": format!("https://{LAKE}:9000"), "bucket": minio::BUCKET, "region": minio::REGION,
            "auth": {"webIdentity": {"roleArn": role}}, "tls": {"caBundle": authority()?},
        });
        let spec = json!({"s3": s3, "credentials": {"serviceAccountRef": {"name": account}}});
        let connection = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": metadata(name), "spec": spec});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(account)});
        self.demo.kubectl.apply(&list(vec![account, connection])).map(drop)
    }

    /// A Connection to a bucket. `trusted`: whether it knows the authority of the one here.
    pub(super) fn lake(&self, namespace: &str, name: &str, secret: &str, bucket: &str, region: &str, trusted: bool) -> Result<()> {
        let mut s3 = json!({"endpoint": format!("https://{LAKE}:9000"), "bucket": bucket, "region": region});
        if trusted {
            s3["tls"] = json!({"caBundle": authority()?});
        }
        self.connection(namespace, name, &[("accessKeyId", minio::KEY_ID), ("secretAccessKey", secret)], json!({"s3": s3}))
    }

    /// An OpenSSH with an empty folder.
    pub(super) fn openssh(&mut self) -> Result<Partner> {
        let (layout, host_key) = served::openssh(&self.folder.join("partner"), &self.password(), BESIDE, 2222)?;
        self.serve(&layout, 2222, "OpenSSH")?;
        Ok(Partner { files: layout.files, host_key })
    }

    /// An nginx with an empty folder, which it answers.
    pub(super) fn nginx(&mut self) -> Result<PathBuf> {
        let layout = served::nginx(&self.folder.join("exports"), &self.password(), &self.certificate("exports", EXPORTS)?, BESIDE, 9443)?;
        self.serve(&layout, 9443, "nginx")?;
        Ok(layout.files)
    }

    fn serve(&mut self, layout: &served::Layout, port: u16, name: &str) -> Result<()> {
        let mut server = Cluster::find()?.in_network(&layout.command.iter().map(String::as_str).collect::<Vec<_>>())?;
        let log = std::fs::File::create(layout.files.with_extension("log"))?;
        server.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.keep(server.spawn().with_context(|| format!("cannot start {name}"))?, port, name)
    }

    /// A Connection to the OpenSSH with this password, and the key that it has to show.
    pub(super) fn partner(&self, namespace: &str, name: &str, password: &str, host_key: &str) -> Result<()> {
        let sftp = json!({"host": PARTNER, "port": 2222, "user": served::USER, "hostKeys": [host_key], "auth": {"password": {}}});
        self.connection(namespace, name, &[("password", password)], json!({"sftp": sftp}))
    }

    /// A Connection to the nginx. `trusted`: whether it knows the authority of the one here.
    pub(super) fn exports(&self, namespace: &str, name: &str, token: &str, trusted: bool) -> Result<()> {
        let mut https = json!({"url": format!("https://{EXPORTS}:9443/out"), "auth": {"bearer": {}}});
        if trusted {
            https["tls"] = json!({"caBundle": authority()?});
        }
        self.connection(namespace, name, &[("token", token)], json!({"https": https}))
    }

    /// Names in the cluster's DNS for the address beside it, and the leave of Dallas' Region for the tenants here to go there.
    fn names(&self) -> Result<()> {
        let kubectl = &self.demo.kubectl;
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
        point(kubectl, "salesforce", BESIDE, 8443)?;
        point(kubectl, "warehouse", BESIDE, 5432)?;
        point(kubectl, "shop", BESIDE, 3306)?;
        point(kubectl, "lake", BESIDE, 9000)?;
        point(kubectl, "partner", BESIDE, 2222)?;
        point(kubectl, "exports", BESIDE, 9443)?;
        point(kubectl, "gcs", BESIDE, 4443)?;
        point(kubectl, "azure", BESIDE, 10000)?;
        self.let_through(REGION)
    }

    /// The Region's leave for the tenants here to go to the address beside the cluster, and for its keeper to keep files there.
    pub(super) fn let_through(&self, region: &str) -> Result<()> {
        let spec = json!({"spec": {
            "allowedLoginHosts": [ORG.host],
            "privateEndpoints": [{"cidr": format!("{BESIDE}/32"), "ports": [2222, 3306, 4443, 5432, 8443, 9000, 9443, 10000], "tenants": TENANTS}],
        }});
        self.demo.kubectl.run(&["patch", "region", region, "--type=merge", "-p", &spec.to_string()]).map(drop)
    }

    /// The next so many calls of this kind wait so long for their answer: time to look at a worker.
    pub(super) fn hold(&self, call: (&str, &str), seconds: u32, times: u32) -> Result<()> {
        ORG.hold(0, call, seconds, times)
    }

    /// The same once so many of them have passed.
    pub(super) fn hold_after(&self, skip: u32, call: (&str, &str), seconds: u32, times: u32) -> Result<()> {
        ORG.hold(skip, call, seconds, times)
    }

    pub(super) fn let_pass(&self) -> Result<()> {
        ORG.let_pass()
    }

    /// What every access token begins with, and nothing else does: the org's id and an exclamation mark.
    pub(super) fn token_mark(&self) -> Result<String> {
        let token = ORG.token(&self.client_secret())?;
        let (org, _) = token.split_once('!').context("a token begins with its org")?;
        Ok(format!("{org}!"))
    }

    /// A tenant with a namespace of its name, ready.
    pub(super) fn tenant(&self, name: &str) -> Result<()> {
        self.tenant_of(REGION, name)
    }

    pub(super) fn tenant_of(&self, region: &str, name: &str) -> Result<()> {
        ensure!(TENANTS.contains(&name), "no Region lets {name} through");
        let kubectl = &self.demo.kubectl;
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))?;
        kubectl.apply(&json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
            "spec": {"region": region, "namespaces": [name], "plan": "Standard",
                "contact": {
                    "firstName": "Grace", "lastName": "Hopper", "email": "grace@canary.example", "company": "Canary", "country": "US"}},
        }))?;
        self.demo.ready(&[&format!("tenants/{name}")])?;
        // A quota admits nothing before the cluster has counted what is there.
        process::wait_until("a quota that counts", Duration::from_secs(60), || {
            let used = ["get", "resourcequota", "dataimporter", "-n", name, "-o", "jsonpath={.status.used}"];
            ensure!(kubectl.run(&used)?.contains("connections"), "it has counted nothing");
            Ok(())
        })
    }

    /// Connections `crm` and `warehouse` whose Secrets go with the intake. The keeper may not read those yet.
    pub(super) fn connections(&self, namespace: &str) -> Result<()> {
        self.org(namespace)?;
        self.database_at(namespace, "warehouse", DATABASE)
    }

    /// Only the first of them.
    pub(super) fn org(&self, namespace: &str) -> Result<()> {
        self.connection(namespace, "crm", &[("clientSecret", &self.client_secret())], ORG.connection()?)
    }

    /// A Connection to the database by another name of it.
    pub(super) fn database_at(&self, namespace: &str, name: &str, host: &str) -> Result<()> {
        self.connection(namespace, name, &[("password", &self.password())], database(host)?)
    }

    pub(super) fn connection(&self, namespace: &str, name: &str, entries: &[(&str, &str)], spec: Value) -> Result<()> {
        self.demo.kubectl.apply(&list(with_secret(namespace, name, entries, spec))).map(drop)
    }

    /// What [`Beside::connections`] applies, as a tenant's people have it before they seal it.
    pub(super) fn manifests(&self, namespace: &str) -> Result<Value> {
        let mut all = with_secret(namespace, "crm", &[("clientSecret", &self.client_secret())], ORG.connection()?);
        all.extend(with_secret(namespace, "warehouse", &[("password", &self.password())], database(DATABASE)?));
        Ok(list(all))
    }

    /// What the namespace's admin writes, as `kubectl import intake` prints it; then the Connections are ready.
    pub(super) fn intake(&self, namespace: &str, names: &[&str]) -> Result<()> {
        for name in names {
            self.permit(namespace, name)?;
        }
        let connections: Vec<String> = names.iter().map(|name| format!("connections/{name}")).collect();
        self.demo.ready(&[&["-n", namespace][..], &connections.iter().map(String::as_str).collect::<Vec<_>>()].concat())
    }

    pub(super) fn permit(&self, namespace: &str, name: &str) -> Result<()> {
        let permission = process::output(&mut self.demo.plugin_command(&["intake", &format!("{namespace}/{name}"), "-o", "json"]))?;
        let permission: Value = serde_json::from_str(&permission).context("kubectl import intake prints JSON")?;
        self.demo.kubectl.apply(&permission)?;
        let text = |key: &str| permission["consents"][0][key].as_str().with_context(|| format!("a consent has a {key}"));
        let consent = format!("{}={}", text("annotation")?, text("value")?);
        let (resource, source) = match text("secret") {
            Ok(secret) => ("secret", secret),
            Err(_) => ("serviceaccount", text("serviceAccount")?),
        };
        // One that is gone has nothing to consent to.
        if self.demo.kubectl.exists(&[resource, source, "-n", namespace])? {
            self.demo.kubectl.run(&["annotate", resource, source, "-n", namespace, "--overwrite", &consent])?;
        }
        look_again(&self.demo.kubectl, namespace, name)
    }

    /// Waits until a Connection is ready, or is not, for this reason, and says these words or names such a system.
    pub(super) fn connection_says(&self, namespace: &str, name: &str, reason: &str, words: &str) -> Result<()> {
        process::wait_until(&format!("Connection {namespace}/{name}: {reason}"), Duration::from_secs(60), || {
            let connection = self.demo.kubectl.json(&["get", "connection", name, "-n", namespace])?;
            let (_, found, message) = condition(&connection, "Ready").context("it says nothing yet")?;
            let told = format!("{message} {}", connection["status"]["metadata"]["system"].as_str().unwrap_or_default());
            ensure!(found == reason && told.contains(words), "it is {found}: {told}");
            Ok(())
        })
    }

    /// Contacts of the database, by hand.
    pub(super) fn job(&self, namespace: &str, name: &str, connection: &str, query: &str) -> Result<()> {
        self.job_by("id", namespace, name, connection, query)
    }

    /// The same in the order of another column.
    pub(super) fn job_by(&self, order: &str, namespace: &str, name: &str, connection: &str, query: &str) -> Result<()> {
        self.job_from(namespace, name, &json!({"sql": {"connectionRef": {"name": connection}, "query": query, "orderBy": [order]}}))
    }

    /// Contacts of this source, by hand.
    pub(super) fn job_from(&self, namespace: &str, name: &str, source: &Value) -> Result<()> {
        self.demo.kubectl.apply(&json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "source": source,
                "target": {"salesforce": {
                    "connectionRef": {"name": "crm"}, "object": "Contact", "operation": "Upsert", "matchBy": ["External_Id__c"],
                    "mapping": [
                        {"from": "id", "to": "External_Id__c"}, {"from": "first_name", "to": "FirstName"}, {"from": "last_name", "to": "LastName"}]}},
                "trigger": {"manual": {}},
            },
        })).map(drop)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // While the org is there to revoke what it issued: afterwards each of them would hold an uninstall up for ten minutes.
        for tenant in TENANTS {
            let _ = self.demo.kubectl.run(&["delete", "connections", "--all", "-n", tenant, "--timeout=90s"]);
        }
        for server in &mut self.servers {
            // PostgreSQL ends at once and takes its shared memory along; so does anybody else who is told to quit, unless a shell that
            // started us in the background had the signal ignored.
            let _ = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            let ended = process::wait_until("its end", Duration::from_secs(10), || server.try_wait()?.map(drop).context("it still runs"));
            if ended.is_err() {
                let _ = server.kill();
                let _ = server.wait();
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The database in a Connection's words, by a name of it.
fn database(host: &str) -> Result<Value> {
    let tls = json!({"caBundle": authority()?, "serverName": DATABASE});
    Ok(json!({"postgres": {"host": host, "database": "warehouse", "user": "importer", "tls": tls}}))
}

/// A Connection and its Secret.
fn with_secret(namespace: &str, name: &str, entries: &[(&str, &str)], mut spec: Value) -> Vec<Value> {
    let metadata = json!({"name": name, "namespace": namespace});
    spec["credentials"] = json!({"secretRef": {"name": name, "afterIntake": "Delete"}});
    let data = BTreeMap::from_iter(entries.iter().copied());
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    vec![secret, json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": metadata, "spec": spec})]
}

/// Waits for a server beside the cluster.
pub(super) fn listens(port: u16, name: &str) -> Result<()> {
    let cluster = Cluster::find()?;
    process::wait_until(&format!("a {name} beside the cluster"), Duration::from_secs(60), || {
        let probe = cluster.tools().program("probe");
        let said = process::output(&mut cluster.in_network(&[&probe.to_string_lossy(), "dial", &format!("{BESIDE}:{port}")])?)?;
        ensure!(said.starts_with("open"), "it says {said}");
        Ok(())
    })
}

pub(super) fn authority() -> Result<String> {
    let file = certificate::authority();
    std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// The keeper looks at a Connection every minute; a change has it look at once.
pub(super) fn look_again(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<()> {
    let moment = process::output(Command::new("date").arg("+walls/looked=%s%N"))?;
    kubectl.run(&["annotate", "--overwrite", "connection", name, "-n", namespace, moment.trim()]).map(drop)
}

/// A name in the cluster's DNS that leads to an address.
pub(super) fn point(kubectl: &Kubectl, name: &str, address: &str, port: u16) -> Result<()> {
    let ports = json!([{"name": "tls", "port": port, "protocol": "TCP"}]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"clusterIP": "None", "ports": ports},
    });
    let leads_to = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}], "ports": ports,
    });
    kubectl.apply(&list(vec![service, leads_to])).map(drop)
}
