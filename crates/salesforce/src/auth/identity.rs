//! Who we are in an org, whether a token is alive, and how it dies.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::Login;
use crate::client::{Client, READ, TINY};
use crate::error::Error;

/// The user behind a session.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct UserInfo {
    /// Id of the user's record, 18 characters (`005…`).
    pub user_id: String,
    /// Id of the org, 18 characters (`00D…`).
    pub organization_id: String,
    /// The Salesforce username, e.g. `ada@acme.example`.
    #[serde(rename = "preferred_username")]
    pub username: String,
    /// The person's full name, if the answer has one.
    #[serde(default)]
    pub name: Option<String>,
}

/// What the token endpoint knows of a token; of a dead one nothing but that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introspection {
    /// The token is alive.
    pub active: bool,
    /// The Salesforce username that it is for.
    pub username: Option<String>,
    /// What it may be used for, words separated by blanks, as in `api id`.
    pub scope: Option<String>,
    /// When it dies by itself.
    pub expires: Option<Timestamp>,
}

/// How a revocation ended; both mean that the token is dead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Revocation {
    /// It was alive and is dead now.
    Revoked,
    /// Salesforce did not know the token (any more).
    AlreadyDead,
}

impl Client {
    /// Asks who the session's user is. Harmless to repeat.
    pub async fn user_info(&self) -> Result<UserInfo, Error> {
        self.json(READ.named("read the user").at_most(TINY), |client, session| {
            let mut url = session.instance_url.clone();
            url.set_path("/services/oauth2/userinfo");
            client.request(Method::GET, url)
        })
        .await
    }
}

impl Login {
    /// Kills a token: a refresh token with all its access tokens, an access token alone. Harmless to repeat.
    pub async fn revoke(&self, token: &SecretString) -> Result<Revocation, Error> {
        match self.post("revoke the token", "/services/oauth2/revoke", &[("token", token.expose_secret())]).await {
            Ok(_) => Ok(Revocation::Revoked),
            Err(error) if matches!(error.code(), Some("invalid_token" | "unsupported_token_type")) => Ok(Revocation::AlreadyDead),
            Err(error) => Err(error),
        }
    }

    /// Asks whether a token is alive, as the app that `client_id` and `client_secret` are of. Harmless to repeat.
    pub async fn introspect(&self, token: &SecretString, client_id: &str, client_secret: &SecretString) -> Result<Introspection, Error> {
        const CALL: &str = "introspect the token";
        #[derive(Deserialize)]
        struct Wire {
            active: bool,
            username: Option<String>,
            scope: Option<String>,
            exp: Option<i64>,
        }
        let form = [
            ("token", token.expose_secret()),
            ("token_type_hint", "access_token"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose_secret()),
        ];
        let body = self.post(CALL, "/services/oauth2/introspect", &form).await?;
        let wire: Wire = serde_json::from_slice(&body).map_err(|error| Error::unreadable(CALL, error))?;
        let expires = wire.exp.and_then(|seconds| Timestamp::from_second(seconds).ok());
        Ok(Introspection { active: wire.active, username: wire.username, scope: wire.scope, expires })
    }
}
