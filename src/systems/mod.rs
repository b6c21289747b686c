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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    identity: Option<Arc<dyn IdentityTokens>>,
}

impl Entries {
    /// Its token, if it has one in place of a secret, is followed by these: each is shown once, because it is good for minutes only.
    pub(crate) fn followed_by(self, tokens: Arc<dyn IdentityTokens>) -> Self {
        let first = Mutex::new(self.entries.get(IDENTITY_TOKEN).cloned());
        Self { identity: Some(Arc::new(Renewed { first, next: tokens })), ..self }
    }

    fn text(&self, name: &'static str) -> Result<SecretString, DriverError> {
        self.entries.get(name).cloned().ok_or(DriverError::Entry(name))
    }

    /// Tokens that stand for a secret.
    fn identity(&self) -> Result<Arc<dyn IdentityTokens>, DriverError> {
        let first = self.entries.get(IDENTITY_TOKEN).ok_or(DriverError::Identity)?;
        Ok(self.identity.clone().unwrap_or_else(|| Arc::new(Fixed(first.clone()))))
    }
}

/// For who asks once.
struct Fixed(SecretString);

#[async_trait]
impl IdentityTokens for Fixed {
    async fn token(&self) -> Result<SecretString, connect::Error> {
        Ok(self.0.clone())
    }
}

struct Renewed {
    first: Mutex<Option<SecretString>>,
    next: Arc<dyn IdentityTokens>,
}

#[async_trait]
impl IdentityTokens for Renewed {
    async fn token(&self) -> Result<SecretString, connect::Error> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(first) => Ok(first),
            None => self.next.token().await,
        }
    }
}

impl FromIterator<(String, SecretString)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect(), identity: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error("the stored credential has no entry {0}: put all entries into the Secret of secretRef once more, that one too")]
    Entry(&'static str),
    #[error("a ServiceAccount has tokens only in a cluster: log in with a Secret here, by credentials.secretRef")]
    Identity,
    #[error("the Connection says no way to log in that this version knows")]
    Login,
    #[error(transparent)]
    Connect(#[from] connect::Error),
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn a_token_is_shown_once_and_followed_by_another() {
        let entries: Entries = [(IDENTITY_TOKEN.to_owned(), "first".into())].into_iter().collect();
        // Two who ask share them.
        let entries = entries.followed_by(Arc::new(Fixed("next".into())));
        let (one, other) = (entries.identity().unwrap(), entries.identity().unwrap());
        assert_eq!(one.token().await.unwrap().expose_secret(), "first");
        assert_eq!(other.token().await.unwrap().expose_secret(), "next");
        let none: Entries = [("accessKeyId".to_owned(), "AKIA".into())].into_iter().collect();
        assert!(matches!(none.followed_by(Arc::new(Fixed("next".into()))).identity(), Err(DriverError::Identity)));
    }
}
