//! A SQL Server or Azure SQL database, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "SQL Server, Azure SQL",
    public_port: SqlServer::DEFAULT_PORT,
    logins: &[PASSWORD],
    rows: Rows::Query,
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the database's password stays valid until you change it there",
};

const PASSWORD: LoginProfile = LoginProfile {
    field: "spec.sqlServer",
    keys: &[CredentialKey { name: "password", holds: "the user's password" }],
    refused: "user and database in spec.sqlServer",
    audience: None,
};

/// A SQL Server or Azure SQL database and the user to log in as.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqlServer {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// TCP port. Absent: 1433.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Database name.
    #[schemars(length(min = 1, max = 128))]
    pub database: String,
    /// Login of SQL Server, or user of the database, to log in as; Secret key `password`.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Trust for the server's certificate. Absent: public roots and the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// TLS comes first (TDS 8.0), as servers with "Force Strict Encryption" ask for it. Absent: false, TLS is agreed upon inside of TDS; both
    /// encrypt everything but the wish for it, and verify the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_encryption: Option<bool>,
}

impl SqlServer {
    /// The port that SQL Server is assigned by IANA, and the only one that public addresses are dialed on.
    pub const DEFAULT_PORT: u16 = 1433;

    /// The TCP port to dial: the one that is set, else [`Self::DEFAULT_PORT`].
    pub fn port(&self) -> u16 {
        self.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(Self::DEFAULT_PORT)
    }

    /// Whether TLS comes before anything else.
    pub fn strict_encryption(&self) -> bool {
        self.strict_encryption.unwrap_or(false)
    }
}

impl ExternalSystem for SqlServer {
    /// Either way of TLS verifies the same server, so that a change between them shows the password to nobody else.
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { host, port: _, database, user, tls, strict_encryption: _ } = self;
        let port = self.port();
        Endpoint {
            parts: vec![Cow::Borrowed(host), Cow::Owned(port.to_string()), Cow::Borrowed(database), Cow::Borrowed(user)],
            words: format!("SQL Server {host}:{port}, database {database} as {user}"),
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(&PASSWORD)
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
