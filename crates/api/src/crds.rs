//! The CustomResourceDefinitions, tidied for API servers. `cargo xtask crds` writes them to `crds/` and the chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;

use crate::{Connection, ImportJob, ImportRun, Region, Tenant, Upload, schema};

/// All kinds, in the order in which a person meets them.
pub fn all() -> Vec<CustomResourceDefinition> {
    [Region::crd(), Tenant::crd(), Connection::crd(), ImportJob::crd(), ImportRun::crd(), Upload::crd()].map(tidied).into()
}

fn tidied(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a CRD is plain data");
    schema::tidy(&mut value);
    if value["spec"]["names"]["kind"] == "Region" {
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/workers";
        bound_texts(value.pointer_mut(spec).expect("a Region has workers"));
    }
    if value["spec"]["names"]["kind"] == "Tenant" {
        value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = tenant_name_rules();
    }
    if value["spec"]["names"]["kind"] == "ImportRun" {
        value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = ended_run_rules();
    }
    serde_json::from_value(value).expect("tidying keeps the shape")
}

const PRINTABLE: &str = "^[!-~]*$";

/// Kubernetes' own types bound nothing.
fn bound_texts(schema: &mut serde_json::Value) {
    if schema["type"] == "string" && schema["maxLength"].is_null() {
        schema["maxLength"] = 253.into();
        schema["pattern"] = PRINTABLE.into();
    }
    let children = match schema {
        serde_json::Value::Object(map) => map.values_mut().filter(|child| child.is_object()),
        _ => return,
    };
    children.for_each(bound_texts);
}

/// The tenant's name becomes part of a namespace's name and a label's value.
fn tenant_name_rules() -> serde_json::Value {
    serde_json::json!([
        schema::rule("self.metadata.name.size() <= 40", "a tenant's name has at most 40 characters"),
        schema::rule(
            "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "a tenant's name is a DNS label: letters, digits and hyphens"
        ),
    ])
}

/// Nobody looks at a run again that has ended: a word to it would be heard by nobody.
fn ended_run_rules() -> serde_json::Value {
    serde_json::json!([schema::rule(
        "!has(oldSelf.status) || !has(oldSelf.status.finishedAt) \
         || (has(self.spec.cancel) && self.spec.cancel) == (has(oldSelf.spec.cancel) && oldSelf.spec.cancel)",
        "the run has ended: there is nothing to stop"
    )])
}

/// Every generated file: its path below the project's folder and its text.
pub fn files() -> Vec<(String, String)> {
    all().into_iter().flat_map(|crd| [plain(&crd), chart_template(crd)]).collect()
}

fn plain(crd: &CustomResourceDefinition) -> (String, String) {
    (format!("crds/{}.yaml", crd.spec.names.plural), format!("{HEADER}{}", yaml(crd)))
}

/// The chart's copy, with the labels of the chart's objects: left alone by `helm uninstall`, because deleting a CRD deletes every object of
/// its kind.
fn chart_template(mut crd: CustomResourceDefinition) -> (String, String) {
    let path = format!("charts/dataimporter/templates/crds/{}.yaml", crd.spec.names.plural);
    crd.metadata.annotations.get_or_insert_default().insert("helm.sh/resource-policy".into(), "keep".into());
    let text = yaml(&crd).replacen(KEEP, &format!("{KEEP}{LABELS}"), 1);
    (path, format!("{HEADER}{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"))
}

const KEEP: &str = "    helm.sh/resource-policy: keep\n";
const LABELS: &str = "  labels: {{- include \"dataimporter.labels\" . | nindent 4 }}\n";
const HEADER: &str = "# Generated from crates/api by `cargo xtask crds`; edit there.\n";

