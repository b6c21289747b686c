//! One row by REST: create, read, change, delete, by id or by key; and the feeds of deleted and updated rows.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::record;
use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::schema::Source;
use crate::store::{RowError, WriteOptions, value};

pub(super) async fn create(org: &Arc<Org>, object: usize, mut call: Call) -> Result<Reply, ApiError> {
    let body: Map<String, Value> = call.json().await?;
    insert(org, object, &call, &body, false)
}

/// `POST sobjects/X/Id`: an upsert of a row that has no id yet.
pub(super) async fn create_without_id(org: &Arc<Org>, object: usize, mut call: Call) -> Result<Reply, ApiError> {
    let body: Map<String, Value> = call.json().await?;
    insert(org, object, &call, &body, true)
}

fn insert(org: &Org, object: usize, call: &Call, body: &Map<String, Value>, upserted: bool) -> Result<Reply, ApiError> {
    if body.keys().any(|name| name.eq_ignore_ascii_case("Id")) {
        return Err(ApiError::bad("INVALID_FIELD", "The Id field should not be specified in the sobject data."));
    }
    let draft = record::draft(&org.schema, object, body)?;
    let mut store = org.store_mut();
    let saved = store.insert(object, draft, options(org, call))?;
    let mut answer = json!({"id": store.id_of(object, saved.number), "success": true, "errors": []});
    if upserted {
        answer["created"] = json!(true);
    }
    Ok(reply::json(StatusCode::CREATED, &answer))
}

/// Duplicate rules that only alert give way to the header.
pub(crate) fn options(org: &Org, call: &Call) -> WriteOptions {
    let header = call.header("sforce-duplicate-rule-header").unwrap_or_default().to_ascii_lowercase().replace(' ', "");
    WriteOptions { now: org.now(), allow_duplicates: header.contains("allowsave=true") }
}

pub(super) async fn by_id(org: &Arc<Org>, object: usize, call: Call) -> Result<Reply, ApiError> {
    let id = call.path[1].clone();
    with_id(org, object, &id, call).await
}

