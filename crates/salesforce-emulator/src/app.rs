//! The server as one function of a request: faults, routing, usage headers, journal. Tests call it without a port.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Request, StatusCode};

use crate::call::{self, Call};
use crate::faults::Action;
use crate::journal::Entry;
use crate::org::Org;
use crate::reply::{ApiError, Reply};
use crate::{admin, oauth, rest, soap};

/// Put on an answer whose connection is to end without sending it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropConnection;

/// Put on an answer that is to wait before it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

/// Longest request line a GET may have.
const URI_LIMIT: usize = 16 << 10;

pub(crate) fn app(org: Arc<Org>) -> Router {
    Router::new().fallback(handle).with_state(org)
}

async fn handle(State(org): State<Arc<Org>>, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let reply = with_faults(&org, request, &method, &path).await;
    let dropped = reply.extensions().get::<DropConnection>().is_some();
    let status = if dropped { 0 } else { reply.status().as_u16() };
    org.journal().add(Entry { method, path, status });
    reply
}

/// The emulator's own endpoints never fail on demand.
async fn with_faults(org: &Arc<Org>, request: Request<Body>, method: &str, path: &str) -> Reply {
    let exempt = path.starts_with("/emulator");
    let (fault, mut removed) = {
        let mut faults = org.faults();
        (if exempt { None } else { faults.on_request(method, path) }, faults.removed())
    };
    match fault {
        None => route(org, request).await,
        Some(Action::DropBefore) => dropped(),
        Some(Action::DropAfter) => {
            route(org, request).await;
            dropped()
        }
        Some(Action::Delay { milliseconds }) => {
            let _ = tokio::time::timeout(Duration::from_millis(milliseconds), removed.changed()).await;
            route(org, request).await
        }
        Some(Action::DelayAnswer { milliseconds }) => {
            let mut reply = route(org, request).await;
            reply.extensions_mut().insert(Wait(Duration::from_millis(milliseconds)));
            reply
        }
        Some(Action::Status { status, code, message }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let code = code.unwrap_or_else(|| "SERVER_UNAVAILABLE".to_owned());
            ApiError::new(status, code, message.unwrap_or_else(|| "Service is unavailable".to_owned())).reply()
        }
        Some(Action::ExpireSession) => {
            org.tokens().expire_sessions();
            route(org, request).await
        }
        Some(Action::CutBody { bytes }) => limited(route(org, request).await, bytes, true),
        Some(Action::ShortenBody { bytes }) => limited(route(org, request).await, bytes, false),
        Some(Action::SlowBody { milliseconds }) => slow(route(org, request).await, Duration::from_millis(milliseconds)),
        Some(Action::LockRows { .. } | Action::RetryBatch { .. }) => route(org, request).await,
    }
}

fn dropped() -> Reply {
    let mut reply = crate::reply::empty(StatusCode::OK);
    reply.extensions_mut().insert(DropConnection);
    reply
}

/// The first `bytes` of the body; then either a broken connection or an end that looks right.
fn limited(reply: Reply, bytes: usize, cut: bool) -> Reply {
    let (mut parts, body) = reply.into_parts();
    if !cut {
        parts.headers.remove(http::header::CONTENT_LENGTH);
    }
    let mut left = bytes;
    let pieces = body.into_data_stream().map(move |piece| {
        let piece: Bytes = piece.map_err(|_| std::io::Error::other("the body broke off"))?;
        let piece = piece.slice(..piece.len().min(left));
        left -= piece.len();
        Ok(piece)
    });
    let pieces = pieces.take_while(|piece| std::future::ready(piece.as_ref().is_ok_and(|piece| !piece.is_empty())));
    // What was sent must be on its way before the end overtakes it.
    let end = futures::stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("the body is cut on demand"))
    });
    let end = end.filter(move |_| std::future::ready(cut));
    Reply::from_parts(parts, Body::from_stream(pieces.chain(end)))
}

fn slow(reply: Reply, pause: Duration) -> Reply {
    let (parts, body) = reply.into_parts();
    let pieces = body.into_data_stream().then(move |piece| async move {
        tokio::time::sleep(pause).await;
        piece
    });
    Reply::from_parts(parts, Body::from_stream(pieces))
}

async fn route(org: &Arc<Org>, request: Request<Body>) -> Reply {
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > URI_LIMIT) {
        return ApiError::new(StatusCode::URI_TOO_LONG, "URI_TOO_LONG", "The URI is too long").reply();
    }
    let (mut parts, body) = request.into_parts();
    // HTTP/2 names the host elsewhere.
    if let Some(authority) = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        parts.headers.entry(http::header::HOST).or_insert(authority);
    }
    let mut path = call::segments(parts.uri.path());
    let folded: Vec<String> = path.iter().take(2).map(|segment| segment.to_ascii_lowercase()).collect();
    let first: Vec<&str> = folded.iter().map(String::as_str).collect();
    let call = |path: Vec<String>| Call {
        method: parts.method.clone(),
        path,
        query: call::query(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.clone(),
        version: String::new(),
        body,
    };
    match first.as_slice() {
        ["services", "data"] => {
            let reply = rest::dispatch(org, call(path.split_off(2))).await.unwrap_or_else(|error| error.reply());
            with_usage(org, reply)
        }
        ["services", "oauth2"] => oauth::dispatch(org, call(path.split_off(2))).await,
        ["services", "soap"] => soap::dispatch(org, call(path.split_off(2))).await,
        ["id", _] => oauth::identity(org, &call(path.split_off(1))),
        [".well-known", "openid-configuration"] => oauth::discovery(org),
        ["emulator", ..] if org.config.admin => admin::dispatch(org, call(path.split_off(1))).await.unwrap_or_else(|error| error.reply()),
        _ => ApiError::not_found().reply(),
    }
}

fn with_usage(org: &Org, mut reply: Reply) -> Reply {
    let usage = format!("api-usage={}/{}", org.usage.load(Ordering::Relaxed), org.config.limits.daily_api_requests);
    if let Ok(usage) = HeaderValue::from_str(&usage) {
        reply.headers_mut().insert("sforce-limit-info", usage);
    }
    reply
}
