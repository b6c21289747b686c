//! The token endpoint.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connect::Https;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::hosts::LoginHost;
use super::jwt::SigningKey;
use crate::client::{Call, READ, TINY, read_error, read_whole, retry_after};
use crate::error::Error;
use crate::retry::{Repeat, Retry, RetryPolicy};
use crate::session::{Session, SessionIssuer};
use crate::wire_error::OAuthError;

/// What the token endpoint is asked: quickly answered, in a few lines.
const ASK: Call = Call { timeout: Some(TIMEOUT), ..READ.at_most(TINY) };
const TIMEOUT: Duration = Duration::from_secs(30);

/// How we prove who we are. Not printable on purpose.
pub enum Grant {
    /// The app's own run-as user; works on My Domain hosts only.
    ClientCredentials {
        /// Consumer key of the External Client App.
        client_id: String,
        /// Its consumer secret.
        client_secret: SecretString,
    },
    /// An assertion signed for one user.
    JwtBearer {
        /// Consumer key of the External Client App.
        client_id: String,
        /// The Salesforce username to act as.
        username: String,
        /// Signs; the app has its certificate.
        key: SigningKey,
    },
}

/// What a login has answered.
pub struct Issued {
    /// The access token, and the org's instance, which was checked to belong to the login host.
    pub session: Session,
    /// Id of the org (`00D…`), if the answer has one of 15 or 18 letters and digits.
    pub org_id: Option<String>,
    /// Id of the user (`005…`), likewise.
    pub user_id: Option<String>,
}

/// One login host. Clones share the HTTP client.
#[derive(Clone)]
pub struct Login {
    http: Https,
    host: LoginHost,
    retry: Retry,
}

impl Login {
    /// Tries as the default [`RetryPolicy`] says.
    pub fn new(http: Https, host: LoginHost) -> Self {
        Self::with(http, host, Retry::system(RetryPolicy::default()))
    }

    /// As [`Login::new`], with other tries.
    pub fn with(http: Https, host: LoginHost, retry: Retry) -> Self {
        Self { http, host, retry }
    }

    /// The host that credentials are sent to.
    pub fn host(&self) -> &LoginHost {
        &self.host
    }

    /// Asks for an access token; `now` dates the assertion of the JWT flow. Harmless to repeat: a token whose answer was lost is used by
    /// nobody and times out.
    ///
    /// # Errors
    ///
    /// [`Error::Login`]: the credential is refused. [`Error::Host`]: the answer names an instance of another org.
    pub async fn token(&self, grant: &Grant, now: Timestamp) -> Result<Issued, Error> {
        const CALL: &str = "log in";
        let assertion;
        let form: Vec<(&str, &str)> = match grant {
            Grant::ClientCredentials { client_id, client_secret } => {
                vec![("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", client_secret.expose_secret())]
            }
            Grant::JwtBearer { client_id, username, key } => {
                assertion = key.assertion(client_id, username, &self.host.audience(), now)?;
                vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.expose_secret())]
            }
        };
        let body = self.post(CALL, "/services/oauth2/token", &form).await?;
        self.issued(CALL, &body)
    }

    /// Sends a form and reads the answer to a success; a refusal is an OAuth error object.
    pub(super) async fn post(&self, call: &'static str, path: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        let url = self.host.endpoint(path);
        let mut tries = self.retry.begin();
        loop {
            match self.post_once(call, url.clone(), form).await {
                Ok(body) => return Ok(body),
                Err(error) => tries.again(call, Repeat::Harmless, error).await?,
            }
        }
    }

    async fn post_once(&self, call: &'static str, url: Url, form: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        let request = self.http.request(Method::POST, url).map_err(|error| Error::undialed(self.host.host(), &error))?;
        let request = request.header(reqwest::header::ACCEPT, "application/json").timeout(TIMEOUT).form(form);
        let response = request.send().await.map_err(|error| Error::network(call, self.host.host(), error))?;
        if response.status().is_success() {
            return read_whole(ASK.named(call), response).await;
        }
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let error = OAuthError::parse(status, &read_error(response).await);
        Err(Error::Login { call, status, error, retry_after })
    }

    fn issued(&self, call: &'static str, body: &[u8]) -> Result<Issued, Error> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
            instance_url: String,
            #[serde(default)]
            id: Option<String>,
        }
        // The parser's own message could quote the answer, so it is not passed on.
        let wire: Wire = serde_json::from_slice(body).map_err(|_| Error::unreadable(call, "it is not a token answer"))?;
        let session = Session { access_token: wire.access_token.into(), instance_url: self.host.instance(&wire.instance_url)? };
        // `id` ends in /<org id>/<user id>.
        let mut ends = wire.id.as_deref().unwrap_or_default().rsplit('/').map(record_id);
        let (user_id, org_id) = (ends.next().flatten(), ends.next().flatten());
        Ok(Issued { session, org_id, user_id })
    }
}

fn record_id(text: &str) -> Option<String> {
    (matches!(text.len(), 15 | 18) && text.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| text.to_owned())
}

/// Issues sessions by logging in anew.
pub struct TokenIssuer {
    login: Login,
    grant: Grant,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl TokenIssuer {
    /// `now` dates the assertions of the JWT flow.
    pub fn new(login: Login, grant: Grant, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { login, grant, now }
    }
}

#[async_trait]
impl SessionIssuer for TokenIssuer {
    async fn issue(&self) -> Result<Session, Error> {
        Ok(self.login.token(&self.grant, (self.now)()).await?.session)
    }
}
