//! sObject Collections: up to 200 rows in one call, results in request order.

mod write;

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::rest::record;

const MOST_ROWS: usize = 200;
const MOST_READ: usize = 2_000;
/// Runs of equal type one request may fall into.
const MOST_RUNS: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// Clients send null for "as usual".
    all_or_none: Option<bool>,
    records: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Wanted {
    ids: Vec<String>,
    fields: Vec<String>,
}

/// `call.path` starts behind `composite/sobjects`.
pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let object = |name: &str| org.schema.object(name).ok_or_else(ApiError::not_found);
    let path = call.path.clone();
    match (&call.method.clone(), path.as_slice()) {
        (&Method::POST, []) => {
            let (body, objects) = body(org, &mut call).await?;
            write::insert(org, &call, &body.records, &objects, body.all_or_none.unwrap_or(false))
        }
        (&Method::PATCH, []) => {
            let (body, objects) = body(org, &mut call).await?;
            write::update(org, &call, &body.records, &objects, body.all_or_none.unwrap_or(false))
        }
        (&Method::PATCH, [name, key]) => {
            let object = object(name)?;
            let spec = &org.schema.objects[object];
            let key = spec.field(key).filter(|field| spec.fields[*field].is_key()).ok_or_else(|| {
                let message = format!("Provided external ID field does not exist or is not accessible: {key}");
                ApiError::new(http::StatusCode::NOT_FOUND, "NOT_FOUND", message)
            })?;
            let (body, objects) = body(org, &mut call).await?;
            if objects.iter().any(|other| *other != object) {
                return Err(ApiError::bad("INVALID_INPUT", format!("All records must be of type {}", spec.name)));
            }
            write::upsert(org, &call, &body.records, object, key, body.all_or_none.unwrap_or(false))
        }
        (&Method::DELETE, []) => {
            let ids: Vec<&str> = call.parameter("ids").unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
            limit(ids.len(), MOST_ROWS)?;
            let all_or_none = call.parameter("allOrNone").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
            write::delete(org, &ids, all_or_none)
        }
        (&Method::GET, [name]) => {
            let object = object(name)?;
            let ids: Vec<String> = call.parameter("ids").unwrap_or_default().split(',').map(|id| id.trim().to_owned()).collect();
            let fields = record::field_list(&org.schema.objects[object], call.parameter("fields").unwrap_or("Id"))?;
            read(org, &call, object, &ids, &fields)
        }
        (&Method::POST, [name]) => {
            let object = object(name)?;
            let wanted: Wanted = call.json().await?;
            let fields = record::field_list(&org.schema.objects[object], &wanted.fields.join(","))?;
            read(org, &call, object, &wanted.ids, &fields)
        }
        (_, [] | [_] | [_, _]) => Err(ApiError::method_not_allowed(&call.method, "GET, POST, PATCH, DELETE")),
        _ => Err(ApiError::not_found()),
    }
}

fn limit(rows: usize, most: usize) -> Result<(), ApiError> {
    if rows > most {
        return Err(ApiError::bad(
            "EXCEEDED_ID_LIMIT",
            format!("record limit reached. cannot submit more than {most} records into this call"),
        ));
    }
    if rows == 0 {
        return Err(ApiError::bad("INVALID_INPUT", "at least one record is required"));
    }
    Ok(())
}

/// The rows and the object of each, from its `attributes`.
async fn body(org: &Org, call: &mut Call) -> Result<(Body, Vec<usize>), ApiError> {
    let body: Body = call.json().await?;
    limit(body.records.len(), MOST_ROWS)?;
    let mut objects = Vec::with_capacity(body.records.len());
    for row in &body.records {
        let name = row.get("attributes").and_then(|attributes| attributes["type"].as_str());
        let name = name.ok_or_else(|| ApiError::bad("INVALID_INPUT", "record has no attributes type"))?;
        let object =
            org.schema.object(name).ok_or_else(|| ApiError::bad("INVALID_TYPE", format!("sObject type '{name}' is not supported.")))?;
        objects.push(object);
    }
    let runs = 1 + objects.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if runs > MOST_RUNS {
        let message =
            format!("Cannot have more than {MOST_RUNS} chunks in a single operation. Please rearrange the data to reduce chunking.");
        return Err(ApiError::bad("INVALID_INPUT", message));
    }
    let setup = objects.iter().filter(|object| org.schema.objects[**object].setup).count();
    if setup > 0 && setup < objects.len() {
        return Err(ApiError::bad("MIXED_DML_OPERATION", "setup and non-setup objects cannot be in one request"));
    }
    Ok((body, objects))
}

/// A row that is not there is null in its place.
fn read(org: &Org, call: &Call, object: usize, ids: &[String], fields: &[usize]) -> Result<Reply, ApiError> {
    limit(ids.len(), MOST_READ)?;
    let store = org.store();
    let rows: Vec<Value> = ids
        .iter()
        .map(|id| match store.live_row(object, id) {
            Ok(number) => record::whole(org, &store.view(object, number), Some(fields), &call.version),
            Err(_) => Value::Null,
        })
        .collect();
    Ok(reply::ok(&rows))
}
