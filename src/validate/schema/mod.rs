//! The schemas of our kinds, as the API server has them from the CustomResourceDefinitions.
//!
//! Of OpenAPI this knows the words that our definitions use and no others: one that it does not know is an error when a definition is read,
//! and so of the tests, and never passed over.

mod metadata;
mod walk;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use regex::Regex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub(super) use metadata::metadata;
pub(super) use walk::{Checked, check};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Schema {
    #[serde(rename = "type")]
    kind: Type,
    #[serde(default)]
    description: String,
    #[serde(default)]
    properties: BTreeMap<String, Schema>,
    #[serde(default)]
    additional_properties: Option<Box<Schema>>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    items: Option<Box<Schema>>,
    #[serde(default, rename = "enum")]
    words: Option<Vec<String>>,
    #[serde(default, deserialize_with = "pattern")]
    pattern: Option<Regex>,
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    min_length: Option<usize>,
    #[serde(default)]
    max_length: Option<usize>,
    #[serde(default)]
    min_items: Option<usize>,
    #[serde(default)]
    max_items: Option<usize>,
    #[serde(default, deserialize_with = "whole")]
    minimum: Option<i64>,
    #[serde(default, deserialize_with = "whole")]
    maximum: Option<i64>,
    #[serde(default, rename = "x-kubernetes-list-type")]
    list_type: Option<ListType>,
    #[serde(default, rename = "x-kubernetes-list-map-keys")]
    map_keys: Vec<String>,
    #[serde(default, rename = "title")]
    _title: Option<IgnoredAny>,
    /// For `rules`.
    #[serde(default, rename = "x-kubernetes-validations")]
    _rules: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Type {
    Object,
    Array,
    String,
    Integer,
    Boolean,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
enum Format {
    #[serde(rename = "date-time")]
    DateTime,
    #[serde(rename = "int32")]
    Int32,
    #[serde(rename = "int64")]
    Int64,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
enum ListType {
    Map,
    Set,
}

/// The API server's are of the Go language. They mean the same here while none has a class such as `\d`, which is of ASCII there.
fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Regex::new(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Bounds are written as fractions, and are whole numbers all the same.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let bound = f64::deserialize(deserializer)?;
    #[allow(clippy::cast_possible_truncation, reason = "what is lost is an error")]
    let whole = bound as i64;
    #[allow(clippy::cast_precision_loss, reason = "the same")]
    if (whole as f64).to_bits() == bound.to_bits() { Ok(Some(whole)) } else { Err(serde::de::Error::custom("a bound with a fraction")) }
}

/// The schema of a definition's one version, and the same as the rules want it: without a status, which no manifest has a say in.
pub(super) fn of(crd: &CustomResourceDefinition) -> Result<(Schema, Value), serde_json::Error> {
    let mut value = serde_json::to_value(crd)?["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take();
    if let Some(properties) = value["properties"].as_object_mut() {
        properties.retain(|name, _| name == "spec");
    }
    Ok((Schema::deserialize(&value)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_our_definitions_is_known() {
        for crd in api::crds::all() {
            let (schema, _) = of(&crd).unwrap_or_else(|error| panic!("{}: {error}", crd.spec.names.kind));
            assert!(schema.properties["spec"].kind == Type::Object, "{}", crd.spec.names.kind);
        }
        let unknown = serde_json::json!({"type": "string", "x-kubernetes-int-or-string": true});
        assert!(Schema::deserialize(unknown).is_err(), "control");
    }

    #[test]
    fn no_pattern_means_something_else_to_an_api_server() {
        fn patterns(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("pattern").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| patterns(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| patterns(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        for crd in api::crds::all() {
            patterns(&of(&crd).unwrap().1, &mut found);
        }
        assert!(found.len() > 50, "{}", found.len());
        let escapes =
            |pattern: &&String| ["\\d", "\\w", "\\s", "\\b", "\\D", "\\W", "\\S", "[["].iter().any(|class| pattern.contains(class));
        assert_eq!(found.iter().filter(escapes).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
