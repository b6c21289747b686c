//! sObject Tree: rows with their children in one body, all or nothing.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::rest::{record, rows};
use crate::store::{Cell, RowError, Store, WriteOptions};

const MOST_ROWS: usize = 200;
const DEEPEST: usize = 5;

#[derive(Deserialize)]
struct Tree {
    records: Vec<Map<String, Value>>,
}

/// A row of the tree before it is written: its parent comes earlier in the list.
struct Node {
    object: usize,
    reference: String,
    row: Map<String, Value>,
    /// The parent's place in the list and the field that points at it.
    parent: Option<(usize, usize)>,
}

pub(super) async fn tree(org: &Arc<Org>, call: &mut Call) -> Result<Reply, ApiError> {
    let object = call.path.get(1).and_then(|name| org.schema.object(name)).ok_or_else(ApiError::not_found)?;
    let tree: Tree = call.json().await?;
    let mut nodes = Vec::new();
    for row in tree.records {
        flatten(org, object, row, None, 1, &mut nodes)?;
    }
    if nodes.len() > MOST_ROWS {
        return Err(ApiError::bad("INVALID_INPUT", format!("A tree may have {MOST_ROWS} records")));
    }
    let options = rows::options(org, call);
    let mut store = org.store_mut();
    let checkpoint = store.checkpoint();
    let (mut done, mut errors): (Vec<(String, String)>, Vec<Value>) = (Vec::new(), Vec::new());
    for node in &nodes {
        match write(org, &mut store, node, &done, options) {
            Ok(id) => done.push((node.reference.clone(), id)),
            Err(error) => {
                errors.push(json!({"referenceId": node.reference, "errors": [reply::row_error(&error)]}));
                break;
            }
        }
    }
    if errors.is_empty() {
        store.forget(checkpoint);
        let results: Vec<Value> = done.into_iter().map(|(reference, id)| json!({"referenceId": reference, "id": id})).collect();
        return Ok(reply::json(StatusCode::CREATED, &json!({"hasErrors": false, "results": results})));
    }
    store.roll_back(checkpoint);
    Ok(reply::json(StatusCode::BAD_REQUEST, &json!({"hasErrors": true, "results": errors})))
}

fn flatten(
    org: &Org,
    object: usize,
    mut row: Map<String, Value>,
    parent: Option<(usize, usize)>,
    depth: usize,
    nodes: &mut Vec<Node>,
) -> Result<(), ApiError> {
    if depth > DEEPEST {
        return Err(ApiError::bad("INVALID_INPUT", format!("A tree may be {DEEPEST} levels deep")));
    }
    let reference = row.get("attributes").and_then(|attributes| attributes["referenceId"].as_str()).map(str::to_owned);
    let reference = reference.ok_or_else(|| ApiError::bad("INVALID_INPUT", "Include a reference ID for each record in the request."))?;
    let nested: Vec<String> = row.iter().filter(|(_, value)| value["records"].is_array()).map(|(name, _)| name.clone()).collect();
    let children: Vec<(String, Value)> = nested.into_iter().filter_map(|name| row.remove(&name).map(|value| (name, value))).collect();
    let place = nodes.len();
    nodes.push(Node { object, reference, row, parent });
    for (name, mut value) in children {
        let child = org.schema.objects[object].child(&name);
        let child = child.ok_or_else(|| ApiError::bad("INVALID_FIELD", format!("No such relationship '{name}'")))?;
        let Value::Array(records) = value["records"].take() else { continue };
        for record in records {
            let Value::Object(record) = record else { return Err(ApiError::json_parser("a record is not an object")) };
            flatten(org, child.object, record, Some((place, child.field)), depth + 1, nodes)?;
        }
    }
    Ok(())
}

fn write(org: &Org, store: &mut Store, node: &Node, done: &[(String, String)], options: WriteOptions) -> Result<String, RowError> {
    let draft = record::draft(&org.schema, node.object, &node.row);
    let mut draft = draft.map_err(|error| RowError::new("INVALID_FIELD", error.message))?;
    if let Some((place, field)) = node.parent {
        draft.cells.push((field, Cell::Text(done[place].1.clone().into())));
    }
    let saved = store.insert(node.object, draft, options)?;
    Ok(store.id_of(node.object, saved.number))
}
