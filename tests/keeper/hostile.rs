//! Databases and orgs that mean no good, over TLS that is in order. They cost their own tenant's Connections, and nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use api::{Connection, ConnectionSpec, Region, Tenant, conditions, names};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use testkit::{apply_yaml, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::world::{HOME, REGION, SYSTEM, World, is_true};

/// Nobody gets more: what keeps it fails the test and not the machine.
const MOST: usize = 128 << 20;
const WAIT: Duration = Duration::from_secs(60);

/// What a server does once TLS stands.
#[derive(Clone)]
enum Malice {
    /// Says this as a database, then that again and again.
    Database(Vec<u8>, Vec<u8>),
    /// A byte a second, without end.
    Dribble(Vec<u8>),
    /// Says this as a database, and hangs up.
    Refuse(Vec<u8>),
    /// As an org: an answer with this head, whose body is that again and again.
    Org(&'static str, Vec<u8>),
}

struct Hostile {
    port: u16,
    ca: String,
    visits: Arc<AtomicUsize>,
    /// What the status of the Connection said about attempts when the server was called.
    written_down: Arc<Mutex<Vec<i32>>>,
}

impl Hostile {
    async fn start(malice: Malice) -> Result<Self> {
        Self::watching(malice, None).await
    }

    /// Looks a Connection up at each visit.
    async fn watching(malice: Malice, connection: Option<(Api<Connection>, &'static str)>) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (visits, written_down) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, noted) = (visits.clone(), written_down.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, malice, noted, connection) = (acceptor.clone(), malice.clone(), noted.clone(), connection.clone());
                tokio::spawn(async move {
                    if let Some((api, name)) = connection
                        && let Ok(connection) = api.get(name).await
                    {
                        let attempts = connection.status.and_then(|s| s.verification).map_or(0, |v| v.attempts);
                        noted.lock().unwrap().push(attempts);
                    }
                    serve(stream, acceptor, malice).await
                });
            }
        });
        Ok(Self { port, ca: authority.pem(), visits, written_down })
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }

    fn database(&self) -> Value {
        json!({
            "postgres": {"host": "127.0.0.1", "port": self.port, "database": "d", "user": "u", "tls": {"caBundle": self.ca}},
            "credentials": {"secretRef": {"name": "hostile", "afterIntake": "Keep"}},
        })
    }

    fn org(&self) -> Value {
        json!({
            "salesforce": {
                "loginUrl": format!("https://127.0.0.1:{}", self.port), "auth": {"clientCredentials": {"clientId": "c"}},
                "tls": {"caBundle": self.ca},
            },
            "credentials": {"secretRef": {"name": "hostile", "afterIntake": "Keep"}},
        })
    }
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, malice: Malice) -> Result<()> {
    if !matches!(malice, Malice::Org(..)) {
        stream.read_exact(&mut [0; 8]).await?;
        stream.write_all(b"S").await?;
    }
    let mut stream: TlsStream<TcpStream> = acceptor.accept(stream).await?;
    // What it says is of no interest, only that it has begun.
    stream.read_exact(&mut [0; 8]).await?;
    match malice {
        Malice::Database(first, again) => {
            stream.write_all(&first).await?;
            for _ in 0..MOST / again.len() {
                stream.write_all(&again).await?;
            }
        }
        Malice::Dribble(first) => {
            stream.write_all(&first).await?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(&[0]).await?;
                stream.flush().await?;
            }
        }
        Malice::Refuse(refusal) => {
            stream.write_all(&refusal).await?;
            stream.shutdown().await?;
        }
        Malice::Org(head, again) => {
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..MOST / again.len() {
                stream.write_all(&again).await?;
            }
        }
    }
    Ok(())
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// A message of almost 2 GiB.
fn endless_message() -> Malice {
    Malice::Database([&b"R"[..], &0x7fff_ffff_u32.to_be_bytes()].concat(), vec![0; 1 << 16])
}

