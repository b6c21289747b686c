//! Every outgoing connection: the one dialer.
//!
//! A [`Dialer`] resolves names itself, refuses addresses its [`AddressPolicy`] does not allow, dials exactly what it has checked, and
//! speaks TLS with full verification or not at all. With a [`Proxy`] it reaches public hosts through that. It knows nothing of Kubernetes, of Regions or of what the connection is for.

#![warn(missing_docs)]

mod address;
mod dial;
mod download;
mod error;
mod exchange;
mod files;
mod https;
mod identity;
mod mysql;
mod names;
mod objects;
mod policy;
mod postgres;
mod proxy;
pub mod reasons;
mod sftp;
mod sqlserver;
mod trust;

pub use dial::Dialer;
pub use download::{HttpsFiles, HttpsFilesParams, HttpsLogin, HttpsRefusal};
pub use error::{DatabaseError, Diagnosis, Error, diagnose, explain, find};
pub use files::{ChangeError, Entries, Entry, EntryKind, FileBytes, FileError, FileState, MOST_NAMES, RemoteFiles, Removed, Renamed, Span};
pub use https::{Https, HttpsOptions};
pub use identity::IdentityTokens;
pub use mysql::{MySqlColumn, MySqlKind, MySqlParams, MySqlRow, MySqlRows, MySqlSession};
pub use names::{FixedNames, Names};
pub use objects::{
    AuthorityRefusal, AzureIdentity, AzureKey, AzureParams, GcsParams, ObjectFiles, ObjectsRefusal, RoleRefusal, S3Credential, S3Key,
    S3Params, S3Refusal, S3Role, S3Store,
};
pub use policy::{AddressPolicy, NotANetwork};
pub use postgres::{PostgresColumn, PostgresCopy, PostgresCredential, PostgresParams, PostgresSession, PostgresType};
pub use proxy::{Proxy, ProxyLogin, ProxyParams, ProxyRefusal, ProxyUnusable};
pub use sftp::{SftpFiles, SftpLogin, SftpParams};
pub use sqlserver::{SqlServerColumn, SqlServerKind, SqlServerParams, SqlServerRow, SqlServerRows, SqlServerSession, SqlServerValue};
pub use trust::Trust;
