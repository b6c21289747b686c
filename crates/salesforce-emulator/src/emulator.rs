//! The library's front door: build a server, start it on loopback, look inside while it runs.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::app;
use crate::bulk::job;
use crate::config::{Behaviour, Client, Config};
use crate::faults::Fault;
use crate::journal::Entry;
use crate::oauth::{IssuedToken, opaque};
use crate::org::Org;
use crate::schema::{DEFAULT_SCHEMA, Schema, SchemaError};
use crate::serve::serve;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum StartError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("a validation rule of the schema is not a condition: {0}")]
    Rule(String),
    #[error("the address {0} cannot be listened on")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("the TLS certificate or key is not usable")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("client {0}: its publicKey is neither an RSA public key nor a certificate in PEM")]
    PublicKey(String),
}

enum Tls {
    /// A certificate of an authority made for this server alone.
    OwnAuthority,
    Given {
        certificate: String,
        key: String,
    },
    Plain,
}

/// A server that is being told what it is, before it starts.
pub struct Emulator {
    config: Config,
    schema: String,
    listen: SocketAddr,
    tls: Tls,
}

impl Emulator {
    /// TLS on a free port of loopback, the default schema, one client with random credentials.
    pub fn builder() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { config: Config::default(), schema: DEFAULT_SCHEMA.to_owned(), listen, tls: Tls::OwnAuthority }
    }

    /// Listens there; port 0 takes a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks HTTP without TLS.
    pub fn plain_http(mut self) -> Self {
        self.tls = Tls::Plain;
        self
    }

    /// Shows this certificate chain, both in PEM.
    pub fn tls(mut self, certificate_pem: String, key_pem: String) -> Self {
        self.tls = Tls::Given { certificate: certificate_pem, key: key_pem };
        self
    }

    /// Has the objects of this schema, in YAML as `schemas/default.yaml` shows it.
    pub fn schema(mut self, yaml: impl Into<String>) -> Self {
        self.schema = yaml.into();
        self
    }

    /// The first client is the one `Running` names.
    pub fn client(mut self, client: Client) -> Self {
        self.config.clients.push(client);
        self
    }

    /// Changes anything that a server can be told.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the switches for behaviour no public source settles.
    pub fn behaviour(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.config.behaviour);
        self
    }

    /// Opens the tester's door `/emulator`.
    pub fn admin(mut self) -> Self {
        self.config.admin = true;
        self
    }

    /// Starts it; it answers when this returns.
    ///
    /// # Errors
    ///
    /// The schema or the TLS key cannot be used, or the address is taken.
    pub fn start(self) -> BoxFuture<'static, Result<Running, StartError>> {
        // Boxed, so that the server is compiled here and not in every program that starts it.
        Box::pin(self.started())
    }

    async fn started(mut self) -> Result<Running, StartError> {
        if self.config.clients.is_empty() {
            self.config.clients.push(Client::random());
        }
        if self.config.password.is_empty() {
            self.config.password = opaque(24);
        }
        for client in &self.config.clients {
            if client.public_key.as_deref().is_some_and(|pem| !crate::oauth::is_public_key(pem)) {
                return Err(StartError::PublicKey(client.client_id.clone()));
            }
        }
        let (tls, ca_pem) = match self.tls {
            Tls::Plain => (None, None),
            Tls::Given { certificate, key } => (Some(server_config(&certificate, &key).map_err(StartError::Tls)?), None),
            Tls::OwnAuthority => {
                let made = crate::authority::make().map_err(|error| StartError::Tls(Box::new(error)))?;
                (Some(server_config(&made.certificate_pem, &made.key_pem).map_err(StartError::Tls)?), Some(made.ca_pem))
            }
        };
        let listener = TcpListener::bind(self.listen).await.map_err(|error| StartError::Listen(self.listen, error))?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(self.listen, error))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let own_url = self.config.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let url = own_url.trim_end_matches('/').to_owned();
        let schema = Schema::parse(&self.schema)?;
        let first = self.config.clients[0].clone();
        let (username, password) = (self.config.username.clone(), self.config.password.clone());
        let org = Arc::new(Org::new(self.config, url.clone(), schema).map_err(|error| StartError::Rule(error.message))?);
        let server = tokio::spawn(serve(listener, tls, app(org.clone())));
        Ok(Running {
            url,
            address,
            client_id: first.client_id,
            client_secret: first.client_secret,
            username,
            password,
            ca_pem,
            org,
            server,
        })
    }
}

impl Client {
    /// An application with random credentials and the client credentials flow only.
    pub fn random() -> Self {
        Self {
            client_id: format!("3MVG9{}", opaque(80)),
            client_secret: opaque(64).to_ascii_uppercase(),
            public_key: None,
            redirect_uris: Vec::new(),
            rotate_refresh_tokens: false,
            public: false,
        }
    }
}

