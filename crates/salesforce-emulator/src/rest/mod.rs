//! Everything below `/services/data`: versions, resources, describe, rows, queries, limits, and the way to the jobs and
//! composite resources.

mod columns;
pub(crate) mod cursors;
mod query;
pub(crate) mod record;
pub(crate) mod rows;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::{bulk, collections, composite, describe};

const OLDEST: u32 = 31;
const NEWEST: u32 = 66;

pub(crate) use query::page_to_json;

/// `call.path` starts behind `data`; the list of versions needs no session.
pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    if call.path.is_empty() {
        return Ok(reply::ok(&versions()));
    }
    let session = session(&call);
    let version = version(&call.path.remove(0))?;
    authorize(org, session.as_deref())?;
    count_usage(org)?;
    call.version = version;
    resource(org, call).await
}

/// Seasons name releases: three a year.
fn versions() -> Value {
    let seasons = ["Spring", "Summer", "Winter"];
    let list = (OLDEST..=NEWEST).map(|version| {
        let release = version - 21;
        let (season, year) = (seasons[(release % 3) as usize], 11 + release / 3 + u32::from(release % 3 == 2));
        json!({"label": format!("{season} '{year}"), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0")})
    });
    list.collect()
}

fn version(segment: &str) -> Result<String, ApiError> {
    let digits = segment.strip_prefix(['v', 'V']).and_then(|text| text.strip_suffix(".0")).ok_or_else(ApiError::not_found)?;
    let number: u32 = digits.parse().map_err(|_| ApiError::not_found())?;
    match number {
        OLDEST..=NEWEST => Ok(format!("{number}.0")),
        1..OLDEST => Err(ApiError::new(StatusCode::GONE, "UNSUPPORTED_API_VERSION", format!("API version {number}.0 is retired"))),
        _ => Err(ApiError::not_found()),
    }
}

fn session(call: &Call) -> Option<String> {
    let (kind, token) = call.header("authorization")?.split_once(' ')?;
    (kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("oauth")).then(|| token.trim().to_owned())
}

fn authorize(org: &Org, token: Option<&str>) -> Result<(), ApiError> {
    let alive = token.is_some_and(|token| org.tokens().use_session(token, org.now(), org.config.session_timeout));
    if alive { Ok(()) } else { Err(ApiError::session()) }
}

/// Every call counts against the day's allowance, refused ones too.
fn count_usage(org: &Org) -> Result<(), ApiError> {
    let used = org.usage.fetch_add(1, Ordering::Relaxed) + 1;
    if used > org.config.limits.daily_api_requests {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."));
    }
    Ok(())
}

/// One resource of a version. Boxed, because a composite request asks for resources itself.
pub(crate) fn resource(org: &Arc<Org>, call: Call) -> Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send + '_>> {
    Box::pin(async move {
        let mut call = call;
        let folded = call.folded();
        let first = folded.first().map(String::as_str).unwrap_or_default();
        if first.is_empty() {
            return Ok(reply::ok(&resources(org, &call.version)));
        }
        call.path.remove(0);
        match first {
            "sobjects" => sobjects(org, call).await,
            "query" => query::query(org, &call, false),
            "queryall" => query::query(org, &call, true),
            "limits" => limits(org, &call),
            "jobs" => bulk::dispatch(org, call).await,
            "composite" => composite_or_collection(org, call).await,
            "recent" => Err(ApiError::not_supported("recently used rows")),
            _ => Err(ApiError::not_found()),
        }
    })
}

async fn composite_or_collection(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    if call.path.first().is_some_and(|segment| segment.eq_ignore_ascii_case("sobjects")) {
        call.path.remove(0);
        return collections::dispatch(org, call).await;
    }
    composite::dispatch(org, call).await
}

fn resources(org: &Org, version: &str) -> Value {
    let base = format!("/services/data/v{version}");
    let names = ["sobjects", "query", "queryAll", "composite", "limits", "jobs"];
    let mut all: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(format!("{base}/{name}")))).collect();
    all.insert("identity".to_owned(), json!(org.identity_url()));
    Value::Object(all)
}

