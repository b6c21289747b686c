//! Rows as JSON objects, in both directions.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::cursors::Cursor;
use crate::org::Org;
use crate::reply::ApiError;
use crate::schema::{Field, FieldType, Object, Schema, Source};
use crate::soql::{self, Column, FieldPath};
use crate::store::{Cell, Draft, ParentRef, RowView, value as stored};

/// A stored text as the JSON value of its type.
pub(crate) fn value(kind: FieldType, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    match kind {
        FieldType::Boolean => json!(text == "true"),
        FieldType::Int => text.parse::<i64>().map_or(Value::Null, |number| json!(number)),
        FieldType::Double | FieldType::Currency | FieldType::Percent => text.parse::<f64>().map_or(Value::Null, |number| json!(number)),
        FieldType::Datetime => json!(stored::json_instant(text)),
        _ => json!(text),
    }
}

fn attributes(object: &Object, id: &str, version: &str) -> Value {
    json!({"type": object.name, "url": format!("/services/data/v{version}/sobjects/{}/{id}", object.name)})
}

/// The columns of a query: dotted paths become nested objects, sub-queries nested results.
pub(crate) fn selected(org: &Org, view: &RowView<'_>, columns: &[Column], version: &str) -> Value {
    let object = &org.schema.objects[view.object];
    let mut record = Map::new();
    record.insert("attributes".to_owned(), attributes(object, &view.id(), version));
    for column in columns {
        match column {
            Column::Field(path) => put(org, &mut record, view, path, version),
            Column::Children { name, field, plan } => {
                let rows = soql::children(view.store, plan, *field, &view.id());
                let nested = if rows.is_empty() {
                    Value::Null
                } else {
                    let cursor = Cursor { plan: plan.clone().into(), rows: rows.into(), page: 2_000 };
                    super::page_to_json(org, view.store, &cursor, 0, None, version)
                };
                record.insert(name.clone(), nested);
            }
        }
    }
    Value::Object(record)
}

fn put(org: &Org, record: &mut Map<String, Value>, view: &RowView<'_>, path: &FieldPath, version: &str) {
    let Some((last, relationships)) = path.names.split_last() else { return };
    let mut at = record;
    for (name, parent) in relationships.iter().zip(path.parents(view)) {
        let entry = at.entry(name.clone()).or_insert_with(|| match parent {
            Some(parent) => json!({"attributes": attributes(&org.schema.objects[parent.object], &parent.id(), version)}),
            None => Value::Null,
        });
        let Value::Object(inner) = entry else { return };
        at = inner;
    }
    let text = path.value(view);
    let shown = match path.parents(view).last().copied().unwrap_or(Some(*view)) {
        Some(holder) if path.kind == FieldType::Base64 && text.is_some() => file_url(&holder, last, version),
        _ => value(path.kind, text.as_deref()),
    };
    at.insert(last.clone(), shown);
}

/// A file is fetched on its own.
fn file_url(view: &RowView<'_>, field: &str, version: &str) -> Value {
    let object = &view.store.schema.objects[view.object].name;
    json!(format!("/services/data/v{version}/sobjects/{object}/{}/{field}", view.id()))
}

/// A row with the named fields, or all of them.
pub(crate) fn whole(org: &Org, view: &RowView<'_>, fields: Option<&[usize]>, version: &str) -> Value {
    let object = &org.schema.objects[view.object];
    let mut record = Map::new();
    record.insert("attributes".to_owned(), attributes(object, &view.id(), version));
    let mut put = |number: usize| {
        let field = &object.fields[number];
        let shown = match view.get(number) {
            Some(_) if field.kind == FieldType::Base64 => file_url(view, &field.name, version),
            text => value(field.kind, text.as_deref()),
        };
        record.insert(field.name.clone(), shown);
    };
    match fields {
        Some(fields) => fields.iter().for_each(|number| put(*number)),
        None => (0..object.fields.len()).for_each(put),
    }
    Value::Object(record)
}

/// Field numbers of a comma-separated list.
pub(crate) fn field_list(object: &Object, names: &str) -> Result<Vec<usize>, ApiError> {
    names.split(',').map(|name| object.field(name.trim()).ok_or_else(|| no_such_field(object, name.trim()))).collect()
}

fn no_such_field(object: &Object, name: &str) -> ApiError {
    let mut error = ApiError::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type {}", object.name));
    error.fields = Vec::new();
    error
}

/// What a JSON object wants written. `Id` and `attributes` are the caller's business.
pub(crate) fn draft<'a>(schema: &Schema, object: usize, body: &'a Map<String, Value>) -> Result<Draft<'a>, ApiError> {
    let spec = &schema.objects[object];
    let mut draft = Draft::default();
    for (name, value) in body.iter().filter(|(name, _)| *name != "attributes") {
        if let Some(number) = spec.field(name) {
            let field = &spec.fields[number];
            if field.source != Source::Id {
                draft.cells.push((number, cell(field, value)?));
            }
        } else if let (Some(number), Value::Object(parent)) = (spec.relationship(name), value) {
            draft.parents.push(parent_ref(schema, &spec.fields[number], number, parent)?);
        } else {
            return Err(no_such_field(spec, name));
        }
    }
    Ok(draft)
}

/// An empty string is stored as null.
fn cell<'a>(field: &Field, value: &'a Value) -> Result<Cell<'a>, ApiError> {
    let text = match value {
        Value::Null if field.kind == FieldType::Boolean => return Err(wrong_json(field, value)),
        Value::Null => return Ok(Cell::Null),
        Value::String(text) if text.is_empty() => return Ok(Cell::Null),
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Bool(flag) if field.kind == FieldType::Boolean => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Value::Number(number) if field.kind.is_number() => Cow::Owned(number.to_string()),
        other => return Err(wrong_json(field, other)),
    };
    let fits = match field.kind {
        FieldType::Boolean | FieldType::Date | FieldType::Datetime | FieldType::Time => {
            stored::coerce(field, &text).map_or_else(|error| error.code != stored::WRONG_TYPE, |_| true)
        }
        kind if kind.is_number() => text.parse::<f64>().is_ok(),
        _ => true,
    };
    if fits { Ok(Cell::Text(text)) } else { Err(wrong_json(field, value)) }
}

fn wrong_json(field: &Field, value: &Value) -> ApiError {
    let token = match value {
        Value::Null => "VALUE_NULL",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let message = format!(
        "Cannot deserialize instance of {} from {token} value {shown} or request may be missing a required field",
        field.kind.name()
    );
    ApiError::bad("JSON_PARSER_ERROR", message)
}

fn parent_ref<'a>(schema: &Schema, field: &Field, number: usize, parent: &'a Map<String, Value>) -> Result<ParentRef<'a>, ApiError> {
    let named = parent.get("attributes").and_then(|attributes| attributes["type"].as_str());
    let object = match (named, field.is_polymorphic()) {
        (Some(name), _) => schema.object(name).filter(|object| field.reference_to.contains(object)),
        (None, false) => field.reference_to.first().copied(),
        (None, true) => None,
    };
    let invalid =
        || ApiError::bad("INVALID_FIELD", format!("The relationship of field {} needs one indexed field of its parent", field.name));
    let object = object.ok_or_else(invalid)?;
    let mut keys = parent.iter().filter(|(name, _)| *name != "attributes");
    let (Some((name, value)), None) = (keys.next(), keys.next()) else { return Err(invalid()) };
    let spec = &schema.objects[object];
    let key = spec.field(name).filter(|key| spec.fields[*key].is_key()).ok_or_else(invalid)?;
    let value = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => return Err(invalid()),
    };
    Ok(ParentRef { field: number, object, key, value })
}
