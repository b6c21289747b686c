//! Tokens of a ServiceAccount, which stand in for a secret: asked for each time, good for minutes, kept nowhere.

use api::keeper::{IDENTITY_TOKEN, SecretText};
use api::{Connection, NamespaceName};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;

use super::Vault;
use crate::keeper::base::error::{Error, Result, kube};

/// The shortest life that the API server gives.
const LIFE_SECONDS: i64 = 600;

impl Vault {
    /// The entry that stands for the secret, of a Connection that has a ServiceAccount in its place. The audit has the line before.
    pub(crate) async fn identity(&self, connection: &Connection) -> Result<Option<(String, SecretText)>> {
        let (Some(reference), Some(audience)) = (connection.spec.credentials.service_account_ref(), connection.spec.audience()) else {
            return Ok(None);
        };
        let namespace = NamespaceName::of(connection)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.cluster.client.clone(), namespace.as_str());
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(LIFE_SECONDS),
            ..TokenRequestSpec::default()
        };
        let asked = TokenRequest { spec, ..TokenRequest::default() };
        match accounts.create_token_request(&reference.name, &PostParams::default(), &asked).await {
            Ok(TokenRequest { status: Some(issued), .. }) => Ok(Some((IDENTITY_TOKEN.to_owned(), SecretText::new(&issued.token)))),
            Ok(_) => Err(Error::NoTokens(reference.name.clone())),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Err(Error::NoTokens(reference.name.clone())),
            Err(error) => Err(kube(format!("ask for a token of ServiceAccount {namespace}/{}", reference.name))(error)),
        }
    }
}
