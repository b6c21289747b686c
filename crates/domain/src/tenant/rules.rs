//! Wrong situations of a Tenant, worst first, and how its run namespace stands.

use std::time::Duration;

use api::Uid;
use api::identity::has_uid;
use api::names;
use api::reasons::tenant as reasons;
use api::tenant::BoundNamespace;

use super::{Binding, Observed, bindings};
use crate::finding::Finding;
use crate::labels;

type Rule = fn(&Observed) -> Option<Finding>;

const RULES: &[Rule] = &[
    region_replaced,     // another place under the old name: nothing may run
    region_not_found,    // the place is not there (yet)
    namespace_reserved,  // the cluster's, or ours
    namespace_taken,     // another customer was first
    namespace_replaced,  // made anew: may hold a stranger's objects
    run_namespace_taken, // somebody else made the namespace our workers would run in
    namespace_not_found, // the platform team makes it
];

/// Services are not watched: those that a policy was made from are looked at again this often.
const RESYNC: Duration = Duration::from_secs(300);
/// A Service that is not there yet is looked for more often.
const RECHECK: Duration = Duration::from_secs(30);

/// How the Tenant stands: by the first rule that finds something wrong, else ready.
pub fn decide(observed: &Observed) -> Finding {
    let finding = RULES.iter().find_map(|rule| rule(observed)).unwrap_or_else(|| {
        let (count, region) = (observed.tenant.spec.namespaces.len(), &observed.tenant.spec.region);
        let word = if count == 1 { "namespace" } else { "namespaces" };
        Finding::ready(reasons::BOUND, format!("{count} {word} bound, region {region}"))
    });
    match services(observed) {
        Services::None => finding,
        Services::Found => finding.again_in(RESYNC),
        Services::Missing => finding.again_in(RECHECK),
    }
}

enum Services {
    None,
    Found,
    Missing,
}

/// Those that the Region lists for this tenant.
fn services(o: &Observed) -> Services {
    let name = labels::name(&o.tenant.metadata);
    let endpoints = o.region.iter().flat_map(|r| &r.spec.private_endpoints).filter(|e| e.tenants.iter().any(|t| t == name));
    let listed: Vec<_> = endpoints.filter_map(|e| e.service()).collect();
    let found = |s: &&api::region::ServiceEndpoint| o.services.contains_key(&(s.namespace.clone(), s.name.clone()));
    match (listed.is_empty(), listed.iter().all(found)) {
        (true, _) => Services::None,
        (false, true) => Services::Found,
        (false, false) => Services::Missing,
    }
}

fn region_replaced(o: &Observed) -> Option<Finding> {
    let bound = o.tenant.status.as_ref()?.region_uid.as_ref()?;
    let living = &o.region.as_ref()?.metadata;
    (!has_uid(living, bound)).then(|| {
        let (region, uid) = (&o.tenant.spec.region, living.uid.as_deref().unwrap_or("unknown"));
        Finding::stalled(
            reasons::REGION_REPLACED,
            format!(
                "Region {region} was deleted and made anew (UID {uid}, was {bound}): it is another place, nothing of this tenant runs there"
            ),
        )
    })
}

fn region_not_found(o: &Observed) -> Option<Finding> {
    o.region.is_none().then(|| Finding::waiting(reasons::REGION_NOT_FOUND, format!("Region {} does not exist", o.tenant.spec.region)))
}

fn namespace_reserved(o: &Observed) -> Option<Finding> {
    bindings(o).into_iter().find_map(|(name, binding)| match binding {
        Binding::Reserved { owner } => Some(Finding::stalled(
            reasons::NAMESPACE_RESERVED,
            format!("namespace {name} is {owner} and can be no tenant's: take it out of spec.namespaces, and list one of the tenant's own"),
        )),
        _ => None,
    })
}

fn namespace_taken(o: &Observed) -> Option<Finding> {
    bindings(o).into_iter().find_map(|(name, binding)| match binding {
        Binding::Taken { by } => Some(Finding::stalled(
            reasons::NAMESPACE_TAKEN,
            format!("namespace {name} belongs to Tenant {by}: remove it from one of the two"),
        )),
        _ => None,
    })
}

fn namespace_replaced(o: &Observed) -> Option<Finding> {
    bindings(o).into_iter().find_map(|(name, binding)| match binding {
        Binding::Replaced { uid } => Some(Finding::stalled(
            reasons::NAMESPACE_REPLACED,
            format!(
                "namespace {name} was deleted and made anew: if it is yours, annotate the Tenant with {}={uid}",
                names::ACCEPT_NAMESPACE_ANNOTATION
            ),
        )),
        _ => None,
    })
}

fn run_namespace_taken(o: &Observed) -> Option<Finding> {
    let name = names::run_namespace(labels::name(&o.tenant.metadata));
    matches!(run_namespace_state(o), RunNamespaceState::Taken).then(|| {
        Finding::stalled(reasons::RUN_NAMESPACE_TAKEN, format!("namespace {name} exists and was not made for this Tenant: delete it"))
    })
}

fn namespace_not_found(o: &Observed) -> Option<Finding> {
    bindings(o).into_iter().find_map(|(name, binding)| match binding {
        Binding::Missing => Some(Finding::waiting(reasons::NAMESPACE_NOT_FOUND, format!("namespace {name} does not exist: create it"))),
        Binding::Terminating => Some(Finding::waiting(reasons::NAMESPACE_TERMINATING, format!("namespace {name} is being deleted"))),
        _ => None,
    })
}

/// How it stands with the namespace that a Tenant's workers run in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum RunNamespaceState {
    /// No run has needed it yet.
    NotNeeded,
    /// A run waits for it and it is not there.
    Wanted,
    /// It is there and ours; its name and UID.
    Ours(BoundNamespace),
    /// On its way out; it is made anew afterwards if a run needs it.
    Terminating,
    /// It was made for a Tenant of this name that is gone, past its finalizer or in the cluster of before a restore.
    Former(Uid),
    /// Somebody else made a namespace of that name.
    Taken,
}

/// The namespace is ours if its UID stands in our status, or if it carries this very Tenant's UID: only the operator's account may create
/// or label namespaces of that name, so the label is our own word from before a crash that lost the status write. For the same reason one
/// with the UID of another Tenant was made for a former one of this name: there is one of a name at a time.
pub(super) fn run_namespace_state(o: &Observed) -> RunNamespaceState {
    let recorded = o.tenant.status.as_ref().and_then(|s| s.run_namespace.as_ref());
    match &o.run_namespace {
        None if o.unfinished_runs.is_empty() => RunNamespaceState::NotNeeded,
        None => RunNamespaceState::Wanted,
        Some(living) => {
            let ours = recorded.is_some_and(|r| r.uid == living.uid.as_str()) || living.tenant_uid.as_ref() == Some(&o.uid);
            match (ours, living.terminating) {
                (false, false) if living.tenant_uid.is_some() => RunNamespaceState::Former(living.uid.clone()),
                (false, true) if living.tenant_uid.is_some() => RunNamespaceState::Terminating,
                (false, _) => RunNamespaceState::Taken,
                (true, true) => RunNamespaceState::Terminating,
                (true, false) => RunNamespaceState::Ours(BoundNamespace {
                    name: names::run_namespace(labels::name(&o.tenant.metadata)),
                    uid: living.uid.clone().into(),
                }),
            }
        }
    }
}
