//! What the files hold: objects of ours, those that ours refer to, and others, which are passed over.

use std::rc::Rc;

use api::{Connection, ImportJob, Region, Tenant};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::yaml::{Content, Node};

/// An object that others refer to, or that refers to others.
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) file: Rc<str>,
    pub(super) root: Rc<Node>,
    pub(super) what: What,
}

pub(super) enum What {
    Job(Box<ImportJob>),
    Connection(Box<Connection>),
    Tenant(Box<Tenant>),
    Region(Box<Region>),
    Secret(Box<Secret>),
    ServiceAccount(Box<ObjectMeta>),
    /// It is there, and that is all that can be said: one that has errors, or that nothing refers to.
    Other,
}

impl Object {
    /// `ImportJob acme/airports`.
    pub(super) fn full_name(&self) -> String {
        full_name(&self.kind, self.namespace.as_deref(), &self.name)
    }
}

pub(super) fn full_name(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match (namespace, name) {
        (_, "") => kind.to_owned(),
        (Some(namespace), name) => format!("{kind} {namespace}/{name}"),
        (None, name) => format!("{kind} {name}"),
    }
}

/// The objects of a document: itself, or those of a `List`, as `kubectl get -o yaml` prints several.
pub(super) fn of_document(root: Rc<Node>) -> Vec<Rc<Node>> {
    let is_list = root.get("kind").and_then(|kind| kind.text()) == Some("List")
        && root.get("apiVersion").and_then(|version| version.text()) == Some("v1");
    match root.get("items").map(|items| &items.content) {
        Some(Content::List(items)) if is_list => items.clone(),
        _ => vec![root],
    }
}
