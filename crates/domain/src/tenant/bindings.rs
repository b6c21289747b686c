//! Who holds a namespace. A binding is a UID in a Tenant's status, never a label on the namespace: people who may label
//! namespaces must not be able to move one between customers.

use api::names::{ACCEPT_NAMESPACE_ANNOTATION, RUN_NAMESPACE_PREFIX};
use api::tenant::BoundNamespace;
use api::{Tenant, Uid};

use super::Observed;
use crate::labels;

/// How it stands with one namespace that a Tenant lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Binding {
    /// This Tenant holds it, or may from now on.
    Held(BoundNamespace),
    /// It is no tenant's to have; `owner` in words.
    Reserved {
        /// Whose it is, to stand behind "it is".
        owner: &'static str,
    },
    /// There is no such namespace.
    Missing,
    /// It is being deleted.
    Terminating,
    /// Another Tenant was first.
    Taken {
        /// Name of that Tenant.
        by: String,
    },
    /// Made anew under another UID since it was bound.
    Replaced {
        /// UID that it has now: the one to accept if that is right.
        uid: Uid,
    },
}

/// One answer per listed namespace, in the order of the list.
pub fn bindings(observed: &Observed) -> Vec<(String, Binding)> {
    observed.tenant.spec.namespaces.iter().map(|name| (name.clone(), binding(observed, name))).collect()
}

fn binding(o: &Observed, name: &str) -> Binding {
    if let Some(owner) = reserved(&o.system_namespace, name) {
        return Binding::Reserved { owner };
    }
    let Some(living) = o.namespaces.get(name) else { return Binding::Missing };
    let held = held(&o.tenant).iter().find(|bound| bound.name == name);
    if let Some(by) = o.others.iter().find(|other| precedes(other, &o.tenant, name, &living.uid, held.is_some())) {
        return Binding::Taken { by: labels::name(&by.metadata).to_owned() };
    }
    if living.terminating {
        return Binding::Terminating;
    }
    let accepted = labels::annotation(&o.tenant.metadata, ACCEPT_NAMESPACE_ANNOTATION);
    match held {
        Some(bound) if bound.uid != living.uid.as_str() && accepted != Some(living.uid.as_str()) => {
            Binding::Replaced { uid: living.uid.clone() }
        }
        _ => Binding::Held(BoundNamespace { name: name.to_owned(), uid: living.uid.clone().into() }),
    }
}

/// Whose a namespace is that no tenant may have, to stand behind "it is". A tenant that holds a namespace has intake and files there, and gives its members rights in it.
pub fn reserved(system_namespace: &str, name: &str) -> Option<&'static str> {
    match name {
        name if name == system_namespace => Some("where operator and keeper are"),
        name if name.starts_with("kube-") => Some("the cluster's own"),
        name if name.starts_with(RUN_NAMESPACE_PREFIX) => Some("for the workers of a tenant"),
        _ => None,
    }
}

/// Whether another Tenant has the better right: it holds the namespace, or nobody does and it asked first.
fn precedes(other: &Tenant, tenant: &Tenant, name: &str, uid: &Uid, we_hold: bool) -> bool {
    if holds(other, name, uid) {
        return true;
    }
    if we_hold || other.metadata.deletion_timestamp.is_some() || !other.spec.namespaces.iter().any(|n| n == name) {
        return false;
    }
    let asked = |t: &Tenant| (t.metadata.creation_timestamp.clone().map(|t| t.0), labels::name(&t.metadata).to_owned());
    asked(other) < asked(tenant)
}

/// Whether this Tenant holds the namespace that has this name and UID now.
pub fn holds(tenant: &Tenant, name: &str, uid: &Uid) -> bool {
    held(tenant).iter().any(|bound| bound.name == name && bound.uid == uid.as_str())
}

/// Whether the Tenant holds a namespace of this name, or asks for it.
pub fn concerns(tenant: &Tenant, name: &str) -> bool {
    held(tenant).iter().map(|bound| &bound.name).chain(&tenant.spec.namespaces).any(|n| n == name)
}

fn held(tenant: &Tenant) -> &[BoundNamespace] {
    tenant.status.as_ref().map_or(&[], |status| &status.namespaces)
}
