//! Documents → objects, each held against what its kind may be.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use api::{GROUP, VERSION};
use formula::nearest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::finding::{About, Finding, Severity};
use super::object::{Object, What, full_name, of_document};
use super::rules::Rules;
use super::schema::{self, Checked, Schema, check};
use super::yaml::{Content, Fault, Node, Read, read};

/// So many findings are told; behind them they are counted.
const MOST: usize = 1000;

/// What the objects of a kind may be.
struct Kind {
    schema: Schema,
    is_namespaced: bool,
}

/// What is known of our kinds before anything is read.
pub(super) struct Kinds {
    kinds: BTreeMap<String, Kind>,
    metadata: Schema,
    rules: Rules,
}

impl Kinds {
    pub(super) fn new() -> Self {
        let (mut kinds, mut rules) = (BTreeMap::new(), Vec::new());
        for crd in api::crds::all() {
            let kind = crd.spec.names.kind.clone();
            let (schema, of_rules) = schema::of(&crd).expect("the tests read every definition");
            rules.push((kind.clone(), of_rules));
            kinds.insert(kind, Kind { schema, is_namespaced: crd.spec.scope == "Namespaced" });
        }
        Self { kinds, metadata: schema::metadata(), rules: Rules::new(rules) }
    }
}

/// All that was read so far, and what is wrong with it.
pub(super) struct Inspection<'k> {
    kinds: &'k Kinds,
    pub(super) objects: Vec<Object>,
    known: HashMap<(String, Option<String>, String), usize>,
    files: Vec<Rc<str>>,
    findings: Vec<Finding>,
    pub(super) counted: Counted,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) files: usize,
    /// Of our kinds.
    pub(super) objects: usize,
    /// Of other kinds.
    pub(super) others: usize,
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

impl<'k> Inspection<'k> {
    pub(super) fn new(kinds: &'k Kinds) -> Self {
        Self { kinds, objects: Vec::new(), known: HashMap::new(), files: Vec::new(), findings: Vec::new(), counted: Counted::default() }
    }

    /// A file that could not be read.
    pub(super) fn unread(&mut self, file: &str, message: String) {
        let file = self.file(file);
        self.push(Finding {
            severity: Severity::Error,
            file: file.to_string(),
            line: 1,
            column: 1,
            object: String::new(),
            field: String::new(),
            message,
        });
    }

    pub(super) fn add(&mut self, file: &str, text: &str) {
        let file = self.file(file);
        read(text, &mut |read| match read {
            Read::Broken(fault) => self.fault(&file, "", fault),
            // Nothing stands between two lines of hyphens.
            Read::Document { root, faults } if root.is_null() && faults.is_empty() => {}
            Read::Document { root, faults } => {
                let name = told_name(&root);
                faults.into_iter().for_each(|fault| self.fault(&file, &name, fault));
                of_document(root).into_iter().for_each(|root| self.object(&file, root));
            }
        });
    }

    /// Adds what was found out about an object that was read.
    pub(super) fn tell(&mut self, object: usize, about: About) {
        let object = &self.objects[object];
        let finding = about.of(&object.file, &object.full_name(), &object.root);
        self.push(finding);
    }

