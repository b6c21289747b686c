//! A MySQL or MariaDB database, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "MySQL, MariaDB",
    public_port: MySql::DEFAULT_PORT,
    logins: &[PASSWORD],
    rows: Rows::Query,
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the database's password stays valid until you change it there",
};

const PASSWORD: LoginProfile = LoginProfile {
    field: "spec.mysql",
    keys: &[CredentialKey { name: "password", holds: "the user's password" }],
    refused: "user and database in spec.mysql",
    audience: None,
};

/// A MySQL or MariaDB database and the user to log in as.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MySql {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// TCP port. Absent: 3306.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Database name.
    #[schemars(length(min = 1, max = 64))]
    pub database: String,
    /// User to log in as; Secret key `password`.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Trust for the server's certificate. Absent: public roots and the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl MySql {
    /// The port that MySQL is assigned by IANA, and the only one that public addresses are dialed on.
    pub const DEFAULT_PORT: u16 = 3306;

    /// The TCP port to dial: the one that is set, else [`Self::DEFAULT_PORT`].
    pub fn port(&self) -> u16 {
        self.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(Self::DEFAULT_PORT)
    }
}

impl ExternalSystem for MySql {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { host, port: _, database, user, tls } = self;
        let port = self.port();
        Endpoint {
            parts: vec![Cow::Borrowed(host), Cow::Owned(port.to_string()), Cow::Borrowed(database), Cow::Borrowed(user)],
            words: format!("MySQL {host}:{port}, database {database} as {user}"),
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
