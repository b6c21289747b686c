//! Containers of Azure Blob Storage.

mod identity;

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use object_store::RetryConfig;
use object_store::azure::MicrosoftAzureBuilder;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use self::identity::AccessTokens;
pub use self::identity::{AuthorityRefusal, AzureIdentity};
use super::lasting::Lasting;
use super::refusal::{self, ObjectsRefusal};
use super::transport::{Dialect, Transport};
use super::{ObjectFiles, endpoint};
use crate::dial::Dialer;
use crate::error::Error;
use crate::exchange::Peer;

/// Where a container is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AzureParams {
    /// `https://host` or `https://host:port` of a server that has the account in the path. Absent: Azure, by the account.
    pub endpoint: Option<String>,
    /// Name of the storage account.
    pub account: String,
    /// Name of the container.
    pub container: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
}

/// Who we are there.
#[derive(Clone, Debug)]
pub enum AzureKey {
    /// A key of the account in Base64: signs, and is sent to nobody.
    Account(SecretString),
    /// A shared access signature, which is sent with every request: `sv=…&sig=…`, with or without a question mark.
    Sas(SecretString),
    /// An application, by a token in place of a secret.
    Identity(AzureIdentity),
}

struct Azure;

impl Dialect for Azure {
    fn refusal(&self, target: &str, method: &Method, status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Error> {
        let told = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok()).filter(|text| refusal::is_word(text));
        let refusal = refusal::of(method, status, told.or_else(|| refusal::code(body)), meaning)?;
        Some(Error::ObjectsRefused { target: target.to_owned(), refusal })
    }

    fn protocol(&self, target: &str, reason: String) -> Error {
        Error::ObjectsProtocol { target: target.to_owned(), system: "Azure Blob Storage", reason }
    }

    fn is_denied(&self, error: &Error) -> bool {
        matches!(error, Error::ObjectsRefused { refusal: ObjectsRefusal::Denied, .. })
    }

    fn may_be_empty(&self, error: &Error) -> bool {
        // Azurite gives a range that ends before it begins.
        matches!(error, Error::ObjectsRefused { refusal: ObjectsRefusal::BehindTheEnd, .. } | Error::ObjectsProtocol { .. })
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>
fn meaning(code: &str) -> Option<ObjectsRefusal> {
    Some(match code {
        "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled" | "InvalidResourceName" => ObjectsRefusal::NoBucket,
        // The last but one says at Azure that the account lets nobody in from here, and at Azurite that the signature is wrong.
        "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "AuthorizationFailure"
        | "AccountIsDisabled" => ObjectsRefusal::UnknownKey,
        "AuthorizationPermissionMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationSourceIPMismatch"
        | "InsufficientAccountPermissions"
        | "PublicAccessNotPermitted" => ObjectsRefusal::Denied,
        "BlobArchived" | "BlobBeingRehydrated" | "BlobUsesCustomerSpecifiedEncryption" => ObjectsRefusal::Unreadable,
        "InvalidRange" => ObjectsRefusal::BehindTheEnd,
        "ServerBusy" | "OperationTimedOut" => ObjectsRefusal::Busy { code: code.to_owned() },
        _ => return None,
    })
}

impl Dialer {
    /// Nothing is dialed yet.
    ///
    /// # Errors
    ///
    /// The endpoint is no `https://host` with or without a port, the CA bundle cannot be used, or the credential is none.
    pub fn azure(&self, params: &AzureParams, key: &AzureKey) -> Result<ObjectFiles, Error> {
        let AzureParams { endpoint: at, account, container, ca_bundle } = params;
        let place = format!("container {container}");
        let host = match at {
            Some(at) => endpoint(at)?,
            None => format!("{account}.blob.core.windows.net"),
        };
        let target = format!("{place} at {host}");
        let transport = Transport::new(self, &Azure, ca_bundle.as_deref(), target.clone())?;
        let refused = |reason: &str| Error::Login { target: target.clone(), reason: reason.to_owned() };
        let mut builder = MicrosoftAzureBuilder::new()
            .with_http_connector(transport.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_account(account)
            .with_container_name(container);
        if let Some(at) = at {
            builder = builder.with_endpoint(format!("{}/{account}", at.trim_end_matches('/')));
        }
        // The library deletes in batches, which a signature need not allow although it allows to delete.
        let mut deleting_at = None;
        builder = match key {
            AzureKey::Account(key) => builder.with_access_key(key.expose_secret().trim()),
            AzureKey::Sas(signature) => {
                let pairs = pairs(signature).ok_or_else(|| refused(NO_SAS))?;
                let base = at.as_ref().map_or_else(|| format!("https://{host}/"), |at| format!("{}/{account}/", at.trim_end_matches('/')));
                let url = Url::parse_with_params(&format!("{base}{container}"), &pairs).map_err(|_| refused(NO_SAS))?;
                deleting_at = Some(url);
                builder.with_sas_authorization(pairs)
            }
            AzureKey::Identity(identity) => {
                let target = format!("the application {} at {}", identity.client_id, endpoint(&identity.authority)?);
                let service = format!("{}/{}/oauth2/v2.0/token", identity.authority.trim_end_matches('/'), identity.tenant_id);
                let service = service.parse().map_err(|_| Error::NotHttps { url: service.clone() })?;
                let peer = Peer { https: transport.peer.https.clone(), target: target.into() };
                builder.with_credentials(Arc::new(Lasting::new(AccessTokens { identity: identity.clone(), service, peer })))
            }
        };
        // What the library says of a key could quote it.
        let store = builder.build().map_err(|_| refused(NO_KEY))?;
        let files = ObjectFiles::new(store, transport, place);
        Ok(match deleting_at {
            Some(container) => files.deleting_at(container),
            None => files,
        })
    }
}

const NO_KEY: &str = "the key is none of a storage account: it is Base64, as the portal shows it under access keys";
const NO_SAS: &str = "the shared access signature is none: it is a query with sv= and sig=, as the portal shows it";

fn pairs(signature: &SecretString) -> Option<Vec<(String, String)>> {
    let query = signature.expose_secret().trim().trim_start_matches('?');
    let url = Url::parse(&format!("https://signature.invalid/?{query}")).ok()?;
    let pairs: Vec<(String, String)> = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    ["sv", "sig"].iter().all(|wanted| pairs.iter().any(|(name, _)| name == wanted)).then_some(pairs)
}
