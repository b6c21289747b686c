//! The writing half of Collections: each row on its own, or all of them or none.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::rest::{record, rows};
use crate::schema::Source;
use crate::store::{Draft, RowError, Store};

/// A row that was written: its id, and for upserts whether it is new.
struct Done {
    id: String,
    created: Option<bool>,
}

/// A row that was not, and for upserts whether it would have been new.
struct Refused {
    error: RowError,
    created: Option<bool>,
}

impl From<RowError> for Refused {
    fn from(error: RowError) -> Self {
        Self { error, created: None }
    }
}

type Outcome = Result<Done, Refused>;

pub(super) fn insert(
    org: &Org,
    call: &Call,
    records: &[Map<String, Value>],
    objects: &[usize],
    all_or_none: bool,
) -> Result<Reply, ApiError> {
    let options = rows::options(org, call);
    let mut drafts = Vec::with_capacity(records.len());
    for (row, object) in records.iter().zip(objects) {
        drafts.push((given_id(row).is_some(), *object, record::draft(&org.schema, *object, row)?));
    }
    commit(org, all_or_none, drafts, |store, (has_id, object, draft)| {
        if has_id {
            return Err(RowError::on("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id").into());
        }
        let saved = store.insert(object, draft, options)?;
        Ok(Done { id: store.id_of(object, saved.number), created: None })
    })
}

pub(super) fn update(
    org: &Org,
    call: &Call,
    records: &[Map<String, Value>],
    objects: &[usize],
    all_or_none: bool,
) -> Result<Reply, ApiError> {
    let options = rows::options(org, call);
    let mut drafts = Vec::with_capacity(records.len());
    for (row, object) in records.iter().zip(objects) {
        drafts.push((given_id(row), *object, record::draft(&org.schema, *object, row)?));
    }
    commit(org, all_or_none, drafts, |store, (id, object, draft)| {
        let id = id.ok_or_else(|| RowError::new("MISSING_ARGUMENT", "Id not specified in an update call"))?;
        let saved = store.update(object, id, draft, options)?;
        Ok(Done { id: store.id_of(object, saved.number), created: None })
    })
}

pub(super) fn upsert(
    org: &Org,
    call: &Call,
    records: &[Map<String, Value>],
    object: usize,
    key: usize,
    all_or_none: bool,
) -> Result<Reply, ApiError> {
    let options = rows::options(org, call);
    let spec = &org.schema.objects[object].fields[key];
    let mut drafts: Vec<(Option<String>, Draft<'_>)> = Vec::with_capacity(records.len());
    for row in records {
        let value = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(&spec.name)).and_then(|(_, value)| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        if spec.source != Source::Id && given_id(row).is_some() {
            return Err(ApiError::bad("INVALID_FIELD", "The Id field should not be specified in the sobject data."));
        }
        drafts.push((value, record::draft(&org.schema, object, row)?));
    }
    commit(org, all_or_none, drafts, |store, (value, draft)| {
        let is_new = value.as_deref().is_none_or(|value| store.by_key(object, key, value).is_empty());
        let saved = store.upsert(object, key, value.as_deref(), draft, options);
        let saved = saved.map_err(|error| Refused { error, created: Some(is_new) })?;
        Ok(Done { id: store.id_of(object, saved.number), created: Some(saved.created) })
    })
}

/// Ids of different objects may stand side by side.
pub(super) fn delete(org: &Org, ids: &[&str], all_or_none: bool) -> Result<Reply, ApiError> {
    let now = org.now();
    commit(org, all_or_none, ids.to_vec(), |store, id| {
        let object = id.get(..3).and_then(|prefix| store.schema.by_prefix(prefix));
        let object = object.ok_or_else(|| RowError::on("MALFORMED_ID", format!("malformed id {id}"), "Id"))?;
        let number = store.delete(object, id, now, false)?;
        Ok(Done { id: store.id_of(object, number), created: None })
    })
}

fn given_id(row: &Map<String, Value>) -> Option<&str> {
    row.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).and_then(|(_, value)| value.as_str())
}

fn commit<T>(org: &Org, all_or_none: bool, rows: Vec<T>, mut write: impl FnMut(&mut Store, T) -> Outcome) -> Result<Reply, ApiError> {
    let mut store = org.store_mut();
    let before = all_or_none.then(|| store.checkpoint());
    let mut results: Vec<Outcome> = rows.into_iter().map(|row| write(&mut store, row)).collect();
    if let Some(before) = before {
        if results.iter().any(Result::is_err) {
            store.roll_back(before);
            let rolled_back = || {
                RowError::new(
                    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                    "Record rolled back because not all records were valid and the request was using AllOrNone header",
                )
            };
            for result in &mut results {
                if let Ok(Done { created, .. }) = result {
                    *result = Err(Refused { error: rolled_back(), created: *created });
                }
            }
        } else {
            store.forget(before);
        }
    }
    let answers: Vec<Value> = results.iter().map(answer).collect();
    Ok(reply::ok(&answers))
}

fn answer(result: &Outcome) -> Value {
    let (mut answer, created) = match result {
        Ok(Done { id, created }) => (json!({"id": id, "success": true, "errors": []}), created),
        Err(Refused { error, created }) => (json!({"success": false, "errors": [reply::row_error(error)]}), created),
    };
    if let Some(created) = created {
        answer["created"] = json!(created);
    }
    answer
}
