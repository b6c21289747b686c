//! What is known of a Connection, as the keeper writes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::text;

/// What is known of a Connection, as the keeper writes it.
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

/// What the system says about itself and us.
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
