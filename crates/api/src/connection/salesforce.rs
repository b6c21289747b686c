//! A Salesforce org, and all that is known about orgs in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::{exactly_one, rule};
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "Salesforce",
    public_port: 443,
    logins: &[CLIENT_CREDENTIALS, JWT_BEARER],
    rows: Rows::None,
    revoked_by_disconnect: "its access tokens are revoked",
    left_after_disconnect: "the app's own secret or certificate stays valid until you change it in Salesforce Setup",
};

const CLIENT_CREDENTIALS: LoginProfile = LoginProfile {
    field: "spec.salesforce.auth.clientCredentials",
    keys: &[CredentialKey { name: "clientSecret", holds: "the consumer secret of the External Client App" }],
    refused: "clientId in spec.salesforce.auth.clientCredentials",
    audience: None,
};

const JWT_BEARER: LoginProfile = LoginProfile {
    field: "spec.salesforce.auth.jwtBearer",
    keys: &[CredentialKey { name: "privateKey", holds: "an RSA key in PEM" }],
    refused: "clientId and username in spec.salesforce.auth.jwtBearer",
    audience: None,
};

/// A Salesforce org: where it logs us in, and as whom.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    exactly_one(LoginAt::KEYS),
    rule("!has(self.tls) || has(self.loginUrl)", "tls goes with loginUrl: Salesforce's own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: a login host is verified by its own name"),
]))]
pub struct Salesforce {
    /// The org's My Domain name: `acme` for `https://acme.my.salesforce.com`, `acme--uat.sandbox` for a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    my_domain: Option<String>,
    /// Base URL to log in at instead; its host must be one of the Region's `allowedLoginHosts` or Salesforce's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    login_url: Option<String>,
    /// How we authenticate.
    pub auth: SalesforceAuth,
    /// Trust for a login host with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

union! {
    /// Where an org logs us in.
    pub enum LoginAt<'a> = Salesforce::login_at {
        /// At the org's own My Domain.
        "myDomain" my_domain => MyDomain(&'a str),
        /// At another base URL.
        "loginUrl" login_url => LoginUrl(&'a str),
    }
}

/// How we authenticate at an org: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(AuthFlow::KEYS)]))]
pub struct SalesforceAuth {
    /// OAuth 2.0 client credentials flow; Secret key `clientSecret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_credentials: Option<ClientCredentials>,
    /// OAuth 2.0 JWT bearer flow; Secret key `privateKey` (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwt_bearer: Option<JwtBearer>,
}

union! {
    /// How we authenticate at an org.
    pub enum AuthFlow<'a> = SalesforceAuth::flow {
        /// OAuth 2.0 client credentials flow.
        "clientCredentials" client_credentials => ClientCredentials(&'a ClientCredentials),
        /// OAuth 2.0 JWT bearer flow.
        "jwtBearer" jwt_bearer => JwtBearer(&'a JwtBearer),
    }
}

/// OAuth 2.0 client credentials flow: we act as the run-as user of the app.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// Consumer key of the External Client App in your org.
    #[schemars(length(min = 1, max = 512))]
    pub client_id: String,
}

/// OAuth 2.0 JWT bearer flow: we act as a user that the app is approved for.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JwtBearer {
    /// Consumer key of the External Client App in your org.
    #[schemars(length(min = 1, max = 512))]
    pub client_id: String,
    /// The Salesforce user we act as.
    #[schemars(length(min = 1, max = 254))]
    pub username: String,
}

impl Salesforce {
    /// Base URL to log in at, without a trailing slash. It has no host if nothing, or more than one thing, says where.
    pub fn login_base(&self) -> String {
        match self.login_at() {
            Some(LoginAt::LoginUrl(url)) => url.trim_end_matches('/').to_owned(),
            Some(LoginAt::MyDomain(domain)) => format!("https://{domain}.my.salesforce.com"),
            None => "https://".to_owned(),
        }
    }

    /// Certificates that may sign the login host's, in PEM, besides the public roots.
    pub fn ca_bundle(&self) -> Option<&str> {
        self.tls.as_ref()?.ca_bundle.as_deref()
    }
}

impl SalesforceAuth {
    fn client_id(&self) -> Option<&str> {
        Some(match self.flow()? {
            AuthFlow::ClientCredentials(client) => &client.client_id,
            AuthFlow::JwtBearer(jwt) => &jwt.client_id,
        })
    }
}

impl ExternalSystem for Salesforce {
    fn endpoint(&self) -> Endpoint<'_> {
        let base = self.login_base();
        let (parts, who): (Vec<&str>, _) = match self.auth.flow() {
            Some(AuthFlow::ClientCredentials(client)) => {
                (vec!["clientCredentials", &client.client_id], format!("client {}", client.client_id))
            }
            Some(AuthFlow::JwtBearer(jwt)) => {
                (vec!["jwtBearer", &jwt.client_id, &jwt.username], format!("client {} as {}", jwt.client_id, jwt.username))
            }
            None => (Vec::new(), String::new()),
        };
        Endpoint {
            words: format!("Salesforce {base}, {who}"),
            parts: [Cow::Owned(base)].into_iter().chain(parts.into_iter().map(Cow::Borrowed)).collect(),
            tls: self.tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth.flow()? {
            AuthFlow::ClientCredentials(_) => &CLIENT_CREDENTIALS,
            AuthFlow::JwtBearer(_) => &JWT_BEARER,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        let id = self.auth.client_id()?;
        Some(format!(
            "in Salesforce Setup, rotate or delete the External Client App with consumer key {id}: Salesforce itself knows no revocation for it"
        ))
    }
}