fn endless_notices() -> Malice {
    Malice::Database(message(b'R', &[0; 4]), message(b'N', &[b'x'; 60_000]))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";

impl World {
    /// A Secret that every hostile server gets, and the Region's leave to dial them.
    async fn allow_hostile(&self, servers: &[&Hostile]) -> Result<()> {
        self.put_secret("hostile", json!({"password": "p", "clientSecret": "s"})).await?;
        self.allow("hostile").await?;
        let ports: Vec<u16> = servers.iter().map(|server| server.port).chain([self.org.address.port()]).collect();
        let endpoints = json!([{"cidr": "127.0.0.1/32", "ports": ports, "tenants": ["acme", "globex"]}]);
        let region = json!({"spec": {"privateEndpoints": endpoints}});
        Api::<Region>::all(self.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(region)).await?;
        Ok(())
    }

    /// A Connection that its tenant wants, with the consent of the Secret's owner.
    async fn put_hostile(&self, name: &str, spec: Value) -> Result<()> {
        self.consent("hostile", name, &spec).await?;
        self.put_connection(name, spec).await
    }

    /// Another tenant, and its Connection to a good org. Answers once that is Ready.
    async fn neighbour_becomes_ready(&self) -> Result<()> {
        self.server.create_namespace("globex").await?;
        let (secret, spec) = (&self.org.client_secret, self.org_spec("crm", "Keep"));
        let digest = serde_json::from_value::<ConnectionSpec>(spec.clone())?.endpoint_digest();
        apply_yaml(
            &self.client,
            &format!(
                r#"
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: globex}}
spec:
  region: {REGION}
  namespaces: [globex]
  contact: {{firstName: Grace, lastName: Hopper, email: grace@globex.example, country: DE}}
  plan: Standard
---
apiVersion: v1
kind: Secret
metadata: {{name: crm, namespace: globex, annotations: {{{consent}: crm={digest}}}}}
stringData: {{clientSecret: {secret}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: intake-crm, namespace: globex}}
rules: [{{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get, delete]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: intake-crm, namespace: globex}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: intake-crm}}
subjects: [{{kind: ServiceAccount, name: dataimporter-keeper, namespace: {SYSTEM}}}]
"#,
                consent = names::CONSENT_ANNOTATION,
            ),
        )
        .await?;
        let namespace = Api::<Namespace>::all(self.client.clone()).get("globex").await?.uid();
        let region = Api::<Region>::all(self.client.clone()).get(REGION).await?.uid();
        let status = json!({"regionUID": region, "namespaces": [{"name": "globex", "uid": namespace}]});
        let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "globex"}, "status": status});
        let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
        Api::<Tenant>::all(self.client.clone()).patch_status("globex", &params, &Patch::Apply(object)).await?;
        let connection = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "crm"}, "spec": spec,
        });
        let connections = self.api::<Connection>("globex");
        connections.patch("crm", &PatchParams::apply("person").force(), &Patch::Apply(connection)).await?;
        wait_for("the other tenant's Connection to be Ready", WAIT, async || {
            let status = connections.get("crm").await?.status.unwrap_or_default();
            Ok(is_true(Some(&status.conditions), conditions::READY).then_some(()))
        })
        .await
    }

    async fn message_of(&self, name: &str, reason: &str) -> Result<String> {
        let connection = self.until_connection(name, reason).await?;
        let status = connection.status.context("a status")?;
        Ok(conditions::find(&status.conditions, conditions::READY).context("Ready")?.message.clone())
    }
}

