//! Who the session belongs to: userinfo, the identity URL, OpenID discovery.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};

pub(super) fn userinfo(org: &Org, call: &Call) -> Reply {
    let Some(token) = bearer(call) else {
        return reply::typed(StatusCode::FORBIDDEN, "text/plain;charset=UTF-8", "Missing_OAuth_Token");
    };
    if !org.tokens().use_session(&token, org.now(), org.config.session_timeout) {
        return reply::typed(StatusCode::FORBIDDEN, "text/plain;charset=UTF-8", "Bad_OAuth_Token");
    }
    reply::ok(&json!({
        "sub": org.identity_url(), "user_id": org.user_id, "organization_id": org.org_id,
        "preferred_username": org.config.username, "nickname": "integration", "name": "Integration",
        "email": "integration@emulator.invalid", "email_verified": true, "family_name": "Integration", "zoneinfo": "GMT",
        "urls": urls(org), "active": true, "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "utcOffset": 0,
        "updated_at": timestamp(org), "profile": format!("{}/{}", org.url, org.user_id), "picture": photo(org, "F"), "photos": photos(org),
    }))
}

/// `GET /id/{org}/{user}`; the token may come as a parameter.
pub(crate) fn identity(org: &Org, call: &Call) -> Reply {
    let token = bearer(call).or_else(|| call.parameter("oauth_token").map(str::to_owned));
    let Some(token) = token else {
        return reply::typed(StatusCode::FORBIDDEN, "text/plain;charset=UTF-8", "Missing_OAuth_Token");
    };
    if !org.tokens().use_session(&token, org.now(), org.config.session_timeout) {
        return reply::typed(StatusCode::FORBIDDEN, "text/plain;charset=UTF-8", "Bad_OAuth_Token");
    }
    let same = |given: Option<&String>, own: &str| given.is_some_and(|given| given.get(..15) == own.get(..15));
    if !same(call.path.first(), &org.org_id) || !same(call.path.get(1), &org.user_id) {
        return ApiError::not_found().reply();
    }
    reply::ok(&json!({
        "id": org.identity_url(), "asserted_user": true, "user_id": org.user_id, "organization_id": org.org_id,
        "username": org.config.username, "nick_name": "integration", "display_name": "Integration",
        "email": "integration@emulator.invalid", "email_verified": true, "last_name": "Integration", "timezone": "GMT",
        "urls": urls(org), "active": true, "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "utcOffset": 0,
        "last_modified_date": timestamp(org), "is_app_installed": true, "photos": photos(org),
    }))
}

pub(crate) fn discovery(org: &Org) -> Reply {
    let url = &org.url;
    reply::ok(&json!({
        "issuer": url, "authorization_endpoint": format!("{url}/services/oauth2/authorize"),
        "token_endpoint": format!("{url}/services/oauth2/token"), "revocation_endpoint": format!("{url}/services/oauth2/revoke"),
        "userinfo_endpoint": format!("{url}/services/oauth2/userinfo"),
        "introspection_endpoint": format!("{url}/services/oauth2/introspect"),
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
    }))
}

fn bearer(call: &Call) -> Option<String> {
    let header = call.header("authorization")?;
    let (kind, token) = header.split_once(' ')?;
    (kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("oauth")).then(|| token.trim().to_owned())
}

/// Where a picture of the user would be, full and small.
fn photos(org: &Org) -> Value {
    json!({"picture": photo(org, "F"), "thumbnail": photo(org, "T")})
}

fn photo(org: &Org, size: &str) -> String {
    format!("{}/profilephoto/005/{size}", org.url)
}

/// Clients put the version they speak where `{version}` stands.
fn urls(org: &Org) -> Value {
    let (url, id) = (&org.url, &org.org_id[..15]);
    let data = format!("{url}/services/data/v{{version}}/");
    json!({
        "enterprise": format!("{url}/services/Soap/c/{{version}}/{id}"), "metadata": format!("{url}/services/Soap/m/{{version}}/{id}"),
        "partner": format!("{url}/services/Soap/u/{{version}}/{id}"), "rest": data, "sobjects": format!("{data}sobjects/"),
        "search": format!("{data}search/"), "query": format!("{data}query/"), "recent": format!("{data}recent/"),
        "profile": format!("{url}/{}", org.user_id), "custom_domain": url,
    })
}

fn timestamp(org: &Org) -> String {
    Timestamp::from_millisecond(org.now()).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
