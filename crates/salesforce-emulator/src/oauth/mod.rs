//! OAuth 2.0: the endpoints below `/services/oauth2`, the identity URL and the discovery document.

mod authorize;
mod grants;
mod identity;
mod jwt;
mod tokens;

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use http::{Method, StatusCode, header};
use serde_json::json;

pub(crate) use grants::{password_matches, soap_session};
pub(crate) use identity::{discovery, identity};
pub(crate) use jwt::is_public_key;
pub use tokens::IssuedToken;
pub(crate) use tokens::{Tokens, opaque};

use crate::call::Call;
use crate::config::Client;
use crate::org::Org;
use crate::reply::{self, Reply};

/// OAuth errors are an object of code and description, always with status 400.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OauthError {
    code: &'static str,
    description: String,
}

impl OauthError {
    fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    fn reply(&self) -> Reply {
        reply::json(StatusCode::BAD_REQUEST, &json!({"error": self.code, "error_description": self.description}))
    }
}

pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Reply {
    let endpoint = call.path.first().map(|segment| segment.to_ascii_lowercase()).unwrap_or_default();
    match (&call.method, endpoint.as_str()) {
        (&Method::GET | &Method::POST, "authorize") => {
            let form = Form::read(&mut call).await;
            authorize::authorize(org, &form)
        }
        (&Method::POST, "token") => {
            let form = Form::read(&mut call).await;
            grants::token(org, &form).unwrap_or_else(|error| error.reply())
        }
        (&Method::POST | &Method::GET, "revoke") => {
            let form = Form::read(&mut call).await;
            revoke(org, &form)
        }
        (&Method::POST, "introspect") => {
            let form = Form::read(&mut call).await;
            introspect(org, &form).unwrap_or_else(|error| error.reply())
        }
        (&Method::GET | &Method::POST, "userinfo") => identity::userinfo(org, &call),
        _ => reply::ApiError::not_found().reply(),
    }
}

/// Parameters from the query string and the form body alike, and client credentials from Basic authorization.
struct Form {
    values: Vec<(String, String)>,
    host: String,
}

impl Form {
    async fn read(call: &mut Call) -> Self {
        let mut values = std::mem::take(&mut call.query);
        if let Ok(body) = call.bytes().await {
            values.extend(url::form_urlencoded::parse(&body).into_owned());
        }
        if let Some((id, secret)) = basic(call.header("authorization")) {
            values.push(("client_id".to_owned(), id));
            values.push(("client_secret".to_owned(), secret));
        }
        Self { values, host: call.header("host").unwrap_or_default().to_owned() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn require(&self, name: &'static str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::new("invalid_request", format!("missing required parameter: {name}")))
    }

    /// The shared login hosts serve no client credentials.
    fn is_login_host(&self) -> bool {
        ["login.", "test."].iter().any(|prefix| self.host.starts_with(prefix))
    }
}

fn basic(authorization: Option<&str>) -> Option<(String, String)> {
    let encoded = authorization?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(base64::prelude::BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn client<'a>(org: &'a Org, form: &Form) -> Result<&'a Client, OauthError> {
    let id = form.require("client_id")?;
    let known = org.config.clients.iter().find(|client| client.client_id == id);
    known.ok_or_else(|| OauthError::new("invalid_client_id", "client identifier invalid"))
}

/// A secret that is sent must be right; `needed` says whether it may be left out.
fn check_secret(client: &Client, form: &Form, needed: bool) -> Result<(), OauthError> {
    match form.get("client_secret") {
        Some(secret) if secret == client.client_secret => Ok(()),
        None if !needed => Ok(()),
        _ => Err(OauthError::new("invalid_client", "invalid client credentials")),
    }
}

fn revoke(org: &Org, form: &Form) -> Reply {
    let known = form.get("token").is_some_and(|token| org.tokens().revoke(token));
    if known {
        return reply::empty(StatusCode::OK);
    }
    let body = "error=invalid_token&error_description=invalid+token%3A+invalid+token";
    let mut reply = reply::typed(StatusCode::BAD_REQUEST, "application/x-www-form-urlencoded;charset=UTF-8", Body::from(body));
    reply.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}

fn introspect(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    let client = client(org, form)?;
    check_secret(client, form, true)?;
    let token = form.require("token")?;
    let issued = org.tokens().describe(token, org.now(), org.config.session_timeout);
    let Some(issued) = issued.filter(|issued| issued.active) else {
        return Ok(reply::ok(&json!({"active": false})));
    };
    let mut body = json!({
        "active": true, "scope": issued.scope, "client_id": issued.client_id, "username": org.config.username,
        "sub": org.identity_url(), "token_type": issued.kind, "iat": issued.issued_at_ms / 1000, "nbf": issued.issued_at_ms / 1000,
    });
    if let Some(expires) = issued.expires_at_ms {
        body["exp"] = json!(expires / 1000);
    }
    Ok(reply::ok(&body))
}