async fn sobjects(org: &Arc<Org>, call: Call) -> Result<Reply, ApiError> {
    let folded = call.folded();
    let path: Vec<&str> = folded.iter().map(String::as_str).collect();
    if path.is_empty() {
        return Ok(reply::ok(&describe::global(&org.schema, &call.version)));
    }
    let object = org.schema.object(path[0]).ok_or_else(ApiError::not_found)?;
    let spec = &org.schema.objects[object];
    match (&call.method, &path[1..]) {
        (&Method::GET, []) => Ok(reply::ok(&describe::basic(spec, &call.version))),
        (&Method::POST, []) => rows::create(org, object, call).await,
        (&Method::GET, ["describe"]) => described(org, object, &call),
        (
            _,
            ["describe", "layouts" | "compactlayouts" | "namedlayouts" | "approvallayouts", ..]
            | ["layouts" | "defaultvalues" | "quickactions", ..],
        ) => Err(ApiError::not_supported("layouts")),
        (_, ["listviews", ..]) => Err(ApiError::not_supported("list views")),
        (&Method::GET, ["deleted"]) => rows::deleted(org, object, &call),
        (&Method::GET, ["updated"]) => rows::updated(org, object, &call),
        (&Method::POST, ["id"]) => rows::create_without_id(org, object, call).await,
        (&Method::GET, [_, name]) if let Some(field) = spec.file(name) => rows::file(org, object, field, &call),
        (_, [_]) => rows::by_id(org, object, call).await,
        (_, [_, _]) => rows::by_key(org, object, call).await,
        _ => Err(ApiError::not_found()),
    }
}

/// The schema never changes while the server runs: a client that has seen it keeps what it has.
fn described(org: &Org, object: usize, call: &Call) -> Result<Reply, ApiError> {
    if call.headers.contains_key(http::header::IF_MODIFIED_SINCE) {
        return Ok(reply::empty(StatusCode::NOT_MODIFIED));
    }
    Ok(reply::ok(&describe::full(&org.schema, &org.schema.objects[object], &call.version)))
}

fn limits(org: &Org, call: &Call) -> Result<Reply, ApiError> {
    let folded = call.folded();
    if folded.first().is_some_and(|segment| segment == "recordcount") {
        return Ok(reply::ok(&record_count(org, call)));
    }
    let limits = &org.config.limits;
    let entry = |max: u64, used: u64| json!({"Max": max, "Remaining": max.saturating_sub(used)});
    let used = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(reply::ok(&json!({
        "DailyApiRequests": entry(limits.daily_api_requests, used(&org.usage)),
        "DailyAsyncApexExecutions": entry(250_000, 0),
        "DailyBulkApiBatches": entry(limits.daily_bulk_batches, used(&org.bulk_batches)),
        "DailyBulkV2QueryFileStorageMB": entry(976_562, 0),
        "DailyBulkV2QueryJobs": entry(10_000, 0),
        "DataStorageMB": entry(1_000_000, 0),
        "FileStorageMB": entry(1_000_000, 0),
    })))
}

fn record_count(org: &Org, call: &Call) -> Value {
    let wanted: Option<Vec<String>> = call.parameter("sObjects").map(|names| names.split(',').map(str::to_ascii_lowercase).collect());
    let store = org.store();
    let counts: Vec<Value> = org
        .schema
        .objects
        .iter()
        .enumerate()
        .filter(|(_, object)| wanted.as_ref().is_none_or(|names| names.contains(&object.name.to_ascii_lowercase())))
        .map(|(number, object)| (store.count(number), object))
        .filter(|(count, _)| *count > 0)
        .map(|(count, object)| json!({"count": count, "name": object.name}))
        .collect();
    json!({"sObjects": counts})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retired_versions_are_gone_and_future_ones_unknown() {
        assert_eq!(version("v66.0").unwrap(), "66.0");
        assert_eq!(version("v30.0").unwrap_err().status, StatusCode::GONE);
        assert_eq!(version("v99.0").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(version("66").unwrap_err().status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_newest_version_comes_last_and_bears_its_season() {
        let all = versions();
        assert_eq!(all.as_array().unwrap().last().unwrap()["label"], "Spring '26");
    }
}
