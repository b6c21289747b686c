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
    if value["spec"]["names"]["kind"] == "Tenant" {
        value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = tenant_name_rules();
    }
    serde_json::from_value(value).expect("tidying keeps the shape")
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

/// Every generated file: its path below the project's folder and its text.
pub fn files() -> Vec<(String, String)> {
    all().into_iter().flat_map(|crd| [plain(&crd), chart_template(crd)]).collect()
}

fn plain(crd: &CustomResourceDefinition) -> (String, String) {
    (format!("crds/{}.yaml", crd.spec.names.plural), format!("{HEADER}{}", yaml(crd)))
}

/// The chart's copy: left alone by `helm uninstall`, because deleting a CRD deletes every object of its kind.
fn chart_template(mut crd: CustomResourceDefinition) -> (String, String) {
    let path = format!("charts/dataimporter/templates/crds/{}.yaml", crd.spec.names.plural);
    crd.metadata.annotations.get_or_insert_default().insert("helm.sh/resource-policy".into(), "keep".into());
    (path, format!("{HEADER}{{{{- if .Values.crds.install }}}}\n{}{{{{- end }}}}\n", yaml(&crd)))
}

const HEADER: &str = "# Generated from crates/api by `cargo xtask crds`; edit there.\n";

fn yaml(crd: &CustomResourceDefinition) -> String {
    let value = serde_json::to_value(crd).expect("a CRD is plain data");
    serde_saphyr::to_string(&value).expect("plain data is YAML")
}

#[cfg(test)]
mod tests {
    use super::*;

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
