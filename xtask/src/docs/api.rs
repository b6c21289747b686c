//! The reference of the custom resources, from the generated CustomResourceDefinitions: every field with its type, what it is when it
//! is absent, its limits and its description, and the rules that an API server holds an object to.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::markdown::{cell, code, table};
use crate::workspace;

/// In the order in which a person meets them.
const KINDS: [&str; 6] = ["regions", "tenants", "connections", "importjobs", "importruns", "uploads"];

/// What begins the sentence that says what a field is when nobody wrote it.
const ABSENT: &str = "Absent: ";

pub(super) fn page() -> Result<String> {
    let mut page = super::heading("API reference", "`crds/`");
    page.push_str(
        "\nGroup `dataimporter.io`, version `v1alpha1`. `kubectl explain KIND.spec` tells the same. A field that says nothing under *absent* \
         is optional and simply not there; `[]` stands for each entry of a list, `{}` for each entry of a map. *Rules* are checked by the API \
         server for the whole object, with the words that it refuses one with.\n",
    );
    for plural in KINDS {
        let path = format!("crds/{plural}.yaml");
        let text = fs::read_to_string(workspace::root().join(&path)).with_context(|| format!("{path} cannot be read"))?;
        let crd: Value = serde_saphyr::from_str(&text).with_context(|| format!("{path} is not YAML"))?;
        page.push_str(&kind(&crd).with_context(|| format!("{path} is no definition of a kind"))?);
    }
    Ok(page)
}

fn kind(crd: &Value) -> Option<String> {
    let spec = &crd["spec"];
    let (names, schema) = (&spec["names"], &spec["versions"][0]["schema"]["openAPIV3Schema"]);
    let short: Vec<&str> = names["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = format!("\n## {}\n\n{}\n\n{}", names["kind"].as_str()?, cell(schema["description"].as_str()?), spec["scope"].as_str()?);
    text.push_str(&format!("; `kubectl get {}`", names["plural"].as_str()?));
    if !short.is_empty() {
        text.push_str(&format!(", short {}", short.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")));
    }
    text.push_str(".\n");
    let mut rules = own_rules(schema, "");
    for part in ["spec", "status"] {
        let mut fields = Vec::new();
        let schema = schema["properties"].get(part)?;
        rules.extend(own_rules(schema, part));
        walk(schema, part, &mut fields, &mut rules);
        let header = if part == "spec" {
            ["field", "type", "absent", "limits", ""]
        } else {
            ["field of the status", "type", "absent", "limits", ""]
        };
        text.push_str(&format!("\n{}", table(header, &fields)));
    }
    if !rules.is_empty() {
        text.push_str(&format!("\n{}", table(["rules of", "refused with", "CEL"], &rules)));
    }
    Some(text)
}

/// Every field below an object.
fn walk(schema: &Value, path: &str, fields: &mut Vec<[String; 5]>, rules: &mut Vec<[String; 3]>) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let (description, absent) = described(child["description"].as_str().unwrap_or_default());
        let absent = if required.contains(&name.as_str()) { "*required*".to_owned() } else { cell(&absent) };
        fields.push([code(&path), type_of(child), absent, limits(child), cell(&description)]);
        rules.extend(own_rules(child, &path));
        below(child, &path, fields, rules);
    }
}

/// What lies inside of a field: its own fields, or those of its entries.
fn below(schema: &Value, path: &str, fields: &mut Vec<[String; 5]>, rules: &mut Vec<[String; 3]>) {
    walk(schema, path, fields, rules);
    for (entries, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[entries].is_object() {
            let path = format!("{path}{mark}");
            rules.extend(own_rules(&schema[entries], &path));
            below(&schema[entries], &path, fields, rules);
        }
    }
}

/// Splits a description into what the field is and what it is when absent.
fn described(text: &str) -> (String, String) {
    let Some((before, absent)) = text.split_once(ABSENT) else { return (text.to_owned(), String::new()) };
    let end = absent.find(". ").map_or(absent.len(), |end| end + 1);
    let (absent, behind) = absent.split_at(end);
    (format!("{}{behind}", before.trim_end()), absent.trim_end_matches('.').to_owned())
}

fn type_of(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().filter_map(Value::as_str).map(code).collect::<Vec<_>>().join(", ");
    }
    match (schema["type"].as_str().unwrap_or_default(), schema["format"].as_str()) {
        ("string", Some("date-time")) => "time".to_owned(),
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => format!("map to {}", type_of(&schema["additionalProperties"])),
        ("", _) if schema["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        ("", _) => "any".to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn limits(schema: &Value) -> String {
    let number = |key: &str| schema[key].as_f64().map(|number| number.to_string());
    let range = |least: Option<String>, most: Option<String>, unit: &str| match (least, most) {
        (None, None) => None,
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (Some(least), Some(most)) if least == most => Some(format!("{least}{unit}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
    };
    let pattern = |schema: &Value| schema["pattern"].as_str().map(code);
    let each = &schema["items"];
    let parts = [
        range(number("minimum"), number("maximum"), ""),
        range(number("minLength"), number("maxLength"), " characters"),
        pattern(schema),
        range(number("minItems"), number("maxItems"), " entries"),
        range(number("minProperties"), number("maxProperties"), " entries"),
        range(each["minLength"].as_f64().map(|n| n.to_string()), each["maxLength"].as_f64().map(|n| n.to_string()), " characters each"),
        pattern(each),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn own_rules(schema: &Value, path: &str) -> Vec<[String; 3]> {
    let path = if path.is_empty() { "the object".to_owned() } else { code(path) };
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    rules.map(|rule| [path.clone(), cell(&text(rule, "message")), code(&text(rule, "rule"))]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_has_its_type_default_limits_and_rules() {
        let schema = json!({"required": ["port"], "properties": {
            "port": {"type": "integer", "minimum": 1.0, "maximum": 65535.0, "description": "TCP port."},
            "words": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 9, "pattern": "^a|b$"},
                "description": "Words. Absent: none. Kept in order.",
                "x-kubernetes-validations": [{"rule": "self.size() < 4 || true", "message": "too many"}]},
        }});
        let (mut fields, mut rules) = (Vec::new(), Vec::new());
        walk(&schema, "spec", &mut fields, &mut rules);
        assert_eq!(fields[0], ["`spec.port`", "integer", "*required*", "1 to 65535", "TCP port."]);
        assert_eq!(
            fields[1],
            ["`spec.words`", "list of string", "none", "at most 3 entries; at most 9 characters each; `^a\\|b$`", "Words. Kept in order."]
        );
        assert_eq!(rules, [["`spec.words`", "too many", "`self.size() < 4 \\|\\| true`"]]);
    }

    #[test]
    fn fields_of_entries_are_listed() {
        let entry = json!({"type": "object", "properties": {"name": {"type": "string", "enum": ["One", "Two"]}}});
        let schema =
            json!({"properties": {"list": {"type": "array", "items": entry}, "map": {"type": "object", "additionalProperties": entry}}});
        let (mut fields, mut rules) = (Vec::new(), Vec::new());
        walk(&schema, "spec", &mut fields, &mut rules);
        let paths: Vec<&str> = fields.iter().map(|field| field[0].as_str()).collect();
        assert_eq!(paths, ["`spec.list`", "`spec.list[].name`", "`spec.map`", "`spec.map{}.name`"]);
        assert_eq!(fields[1][1], "`One`, `Two`");
    }
}
