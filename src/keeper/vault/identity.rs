//! Tokens of a ServiceAccount, which stand in for a secret: asked for each time, good for minutes, kept nowhere.

use api::keeper::{IDENTITY_TOKEN, SecretText};
use api::{Connection, NamespaceName};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;
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
        match accounts.create_token_request(&reference.name, &PostParams::default(), &asked).await {
            Ok(TokenRequest { status, .. }) => {
                let token = Zeroizing::new(status.ok_or_else(none)?.token);
                if opens_this_cluster(&token) {
                    return Err(Error::OwnAudience(audience.to_owned()));
                }
                Ok(Some((IDENTITY_TOKEN.to_owned(), SecretText::new(token.as_str()))))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Err(none()),
            Err(error) => Err(kube(format!("ask for a token of ServiceAccount {namespace}/{}", reference.name))(error)),
        }
    }
}

/// Whoever has such a token is the ServiceAccount to the API server, or to us: its issuer is an audience of the API server's, unless somebody
/// chose others. A token that cannot be read counts as one.
fn opens_this_cluster(token: &str) -> bool {
    let Some(claims) = token.split('.').nth(1).and_then(|part| BASE64URL.decode(part).ok()) else { return true };
    let Ok(claims) = serde_json::from_slice::<Claims>(&claims) else { return true };
    claims.aud.iter().any(|audience| *audience == claims.iss || audience.starts_with("dataimporter-"))
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &serde_json::Value) -> String {
        format!("e30.{}.c2ln", BASE64URL.encode(claims.to_string()))
    }

    #[test]
    fn a_token_that_opens_this_cluster_is_known() {
        let of = |audiences: &[&str]| token(&serde_json::json!({"iss": "https://kubernetes.default.svc", "aud": audiences}));
        assert!(!opens_this_cluster(&of(&["sts.amazonaws.com"])));
        assert!(opens_this_cluster(&of(&["https://kubernetes.default.svc"])));
        assert!(opens_this_cluster(&of(&["sts.amazonaws.com", "https://kubernetes.default.svc"])));
        assert!(opens_this_cluster(&of(&[&api::names::files_audience("eu", "u")])));
        assert!(opens_this_cluster(&of(&[&api::names::keeper_audience("eu", "u")])));
        assert!(opens_this_cluster(&of(&[&api::names::audit_audience("eu", "u")])));
        for none in ["", "a.b", "a.!.c", "e30.e30.x"] {
            assert!(opens_this_cluster(none), "{none:?}");
        }
    }
}
