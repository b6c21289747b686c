//! The health of our kinds for Flux, judged as its kustomize-controller does: by the objects that Argo CD's scripts are tried with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kube_cel::{ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

const SCRIPTS: &str = "docs/gitops/argo-cd/resource_customizations/dataimporter.io";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&fs::read_to_string(file(path)).unwrap()).unwrap()
}

fn expressions() -> BTreeMap<String, Value> {
    let all = documents("docs/gitops/flux/health-check-exprs.yaml").remove(0);
    let all = all.as_array().unwrap().iter();
    all.map(|one| (one["kind"].as_str().unwrap().to_owned(), one.clone())).collect()
}

/// Nothing where the object lacks what the expression speaks of.
fn holds(expression: &Value, object: &Value) -> Option<bool> {
    // There the fields of the object are variables; here the object is one.
    let rule =
        expression.as_str().unwrap().replace("status.conditions", "self.status.conditions").replace("spec.suspend", "self.spec.suspend");
    let schema = json!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": rule, "message": "it does not hold"}],
    });
    match Validator::new().validate_compiled(&compile_schema(&schema), object, None).err().map(|errors| errors.into_vec()) {
        None => Some(true),
        Some(errors) if errors.iter().all(|error| matches!(error.kind, ErrorKind::ValidationFailure)) => Some(false),
        Some(_) => None,
    }
}

fn health(expressions: &Value, object: &Value) -> &'static str {
    let seen = &object["status"]["observedGeneration"];
    if !seen.is_null() && *seen != object["metadata"]["generation"] {
        return "InProgress";
    }
    match (holds(&expressions["failed"], object), holds(&expressions["current"], object)) {
        (Some(true), _) => "Failed",
        (Some(false), Some(true)) => "Current",
        _ => "InProgress",
    }
}

#[test]
fn flux_and_argo_cd_are_told_the_same() {
    let mut cases = 0;
    for (kind, expressions) in expressions() {
        let folder = format!("{SCRIPTS}/{kind}");
        for test in documents(&format!("{folder}/health_test.yaml"))[0]["tests"].as_array().unwrap() {
            let input = format!("{folder}/{}", test["inputPath"].as_str().unwrap());
            let expected = match test["healthStatus"]["status"].as_str().unwrap() {
                // A suspended one is as it is to be: nobody waits for it.
                "Healthy" | "Suspended" => "Current",
                "Degraded" => "Failed",
                _ => "InProgress",
            };
            assert_eq!(health(&expressions, &documents(&input)[0]), expected, "{input}");
            cases += 1;
        }
    }
    assert!(cases > 30, "{cases}");
}

#[test]
fn the_repository_says_what_the_list_says() {
    let listed = expressions();
    for cell in ["dallas-production", "dallas-staging"] {
        let said: Vec<Value> = documents(&format!("examples/gitops/flux/{cell}.yaml"))
            .iter()
            .flat_map(|object| object["spec"]["healthCheckExprs"].as_array().cloned().unwrap_or_default())
            .collect();
        assert_eq!(said.len(), 4, "{cell}");
        assert!(said.iter().all(|one| listed[one["kind"].as_str().unwrap()] == *one), "{cell}: {said:?}");
    }
}
