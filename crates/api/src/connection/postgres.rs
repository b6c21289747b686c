//! A PostgreSQL database, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{Allowed, CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::exactly_one;
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "PostgreSQL",
    public_port: Postgres::DEFAULT_PORT,
    logins: &[PASSWORD, CLIENT_CERTIFICATE],
    rows: Rows::Query,
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the database's password stays valid until you change it there, a certificate until it ends or is revoked",
};

const PASSWORD: LoginProfile = LoginProfile {
    field: "spec.postgres",
    keys: &[CredentialKey { name: Postgres::PASSWORD, holds: "the role's password" }],
    refused: "user and database in spec.postgres",
    audience: None,
};

const CLIENT_CERTIFICATE: LoginProfile = LoginProfile {
    field: "spec.postgres.auth.clientCertificate",
    keys: &[
        CredentialKey {
            name: Postgres::CERTIFICATE,
            holds: "the certificate that names the role, in PEM, with those between it and its authority",
        },
        CredentialKey { name: Postgres::KEY, holds: "its private key in PEM, without a passphrase" },
    ],
    refused: "user and database in spec.postgres",
    audience: None,
};

/// A PostgreSQL database and the role to log in as.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// TCP port. Absent: 5432.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Database name.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// Role to log in as.
    #[schemars(length(min = 1, max = 63))]
    pub user: String,
    /// How we authenticate. Absent: by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<PostgresAuth>,
    /// Trust for the server's certificate. Absent: public roots and the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The server gets the password itself, or its MD5, where it asks for it: its operator learns the password. Absent: false, only SCRAM-SHA-256 is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_insecure_password_authentication: Option<bool>,
}

/// How we authenticate at PostgreSQL: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(PostgresAuthKind::KEYS)]))]
pub struct PostgresAuth {
    /// By the role's password; Secret key `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<PostgresWay>,
    /// By a certificate that names the role (`cert` in the server's `pg_hba.conf`); Secret keys `tls.crt` and `tls.key`, as a Secret of type
    /// `kubernetes.io/tls` has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<PostgresWay>,
}

/// A way to authenticate of which nothing needs to be said.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct PostgresWay {}

union! {
    /// How we authenticate at PostgreSQL.
    pub enum PostgresAuthKind<'a> = PostgresAuth::kind {
        /// By the role's password.
        "password" password => Password(&'a PostgresWay),
        /// By a certificate that names the role.
        "clientCertificate" client_certificate => ClientCertificate(&'a PostgresWay),
    }
}

impl Postgres {
    /// Key of the Secret that holds the password.
    pub const PASSWORD: &str = "password";
    /// Key of the Secret that holds the client certificate.
    pub const CERTIFICATE: &str = "tls.crt";
    /// Key of the Secret that holds the private key of the client certificate.
    pub const KEY: &str = "tls.key";

    /// The way to log in. `None`: one that this version does not know.
    pub fn auth(&self) -> Option<PostgresAuthKind<'_>> {
        static PASSWORD: PostgresWay = PostgresWay {};
        self.auth.as_ref().map_or(Some(PostgresAuthKind::Password(&PASSWORD)), PostgresAuth::kind)
    }

    /// The port that PostgreSQL is assigned by IANA, and the only one that public addresses are dialed on.
    pub const DEFAULT_PORT: u16 = 5432;

    /// The TCP port to dial: the one that is set, else [`Self::DEFAULT_PORT`].
    pub fn port(&self) -> u16 {
        self.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(Self::DEFAULT_PORT)
    }

    /// Whether the server may have the password itself, or its MD5, where it asks for it.
    pub fn allows_insecure_password(&self) -> bool {
        self.allow_insecure_password_authentication.unwrap_or(false)
    }
}

impl ExternalSystem for Postgres {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { host, port: _, database, user, auth: _, tls, allow_insecure_password_authentication: _ } = self;
        let port = self.port();
        let allowed = Allowed { part: "allowInsecurePasswordAuthentication", words: "which may ask for the password itself" };
        Endpoint {
            parts: vec![Cow::Borrowed(host), Cow::Owned(port.to_string()), Cow::Borrowed(database), Cow::Borrowed(user)],
            words: format!("PostgreSQL {host}:{port}, database {database} as {user}"),
            tls: tls.as_ref(),
            allowed: self.allows_insecure_password().then_some(allowed),
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth()? {
            PostgresAuthKind::Password(_) => &PASSWORD,
            PostgresAuthKind::ClientCertificate(_) => &CLIENT_CERTIFICATE,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
