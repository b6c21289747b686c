//! `dataimporter validate` says of a manifest what an API server says of it: of every case of `cel`, of every example, and of all of these with
//! one field after the other made wrong.

use std::collections::{BTreeMap, BTreeSet};

use dataimporter::validate::{Finding, Judge, Severity};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

use crate::cel::table;
use crate::support::World;

/// What an API server takes although its definition says otherwise, and nobody can read: an empty list for a time.
const TAKEN: [(&str, &str); 1] = [("ImportRun", "spec.startBefore = []")];

/// What the API server says of the object as a new one, without keeping it.
async fn refusal(client: &Client, plurals: &BTreeMap<String, (String, bool)>, object: &Value) -> Option<String> {
    let (plural, is_namespaced) = &plurals[object["kind"].as_str().unwrap_or_default()];
    let namespace = if *is_namespaced { "namespaces/default/" } else { "" };
    let path = format!("/apis/dataimporter.io/v1alpha1/{namespace}{plural}?dryRun=All&fieldValidation=Strict");
    let request = http::Request::post(path).header("content-type", "application/json").body(object.to_string().into_bytes()).unwrap();
    client.request::<Value>(request).await.err().map(|error| error.to_string())
}

fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let ours = documents.into_iter().filter(|document| document["apiVersion"] == "dataimporter.io/v1alpha1");
    let moved = ours.map(|mut document| {
        if !document["metadata"]["namespace"].is_null() {
            document["metadata"]["namespace"] = "default".into();
        }
        document
    });
    moved.collect()
}

fn examples() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut found = Vec::new();
    for below in ["", "/sources", "/storage", "/gitops/platform", "/gitops/orchard/base", "/gitops/cells/dallas-production/orchard"] {
        let files = std::fs::read_dir(format!("{folder}{below}")).unwrap().map(|entry| entry.unwrap().path());
        let yaml = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
        found.extend(yaml.flat_map(|path| documents(&std::fs::read_to_string(path).unwrap())));
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}

/// The schema of each kind's spec.
fn specs() -> BTreeMap<String, Value> {
    let of = |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let schema = serde_json::to_value(&crd).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take();
        (crd.spec.names.kind, schema)
    };
    api::crds::all().into_iter().map(of).collect()
}

/// Something that a schema has nothing against.
fn sample(schema: &Value) -> Value {
    match schema["type"].as_str().unwrap() {
        "object" => {
            let one_of = exactly_one(schema).into_iter().take(1);
            let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned());
            required.chain(one_of).map(|name| (name.clone(), sample(&schema["properties"][&name]))).collect()
        }
        "array" => json!([sample(&schema["items"])]),
        "boolean" => json!(true),
        "integer" => (schema["minimum"].as_f64().unwrap_or(1.0) as i64).into(),
        _ if schema["format"] == "date-time" => json!("2026-11-24T06:00:00Z"),
        _ => match schema["enum"].as_array() {
            Some(words) => words[0].clone(),
            None => {
                let pattern = regex::Regex::new(schema["pattern"].as_str().unwrap_or("")).unwrap();
                let candidates = ["aaa", "a", "A", "DE", ";", "https://a.example", "A1:B2", "arn:aws:iam::1:role/r"];
                let candidates = candidates.into_iter().map(str::to_owned).chain([
                    format!("SHA256:{}", "a".repeat(43)),
                    format!("{}=", "a".repeat(43)),
                    "a".repeat(36),
                    "a".repeat(32),
                ]);
                let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
                let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX) as usize;
                let mut fit = candidates.filter(|text| (least..=most).contains(&text.len()) && pattern.is_match(text));
                fit.next().unwrap_or_else(|| panic!("no sample for {schema}")).into()
            }
        },
    }
}

fn exactly_one(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let words = rules.filter_map(|rule| rule["message"].as_str()?.strip_prefix("exactly one of ")?.strip_suffix(" must be set"));
    words.flat_map(|fields| fields.split(", ").map(str::to_owned)).collect()
}

/// The value with one thing about it changed, for each thing that can be, and what was done.
fn mutants(schema: &Value, value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    wrong_values(schema, path, out);
    shapes(schema, value, path, true, out);
}

fn wrong_values(schema: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    for wrong in [
        json!(null),
        json!(5),
        json!(-1),
        json!(1.5),
        json!(99_999_999_999_i64),
        json!("x y\u{1}"),
        json!(""),
        json!(true),
        json!([]),
        json!({}),
    ] {
        out.push((format!("{path} = {wrong}"), wrong));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| *most < 3000) {
        out.push((format!("{path} too long"), "é".repeat(most as usize + 1).into()));
        out.push((format!("{path} as long as it may be"), "a".repeat(most as usize).into()));
    }
    if let Some(most) = schema["maximum"].as_f64() {
        out.push((format!("{path} + 1"), (most as i64 + 1).into()));
    }
}

