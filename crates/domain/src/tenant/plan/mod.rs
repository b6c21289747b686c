//! The children of a Tenant: `members`, `accounts`, `hold` and a `quota` in its own namespaces, `run_namespace`, `quota` and `network` where its
//! workers run. Pure: facts in, objects out.

pub mod accounts;
pub mod hold;
pub mod members;
pub mod network;
pub mod quota;
pub mod run_namespace;

use api::Uid;
use api::identity::has_uid;
use api::tenant::BoundNamespace;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{Binding, Observed, RunNamespaceState, bindings, run_namespace_state};
use crate::settings::Settings;

/// Everything wanted for a Tenant that stays. Apply destructures it in full.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Namespaces that are held, with what belongs into each.
    pub held: Vec<HeldNamespace>,
    /// Namespaces that were held and are not any more: our objects there go.
    pub released: Vec<BoundNamespace>,
    /// What becomes of the namespace that the workers run in.
    pub run_namespace: RunNamespacePlan,
}

/// A namespace of the tenant, with what belongs into it.
#[derive(Clone, Debug)]
pub struct HeldNamespace {
    /// Its name and UID.
    pub bound: BoundNamespace,
    /// What the tenant's members may do there, and the mark that it is held.
    pub role_bindings: Vec<RoleBinding>,
    /// RoleBindings of roles that nobody has.
    pub vacant: Vec<&'static str>,
    /// The accounts by whose tokens files are sent and fetched.
    pub accounts: Vec<ServiceAccount>,
    /// How many objects of our kinds it may have.
    pub quota: ResourceQuota,
}

/// What becomes of a run namespace.
#[derive(Clone, Debug)]
pub enum RunNamespacePlan {
    /// Not needed, not ours, or no place to run in.
    Leave {
        /// What the status goes on saying of it, so that it is known again.
        keep: Option<BoundNamespace>,
    },
    /// A run needs it and it is not there: make it.
    Create(Box<Namespace>),
    /// It is that of a former Tenant, with the workers of that one: it goes, and another is made when a run needs it.
    Remove(Uid),
    /// It is ours: make its contents as they should be.
    Furnish {
        /// Its name and UID.
        bound: BoundNamespace,
        /// What should stand in it.
        contents: Box<RunNamespaceContents>,
    },
}

/// What stands in a run namespace before the first worker. Order matters: policies before the account that pods need.
#[derive(Clone, Debug)]
pub struct RunNamespaceContents {
    /// Value of the namespace's own label about nodes; the Region may have changed since it was made.
    pub nodes: &'static str,
    /// What workers may talk to; nothing else passes.
    pub policies: Vec<NetworkPolicy>,
    /// How many pods and other objects there may be.
    pub quota: ResourceQuota,
    /// The account of the worker pods, without any right.
    pub account: ServiceAccount,
}

/// What should stand in the Tenant's namespaces and in its run namespace.
pub fn plan(observed: &Observed, settings: &Settings) -> Plan {
    let tenant = &observed.tenant;
    let bindings = bindings(observed);
    let reserved = |name: &String| bindings.iter().any(|(listed, binding)| listed == name && matches!(binding, Binding::Reserved { .. }));
    let before = tenant.status.as_ref().map_or(&[][..], |s| &s.namespaces);
    let released = before.iter().filter(|b| !tenant.spec.namespaces.contains(&b.name) || reserved(&b.name)).cloned().collect();
    let held: Vec<BoundNamespace> = bindings
        .into_iter()
        .filter_map(|(_, binding)| match binding {
            Binding::Held(bound) => Some(bound),
            Binding::Reserved { .. } | Binding::Missing | Binding::Terminating | Binding::Taken { .. } | Binding::Replaced { .. } => None,
        })
        .collect();
    // A namespace made anew and not accepted stays written down under its old UID: else it would look new and be bound.
    Plan {
        held: held.into_iter().map(|bound| furnish(observed, bound, settings)).collect(),
        released,
        run_namespace: run_namespace_plan(observed, settings),
    }
}

/// Bindings that cannot be confirmed now but must not be forgotten: the namespace is gone, or another one has its name.
pub fn remembered(observed: &Observed) -> Vec<BoundNamespace> {
    let before = observed.tenant.status.as_ref().map_or(&[][..], |s| &s.namespaces);
    let open = |name: &str, binding: &Binding| {
        matches!(binding, Binding::Missing | Binding::Terminating | Binding::Replaced { .. }).then(|| name.to_owned())
    };
    let names: Vec<String> = bindings(observed).iter().filter_map(|(name, binding)| open(name, binding)).collect();
    before.iter().filter(|bound| names.contains(&bound.name)).cloned().collect()
}

fn furnish(o: &Observed, bound: BoundNamespace, settings: &Settings) -> HeldNamespace {
    let (mut role_bindings, vacant) = members::role_bindings(&o.tenant, &bound.name);
    role_bindings.push(hold::binding(&o.tenant, &bound.name, &settings.system_namespace));
    HeldNamespace {
        role_bindings,
        vacant,
        accounts: accounts::files_accounts(&o.tenant, &o.uid, &bound.name),
        quota: quota::objects_quota(&o.tenant, &bound.name, &o.allowance),
        bound,
    }
}

fn run_namespace_plan(o: &Observed, settings: &Settings) -> RunNamespacePlan {
    let recorded = o.tenant.status.as_ref().and_then(|s| s.run_namespace.clone());
    let bound_region = o.tenant.status.as_ref().and_then(|s| s.region_uid.as_deref());
    let region = o.region.as_ref().filter(|r| bound_region.is_none_or(|bound| has_uid(&r.metadata, bound)));
    match (run_namespace_state(o), region) {
        (RunNamespaceState::Wanted, Some(region)) => {
            RunNamespacePlan::Create(Box::new(run_namespace::namespace(&o.tenant, &o.uid, region)))
        }
        (RunNamespaceState::Ours(bound), Some(region)) => {
            let contents = RunNamespaceContents {
                nodes: run_namespace::nodes(region),
                policies: network::policies(&o.tenant, region, &o.services, settings),
                quota: quota::run_namespace_quota(&o.tenant, &o.allowance),
                account: accounts::worker_account(&o.tenant),
            };
            RunNamespacePlan::Furnish { bound, contents: Box::new(contents) }
        }
        (RunNamespaceState::Ours(bound), None) => RunNamespacePlan::Leave { keep: Some(bound) },
        (RunNamespaceState::Former(uid), _) => RunNamespacePlan::Remove(uid),
        // Nobody needs it and it is gone: nothing to remember.
        (RunNamespaceState::NotNeeded | RunNamespaceState::Terminating, _) => RunNamespacePlan::Leave { keep: None },
        (RunNamespaceState::Wanted | RunNamespaceState::Taken, _) => RunNamespacePlan::Leave { keep: recorded },
    }
}
