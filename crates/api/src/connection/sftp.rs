//! An SFTP server, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::{TEXT, exactly_one};
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "SFTP",
    public_port: 22,
    logins: &[PASSWORD, KEY, ENCRYPTED_KEY, CERTIFIED_KEY],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the password or key stays valid until you change it there",
};

const PASSWORD: LoginProfile = LoginProfile {
    field: "spec.sftp.auth.password",
    keys: &[CredentialKey { name: Sftp::PASSWORD, holds: "the user's password" }],
    refused: "user in spec.sftp",
    audience: None,
};

const PRIVATE_KEY: CredentialKey = CredentialKey { name: Sftp::PRIVATE_KEY, holds: "a private key as ssh-keygen writes it" };

const KEY: LoginProfile =
    LoginProfile { field: "spec.sftp.auth.privateKey", keys: &[PRIVATE_KEY], refused: "user in spec.sftp", audience: None };

const ENCRYPTED_KEY: LoginProfile = LoginProfile {
    field: "spec.sftp.auth.encryptedPrivateKey",
    keys: &[PRIVATE_KEY, CredentialKey { name: Sftp::PASSPHRASE, holds: "the passphrase of the key" }],
    refused: "user in spec.sftp",
    audience: None,
};

const CERTIFIED_KEY: LoginProfile = LoginProfile {
    field: "spec.sftp.auth.certificate",
    keys: &[
        PRIVATE_KEY,
        CredentialKey { name: Sftp::CERTIFICATE, holds: "the OpenSSH certificate of the key, as in `id_ed25519-cert.pub`" },
    ],
    refused: "user in spec.sftp",
    audience: None,
};

/// An SFTP server. Always with a host key that is listed here.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sftp {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253), regex(pattern = TEXT))]
    pub host: String,
    /// TCP port. Absent: 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// User who logs in.
    #[schemars(length(min = 1, max = 254), regex(pattern = TEXT))]
    pub user: String,
    /// Fingerprints of the host keys that the server may show, as `ssh-keyscan HOST | ssh-keygen -lf -` prints them (`SHA256:…`); have them
    /// confirmed by the server's owner. Several, while a key is changed.
    #[schemars(length(min = 1, max = 8), inner(length(min = 50, max = 50), regex(pattern = "^SHA256:[A-Za-z0-9+/]{43}$")))]
    pub host_keys: Vec<String>,
    /// Folder that the paths of files begin in. Absent: where the server puts the user who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = TEXT))]
    pub directory: Option<String>,
    /// How we authenticate.
    pub auth: SftpAuth,
}

/// How we authenticate at an SFTP server: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(SftpAuthKind::KEYS)]))]
pub struct SftpAuth {
    /// The user's password; Secret key `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<SftpWay>,
    /// A private key without a passphrase; Secret key `privateKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<SftpWay>,
    /// A private key with a passphrase; Secret keys `privateKey` and `passphrase`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encrypted_private_key: Option<SftpWay>,
    /// A private key and its OpenSSH certificate; Secret keys `privateKey` and `certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<SftpWay>,
}

/// A way to authenticate of which nothing needs to be said.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct SftpWay {}

union! {
    /// How we authenticate at an SFTP server.
    pub enum SftpAuthKind<'a> = SftpAuth::kind {
        /// By a password.
        "password" password => Password(&'a SftpWay),
        /// By a private key.
        "privateKey" private_key => PrivateKey(&'a SftpWay),
        /// By a private key with a passphrase.
        "encryptedPrivateKey" encrypted_private_key => EncryptedPrivateKey(&'a SftpWay),
        /// By a private key and its certificate.
        "certificate" certificate => Certificate(&'a SftpWay),
    }
}

impl Sftp {
    /// Key of the Secret that holds the password.
    pub const PASSWORD: &str = "password";
    /// Key of the Secret that holds the private key.
    pub const PRIVATE_KEY: &str = "privateKey";
    /// Key of the Secret that holds the private key's passphrase.
    pub const PASSPHRASE: &str = "passphrase";
    /// Key of the Secret that holds the private key's certificate.
    pub const CERTIFICATE: &str = "certificate";

    /// The port that is dialed.
    pub fn port(&self) -> u16 {
        self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(PROFILE.public_port)
    }
}

impl ExternalSystem for Sftp {
    /// Where files begin is not part of it: it decides nothing about who gets the secret.
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { host, port: _, user, host_keys, directory: _, auth: _ } = self;
        let port = self.port();
        let mut parts = vec![Cow::Borrowed(host.as_str()), Cow::Owned(port.to_string()), Cow::Borrowed(user.as_str())];
        parts.extend(host_keys.iter().map(|key| Cow::Borrowed(key.as_str())));
        Endpoint { words: format!("SFTP {host}:{port} as {user}, host key {}", host_keys.join(" or ")), parts, tls: None, allowed: None }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth.kind()? {
            SftpAuthKind::Password(_) => &PASSWORD,
            SftpAuthKind::PrivateKey(_) => &KEY,
            SftpAuthKind::EncryptedPrivateKey(_) => &ENCRYPTED_KEY,
            SftpAuthKind::Certificate(_) => &CERTIFIED_KEY,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
