//! Tokens of a ServiceAccount, which stand in for a secret: asked for each time, good for minutes, kept nowhere.

use api::keeper::{IDENTITY_TOKEN, SecretText};
use api::{Connection, NamespaceName, names};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use zeroize::Zeroizing;

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
        let none = || Error::NoTokens(reference.name.clone());
        let token = match accounts.create_token_request(&reference.name, &PostParams::default(), &asked).await {
            Ok(TokenRequest { status, .. }) => Zeroizing::new(status.ok_or_else(none)?.token),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => return Err(none()),
            Err(error) => return Err(kube(format!("ask for a token of ServiceAccount {namespace}/{}", reference.name))(error)),
        };
        if names::is_audience_of_ours(audience) || self.opens_this_cluster(&token).await? {
            return Err(Error::OwnAudience(audience.to_owned()));
        }
        Ok(Some((IDENTITY_TOKEN.to_owned(), SecretText::new(token.as_str()))))
    }

    /// Whether whoever has the token is the ServiceAccount to the API server. It alone knows which audiences are its own.
    async fn opens_this_cluster(&self, token: &str) -> Result<bool> {
        let spec = TokenReviewSpec { audiences: None, token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.cluster.client.clone());
        let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(kube("review a token of a ServiceAccount"))?;
        // An answer that says nothing counts as a yes.
        Ok(reviewed.status.is_none_or(|status| status.authenticated.unwrap_or_default()))
    }
}
