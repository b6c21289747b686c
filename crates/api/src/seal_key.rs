//! The public key that credentials of a Region are sealed to, as ConfigMap `dataimporter-public` has it and `kubectl import seal-key` prints it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// What somebody who seals has to know of a Region. Nothing of it is secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedSealKey {
    /// Name of the Region.
    pub region: String,
    /// UID of the installation.
    pub installation: String,
    /// Id of the key.
    pub kid: String,
    /// The X25519 key, base64.
    pub public_key: String,
    /// Until when the Region takes in what was sealed to it.
    pub opens_until: Time,
}
