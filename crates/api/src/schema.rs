//! What schemars does not say in the words of an API server: CEL rules, list maps, and a pass that removes what API
//! servers complain about (unsigned formats, `nullable` for values that may be absent but never null).

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Text as people write it: no control characters but tab and line ends, which JSON would write in six bytes each.
pub(crate) const TEXT: &str = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$";

/// A path: no control characters.
pub(crate) const PATH: &str = r"^[^\x00-\x1f\x7f]*$";
/// PEM: ASCII in lines.
pub(crate) const PEM: &str = r"^[\t\n\r -~]*$";

/// One CEL rule with the message a person reads.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A union: an object with exactly one of these keys.
pub(crate) fn exactly_one(keys: &[&str]) -> Value {
    let has = keys.iter().map(|k| format!("has(self.{k})")).collect::<Vec<_>>().join(", ");
    rule(&format!("[{has}].filter(x, x).size() == 1"), &format!("exactly one of {} must be set", keys.join(", ")))
}

/// A union stays what it is: another key, or one more, is another object.
pub(crate) fn same_one(keys: &[&str], message: &str) -> Value {
    let same = keys.iter().map(|key| format!("has(self.{key}) == has(oldSelf.{key})")).collect::<Vec<_>>();
    rule(&same.join(" && "), message)
}

/// `metav1.Condition` as a list map, the way every Kubernetes tool expects it.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What is judged."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "maxLength": 1024, "description": "Why, as one word for programs."},
                "message": {"type": "string", "maxLength": 32768, "description": "Why, and what to do, for people."},
                "observedGeneration": {"type": "integer", "format": "int64", "description": "Generation of the spec that was judged."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."}
            }
        }
    })
}

/// Words to choose from, as the plain `enum` that API servers know. A choice whose words have descriptions of their own is written by schemars as
/// a `oneOf` of constants, which a structural schema cannot hold; the descriptions are for readers of the code.
pub(crate) fn words(schema: &mut Schema) {
    let Some(Value::Array(choices)) = schema.remove("oneOf") else { return };
    let words = choices.into_iter().flat_map(|mut choice| match choice["enum"].take() {
        // Those without a description come together.
        Value::Array(plain) => plain,
        _ => vec![choice["const"].take()],
    });
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(words.collect()));
}

/// Removes what an API server would warn about or what would make absent and null two things.
pub(crate) fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if map.get("format").and_then(Value::as_str).is_some_and(|f| !["date-time", "int32", "int64", "double", "byte"].contains(&f)) {
                map.remove("format");
            }
            // An optional enum may be absent; a null it may not be.
            if let Some(Value::Array(choices)) = map.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            // schemars writes whole-number bounds as floats; API servers print them that way in messages.
            for key in ["minimum", "maximum"] {
                if let Some(bound) = map.get(key).and_then(Value::as_f64).filter(|b| b.fract() == 0.0) {
                    map.insert(key.into(), json!(bound as i64));
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