fn yaml(crd: &CustomResourceDefinition) -> String {
    let value = serde_json::to_value(crd).expect("a CRD is plain data");
    serde_saphyr::to_string(&value).expect("plain data is YAML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_job::{NUMBER_SIZE, TEXTS_LIMIT};

    #[test]
    fn every_spec_field_is_documented_and_bounded() {
        let mut missing = Vec::new();
        for crd in all() {
            let value = serde_json::to_value(&crd).unwrap();
            let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            walk(spec, &format!("{}.spec", crd.spec.names.kind), &mut missing);
        }
        assert!(missing.is_empty(), "undocumented or unbounded:\n{}", missing.join("\n"));
    }

    fn walk(schema: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
        if path.contains(".tolerations") || path.contains(".imagePullSecrets") {
            return; // Kubernetes' own types
        }
        if schema["description"].as_str().is_none_or(str::is_empty) && !path.ends_with("[]") {
            missing.push(format!("{path}: no description"));
        }
        match schema["type"].as_str() {
            Some("string") if schema["maxLength"].is_null() && schema["enum"].is_null() && schema["format"].is_null() => {
                missing.push(format!("{path}: no maxLength"));
            }
            Some("array") if schema["maxItems"].is_null() => missing.push(format!("{path}: no maxItems")),
            _ => {}
        }
        if let Some(properties) = schema["properties"].as_object() {
            properties.iter().for_each(|(name, child)| walk(child, &format!("{path}.{name}"), missing));
        }
        if schema["items"].is_object() {
            walk(&schema["items"], &format!("{path}[]"), missing);
        }
    }

    /// Bytes that an object of ours may take as JSON, without what Kubernetes itself adds and bounds.
    const LARGEST: usize = 256 << 10;

    /// Lists whose texts a CEL rule bounds together, and the bytes it allows.
    const BOUNDED_TOGETHER: [(&str, &[&str], usize); 3] = [
        ("ImportJob", &["query", "columns", "filter", "by", "to", "from", "value", "formula", "number"], TEXTS_LIMIT),
        ("Tenant", &["email"], 32_768),
        ("Region", &["tenants"], 1024 * 43),
    ];

    #[test]
    fn no_spec_takes_more_than_256_kib() {
        for crd in all() {
            let kind = crd.spec.names.kind.clone();
            let value = serde_json::to_value(&crd).unwrap();
            let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let together = BOUNDED_TOGETHER.iter().find(|(k, ..)| *k == kind);
            // A quote or a line end takes two bytes in JSON.
            let bytes =
                largest(spec, "spec", together.map_or(&[][..], |(_, fields, _)| fields)) + together.map_or(0, |(.., limit)| 2 * limit);
            println!("{kind}: at most {bytes} bytes");
            assert!(bytes <= LARGEST, "{kind}: {bytes} bytes");
        }
    }

    /// The most bytes that a value of this schema takes as JSON.
    fn largest(schema: &serde_json::Value, name: &str, counted_elsewhere: &[&str]) -> usize {
        let number = |key: &str| schema[key].as_u64().unwrap_or_else(|| panic!("{name}: no {key}: {schema}")) as usize;
        match schema["type"].as_str() {
            Some("string") if counted_elsewhere.contains(&name) => 2,
            Some("string") if schema["format"] == "date-time" => 40,
            Some("string") => match schema["enum"].as_array() {
                Some(words) => 2 + words.iter().filter_map(|w| w.as_str()).map(str::len).max().unwrap_or_default(),
                None => 2 + number("maxLength") * bytes_of_a_character(schema["pattern"].as_str()),
            },
            Some("array") if counted_elsewhere.contains(&name) && name == "tenants" => 2,
            Some("object") if counted_elsewhere.contains(&name) => 0,
            Some("array") => 2 + number("maxItems") * (1 + largest(&schema["items"], name, counted_elsewhere)),
            Some("object") => {
                let size = |(name, child): (&String, &serde_json::Value)| name.len() + 4 + largest(child, name, counted_elsewhere);
                let fields = schema["properties"].as_object().map(|fields| fields.iter().map(|f| (f.0.clone(), size(f))).collect());
                let fields: Vec<(String, usize)> = fields.unwrap_or_default();
                let one_of = exactly_one(schema);
                let of_union = |field: &&(String, usize)| one_of.contains(&field.0);
                let union = fields.iter().filter(of_union).map(|f| f.1).max().unwrap_or_default();
                2 + union + fields.iter().filter(|f| !of_union(f)).map(|f| f.1).sum::<usize>()
            }
            _ => 20,
        }
    }

    /// Fields of which a rule allows one.
    fn exactly_one(schema: &serde_json::Value) -> Vec<String> {
        let rules = schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
        let words = rules.iter().filter_map(|rule| rule["message"].as_str()?.strip_prefix("exactly one of ")?.strip_suffix(" must be set"));
        words.flat_map(|fields| fields.split(", ").map(str::to_owned)).collect()
    }

    /// Any character: a control character takes six bytes. Without those: four. ASCII without them: two, for its quotes. Names: one.
    fn bytes_of_a_character(pattern: Option<&str>) -> usize {
        match pattern {
            None => 6,
            Some(schema::TEXT | schema::PATH) => 4,
            Some(schema::PEM) => 2,
            Some(PRINTABLE) => 2,
            Some(names) if ["^[a-z", "^[A-Z"].iter().any(|letters| names.starts_with(letters)) => 1,
            Some(_) => 6,
        }
    }

    #[test]
    fn a_number_of_a_mapping_takes_no_more_than_the_rule_counts() {
        let value = serde_json::to_value(all().into_iter().find(|crd| crd.spec.names.kind == "ImportJob").unwrap()).unwrap();
        let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let salesforce = &spec["target"]["properties"]["salesforce"]["properties"];
        let number = &salesforce["mapping"]["items"]["properties"]["number"];
        assert!(largest(number, "number", &[]) <= 2 * NUMBER_SIZE, "{}", largest(number, "number", &[]));
    }

    #[test]
    fn spec_schemas_have_no_defaults_and_no_nullable() {
        for crd in all() {
            let value = serde_json::to_value(&crd).unwrap();
            let kind = &crd.spec.names.kind;
            assert!(!value.to_string().contains("\"nullable\""), "{kind} says nullable");
            let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert!(!spec.to_string().contains("\"default\":"), "{kind} has a default in its spec");
        }
    }
}