/// Fields more and fewer. `values`: with wrong ones in them, too.
fn shapes(schema: &Value, value: &Value, path: &str, values: bool, out: &mut Vec<(String, Value)>) {
    let below = |schema: &Value, value: &Value, path: &str| {
        let mut out = Vec::new();
        if values {
            mutants(schema, value, path, &mut out)
        } else {
            shapes(schema, value, path, false, &mut out)
        }
        out
    };
    match value {
        Value::Object(fields) => {
            let with = |name: &str, field: Option<Value>| {
                let mut fields = fields.clone();
                match field {
                    Some(field) => fields.insert(name.to_owned(), field),
                    None => fields.remove(name),
                };
                Value::Object(fields)
            };
            out.push((format!("{path} with another field"), with("unknownField", Some(json!(1)))));
            for (name, of_field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let inside = match fields.get(name) {
                    None => {
                        let added = sample(of_field);
                        out.push((format!("{path} added"), with(name, Some(added.clone()))));
                        let mut inside = Vec::new();
                        shapes(of_field, &added, &format!("{path} added, and of it {name}"), false, &mut inside);
                        inside
                    }
                    Some(field) => {
                        out.push((format!("{path} removed"), with(name, None)));
                        below(of_field, field, &path)
                    }
                };
                out.extend(inside.into_iter().map(|(what, field)| (what, with(name, Some(field)))));
            }
        }
        Value::Array(items) => {
            let Some(first) = items.first() else { return };
            let with = |item: Value| Value::Array(std::iter::once(item).chain(items.iter().skip(1).cloned()).collect());
            out.push((format!("{path} with its first once more"), Value::Array(items.iter().chain([first]).cloned().collect())));
            if let Some(most) = schema["maxItems"].as_u64().filter(|most| *most <= 64) {
                out.push((format!("{path} too many"), vec![first.clone(); most as usize + 1].into()));
            }
            let inside = below(&schema["items"], first, &format!("{path}[]"));
            out.extend(inside.into_iter().map(|(what, item)| (what, with(item))));
        }
        _ => {}
    }
}

/// What is new of each kind, however many objects have the field.
fn cases() -> Vec<(String, Value)> {
    let (schemas, table) = (specs(), table());
    let good: Vec<Value> = examples().into_iter().chain(table.good.iter().chain(&table.taken).flat_map(|text| documents(text))).collect();
    let mut cases: Vec<(String, Value)> = good.iter().map(|object| ("as it is".to_owned(), object.clone())).collect();
    cases.extend(table.refused.iter().flat_map(|(text, words)| documents(text).into_iter().map(|object| ((*words).to_owned(), object))));
    let mut seen = BTreeSet::new();
    for object in &good {
        let kind = object["kind"].as_str().unwrap();
        let mut changed = Vec::new();
        mutants(&schemas[kind]["properties"]["spec"], &object["spec"], "spec", &mut changed);
        for (what, spec) in changed.into_iter().filter(|(what, _)| seen.insert(format!("{kind} {what}"))) {
            let mut object = object.clone();
            object["spec"] = spec;
            cases.push((what, object));
        }
    }
    cases
}

/// Messages of the rules that speak of a new object, by kind.
fn rules() -> BTreeSet<(String, String)> {
    fn gather(kind: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            if !rule["rule"].as_str().unwrap().contains("oldSelf") {
                found.insert((kind.to_owned(), rule["message"].as_str().unwrap().to_owned()));
            }
        }
        for below in schema["properties"].as_object().into_iter().flatten().map(|(_, below)| below).chain(schema.get("items")) {
            gather(kind, below, found);
        }
    }
    let mut found = BTreeSet::new();
    for (kind, mut schema) in specs() {
        schema["properties"].as_object_mut().unwrap().remove("status");
        gather(&kind, &schema, &mut found);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_judged_as_an_api_server_judges_them() {
    let world = World::without_operator().await;
    let plural = |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        (crd.spec.names.kind, (crd.spec.names.plural, crd.spec.scope == "Namespaced"))
    };
    let plurals: BTreeMap<String, (String, bool)> = api::crds::all().into_iter().map(plural).collect();
    let cases = cases();
    let asked = stream::iter(&cases).map(|(_, object)| refusal(&world.client, &plurals, object)).buffered(8);
    let refusals: Vec<Option<String>> = asked.collect().await;
    let judge = Judge::new();
    let (mut wrong, mut rules, mut refused) = (Vec::new(), rules(), 0);
    for ((what, object), refusal) in cases.iter().zip(&refusals) {
        let refusal = refusal.as_deref().filter(|said| !said.contains("already exists"));
        let found: Vec<Finding> =
            judge.judge(&object.to_string()).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
        let (kind, name) = (object["kind"].as_str().unwrap(), &object["metadata"]["name"]);
        refused += usize::from(refusal.is_some());
        if TAKEN.contains(&(kind, what.as_str())) {
            assert!(refusal.is_none() && !found.is_empty(), "{kind}: {what}: an API server has learned better");
            continue;
        }
        for finding in &found {
            rules.remove(&(kind.to_owned(), finding.message.clone()));
        }
        let unasked = found.iter().any(|finding| finding.message.contains("could not be judged"));
        // What a rule says it says in the same words, for the same field. It does not come to that where a field is unknown.
        let other_words = refusal.filter(|said| !said.contains("strict decoding error")).is_some_and(|said| {
            let of_rules = found.iter().filter(|finding| rules_say(kind, &finding.message));
            of_rules.into_iter().any(|finding| !said.contains(&format!("{}: ", finding.field)) || !said.contains(&finding.message))
        });
        if refusal.is_some() == found.is_empty() || unasked || other_words {
            wrong.push(format!("{kind} {name}: {what}\n  API server: {refusal:?}\n  validate: {found:#?}"));
        }
    }
    println!("{} objects, of which the API server refuses {refused}", cases.len());
    assert!(refused > 1000 && cases.len() - refused > 300, "{} {refused}", cases.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(rules.is_empty(), "no object breaks these rules: {rules:#?}");
}

fn rules_say(kind: &str, message: &str) -> bool {
    static RULES: std::sync::OnceLock<BTreeSet<(String, String)>> = std::sync::OnceLock::new();
    RULES.get_or_init(rules).contains(&(kind.to_owned(), message.to_owned()))
}
