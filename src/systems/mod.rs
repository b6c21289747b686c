//! The systems that a Connection is to, as the keeper verifies them and as jobs read them. Each has a file, which says both.

mod azure;
mod gcs;
mod https;
mod mysql;
mod postgres;
pub(crate) mod reach;
mod s3;
mod sftp;

use std::collections::BTreeMap;
use std::time::Duration;

use api::connection::{ConnectionMetadata, Salesforce, System};
use api::import_job::SqlSource;
use async_trait::async_trait;
use connect::Dialer;
use engine::source::{Said, Source};
use secrecy::SecretString;

/// A system that jobs read.
#[async_trait]
pub(crate) trait Driver: Sync {
    /// Shows the credential to the system, and tells who we are there.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError>;

    /// The rows of a query. `None`: the system answers none. `time_left`: how long the run may still take.
    fn query(
        &self,
        dialer: &Dialer,
        entries: &Entries,
        query: &SqlSource,
        time_left: Duration,
    ) -> Result<Option<Box<dyn Source>>, DriverError>;

    /// A file by its path there. `None`: the system has none.
    fn file(&self, dialer: &Dialer, entries: &Entries, path: &str, said: Said) -> Result<Option<Box<dyn Source>>, DriverError>;
}

/// What a system is for.
pub(crate) enum Role<'a> {
    /// Rows are loaded into it, in sessions that the keeper opens.
    Target(&'a Salesforce),
    /// Rows come from it.
    Source(&'a dyn Driver),
}

pub(crate) fn role(system: System<'_>) -> Role<'_> {
    match system {
        System::Salesforce(salesforce) => Role::Target(salesforce),
        System::Postgres(postgres) => Role::Source(postgres),
        System::MySql(mysql) => Role::Source(mysql),
        System::S3(s3) => Role::Source(s3),
        System::Gcs(gcs) => Role::Source(gcs),
        System::AzureBlob(azure) => Role::Source(azure),
        System::Https(https) => Role::Source(https),
        System::Sftp(sftp) => Role::Source(sftp),
    }
}

/// The entries of a credential, by the names that the system gives them.
pub(crate) struct Entries(BTreeMap<String, SecretString>);

impl Entries {
    fn text(&self, name: &'static str) -> Result<SecretString, DriverError> {
        self.0.get(name).cloned().ok_or(DriverError::Entry(name))
    }
}

impl FromIterator<(String, SecretString)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error("the credential has no entry {0}")]
    Entry(&'static str),
    #[error("the Connection says no way to log in that this version knows")]
    Login,
    #[error(transparent)]
    Connect(#[from] connect::Error),
}