    /// In the order of the files and their lines.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let order: HashMap<&str, usize> = self.files.iter().enumerate().map(|(at, file)| (&**file, at)).collect();
        let mut findings = self.findings;
        findings.sort_by_key(|finding| (order.get(finding.file.as_str()).copied(), finding.line, finding.column));
        findings
    }

    fn file(&mut self, name: &str) -> Rc<str> {
        let file: Rc<str> = name.into();
        self.files.push(file.clone());
        self.counted.files += 1;
        file
    }

    fn push(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Error => self.counted.errors += 1,
            Severity::Warning => self.counted.warnings += 1,
        }
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }

    fn fault(&mut self, file: &str, object: &str, Fault { at, message }: Fault) {
        let (severity, file, object) = (Severity::Error, file.to_owned(), object.to_owned());
        self.push(Finding { severity, file, line: at.line, column: at.column, object, field: String::new(), message });
    }

    fn object(&mut self, file: &Rc<str>, root: Rc<Node>) {
        let text = |key: &str| root.get(key).and_then(|node| node.text()).unwrap_or_default();
        let (version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        let refuse = |about: About| about.of(file, &told_name(&root), &root);
        if version.is_empty() || kind.is_empty() {
            let finding = refuse(About::error("", "this is no object of Kubernetes: it lacks apiVersion, kind or both"));
            self.push(finding);
            return;
        }
        match version.split_once('/') {
            Some((GROUP, VERSION)) if self.kinds.kinds.contains_key(&kind) => self.ours(file, &kind, root),
            Some((GROUP, VERSION)) => {
                let known = self.kinds.kinds.keys().map(String::as_str);
                let near = nearest(&kind, known.clone()).map(|near| format!(", did you mean {near}?"));
                let near = near.unwrap_or_else(|| format!(", only {}", known.collect::<Vec<_>>().join(", ")));
                let finding = refuse(About::error("kind", format!("{GROUP}/{VERSION} has no such kind{near}")));
                self.push(finding);
            }
            Some((GROUP, _)) => {
                let finding = refuse(About::error("apiVersion", format!("there is no such version: write {GROUP}/{VERSION}")));
                self.push(finding);
            }
            None if version == "v1" => self.of_core(file, &kind, root),
            _ => self.counted.others += 1,
        }
    }

    fn ours(&mut self, file: &Rc<str>, kind: &str, root: Rc<Node>) {
        let Some(Kind { schema, is_namespaced }) = self.kinds.kinds.get(kind) else { return };
        self.counted.objects += 1;
        let mut checked = Checked::default();
        let metadata = match root.get("metadata") {
            Some(metadata) => check(metadata, &self.kinds.metadata, "metadata", &mut checked),
            None => Value::Null,
        };
        if metadata["name"].is_null() && metadata["generateName"].is_null() {
            checked.findings.push(About::error("metadata.name", "is missing"));
        }
        if !is_namespaced && !metadata["namespace"].is_null() {
            checked.findings.push(About::warning("metadata.namespace", format!("a {kind} is in no namespace: leave it out")));
        }
        if root.get("status").is_some() {
            checked.findings.push(About::warning("status", "is written by the cluster, and nobody reads this one: leave it out"));
        }
        let mut object = check(&body(&root), schema, "", &mut checked);
        object["apiVersion"] = json!(format!("{GROUP}/{VERSION}"));
        object["kind"] = json!(kind);
        object["metadata"] = metadata;
        let broken = if checked.blocks_rules { Vec::new() } else { self.kinds.rules.check(kind, &object) };
        let is_sound = !checked.blocks_rules && broken.is_empty();
        let what = if is_sound { typed(kind, object.clone()) } else { Ok(What::Other) };
        let fault = what.as_ref().err().map(|error| About::error("", error.clone()));
        let about: Vec<About> = checked.findings.into_iter().chain(broken).chain(fault).collect();
        let what = what.unwrap_or(What::Other);
        let at = self.keep(file, kind, &object["metadata"], root, what);
        about.into_iter().for_each(|about| self.tell(at, about));
    }

    /// What objects of ours refer to.
    fn of_core(&mut self, file: &Rc<str>, kind: &str, root: Rc<Node>) {
        let is_known = ["Secret", "ServiceAccount", "Namespace"].contains(&kind);
        self.counted.others += usize::from(kind != "Secret" && kind != "ServiceAccount");
        if !is_known {
            return;
        }
        let value = root.to_value();
        let what = match kind {
            "Secret" => serde_json::from_value(value.clone()).map(|secret| What::Secret(Box::new(secret))).ok(),
            "ServiceAccount" => {
                serde_json::from_value(value["metadata"].clone()).map(|metadata| What::ServiceAccount(Box::new(metadata))).ok()
            }
            _ => Some(What::Other),
        };
        let is_one = what.is_some();
        let at = self.keep(file, kind, &value["metadata"], root, what.unwrap_or(What::Other));
        if !is_one {
            // Never with a value: there may be one of a Secret in it.
            self.tell(at, About::error("", format!("this {kind} is none: values of data are base64, those of stringData texts")));
        }
    }

    fn keep(&mut self, file: &Rc<str>, kind: &str, metadata: &Value, root: Rc<Node>, what: What) -> usize {
        let text = |key: &str| metadata[key].as_str().map(str::to_owned);
        let is_namespaced = self.kinds.kinds.get(kind).is_none_or(|kind| kind.is_namespaced);
        let (namespace, name) = (text("namespace").filter(|_| is_namespaced), text("name").unwrap_or_default());
        let object = Object { kind: kind.to_owned(), namespace, name, file: file.clone(), root, what };
        let key = (object.kind.clone(), object.namespace.clone(), object.name.clone());
        let at = self.objects.len();
        self.objects.push(object);
        if key.2.is_empty() {
            return at;
        }
        match self.known.get(&key) {
            Some(first) => {
                let first = &self.objects[*first];
                let message = format!("it stands in {}:{}, too: a cluster keeps one of them", first.file, first.root.at.line);
                self.tell(at, About::warning("metadata.name", message));
            }
            None => {
                self.known.insert(key, at);
            }
        }
        at
    }

    pub(super) fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&Object> {
        let key = (kind.to_owned(), namespace.map(str::to_owned), name.to_owned());
        self.known.get(&key).map(|at| &self.objects[*at])
    }
}

/// An object as its author would call it, before it is known to be one.
fn told_name(root: &Node) -> String {
    let text = |node: Option<&Rc<Node>>| node.and_then(|node| node.text()).map(str::to_owned);
    let of_metadata = |key: &str| text(root.get("metadata").and_then(|metadata| metadata.get(key)));
    let kind = text(root.get("kind")).unwrap_or_default();
    full_name(&kind, of_metadata("namespace").as_deref(), &of_metadata("name").unwrap_or_default())
}

/// What a schema speaks of; the rest is the same for every kind.
fn body(root: &Node) -> Node {
    let others = ["apiVersion", "kind", "metadata", "status"];
    let entries = match &root.content {
        Content::Map(entries) => entries.iter().filter(|entry| !others.contains(&&*entry.key)).cloned().collect(),
        Content::Scalar(_) | Content::List(_) => Vec::new(),
    };
    Node::new(root.at, Content::Map(entries))
}

fn typed(kind: &str, object: Value) -> Result<What, String> {
    fn read<T: DeserializeOwned>(object: Value, what: fn(Box<T>) -> What) -> Result<What, String> {
        let told = |error: serde_json::Error| format!("it cannot be read: {error}");
        serde_json::from_value(object).map(|object| what(Box::new(object))).map_err(told)
    }
    match kind {
        "ImportJob" => read(object, What::Job),
        "Connection" => read(object, What::Connection),
        "Tenant" => read(object, What::Tenant),
        "Region" => read(object, What::Region),
        _ => Ok(What::Other),
    }
}
