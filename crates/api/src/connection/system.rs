//! What an external system says about itself. Each one has a file of its own beside this one, and says all of it there.

use std::borrow::Cow;

use super::{AzureBlob, ConnectionSpec, Gcs, Https, MySql, Postgres, S3, Salesforce, Sftp, SqlServer, Tls};
use crate::union::union;

union! {
    /// The external system that a Connection describes.
    pub enum System<'a> = ConnectionSpec::system kinds SystemKind {
        /// A Salesforce org.
        "salesforce" salesforce => Salesforce(&'a Salesforce),
        /// A PostgreSQL database.
        "postgres" postgres => Postgres(&'a Postgres),
        /// A MySQL or MariaDB database.
        "mysql" mysql => MySql(&'a MySql),
        /// A SQL Server or Azure SQL database.
        "sqlServer" sql_server => SqlServer(&'a SqlServer),
        /// A bucket of S3 or of storage that speaks like it.
        "s3" s3 => S3(&'a S3),
        /// A bucket of Google Cloud Storage.
        "gcs" gcs => Gcs(&'a Gcs),
        /// A container of Azure Blob Storage.
        "azureBlob" azure_blob => AzureBlob(&'a AzureBlob),
        /// Files at an HTTPS server.
        "https" https => Https(&'a Https),
        /// An SFTP server.
        "sftp" sftp => Sftp(&'a Sftp),
    }
}

impl<'a> System<'a> {
    /// What this one says about itself.
    pub fn external(self) -> &'a dyn ExternalSystem {
        match self {
            Self::Salesforce(salesforce) => salesforce,
            Self::Postgres(postgres) => postgres,
            Self::MySql(mysql) => mysql,
            Self::SqlServer(server) => server,
            Self::S3(s3) => s3,
            Self::Gcs(gcs) => gcs,
            Self::AzureBlob(azure) => azure,
            Self::Https(https) => https,
            Self::Sftp(sftp) => sftp,
        }
    }

    /// The org, for a caller that loads into one or asks for its access tokens.
    pub fn org(self) -> Option<&'a Salesforce> {
        match self {
            Self::Salesforce(salesforce) => Some(salesforce),
            Self::Postgres(_)
            | Self::MySql(_)
            | Self::SqlServer(_)
            | Self::S3(_)
            | Self::Gcs(_)
            | Self::AzureBlob(_)
            | Self::Https(_)
            | Self::Sftp(_) => None,
        }
    }
}

impl SystemKind {
    /// What holds for all systems of this kind.
    pub const fn profile(self) -> &'static SystemProfile {
        match self {
            Self::Salesforce => &super::salesforce::PROFILE,
            Self::Postgres => &super::postgres::PROFILE,
            Self::MySql => &super::mysql::PROFILE,
            Self::SqlServer => &super::sqlserver::PROFILE,
            Self::S3 => &super::s3::PROFILE,
            Self::Gcs => &super::gcs::PROFILE,
            Self::AzureBlob => &super::azure::PROFILE,
            Self::Https => &super::https::PROFILE,
            Self::Sftp => &super::sftp::PROFILE,
        }
    }
}

/// What one system, as a Connection describes it, says about itself. No method has a default: the author of a system answers every question.
pub trait ExternalSystem {
    /// Where a credential would go: who could read it there.
    fn endpoint(&self) -> Endpoint<'_>;

    /// The way to log in that was chosen. `None`: none that this version knows.
    fn login(&self) -> Option<&'static LoginProfile>;

    /// What only the user can do at the other end once the Connection is gone, if more is known about it than
    /// [`SystemProfile::left_after_disconnect`] says.
    fn left_to_do(&self) -> Option<String>;
}

/// What holds for all systems of a kind.
#[derive(Debug, Eq, PartialEq)]
pub struct SystemProfile {
    /// Name shown to people.
    pub name: &'static str,
    /// The port that public addresses are dialed on. Another one needs an entry in the Region's `privateEndpoints`, whatever the address.
    pub public_port: u16,
    /// The ways to log in.
    pub logins: &'static [LoginProfile],
    /// How rows are read from it.
    pub rows: Rows,
    /// What the end of a Connection revokes at the other end, as a clause.
    pub revoked_by_disconnect: &'static str,
    /// What stays valid there all the same.
    pub left_after_disconnect: &'static str,
}

/// One way to log in.
#[derive(Debug, Eq, PartialEq)]
pub struct LoginProfile {
    /// Where a manifest describes it.
    pub field: &'static str,
    /// Keys that the Secret must have; no other key is read.
    pub keys: &'static [CredentialKey],
    /// Fields of the Connection that may be wrong when the system refuses the login.
    pub refused: &'static str,
    /// No Secret is needed, but tokens of a ServiceAccount: the audience that they have if the Connection names none.
    pub audience: Option<&'static str>,
}

/// One entry of the Secret.
#[derive(Debug, Eq, PartialEq)]
pub struct CredentialKey {
    /// Key under which the Secret has it.
    pub name: &'static str,
    /// What its value is, with an article.
    pub holds: &'static str,
}

/// How rows are read from a system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rows {
    /// It is no source.
    None,
    /// It has files, which are read from their start.
    Files {
        /// They can be moved and deleted there, too (`afterSuccess`).
        changeable: bool,
    },
    /// By a query in SQL. The rows can be read again from behind one of them if the job says what orders them (`orderBy`).
    Query,
}

/// Where a credential would go.
pub struct Endpoint<'a> {
    /// What tells this server, and who we are there, from any other; in an order that never changes, because the digest is made of it.
    pub parts: Vec<Cow<'a, str>>,
    /// The same in words.
    pub words: String,
    /// What the server has to prove.
    pub tls: Option<&'a Tls>,
    /// What the server may do besides, if it was allowed to.
    pub allowed: Option<Allowed>,
}

/// Something that a server may do only if the Connection says so.
pub struct Allowed {
    /// Name of the field, a part of the digest.
    pub part: &'static str,
    /// The same in words, as a relative clause.
    pub words: &'static str,
}
