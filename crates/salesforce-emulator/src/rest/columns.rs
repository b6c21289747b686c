//! `query?columns=true`: what a query would answer, column by column, without running it.

use serde_json::{Value, json};

use crate::schema::{FieldType, Object};
use crate::soql::{Column, FieldPath, Kind, Plan};

pub(super) fn describe(object: &Object, plan: &Plan) -> Value {
    let columns: Vec<Value> = match &plan.kind {
        Kind::Rows(columns) => columns.iter().map(column).collect(),
        Kind::Aggregates { items, .. } => {
            items.iter().zip(plan.aggregate_kinds()).map(|(item, kind)| entry(&item.alias, kind, true, Vec::new())).collect()
        }
        Kind::Count => Vec::new(),
    };
    json!({
        "columnMetadata": columns, "entityName": object.name, "groupBy": matches!(plan.kind, Kind::Aggregates { .. }),
        "idSelected": columns_have_id(plan), "keyPrefix": object.prefix,
    })
}

fn columns_have_id(plan: &Plan) -> bool {
    matches!(&plan.kind, Kind::Rows(columns) if columns.iter().any(|column| matches!(column, Column::Field(path) if path.names == ["Id"])))
}

fn column(column: &Column) -> Value {
    match column {
        Column::Field(path) => nested(path, &path.names),
        Column::Children { name, plan, .. } => {
            let inner = match &plan.kind {
                Kind::Rows(columns) => columns.iter().map(self::column).collect(),
                _ => Vec::new(),
            };
            entry(name, FieldType::String, true, inner)
        }
    }
}

/// `Account.Name` is the column `Account` with the joined column `Name`.
fn nested(path: &FieldPath, names: &[String]) -> Value {
    match names {
        [name, rest @ ..] if !rest.is_empty() => entry(name, FieldType::Reference, false, vec![nested(path, rest)]),
        [name, ..] => entry(name, path.kind, false, Vec::new()),
        [] => Value::Null,
    }
}

fn entry(name: &str, kind: FieldType, aggregate: bool, joined: Vec<Value>) -> Value {
    let apex_type = match kind {
        FieldType::Id | FieldType::Reference => "Id",
        FieldType::Boolean => "Boolean",
        FieldType::Int => "Integer",
        FieldType::Double | FieldType::Currency | FieldType::Percent => "Double",
        FieldType::Date => "Date",
        FieldType::Datetime => "Datetime",
        _ => "String",
    };
    json!({
        "aggregate": aggregate, "apexType": apex_type, "booleanType": kind == FieldType::Boolean, "columnName": name,
        "custom": name.ends_with("__c"), "displayName": name, "foreignKeyName": null, "insertable": !aggregate,
        "joinColumns": joined, "numberType": kind.is_number(), "textType": kind.is_text(), "updatable": !aggregate,
    })
}
