//! `Connection`: one external system and who we are there. It never holds a secret in clear.

mod azure;
mod credentials;
mod gcs;
mod https;
mod mysql;
mod postgres;
mod s3;
mod salesforce;
mod sftp;
mod sqlserver;
mod status;
mod system;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::azure::{AzureAuth, AzureAuthKind, AzureBlob, AzureWay, AzureWorkloadIdentity};
pub use self::credentials::{
    AfterIntake, CredentialKind, CredentialOrigin, CredentialSource, Credentials, SealedCredential, SecretRef, ServiceAccountRef,
};
pub use self::gcs::Gcs;
pub use self::https::{Https, HttpsAuth, HttpsAuthKind, HttpsBasic, HttpsBearer, HttpsHeader};
pub use self::mysql::MySql;
pub use self::postgres::{Postgres, PostgresAuth, PostgresAuthKind, PostgresWay};
pub use self::s3::{CustomerKey, S3, S3AccessKey, S3Auth, S3AuthKind, S3Encryption, S3EncryptionKind, S3WebIdentity};
pub use self::salesforce::{AuthFlow, ClientCredentials, JwtBearer, LoginAt, Salesforce, SalesforceAuth};
pub use self::sftp::{Sftp, SftpAuth, SftpAuthKind, SftpWay};
pub use self::sqlserver::SqlServer;
pub use self::status::{ConnectionMetadata, ConnectionStatus, Verification};
pub use self::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, System, SystemKind, SystemProfile};
use crate::schema::{PEM, exactly_one, rule, same_one};

/// One external system and who we are there. It never holds a secret in clear.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "dataimporter.io",
    version = "v1alpha1",
    kind = "Connection",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "ConnectionStatus",
    derive = "PartialEq",
    shortname = "conn",
    category = "dataimporter",
    doc = "One external system and who we are there. It never holds a secret in clear.",
    printcolumn(name = "System", type_ = "string", json_path = ".status.metadata.system"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.metadata.user"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Verified", type_ = "date", json_path = ".status.lastVerified"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    exactly_one(System::KEYS),
    same_one(System::KEYS, "the kind of system is immutable: create another Connection"),
    rule(
        "has(self.credentials.serviceAccountRef) == (has(self.s3) && has(self.s3.auth) && has(self.s3.auth.webIdentity) || has(self.azureBlob) && has(self.azureBlob.auth.workloadIdentity))",
        "credentials.serviceAccountRef goes with s3.auth.webIdentity and azureBlob.auth.workloadIdentity, and secretRef or sealed with every other way to log in",
    ),
]))]
pub struct ConnectionSpec {
    /// A Salesforce org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salesforce: Option<Salesforce>,
    /// A PostgreSQL database. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    postgres: Option<Postgres>,
    /// A MySQL or MariaDB database. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mysql: Option<MySql>,
    /// A SQL Server or Azure SQL database. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sql_server: Option<SqlServer>,
    /// A bucket of S3 or of storage that speaks like it. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s3: Option<S3>,
    /// A bucket of Google Cloud Storage. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gcs: Option<Gcs>,
    /// A container of Azure Blob Storage. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    azure_blob: Option<AzureBlob>,
    /// Files at an HTTPS server, with full verification of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    https: Option<Https>,
    /// An SFTP server. Always with a host key that is listed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sftp: Option<Sftp>,
    /// What proves who we are.
    pub credentials: Credentials,
    /// No run may use this connection while true. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// What the server's certificate must prove. Verification is never left out.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// PEM certificates that may sign the server's, besides the public roots. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536), regex(pattern = PEM))]
    pub ca_bundle: Option<String>,
    /// Name the server's certificate must carry, for databases. Absent: the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

impl ConnectionSpec {
    /// Whether no run may use the connection now.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// The way to log in. `None`: the system, or the way, is none that this version knows.
    pub fn login(&self) -> Option<&'static LoginProfile> {
        self.system()?.external().login()
    }

