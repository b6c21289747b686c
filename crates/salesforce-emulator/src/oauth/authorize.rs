//! The authorize page. Nobody sits in front of an emulator, so a well-formed request is approved at once; a request with
//! `login_hint=deny` is refused, so that both ends of the redirect can be tried.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, StatusCode, header};

use super::tokens::Code;
use super::{Form, OauthError, client};
use crate::org::Org;
use crate::reply::{self, Reply};

pub(super) fn authorize(org: &Arc<Org>, form: &Form) -> Reply {
    match approve(org, form) {
        Ok(location) => redirect(&location),
        Err(error) => error.reply(),
    }
}

/// Where the browser goes next. Errors about the client or its callback are never redirected: the callback is not trusted.
fn approve(org: &Org, form: &Form) -> Result<String, OauthError> {
    let client = client(org, form)?;
    let redirect_uri = form.require("redirect_uri")?;
    if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
        return Err(OauthError::new("redirect_uri_mismatch", "redirect_uri must match configuration"));
    }
    let mut answer = url::form_urlencoded::Serializer::new(String::new());
    if form.get("response_type") != Some("code") {
        answer.append_pair("error", "unsupported_response_type").append_pair("error_description", "response type not supported");
    } else if form.get("code_challenge_method").is_some_and(|method| method != "S256") {
        answer.append_pair("error", "invalid_request").append_pair("error_description", "invalid code challenge method");
    } else if form.get("login_hint") == Some("deny") {
        answer.append_pair("error", "access_denied").append_pair("error_description", "end-user denied authorization");
    } else {
        let code = Code {
            client_id: client.client_id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            scope: form.get("scope").unwrap_or("api refresh_token").to_owned(),
            challenge: form.get("code_challenge").map(str::to_owned),
            issued: org.now(),
        };
        answer.append_pair("code", &org.tokens().add_code(code));
    }
    if let Some(state) = form.get("state") {
        answer.append_pair("state", state);
    }
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    Ok(format!("{redirect_uri}{separator}{}", answer.finish()))
}

fn redirect(location: &str) -> Reply {
    let Ok(location) = HeaderValue::from_str(location) else {
        return OauthError::new("invalid_request", "redirect_uri is not valid").reply();
    };
    let mut reply = reply::typed(StatusCode::FOUND, "text/plain;charset=UTF-8", Body::empty());
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}
