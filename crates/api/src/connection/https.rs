//! Files at an HTTPS server, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::{exactly_one, rule};
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "HTTPS",
    public_port: 443,
    logins: &[BASIC, BEARER, HEADER],
    rows: Rows::Files { changeable: false },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the password or token stays valid until you change it there",
};

const BASIC: LoginProfile = LoginProfile {
    field: "spec.https.auth.basic",
    keys: &[CredentialKey { name: Https::PASSWORD, holds: "the user's password" }],
    refused: "url in spec.https and user in spec.https.auth.basic",
    audience: None,
};

const BEARER: LoginProfile = LoginProfile {
    field: "spec.https.auth.bearer",
    keys: &[CredentialKey { name: Https::TOKEN, holds: "the token, without the word Bearer" }],
    refused: "url in spec.https",
    audience: None,
};

const HEADER: LoginProfile = LoginProfile {
    field: "spec.https.auth.header",
    keys: &[CredentialKey { name: Https::VALUE, holds: "the value of the header" }],
    refused: "url in spec.https and name in spec.https.auth.header",
    audience: None,
};

/// Files at an HTTPS server. They are read with GET; no cookies are kept.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: a server is verified by its own name"),
]))]
pub struct Https {
    /// Base URL of the files, without a query; the path of a file follows behind a slash, and may have a query.
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+(/[^?#]*)?$"))]
    pub url: String,
    /// How we authenticate.
    pub auth: HttpsAuth,
    /// Other servers, as `https://host` or `https://host:port`, that a redirect may lead to; the credential is not sent there. Absent: only
    /// redirects to the same server are followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 260), regex(pattern = "^https://[^/@?#]+/?$")))]
    pub redirects: Vec<String>,
    /// Trust for servers with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How we authenticate at an HTTPS server: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(HttpsAuthKind::KEYS)]))]
pub struct HttpsAuth {
    /// HTTP Basic authentication (RFC 7617); Secret key `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<HttpsBasic>,
    /// A bearer token (RFC 6750); Secret key `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bearer: Option<HttpsBearer>,
    /// A header of the server's own; Secret key `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<HttpsHeader>,
}

/// HTTP Basic authentication.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpsBasic {
    /// Name of the user, without a colon.
    #[schemars(length(min = 1, max = 254), regex(pattern = r"^[^:\x00-\x1f\x7f]+$"))]
    pub user: String,
}

/// A bearer token: there is nothing to say about it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct HttpsBearer {}

/// A header of the server's own.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpsHeader {
    /// Name of the header, as in `X-Api-Key`.
    #[schemars(
        length(min = 1, max = 80),
        regex(pattern = "^[A-Za-z0-9-]+$"),
        extend("x-kubernetes-validations" = [rule(
            "!(self.lowerAscii() in ['accept-encoding', 'connection', 'content-length', 'cookie', 'host', 'if-range', 'range', 'transfer-encoding', 'user-agent'])",
            "this header is not one for a credential"
        )])
    )]
    pub name: String,
}

union! {
    /// How we authenticate at an HTTPS server.
    pub enum HttpsAuthKind<'a> = HttpsAuth::kind {
        /// HTTP Basic authentication.
        "basic" basic => Basic(&'a HttpsBasic),
        /// A bearer token.
        "bearer" bearer => Bearer(&'a HttpsBearer),
        /// A header of the server's own.
        "header" header => Header(&'a HttpsHeader),
    }
}

impl Https {
    /// Key of the Secret that holds the password.
    pub const PASSWORD: &str = "password";
    /// Key of the Secret that holds the token.
    pub const TOKEN: &str = "token";
    /// Key of the Secret that holds the value of the header.
    pub const VALUE: &str = "value";
}

impl ExternalSystem for Https {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { url, auth, redirects, tls } = self;
        let url = url.trim_end_matches('/');
        let (parts, who) = match auth.kind() {
            Some(HttpsAuthKind::Basic(basic)) => (vec!["basic", &basic.user], format!("user {}", basic.user)),
            Some(HttpsAuthKind::Bearer(HttpsBearer {})) => (vec!["bearer"], "a bearer token".to_owned()),
            Some(HttpsAuthKind::Header(header)) => (vec!["header", &header.name], format!("header {}", header.name)),
            None => (Vec::new(), String::new()),
        };
        let led = if redirects.is_empty() { String::new() } else { format!(", redirects to {}", redirects.join(" and ")) };
        Endpoint {
            words: format!("HTTPS {url}, {who}{led}"),
            parts: [url].into_iter().chain(parts).chain(redirects.iter().map(String::as_str)).map(Cow::Borrowed).collect(),
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth.kind()? {
            HttpsAuthKind::Basic(_) => &BASIC,
            HttpsAuthKind::Bearer(_) => &BEARER,
            HttpsAuthKind::Header(_) => &HEADER,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
