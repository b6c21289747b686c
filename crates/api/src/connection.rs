//! `Connection`: one external system and who we are there. It never holds a secret in clear.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::schema::{self, PEM, exactly_one, rule};
use crate::text;

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
    exactly_one(&["salesforce", "postgres"]),
    rule("has(self.salesforce) == has(oldSelf.salesforce)", "the kind of system is immutable: create another Connection"),
]))]
pub struct ConnectionSpec {
    /// A Salesforce org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salesforce: Option<Salesforce>,
    /// A PostgreSQL database. Always TLS with full verification of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
    /// Where the secret comes from.
    pub credentials: Credentials,
    /// No run may use this connection while true. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    exactly_one(&["myDomain", "loginUrl"]),
    rule("!has(self.tls) || has(self.loginUrl)", "tls goes with loginUrl: Salesforce's own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: a login host is verified by its own name"),
]))]
pub struct Salesforce {
    /// The org's My Domain name: `acme` for `https://acme.my.salesforce.com`, `acme--uat.sandbox` for a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub my_domain: Option<String>,
    /// Base URL to log in at instead; its host must be one of the Region's `allowedLoginHosts` or Salesforce's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub login_url: Option<String>,
    /// How we authenticate.
    pub auth: SalesforceAuth,
    /// Trust for a login host with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(&["clientCredentials", "jwtBearer"])]))]
pub struct SalesforceAuth {
    /// OAuth 2.0 client credentials flow; Secret key `clientSecret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<ClientCredentials>,
    /// OAuth 2.0 JWT bearer flow; Secret key `privateKey` (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_bearer: Option<JwtBearer>,
}

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// Consumer key of the External Client App in your org.
    #[schemars(length(min = 1, max = 512))]
    pub client_id: String,
}

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JwtBearer {
    /// Consumer key of the External Client App in your org.
    #[schemars(length(min = 1, max = 512))]
    pub client_id: String,
    /// The Salesforce user we act as.
    #[schemars(length(min = 1, max = 254))]
    pub username: String,
}

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
    /// Role to log in as; Secret key `password`.
    #[schemars(length(min = 1, max = 63))]
    pub user: String,
    /// Trust for the server's certificate. Absent: public roots and the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The server gets the password itself, or its MD5, where it asks for it: whoever runs it learns the password. Absent: false, only SCRAM-SHA-256 is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_insecure_password_authentication: Option<bool>,
}

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

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(&["secretRef"])]))]
pub struct Credentials {
    /// A Secret in the same namespace that is read once per change and stored encrypted elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret. The keeper reads it through a Role of yours and shows it to the endpoint that the Secret's own annotation
    /// `dataimporter.io/consent` names: `kubectl import intake` prints both.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// What happens to the Secret once it is stored encrypted. `Keep` leaves it readable in this namespace (condition `PlaintextSource`).
    pub after_intake: AfterIntake,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AfterIntake {
    Keep,
    Delete,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, PlaintextSource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What the system says about itself and us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ConnectionMetadata>,
    /// Digest of what the stored credential is bound to: host, port, TLS identity, login host, client id, and an insecure login that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint_digest: Option<String>,
    /// Version of the stored credential; grows with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version: Option<i64>,
    /// Id of the key that encrypts the stored credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key_id: Option<String>,
    /// How the system has answered lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// When the system last accepted the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified: Option<Time>,
    /// When a worker last got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
}

/// Attempts to show the credential to the system. Written before each one, so that a keeper that does not survive one waits before the next.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Digest of what is shown, where it may be shown, and who asked for it when; another one starts over.
    #[schemars(length(max = 64))]
    pub of: String,
    /// Attempts since the system last accepted the credential, the one under way included.
    pub attempts: i32,
    /// When the last attempt began.
    pub last_attempt: Time,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionMetadata {
    /// Name of the system, e.g. `Salesforce 00D… (acme)` or `PostgreSQL 15.18`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub system: Option<String>,
    /// Who we are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    pub user: Option<String>,
    /// Salesforce organization id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 18))]
    pub org_id: Option<String>,
    /// Base URL of the org's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub instance_url: Option<String>,
}

impl ConnectionMetadata {
    /// Texts of the system itself, cut to what the schema allows.
    pub fn cut(self) -> Self {
        let cut = |text: Option<String>, most| text.map(|text| text::cut(&text, most));
        Self {
            system: cut(self.system, 253),
            user: cut(self.user, 254),
            org_id: cut(self.org_id, 18),
            instance_url: cut(self.instance_url, 300),
        }
    }
}

impl Salesforce {
    /// Base URL to log in at, without a trailing slash.
    pub fn login_base(&self) -> String {
        match (&self.login_url, &self.my_domain) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, domain) => format!("https://{}.my.salesforce.com", domain.as_deref().unwrap_or_default()),
        }
    }
}

impl Postgres {
    pub const DEFAULT_PORT: u16 = 5432;

    pub fn port(&self) -> u16 {
        self.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(Self::DEFAULT_PORT)
    }

    pub fn allows_insecure_password(&self) -> bool {
        self.allow_insecure_password_authentication.unwrap_or(false)
    }
}

