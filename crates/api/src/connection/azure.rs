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
    logins: &[ACCOUNT_KEY, SAS, WORKLOAD_IDENTITY],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "a key or signature stays valid until you rotate the account's key or the signature ends, an access token for about an hour",
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

const WORKLOAD_IDENTITY: LoginProfile = LoginProfile {
    field: "spec.azureBlob.auth.workloadIdentity",
    keys: &[],
    refused: "tenantId and clientId in spec.azureBlob.auth.workloadIdentity and audience in spec.credentials.serviceAccountRef",
    audience: Some("api://AzureADTokenExchange"),
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
    /// An application of Microsoft Entra, or a managed identity, that trusts tokens of the ServiceAccount in `credentials.serviceAccountRef`.
    /// There is no secret then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload_identity: Option<AzureWorkloadIdentity>,
}

/// An application of Microsoft Entra that has a federated credential.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureWorkloadIdentity {
    /// Id of the directory that the application is in.
    #[schemars(length(min = 36, max = 36), regex(pattern = "^[0-9a-fA-F-]+$"))]
    pub tenant_id: String,
    /// Id of the application, or of the managed identity. Its federated credential names the ServiceAccount as `system:serviceaccount:NAMESPACE:NAME`.
    #[schemars(length(min = 36, max = 36), regex(pattern = "^[0-9a-fA-F-]+$"))]
    pub client_id: String,
    /// Who gives access tokens for tokens of the ServiceAccount. Absent: `https://login.microsoftonline.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 260), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub authority_host: Option<String>,
}

impl AzureWorkloadIdentity {
    /// Who gives access tokens, without a trailing slash.
    pub fn authority(&self) -> &str {
        self.authority_host.as_deref().unwrap_or("https://login.microsoftonline.com").trim_end_matches('/')
    }
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
        /// An application that trusts a ServiceAccount.
        "workloadIdentity" workload_identity => WorkloadIdentity(&'a AzureWorkloadIdentity),
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
        let Self { endpoint: _, account, container, auth, tls } = self;
        let base = self.base();
        let mut words = format!("Azure Blob Storage {base}, account {account}, container {container}");
        let mut parts = vec![base, Cow::Borrowed(account.as_str()), Cow::Borrowed(container.as_str())];
        if let Some(AzureAuthKind::WorkloadIdentity(identity)) = auth.kind() {
            let AzureWorkloadIdentity { tenant_id, client_id, authority_host: _ } = identity;
            words.push_str(&format!(", as application {client_id} of directory {tenant_id} at {}", identity.authority()));
            parts.extend([tenant_id.as_str(), client_id, identity.authority()].map(Cow::Borrowed));
        }
        Endpoint { words, parts, tls: tls.as_ref(), allowed: None }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth.kind()? {
            AzureAuthKind::AccountKey(_) => &ACCOUNT_KEY,
            AzureAuthKind::Sas(_) => &SAS,
            AzureAuthKind::WorkloadIdentity(_) => &WORKLOAD_IDENTITY,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
