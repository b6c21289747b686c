//! A container of Azure Blob Storage, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::{exactly_one, rule};
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "Azure Blob Storage",
    public_port: 443,
    logins: &[ACCOUNT_KEY, SAS],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the key or signature stays valid until you rotate the account's key or the signature ends",
};

const ACCOUNT_KEY: LoginProfile = LoginProfile {
    field: "spec.azureBlob.auth.accountKey",
    keys: &[CredentialKey { name: AzureBlob::ACCOUNT_KEY, holds: "a key of the storage account" }],
    refused: "endpoint, account and container in spec.azureBlob",
    audience: None,
};

const SAS: LoginProfile = LoginProfile {
    field: "spec.azureBlob.auth.sas",
    keys: &[CredentialKey { name: AzureBlob::SAS, holds: "a shared access signature, `sv=…&sig=…`" }],
    refused: "endpoint, account and container in spec.azureBlob",
    audience: None,
};

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || has(self.endpoint)", "tls goes with endpoint: Azure's own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: an endpoint is verified by its own name"),
]))]
pub struct AzureBlob {
    /// Base URL of another server, which has the account in the path. Absent: `https://ACCOUNT.blob.core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Name of the storage account.
    #[schemars(length(min = 3, max = 24), regex(pattern = "^[a-z0-9]+$"))]
    pub account: String,
    /// Name of the container.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9$][a-z0-9-]+$"))]
    pub container: String,
    /// How we authenticate.
    pub auth: AzureAuth,
    /// Trust for an endpoint with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How we authenticate at Azure Blob Storage: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(AzureAuthKind::KEYS)]))]
pub struct AzureAuth {
    /// A key of the storage account, which may do everything there; Secret key `accountKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_key: Option<AzureWay>,
    /// A shared access signature, for which reading (`sp=r`) is enough; Secret key `sas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sas: Option<AzureWay>,
}

/// A way to authenticate of which nothing needs to be said.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct AzureWay {}

union! {
    /// How we authenticate at Azure Blob Storage.
    pub enum AzureAuthKind<'a> = AzureAuth::kind {
        /// A key of the storage account.
        "accountKey" account_key => AccountKey(&'a AzureWay),
        /// A shared access signature.
        "sas" sas => Sas(&'a AzureWay),
    }
}

impl AzureBlob {
    /// Key of the Secret that holds a key of the storage account.
    pub const ACCOUNT_KEY: &str = "accountKey";
    /// Key of the Secret that holds a shared access signature.
    pub const SAS: &str = "sas";

    /// Where the account is, without a trailing slash.
    fn base(&self) -> Cow<'_, str> {
        match &self.endpoint {
            Some(endpoint) => Cow::Borrowed(endpoint.trim_end_matches('/')),
            None => Cow::Owned(format!("https://{}.blob.core.windows.net", self.account)),
        }
    }
}

impl ExternalSystem for AzureBlob {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { endpoint: _, account, container, auth: _, tls } = self;
        let base = self.base();
        Endpoint {
            words: format!("Azure Blob Storage {base}, account {account}, container {container}"),
            parts: vec![base, Cow::Borrowed(account), Cow::Borrowed(container)],
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth.kind()? {
            AzureAuthKind::AccountKey(_) => &ACCOUNT_KEY,
            AzureAuthKind::Sas(_) => &SAS,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