impl ConnectionSpec {
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// The endpoint in words and one line, for whoever decides whether a secret may go there: whoever wrote it must not write more than it.
    pub fn endpoint(&self) -> String {
        let (mut text, tls) = match (&self.salesforce, &self.postgres) {
            (Some(sf), _) => {
                let who = match (&sf.auth.client_credentials, &sf.auth.jwt_bearer) {
                    (Some(cc), _) => format!("client {}", cc.client_id),
                    (_, Some(jwt)) => format!("client {} as {}", jwt.client_id, jwt.username),
                    _ => String::new(),
                };
                (format!("Salesforce {}, {who}", sf.login_base()), &sf.tls)
            }
            (None, Some(pg)) => (format!("PostgreSQL {}:{}, database {} as {}", pg.host, pg.port(), pg.database, pg.user), &pg.tls),
            (None, None) => (String::new(), &None),
        };
        let tls = tls.clone().unwrap_or_default();
        if tls.ca_bundle.is_some() {
            text.push_str(", trusting the authorities of its caBundle");
        }
        if let Some(name) = tls.server_name {
            text.push_str(&format!(", with the certificate of {name}"));
        }
        if self.postgres.as_ref().is_some_and(Postgres::allows_insecure_password) {
            text.push_str(", which may ask for the password itself");
        }
        text.replace(char::is_control, " ")
    }

    /// What a credential is bound to, and what its owner consents to: whoever changes any of it needs the owner's consent again, else
    /// the secret could be sent to a server of their choice.
    pub fn endpoint_digest(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let (base, port);
        if let Some(sf) = &self.salesforce {
            base = sf.login_base();
            parts.extend(["salesforce", &base]);
            match (&sf.auth.client_credentials, &sf.auth.jwt_bearer) {
                (Some(cc), _) => parts.extend(["clientCredentials", cc.client_id.as_str()]),
                (_, Some(jwt)) => parts.extend(["jwtBearer", jwt.client_id.as_str(), jwt.username.as_str()]),
                _ => {}
            }
            parts.extend(tls_parts(sf.tls.as_ref()));
        } else if let Some(pg) = &self.postgres {
            port = pg.port().to_string();
            parts.extend(["postgres", &pg.host, &port, &pg.database, &pg.user]);
            parts.extend(tls_parts(pg.tls.as_ref()));
            if pg.allows_insecure_password() {
                parts.push("allowInsecurePasswordAuthentication");
            }
        }
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }
}

fn tls_parts(tls: Option<&Tls>) -> [&str; 2] {
    let text = |part: fn(&Tls) -> Option<&String>| tls.and_then(part).map_or("", String::as_str);
    [text(|t| t.ca_bundle.as_ref()), text(|t| t.server_name.as_ref())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn postgres(edit: impl Fn(&mut Postgres)) -> ConnectionSpec {
        let mut pg = Postgres {
            host: "db".into(),
            port: None,
            database: "crm".into(),
            user: "reader".into(),
            tls: None,
            allow_insecure_password_authentication: None,
        };
        edit(&mut pg);
        let credentials = Credentials { secret_ref: Some(SecretRef { name: "s".into(), after_intake: AfterIntake::Keep }) };
        ConnectionSpec { salesforce: None, postgres: Some(pg), credentials, suspend: None }
    }

    #[test]
    fn the_endpoint_digest_moves_with_every_part_of_the_servers_identity() {
        let base = postgres(|_| ()).endpoint_digest();
        let edits: [fn(&mut Postgres); 7] = [
            |p| p.host = "db2".into(),
            |p| p.port = Some(5433),
            |p| p.database = "x".into(),
            |p| p.user = "x".into(),
            |p| p.tls = Some(Tls { ca_bundle: Some("pem".into()), server_name: None }),
            |p| p.tls = Some(Tls { ca_bundle: None, server_name: Some("pem".into()) }),
            |p| p.allow_insecure_password_authentication = Some(true),
        ];
        let digests: std::collections::BTreeSet<_> = edits.iter().map(|e| postgres(e).endpoint_digest()).collect();
        assert_eq!(digests.len(), edits.len());
        assert!(!digests.contains(&base));
    }

    #[test]
    fn the_endpoint_in_words_names_what_decides_who_gets_the_secret() {
        let tls = Tls { ca_bundle: Some("pem".into()), server_name: Some("db.example".into()) };
        let text = postgres(|p| p.tls = Some(tls.clone())).endpoint();
        assert_eq!(
            text,
            "PostgreSQL db:5432, database crm as reader, trusting the authorities of its caBundle, with the certificate of db.example"
        );
        assert_eq!(postgres(|p| p.user = "a\n---\nb\u{1b}".into()).endpoint(), "PostgreSQL db:5432, database crm as a --- b ");
    }

    #[test]
    fn the_endpoint_digest_ignores_what_is_not_the_server() {
        let mut other = postgres(|p| {
            p.port = Some(5432);
            p.allow_insecure_password_authentication = Some(false);
        });
        other.suspend = Some(true);
        assert_eq!(other.endpoint_digest(), postgres(|_| ()).endpoint_digest());
    }

    proptest! {
        /// Whatever a system says of itself, the API server takes the status: it counts characters, not bytes.
        #[test]
        fn a_status_holds_whatever_a_system_says(unit in "\\PC{1,3}|.", times in 0_usize..3000) {
            let said = Some(unit.repeat(times));
            let metadata = ConnectionMetadata { system: said.clone(), user: said.clone(), org_id: said.clone(), instance_url: said };
            let metadata = serde_json::to_value(metadata.cut()).unwrap();
            let crd = serde_json::to_value(<Connection as kube_core::CustomResourceExt>::crd()).unwrap();
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let fields = &schema["properties"]["status"]["properties"]["metadata"]["properties"];
            for (field, text) in metadata.as_object().unwrap() {
                let most = fields[field]["maxLength"].as_u64().unwrap() as usize;
                prop_assert!(text.as_str().unwrap().chars().count() <= most, "{field}");
            }
        }
    }
}