/// A line of this process' own memory, in bytes; the peak starts anew with `measure`.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn measure() -> impl FnOnce() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    move || memory("VmHWM:").saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_databases_fill_no_memory_and_hold_nobody_else_up() -> Result<()> {
    let world = World::start().await?;
    let servers = [
        Hostile::start(endless_message()).await?,
        Hostile::start(endless_notices()).await?,
        Hostile::start(endless_message()).await?,
        Hostile::start(endless_notices()).await?,
        Hostile::start(Malice::Dribble([&b"R"[..], &9_u32.to_be_bytes()].concat())).await?,
    ];
    let grown = measure();
    world.allow_hostile(&servers.iter().collect::<Vec<_>>()).await?;
    for (number, server) in servers.iter().enumerate() {
        world.put_hostile(&format!("db-{number}"), server.database()).await?;
    }
    world.neighbour_becomes_ready().await?;
    let dead = wait_for("every database to be judged", WAIT, async || {
        let mut judged = 0;
        for number in 0..4 {
            let connection = world.api::<Connection>(HOME).get(&format!("db-{number}")).await?;
            let reason = crate::world::ready_reason(connection.status.as_ref().map(|s| s.conditions.as_slice())).map(str::to_owned);
            judged += usize::from(reason.as_deref() == Some("NotPostgres"));
        }
        Ok((judged == 4).then_some(()))
    })
    .await;
    let grown = grown();
    assert!(grown < 96 << 20, "{grown} bytes were kept");
    dead?;
    let message = world.message_of("db-0", "NotPostgres").await?;
    println!("five hostile databases: {grown} bytes more at most");
    assert!(message.contains("before it has let us in"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_orgs_fill_no_memory_and_hold_nobody_else_up() -> Result<()> {
    let world = World::start().await?;
    let servers =
        [Hostile::start(Malice::Org(OK, vec![b' '; 1 << 16])).await?, Hostile::start(Malice::Org(OK, vec![b'['; 1 << 16])).await?];
    let grown = measure();
    world.allow_hostile(&servers.iter().collect::<Vec<_>>()).await?;
    for (number, server) in servers.iter().enumerate() {
        world.put_hostile(&format!("org-{number}"), server.org()).await?;
    }
    world.neighbour_becomes_ready().await?;
    let first = world.message_of("org-0", "AnswerUnreadable").await;
    let second = world.message_of("org-1", "AnswerUnreadable").await;
    let grown = grown();
    println!("two hostile orgs: {grown} bytes more at most");
    assert!(grown < 64 << 20, "{grown} bytes were kept");
    for message in [first?, second?] {
        assert!(message.contains("longer than 65536 bytes"), "{message}");
    }
    Ok(())
}

/// What is counted stands in the status before the server is called, so a keeper that dies of a call finds it and waits.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_written_down_before_they_are_made_and_counted_over_a_restart() -> Result<()> {
    let world = World::start().await?;
    let watched = (world.api::<Connection>(HOME), "db");
    let server = Hostile::watching(Malice::Refuse(message(b'E', b"SFATAL\0C57P03\0Mnot now\0\0")), Some(watched)).await?;
    world.allow_hostile(&[&server]).await?;
    world.put_hostile("db", server.database()).await?;
    world.until_connection("db", "LoginRefused").await?;
    wait_for("a second attempt", WAIT, async || Ok((server.visits() >= 2).then_some(()))).await?;
    let world = world.restart_after(SignedDuration::ZERO).await?;
    let reached = server.visits();
    wait_for("an attempt of the next keeper", WAIT, async || Ok((server.visits() > reached).then_some(()))).await?;
    wait_for("what was written down", WAIT, async || Ok((server.written_down.lock().unwrap().len() >= 3).then_some(()))).await?;
    let written = server.written_down.lock().unwrap().clone();
    assert_eq!(written[..3], [1, 2, 3], "{written:?}");
    world.put_secret("hostile", json!({"password": "another", "clientSecret": "s"})).await?;
    world.poke("db").await?;
    wait_for(
        "an attempt with another secret",
        WAIT,
        async || Ok((server.written_down.lock().unwrap().len() > written.len()).then_some(())),
    )
    .await?;
    assert_eq!(server.written_down.lock().unwrap()[written.len()], 1, "another secret starts over");
    Ok(())
}

/// The API server refuses a status for one text that is too long, and would do so for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_endless_name_is_verified_and_its_name_is_cut() -> Result<()> {
    let world = World::start().await?;
    let version = [&b"server_version\0"[..], "ß".repeat(5000).as_bytes(), b"\0"].concat();
    let greeting = [message(b'R', &[0; 4]), message(b'S', &version), message(b'Z', b"I")].concat();
    let server = Hostile::start(Malice::Refuse(greeting)).await?;
    world.allow_hostile(&[&server]).await?;
    world.put_hostile("db", server.database()).await?;
    let connection = world.until_connection("db", "Verified").await?;
    let system = connection.status.and_then(|s| s.metadata).and_then(|m| m.system).context("the system's name")?;
    assert!(system.starts_with("PostgreSQL ßß") && system.ends_with("ß…") && system.chars().count() == 253, "{system}");
    Ok(())
}

/// An account that may write Connections cannot make the keeper knock at doors as fast as it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_connections_has_thirty_verifications_a_minute() -> Result<()> {
    let world = World::start().await?;
    let server = Hostile::start(Malice::Refuse(message(b'E', b"SFATAL\0C28P01\0Mno\0\0"))).await?;
    world.allow_hostile(&[&server]).await?;
    for number in 0..40 {
        world.put_hostile(&format!("db-{number}"), server.database()).await?;
    }
    let waiting = wait_for("Connections that wait for their turn", WAIT, async || {
        let all = world.api::<Connection>(HOME).list(&Default::default()).await?;
        let reason = |c: &Connection| crate::world::ready_reason(c.status.as_ref().map(|s| s.conditions.as_slice())).map(str::to_owned);
        let reasons: Vec<_> = all.iter().filter_map(reason).collect();
        let waiting = reasons.iter().filter(|reason| *reason == "VerificationWaits").count();
        let judged = reasons.iter().filter(|reason| *reason == "LoginRefused").count();
        Ok((waiting >= 10 && waiting + judged == 40).then_some(server.visits()))
    })
    .await?;
    assert!((2..=30).contains(&waiting), "{waiting} logins");
    world.neighbour_becomes_ready().await
}
