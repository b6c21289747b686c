//! The systems that a Connection is to, as the keeper verifies them and as jobs read them. Each has a file, which says both.

mod azure;
mod gcs;
mod https;
mod mysql;
mod postgres;
pub(crate) mod reach;
mod s3;
mod sftp;
mod sqlserver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::connection::{ConnectionMetadata, Salesforce, System};
use api::import_job::SqlSource;
use api::keeper::IDENTITY_TOKEN;
use async_trait::async_trait;
use connect::{Dialer, IdentityTokens, RemoteFiles};
use engine::source::{Since, Source, Zoneless};
use secrecy::SecretString;

/// A system that answers queries.
#[async_trait]
pub(crate) trait Database: Sync {
    /// Shows the credential to the system, and tells who we are there.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError>;

    /// The rows of a query.
    fn query(&self, dialer: &Dialer, entries: &Entries, asked: Asked<'_>) -> Result<Box<dyn Source>, DriverError>;
}

/// What a run asks a database.
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a SqlSource,
    /// What the last run has read up to; empty: nothing.
    pub(crate) bookmark: &'a [String],
    /// What times without a zone are.
    pub(crate) zoneless: Zoneless,
    /// How long the run may still take.
    pub(crate) time_left: Duration,
}

impl Asked<'_> {
    fn since(&self) -> Option<Since> {
        Since::of(self.query, self.bookmark)
    }
}

/// A system that has files.
#[async_trait]
pub(crate) trait FileServer: Sync {
    /// Shows the credential to the system, and tells who we are there.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError>;

    /// Its files. Nothing is asked of the system yet.
    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError>;
}

/// What a system is for.
pub(crate) enum Role<'a> {
    /// Rows are loaded into it, in sessions that the keeper opens.
    Target(&'a Salesforce),
    /// Rows come from it, by a query.
    Database(&'a dyn Database),
    /// Rows come from its files.
    Files(&'a dyn FileServer),
}

pub(crate) fn role(system: System<'_>) -> Role<'_> {
    match system {
        System::Salesforce(salesforce) => Role::Target(salesforce),
        System::Postgres(postgres) => Role::Database(postgres),
        System::MySql(mysql) => Role::Database(mysql),
        System::SqlServer(server) => Role::Database(server),
        System::S3(s3) => Role::Files(s3),
        System::Gcs(gcs) => Role::Files(gcs),
        System::AzureBlob(azure) => Role::Files(azure),
        System::Https(https) => Role::Files(https),
        System::Sftp(sftp) => Role::Files(sftp),
    }
}

/// The entries of a credential, by the names that the system gives them.
pub(crate) struct Entries {
    entries: BTreeMap<String, SecretString>,
    since: Instant,
    renewed: Option<Arc<dyn IdentityTokens>>,
}

impl Entries {
    /// Where a token that stands for a secret comes from once this one has ended.
    pub(crate) fn renewed_by(self, tokens: Arc<dyn IdentityTokens>) -> Self {
        Self { renewed: Some(tokens), ..self }
    }

    fn text(&self, name: &'static str) -> Result<SecretString, DriverError> {
        self.entries.get(name).cloned().ok_or(DriverError::Entry(name))
    }

    /// Tokens that stand for a secret.
    fn identity(&self) -> Result<Arc<dyn IdentityTokens>, DriverError> {
        let first = self.entries.get(IDENTITY_TOKEN).cloned().ok_or(DriverError::Identity)?;
        Ok(Arc::new(Identity { first, since: self.since, renewed: self.renewed.clone() }))
    }
}

/// A token is good for ten minutes; so long it is shown.
const TOKEN_SHOWN: Duration = Duration::from_secs(300);

struct Identity {
    first: SecretString,
    since: Instant,
    renewed: Option<Arc<dyn IdentityTokens>>,
}

#[async_trait]
impl IdentityTokens for Identity {
    async fn token(&self) -> Result<SecretString, connect::Error> {
        match &self.renewed {
            Some(renewed) if self.since.elapsed() > TOKEN_SHOWN => renewed.token().await,
            _ => Ok(self.first.clone()),
        }
    }
}

impl FromIterator<(String, SecretString)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect(), since: Instant::now(), renewed: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error("the stored credential has no entry {0}: put all entries into the Secret of secretRef once more, that one too")]
    Entry(&'static str),
    #[error("a ServiceAccount has tokens only in a cluster: give the Connection an access key with credentials.secretRef here")]
    Identity,
    #[error("the Connection says no way to log in that this version knows")]
    Login,
    #[error(transparent)]
    Connect(#[from] connect::Error),
}
