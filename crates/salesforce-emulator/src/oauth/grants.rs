//! The token endpoint: one function per grant type.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, header};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Form, OauthError, check_secret, client, jwt};
use crate::config::Client;
use crate::org::Org;
use crate::reply::{self, Reply};

const CODE_LIFETIME_MS: i64 = 15 * 60 * 1000;
const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub(super) fn token(org: &Arc<Org>, form: &Form) -> Result<Reply, OauthError> {
    match form.require("grant_type")? {
        "client_credentials" => client_credentials(org, form),
        "password" => password(org, form),
        "authorization_code" => authorization_code(org, form),
        "refresh_token" => refresh(org, form),
        JWT_GRANT => jwt_bearer(org, form),
        _ => Err(OauthError::new("unsupported_grant_type", "grant type not supported")),
    }
}

fn client_credentials(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    if form.is_login_host() {
        return Err(OauthError::new("invalid_grant", "request not supported on this domain"));
    }
    let client = client(org, form)?;
    check_secret(client, form, true)?;
    Ok(session(org, client, "api", false))
}

fn password(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    let client = client(org, form)?;
    check_secret(client, form, true)?;
    if !org.config.password_login {
        return Err(OauthError::new("invalid_grant", "authentication failure"));
    }
    let right = form.require("username")?.eq_ignore_ascii_case(&org.config.username) && password_matches(org, form.require("password")?);
    if !right {
        return Err(OauthError::new("invalid_grant", "authentication failure - Invalid Password"));
    }
    Ok(session(org, client, "api full", false))
}

/// A security token may follow the password; this organisation has none to compare.
pub(crate) fn password_matches(org: &Org, given: &str) -> bool {
    !org.config.password.is_empty() && given.starts_with(&org.config.password)
}

/// A session from SOAP login(), which knows no client.
pub(crate) fn soap_session(org: &Org) -> String {
    let mut tokens = org.tokens();
    let grant = tokens.grant("soap", "api full", false, org.now());
    tokens.issue(grant, &org.org_id, org.now())
}

fn jwt_bearer(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    let assertion = form.require("assertion")?;
    let claims = jwt::unverified(assertion)?;
    let client = org.config.clients.iter().find(|client| client.client_id == claims.iss);
    let client = client.ok_or_else(|| OauthError::new("invalid_client_id", "client identifier invalid"))?;
    jwt::verify(assertion, &claims, client, &org.url, org.now())?;
    if !claims.sub.eq_ignore_ascii_case(&org.config.username) {
        return Err(OauthError::new("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(session(org, client, "api", false))
}

fn authorization_code(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    let client = client(org, form)?;
    check_secret(client, form, !client.public)?;
    let code = org.tokens().take_code(form.require("code")?);
    let code = code.filter(|code| code.client_id == client.client_id && org.now() - code.issued <= CODE_LIFETIME_MS);
    let code = code.ok_or_else(|| OauthError::new("invalid_grant", "expired authorization code"))?;
    if form.require("redirect_uri")? != code.redirect_uri {
        return Err(OauthError::new("invalid_grant", "redirect_uri must match configuration"));
    }
    match (&code.challenge, form.get("code_verifier")) {
        (Some(challenge), Some(verifier)) if *challenge != challenge_of(verifier) => {
            return Err(OauthError::new("invalid_request", "invalid code verifier"));
        }
        (Some(_), None) => return Err(OauthError::new("invalid_grant", "missing code verifier")),
        (None, Some(_)) => return Err(OauthError::new("invalid_request", "missing code challenge")),
        _ => {}
    }
    let with_refresh = ["refresh_token", "offline_access", "full"].iter().any(|scope| code.scope.split(' ').any(|s| s == *scope));
    Ok(session(org, client, &code.scope, with_refresh))
}

fn challenge_of(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

fn refresh(org: &Org, form: &Form) -> Result<Reply, OauthError> {
    let client = client(org, form)?;
    check_secret(client, form, !client.public)?;
    let token = form.require("refresh_token")?;
    let mut tokens = org.tokens();
    let grant = tokens.by_refresh(token, &client.client_id);
    let grant = grant.ok_or_else(|| OauthError::new("invalid_grant", "expired access/refresh token"))?;
    if client.rotate_refresh_tokens {
        tokens.rotate(grant);
    }
    drop(tokens);
    Ok(answer(org, client, grant, client.rotate_refresh_tokens))
}

fn session(org: &Org, client: &Client, scope: &str, with_refresh: bool) -> Reply {
    let grant = org.tokens().grant(&client.client_id, scope, with_refresh, org.now());
    answer(org, client, grant, with_refresh)
}

fn answer(org: &Org, client: &Client, grant: usize, show_refresh: bool) -> Reply {
    let now = org.now();
    let mut tokens = org.tokens();
    let access = tokens.issue(grant, &org.org_id, now);
    let id = org.identity_url();
    let mut body = json!({
        "access_token": access, "signature": signature(client, &id, now), "scope": tokens.scope_of(grant),
        "instance_url": org.url, "id": id, "token_type": "Bearer", "issued_at": now.to_string(),
    });
    if show_refresh && let Some(refresh) = tokens.refresh_of(grant) {
        body["refresh_token"] = json!(refresh);
    }
    let mut reply = reply::ok(&body);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    reply
}

fn signature(client: &Client, id: &str, issued_at: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, client.client_secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pkce_example_of_rfc_7636_holds() {
        assert_eq!(challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