async fn with_id(org: &Arc<Org>, object: usize, id: &str, mut call: Call) -> Result<Reply, ApiError> {
    match call.method {
        Method::GET => {
            let fields = call.parameter("fields").map(|names| record::field_list(&org.schema.objects[object], names)).transpose()?;
            let store = org.store();
            let number = store.live_row(object, id).map_err(missing)?;
            Ok(reply::ok(&record::whole(org, &store.view(object, number), fields.as_deref(), &call.version)))
        }
        Method::PATCH => {
            let body: Map<String, Value> = call.json().await?;
            if body.keys().any(|name| name.eq_ignore_ascii_case("Id")) {
                return Err(ApiError::bad("INVALID_FIELD", "The Id field should not be specified in the sobject data."));
            }
            let draft = record::draft(&org.schema, object, &body)?;
            let mut store = org.store_mut();
            store.live_row(object, id).map_err(unwritable)?;
            store.update(object, id, draft, options(org, &call))?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Method::DELETE => {
            let mut store = org.store_mut();
            store.live_row(object, id).map_err(unwritable)?;
            store.delete(object, id, org.now(), false)?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(ApiError::method_not_allowed(&call.method, "GET, PATCH, DELETE")),
    }
}

/// A row addressed by a path that is not there is a resource that does not exist.
fn missing(error: RowError) -> ApiError {
    match error.code {
        "INVALID_CROSS_REFERENCE_KEY" | "MALFORMED_ID" => ApiError::not_found(),
        _ => error.into(),
    }
}

/// A row that never was can be no more changed than read, but is told differently.
fn unwritable(error: RowError) -> ApiError {
    match error.code {
        "INVALID_CROSS_REFERENCE_KEY" => ApiError { status: StatusCode::NOT_FOUND, ..error.into() },
        _ => missing(error),
    }
}

/// `GET sobjects/X/{id}/{Field}`: the bytes of a file.
pub(super) fn file(org: &Org, object: usize, field: usize, call: &Call) -> Result<Reply, ApiError> {
    let store = org.store();
    let number = store.live_row(object, &call.path[1]).map_err(missing)?;
    let text = store.view(object, number).get(field).ok_or_else(ApiError::not_found)?;
    let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(ApiError::json_parser)?;
    Ok(reply::typed(StatusCode::OK, "application/octet-stream", bytes))
}

/// `sobjects/X/{Field}/{value}`: the row whose key has this value.
pub(super) async fn by_key(org: &Arc<Org>, object: usize, mut call: Call) -> Result<Reply, ApiError> {
    let (name, key_value) = (call.path[1].clone(), call.path[2].clone());
    let spec = &org.schema.objects[object];
    let key = spec.field(&name).filter(|key| spec.fields[*key].is_key()).ok_or_else(|| {
        let message = format!("Provided external ID field does not exist or is not accessible: {name}");
        ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    })?;
    if spec.fields[key].source == Source::Id {
        return with_id(org, object, &key_value, call).await;
    }
    let found = org.store().by_key(object, key, &key_value);
    if found.len() > 1 {
        let store = org.store();
        let url = |number: &u32| format!("/services/data/v{}/sobjects/{}/{}", call.version, spec.name, store.id_of(object, *number));
        return Ok(reply::json(StatusCode::MULTIPLE_CHOICES, &found.iter().map(url).collect::<Vec<_>>()));
    }
    let id = found.first().map(|number| org.store().id_of(object, *number));
    match (call.method.clone(), id) {
        (Method::PATCH, id) => {
            let body: Map<String, Value> = call.json().await?;
            upsert(org, object, key, &key_value, id, &call, body)
        }
        (_, Some(id)) => with_id(org, object, &id, call).await,
        (_, None) => Err(ApiError::not_found()),
    }
}

fn upsert(
    org: &Org,
    object: usize,
    key: usize,
    key_value: &str,
    found: Option<String>,
    call: &Call,
    mut body: Map<String, Value>,
) -> Result<Reply, ApiError> {
    let name = &org.schema.objects[object].fields[key].name;
    if body.keys().any(|given| given.eq_ignore_ascii_case(name)) {
        return Err(ApiError::bad("INVALID_FIELD", format!("The {name} field should not be specified in the sobject data.")));
    }
    let Some(id) = found else {
        if call.parameter("updateOnly").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
            return Err(ApiError::not_found());
        }
        body.insert(name.clone(), json!(key_value));
        return insert(org, object, call, &body, true);
    };
    let draft = record::draft(&org.schema, object, &body)?;
    org.store_mut().update(object, &id, draft, options(org, call))?;
    let version: f64 = call.version.parse().unwrap_or(66.0);
    if version < 46.0 {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    Ok(reply::ok(&json!({"id": id, "success": true, "errors": [], "created": false})))
}

pub(super) fn deleted(org: &Org, object: usize, call: &Call) -> Result<Reply, ApiError> {
    let (from, to) = span(call)?;
    let rows = org.store().deleted_between(object, from, to);
    let rows: Vec<Value> = rows.into_iter().map(|(id, at)| json!({"id": id, "deletedDate": instant(at)})).collect();
    Ok(reply::ok(&json!({
        "deletedRecords": rows, "earliestDateAvailable": instant(org.now() - 30 * 24 * 3600 * 1000), "latestDateCovered": instant(to),
    })))
}

pub(super) fn updated(org: &Org, object: usize, call: &Call) -> Result<Reply, ApiError> {
    let (from, to) = span(call)?;
    let store = org.store();
    let live = store.numbers(object).map(|number| store.view(object, number)).filter(|view| view.is_live());
    let ids: Vec<String> = live.filter(|view| (from..=to).contains(&view.modified())).map(|view| view.id()).collect();
    Ok(reply::ok(&json!({"ids": ids, "latestDateCovered": instant(to)})))
}

fn instant(ms: i64) -> String {
    value::json_instant(&value::format_instant(ms))
}

fn span(call: &Call) -> Result<(i64, i64), ApiError> {
    // A plus sign in a query string reads as a space; clients forget to encode it.
    let bound = |name: &str| call.parameter(name).and_then(|text| value::parse_instant(&text.replace(' ', "+")));
    bound("start").zip(bound("end")).ok_or_else(|| ApiError::bad("INVALID_REPLICATION_DATE", "start and end must be dates with time"))
}