    /// Whom the tokens of its ServiceAccount are for, if it has one in place of a Secret.
    pub fn audience(&self) -> Option<&str> {
        let reference = self.credentials.service_account_ref()?;
        reference.audience.as_deref().or(self.login()?.audience)
    }

    /// The endpoint in words and one line, for the person who decides whether a secret may go there: its author must not write more than it.
    pub fn endpoint(&self) -> String {
        let Some(system) = self.system() else { return String::new() };
        let Endpoint { parts: _, words: mut text, tls, allowed } = system.external().endpoint();
        if tls.is_some_and(|tls| tls.ca_bundle.is_some()) {
            text.push_str(", trusting the authorities of its caBundle");
        }
        if let Some(name) = tls.and_then(|tls| tls.server_name.as_ref()) {
            text.push_str(&format!(", with the certificate of {name}"));
        }
        if let Some(allowed) = allowed {
            text.push_str(&format!(", {}", allowed.words));
        }
        if let Some(audience) = self.audience() {
            text.push_str(&format!(", by tokens for {audience}"));
        }
        text.replace(char::is_control, " ")
    }

    /// What a credential is bound to, and what its owner consents to: a user who changes any of it needs the owner's consent again, else
    /// the secret could be sent to a server of their choice. The key of the system comes first, so that no two kinds share a digest. What
    /// describes no system that this version knows has the digest of nothing: there is nowhere a secret could go.
    pub fn endpoint_digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |part: &str| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        if let Some(system) = self.system() {
            let Endpoint { parts, words: _, tls, allowed } = system.external().endpoint();
            add(system.kind().key());
            parts.iter().for_each(|part| add(part));
            tls_parts(tls).into_iter().for_each(&mut add);
            allowed.iter().for_each(|allowed| add(allowed.part));
        }
        if let Some(audience) = self.audience() {
            add("audience");
            add(audience);
        }
        hex::encode(digest.finalize())
    }

    /// Leaves out the certificates, which are large, for a caller that only asks what a Connection is to.
    pub fn forget_certificates(&mut self) {
        let Self { salesforce, postgres, mysql, sql_server, s3, gcs, azure_blob, https, sftp: _, credentials: _, suspend: _ } = self;
        let of_salesforce = salesforce.as_mut().and_then(|salesforce| salesforce.tls.as_mut());
        let of_postgres = postgres.as_mut().and_then(|postgres| postgres.tls.as_mut());
        let of_mysql = mysql.as_mut().and_then(|mysql| mysql.tls.as_mut());
        let of_sql_server = sql_server.as_mut().and_then(|server| server.tls.as_mut());
        let of_s3 = s3.as_mut().and_then(|s3| s3.tls.as_mut());
        let of_gcs = gcs.as_mut().and_then(|gcs| gcs.tls.as_mut());
        let of_azure = azure_blob.as_mut().and_then(|azure| azure.tls.as_mut());
        let of_https = https.as_mut().and_then(|https| https.tls.as_mut());
        for tls in [of_salesforce, of_postgres, of_mysql, of_sql_server, of_s3, of_gcs, of_azure, of_https].into_iter().flatten() {
            tls.ca_bundle = None;
        }
    }

    /// Leaves out the system, for a caller that only asks which Connections there are.
    pub fn forget_system(&mut self) {
        let Self { salesforce, postgres, mysql, sql_server, s3, gcs, azure_blob, https, sftp, credentials: _, suspend: _ } = self;
        (*salesforce, *postgres, *mysql, *sql_server) = (None, None, None, None);
        (*s3, *gcs, *azure_blob, *https, *sftp) = (None, None, None, None, None);
    }
}

fn tls_parts(tls: Option<&Tls>) -> [&str; 2] {
    let text = |part: fn(&Tls) -> Option<&String>| tls.and_then(part).map_or("", String::as_str);
    [text(|t| t.ca_bundle.as_ref()), text(|t| t.server_name.as_ref())]
}

#[cfg(test)]
mod tests;
