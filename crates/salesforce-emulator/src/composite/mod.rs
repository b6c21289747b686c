//! Several requests in one: Composite, Batch, Graph and Tree.

mod graph;
mod references;
mod tree;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::{self, Call};
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::rest;

const MOST_SUBREQUESTS: usize = 25;
/// Of those, queries and collections.
const MOST_HEAVY: usize = 5;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subrequest {
    method: String,
    url: String,
    reference_id: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    http_headers: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    all_or_none: Option<bool>,
    composite_request: Vec<Subrequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchRequest {
    method: String,
    url: String,
    #[serde(default)]
    rich_input: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    halt_on_error: Option<bool>,
    batch_requests: Vec<BatchRequest>,
}

/// `call.path` starts behind `composite`.
pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let folded = call.folded();
    let path: Vec<&str> = folded.iter().map(String::as_str).collect();
    match (&call.method, path.as_slice()) {
        (&Method::POST, []) => composite(org, &mut call).await,
        (&Method::POST, ["batch"]) => batch(org, &mut call).await,
        (&Method::POST, ["graph"]) => graph::graphs(org, &mut call).await,
        (&Method::POST, ["tree", _]) => tree::tree(org, &mut call).await,
        (_, [] | ["batch" | "graph"] | ["tree", _]) => Err(ApiError::method_not_allowed(&call.method, "POST")),
        _ => Err(ApiError::not_found()),
    }
}

async fn composite(org: &Arc<Org>, call: &mut Call) -> Result<Reply, ApiError> {
    let request: Composite = call.json().await?;
    let heavy = request.composite_request.iter().filter(|sub| is_heavy(&sub.url)).count();
    if request.composite_request.len() > MOST_SUBREQUESTS || heavy > MOST_HEAVY {
        let message = format!("The request may have {MOST_SUBREQUESTS} subrequests, {MOST_HEAVY} of them queries or collections");
        return Err(ApiError::bad("INVALID_INPUT", message));
    }
    let headers = call.headers.clone();
    let responses = if request.all_or_none.unwrap_or(false) {
        org.transaction(async {
            let (mut responses, failed) = run(org, &headers, &request.composite_request).await;
            if failed {
                responses.iter_mut().for_each(halt);
            }
            (responses, !failed)
        })
        .await
    } else {
        run(org, &headers, &request.composite_request).await.0
    };
    Ok(reply::ok(&json!({"compositeResponse": responses})))
}

fn is_heavy(url: &str) -> bool {
    ["/query", "/composite/sobjects"].iter().any(|part| url.contains(part))
}

/// A step that went well is taken back with the one that did not.
fn halt(response: &mut Value) {
    if response["httpStatusCode"].as_u64().is_some_and(|status| status < 300) {
        let message = "The transaction was rolled back since another operation in the same transaction failed.";
        response["body"] = ApiError::bad("PROCESSING_HALTED", message).body();
        response["httpStatusCode"] = json!(400);
        response["httpHeaders"] = json!({});
    }
}

/// Runs steps in order; a step that refers to a failed one is not run. Says whether any failed.
async fn run(org: &Arc<Org>, headers: &HeaderMap, requests: &[Subrequest]) -> (Vec<Value>, bool) {
    let mut results: Map<String, Value> = Map::new();
    let (mut responses, mut failed) = (Vec::new(), false);
    for request in requests {
        let (status, headers, body) = match references::fill(&results, &request.url, &request.body) {
            Ok((url, body)) => step(org, headers, request, &url, body).await,
            Err(message) => {
                let error = ApiError::bad("PROCESSING_HALTED", message);
                (error.status, Map::new(), error.body())
            }
        };
        failed |= status.as_u16() >= 300;
        if status.is_success() {
            results.insert(request.reference_id.clone(), body.clone());
        }
        responses.push(json!({
            "body": body, "httpHeaders": headers, "httpStatusCode": status.as_u16(), "referenceId": request.reference_id,
        }));
    }
    (responses, failed)
}

async fn step(org: &Arc<Org>, outer: &HeaderMap, request: &Subrequest, url: &str, body: Value) -> (StatusCode, Map<String, Value>, Value) {
    let mut headers = outer.clone();
    for (name, value) in &request.http_headers {
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
            headers.insert(name, value);
        }
    }
    send(org, headers, &request.method, url, body).await
}

/// One inner request; its answer as JSON.
async fn send(org: &Arc<Org>, headers: HeaderMap, method: &str, url: &str, body: Value) -> (StatusCode, Map<String, Value>, Value) {
    let answer = match inner_call(headers, method, url, &body) {
        Some(call) => rest::resource(org, call).await.unwrap_or_else(|error| error.reply()),
        None => ApiError::not_found().reply(),
    };
    let (parts, body) = answer.into_parts();
    let mut headers = Map::new();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if parts.status == StatusCode::CREATED
        && let Some(id) = body["id"].as_str()
    {
        headers.insert("Location".to_owned(), json!(format!("{}/{id}", url.trim_end_matches('/'))));
    }
    (parts.status, headers, body)
}

fn inner_call(headers: HeaderMap, method: &str, url: &str, body: &Value) -> Option<Call> {
    // A query may be longer than an address can be, and have spaces that nobody encoded.
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut path = if address.starts_with('/') { Vec::new() } else { vec!["services".to_owned(), "data".to_owned()] };
    path.extend(call::segments(address));
    if path.len() < 3 || !path[0].eq_ignore_ascii_case("services") || !path[1].eq_ignore_ascii_case("data") {
        return None;
    }
    let version = path[2].trim_start_matches(['v', 'V']).to_owned();
    Some(Call {
        method: method.to_ascii_uppercase().parse().ok()?,
        path: path.split_off(3),
        query: call::query(query),
        headers,
        version,
        body: if body.is_null() { Body::empty() } else { Body::from(body.to_string()) },
    })
}

async fn batch(org: &Arc<Org>, call: &mut Call) -> Result<Reply, ApiError> {
    let batch: Batch = call.json().await?;
    if batch.batch_requests.len() > MOST_SUBREQUESTS {
        return Err(ApiError::bad("INVALID_INPUT", format!("The request may have {MOST_SUBREQUESTS} subrequests")));
    }
    let (mut results, mut failed) = (Vec::new(), false);
    for request in batch.batch_requests {
        let (status, result) = if failed && batch.halt_on_error.unwrap_or(false) {
            let error = ApiError::new(StatusCode::PRECONDITION_FAILED, "BATCH_PROCESSING_HALTED", "Batch processing halted by request");
            (error.status, error.body())
        } else {
            let (status, _, body) = send(org, call.headers.clone(), &request.method, &request.url, request.rich_input).await;
            (status, body)
        };
        failed |= status.as_u16() >= 300;
        results.push(json!({"statusCode": status.as_u16(), "result": result}));
    }
    Ok(reply::ok(&json!({"hasErrors": failed, "results": results})))
}
