//! `query`, `queryAll` and their pages.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::cursors::Cursor;
use super::{columns, record};
use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::soql::{self, Answer, Kind, Plan, SoqlError};
use crate::store::Store;

const PAGE: usize = 2_000;

impl From<SoqlError> for ApiError {
    fn from(error: SoqlError) -> Self {
        Self::bad(error.code, error.message)
    }
}

pub(super) fn query(org: &Org, call: &Call, include_deleted: bool) -> Result<Reply, ApiError> {
    if let Some(locator) = call.path.first() {
        return next_page(org, call, locator);
    }
    if call.parameter("explain").is_some() {
        return Err(ApiError::not_supported("query plans (explain)"));
    }
    let text = call.parameter("q").ok_or_else(|| ApiError::bad("MALFORMED_QUERY", "SOQL query is missing"))?;
    let mut plan = soql::plan(&org.schema, text, org.now())?;
    if include_deleted {
        plan.include_deleted();
    }
    if call.parameter("columns").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
        return Ok(reply::ok(&columns::describe(&org.schema.objects[plan.object], &plan)));
    }
    let store = org.store();
    match soql::run(&store, &plan) {
        Answer::Count(count) => Ok(reply::ok(&json!({"totalSize": count, "done": true, "records": []}))),
        Answer::Aggregates(rows) => {
            let records: Vec<Value> = rows.into_iter().map(|row| aggregate(&plan, row)).collect();
            Ok(reply::ok(&json!({"totalSize": records.len(), "done": true, "records": records})))
        }
        Answer::Rows(rows) => {
            let cursor = Cursor { plan: Arc::new(plan), rows: Arc::new(rows), page: page_size(call) };
            Ok(reply::ok(&page_to_json(org, &store, &cursor, 0, None, &call.version)))
        }
    }
}

fn page_size(call: &Call) -> usize {
    let wanted = call.header("sforce-query-options").and_then(|options| options.split("batchSize=").nth(1)?.trim().parse().ok());
    wanted.map_or(PAGE, |size: usize| size.clamp(200, PAGE))
}

fn next_page(org: &Org, call: &Call, locator: &str) -> Result<Reply, ApiError> {
    let invalid = || ApiError::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (id, start) = locator.rsplit_once('-').ok_or_else(invalid)?;
    let start = start.parse().map_err(|_| invalid())?;
    let cursor = org.cursors().get(id).filter(|cursor| start <= cursor.rows.len()).ok_or_else(invalid)?;
    let store = org.store();
    Ok(reply::ok(&page_to_json(org, &store, &cursor, start, Some(id), &call.version)))
}

/// One page and, when rows are left, where the next one is.
pub(crate) fn page_to_json(org: &Org, store: &Store, cursor: &Cursor, start: usize, id: Option<&str>, version: &str) -> Value {
    let end = (start + cursor.page).min(cursor.rows.len());
    let Kind::Rows(columns) = &cursor.plan.kind else { return Value::Null };
    let records: Vec<Value> = cursor.rows[start..end]
        .iter()
        .map(|number| record::selected(org, &store.view(cursor.plan.object, *number), columns, version))
        .collect();
    let mut body = json!({"totalSize": cursor.rows.len(), "done": end == cursor.rows.len(), "records": records});
    if end < cursor.rows.len() {
        let id = id.map_or_else(|| org.cursors().add(cursor.clone()), str::to_owned);
        body["nextRecordsUrl"] = json!(format!("/services/data/v{version}/query/{id}-{end}"));
    }
    body
}

fn aggregate(plan: &Plan, row: Vec<(String, Option<String>)>) -> Value {
    let mut record = Map::new();
    record.insert("attributes".to_owned(), json!({"type": "AggregateResult"}));
    for ((alias, value), kind) in row.into_iter().zip(plan.aggregate_kinds()) {
        record.insert(alias, record::value(kind, value.as_deref()));
    }
    Value::Object(record)
}