fn server_config(certificate: &str, key: &str) -> Result<Arc<rustls::ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A server that runs until it is dropped.
pub struct Running {
    /// Base URL, which tokens and links name.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Of the first application.
    pub client_id: String,
    /// Of the first application.
    pub client_secret: String,
    /// The one user of the organisation.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The authority to trust, when the server made its own certificate.
    pub ca_pem: Option<String>,
    org: Arc<Org>,
    server: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An ingest job as the organisation sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Id of the job, 18 characters.
    pub id: String,
    /// API name of the object that it loads.
    pub object: String,
    /// As Bulk API 2.0 writes it: `insert`, `upsert`, …
    pub operation: &'static str,
    /// As Bulk API 2.0 writes it: `Open`, `JobComplete`, …
    pub state: &'static str,
    /// How often data was put into it.
    pub uploads: u32,
    /// Bytes of its data.
    pub upload_bytes: usize,
    /// SHA-256 of its data, in hexadecimal digits.
    pub upload_sha256: String,
    /// Rows that have an outcome.
    pub processed: usize,
    /// Of these the ones that failed.
    pub failed: u64,
    /// Attempts of batches beyond the first.
    pub retries: u32,
    /// Why the job failed, if it did.
    pub error: Option<String>,
}

impl Running {
    /// Waits for the server, which ends only by being dropped.
    pub async fn forever(mut self) {
        let _ = (&mut self.server).await;
    }

    /// Every ingest job that there was, deleted ones excepted.
    pub fn jobs(&self) -> Vec<JobSummary> {
        jobs(&self.org)
    }

    /// Live rows of an object; zero for an object that does not exist.
    pub fn count(&self, object: &str) -> u64 {
        self.org.schema.object(object).map_or(0, |object| self.org.store().count(object))
    }

    /// Live rows as the values of these fields, in the order they were made.
    pub fn rows(&self, object: &str, fields: &[&str]) -> Vec<Vec<Option<String>>> {
        let Some(object) = self.org.schema.object(object) else { return Vec::new() };
        let numbers: Vec<Option<usize>> = fields.iter().map(|field| self.org.schema.objects[object].field(field)).collect();
        let store = self.org.store();
        let live = store.numbers(object).map(|number| store.view(object, number)).filter(|view| view.is_live());
        live.map(|view| numbers.iter().map(|field| view.get((*field)?).map(|text| text.into_owned())).collect()).collect()
    }

    /// Row count and SHA-256 over the fields of all rows, whatever their order.
    pub fn digest(&self, object: &str, fields: &[&str]) -> Option<(u64, String)> {
        let object = self.org.schema.object(object)?;
        let fields = fields.iter().map(|field| self.org.schema.objects[object].field(field)).collect::<Option<Vec<_>>>()?;
        Some(self.org.digest(object, &fields))
    }

    /// Every token that was issued, dead ones, too.
    pub fn tokens(&self) -> Vec<IssuedToken> {
        self.org.tokens().all(self.org.now(), self.org.config.session_timeout)
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Entry> {
        self.org.journal().entries().cloned().collect()
    }

    /// How many requests there were, with those that `requests` has forgotten.
    pub fn request_count(&self) -> usize {
        self.org.journal().total()
    }

    /// Adds a fault behind those that are there.
    pub fn inject(&self, fault: Fault) {
        self.org.faults().add(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.org.faults().clear();
    }

    /// Faults that did not happen yet.
    pub fn pending_faults(&self) -> Vec<Fault> {
        self.org.faults().rules().to_vec()
    }

    /// Ends every access token.
    pub fn expire_sessions(&self) {
        self.org.tokens().expire_sessions();
    }

    /// Puts the organisation's clock forward.
    pub fn advance_clock(&self, by: std::time::Duration) {
        self.org.advance_clock(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }
}

pub(crate) fn jobs(org: &Org) -> Vec<JobSummary> {
    org.jobs.all().iter().map(|job| summary(job)).collect()
}

fn summary(job: &job::Job) -> JobSummary {
    use sha2::Digest;
    let progress = job.progress();
    JobSummary {
        id: job.id.clone(),
        object: job.spec.object_name.clone(),
        operation: job.spec.operation.name(),
        state: progress.state.name(),
        uploads: progress.uploads,
        upload_bytes: progress.upload.len(),
        upload_sha256: hex::encode(sha2::Sha256::digest(&progress.upload)),
        processed: progress.rows.len(),
        failed: progress.failed,
        retries: progress.retries,
        error: progress.error.clone(),
    }
}
