//! What is watched, and which objects a change has looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::identity::is_same;
use api::{Connection, NamespaceName, Region, Tenant, Upload, names};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt};
use runtime::metrics::Metrics;
use runtime::store::Store;
use runtime::watch::Watches;
use runtime::work::Queue;
use tokio::sync::Notify;

/// What needs a look.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    Region(String),
    Tenant(String),
    Connection(String, String),
    Upload(String, String),
}

pub(super) struct Stores {
    pub(super) regions: Store<Region>,
    pub(super) tenants: Store<Tenant>,
    /// A tenant's rule changed: files may have had their time.
    pub(super) due: Arc<Notify>,
    /// Has every object looked at.
    pub(super) wake_all: Box<dyn Fn() + Send + Sync>,
}

/// Watches what the controllers look after; each change wakes its key, and what follows from a Region or Tenant wakes with it.
pub(super) fn watch(client: &Client, metrics: &Metrics, queue: &Queue<Key>) -> (Watches, Stores) {
    let mut watches = Watches::new(client.clone(), metrics.clone());
    // Of Connections and Uploads only their metadata is asked: what to do is read live.
    let connections = Store::pruned(
        |c: &Connection| c.namespace().into_iter().collect(),
        |c| {
            c.status = None;
            c.spec.forget_system();
        },
    );
    let tenants = Store::new(|t: &Tenant| t.status.iter().flat_map(|s| &s.namespaces).map(|n| n.name.clone()).collect());
    let regions = Store::new(|_: &Region| Vec::new());
    let uploads = Store::pruned(|_: &Upload| Vec::new(), |upload| upload.status = None);

    let wake_connections = {
        let (q, all) = (queue.clone(), connections.clone());
        move |tenant: &Tenant| {
            let held = tenant.status.iter().flat_map(|s| &s.namespaces).map(|n| &n.name);
            for namespace in tenant.spec.namespaces.iter().chain(held).collect::<BTreeSet<_>>() {
                for connection in all.by(namespace) {
                    q.wake(Key::Connection(namespace.clone(), connection.name_any()));
                }
            }
        }
    };

    let (q, all_tenants, of_tenant) = (queue.clone(), tenants.clone(), wake_connections.clone());
    let wake_region = move |old: Option<&Region>, new: Option<&Region>| {
        let Some(region) = new.or(old) else { return };
        let edited = !same_generation(old, new);
        if edited {
            q.wake(Key::Region(region.name_any()));
        }
        // Where they may go, and whether anything can be done there.
        if edited || !same_service(old, new) {
            for tenant in all_tenants.all().iter().filter(|t: &&Arc<Tenant>| t.spec.region == region.name_any()) {
                q.wake(Key::Tenant(tenant.name_any()));
                of_tenant(tenant);
            }
        }
    };
    watches.objects("Region", None, regions.clone(), Box::new(wake_region));

    let due = Arc::new(Notify::new());
    let (q, rule_changed) = (queue.clone(), due.clone());
    let wake_tenant = move |old: Option<&Tenant>, new: Option<&Tenant>| {
        let Some(tenant) = new.or(old) else { return };
        q.wake(Key::Tenant(tenant.name_any()));
        if old.map(|t| domain::retention::tenant_rule(&t.spec)) != new.map(|t| domain::retention::tenant_rule(&t.spec)) {
            rule_changed.notify_one();
        }
        if !same_binding(old, new) {
            // Those of a namespace that it let go, too.
            old.into_iter().chain(new).for_each(&wake_connections);
        }
    };
    watches.objects("Tenant", None, tenants.clone(), Box::new(wake_tenant));

    let q = queue.clone();
    let wake_connection = move |old: Option<&Connection>, new: Option<&Connection>| {
        // Our own status and finalizer are no news; spec, deletion, annotations and finalizers of others are.
        let others =
            |c: &Connection| c.finalizers().iter().filter(|f| *f != names::CONNECTION_REVOKE_FINALIZER).cloned().collect::<Vec<_>>();
        let same_finalizers = old.map(others) == new.map(others);
        if let Some(connection) = new.filter(|_| !same_generation(old, new) || !same_finalizers)
            && let Ok(namespace) = NamespaceName::of(connection)
        {
            q.wake(Key::Connection(namespace.into(), connection.name_any()));
        }
    };
    watches.objects("Connection", None, connections.clone(), Box::new(wake_connection));

    let q = queue.clone();
    let wake_upload = move |old: Option<&Upload>, new: Option<&Upload>| {
        if let (None, Some(upload)) = (old, new)
            && let Ok(namespace) = NamespaceName::of(upload)
        {
            q.wake(Key::Upload(namespace.into(), upload.name_any()));
        }
    };
    watches.objects("Upload", None, uploads.clone(), Box::new(wake_upload));

    let (q, all_regions, all_tenants) = (queue.clone(), regions.clone(), tenants.clone());
    let wake_all = Box::new(move || {
        all_regions.all().iter().for_each(|region| q.wake(Key::Region(region.name_any())));
        all_tenants.all().iter().for_each(|tenant| q.wake(Key::Tenant(tenant.name_any())));
        let names = |meta: &ObjectMeta| Some((meta.namespace.clone()?, meta.name.clone()?));
        for (namespace, name) in connections.all().iter().filter_map(|connection| names(&connection.metadata)) {
            q.wake(Key::Connection(namespace, name));
        }
        for (namespace, name) in uploads.all().iter().filter_map(|upload| names(&upload.metadata)) {
            q.wake(Key::Upload(namespace, name));
        }
    });
    (watches, Stores { regions, tenants, due, wake_all })
}

/// Neither spec nor annotations nor deletion changed.
fn same_generation<K: ResourceExt>(old: Option<&K>, new: Option<&K>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            old.meta().generation == new.meta().generation
                && old.meta().deletion_timestamp == new.meta().deletion_timestamp
                && is_same(old.meta(), new.meta())
                && old.annotations() == new.annotations()
        }
        _ => false,
    }
}

/// Whether a region can do as much as before, by the keeper's own word.
fn same_service(old: Option<&Region>, new: Option<&Region>) -> bool {
    use api::conditions::{CLOCK_SKEW, KEY_CUSTODY, STORAGE_READY, is_true};
    let of = |region: Option<&Region>| {
        let conditions = region?.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        Some([STORAGE_READY, KEY_CUSTODY, CLOCK_SKEW].map(|type_| is_true(conditions, type_)))
    };
    of(old) == of(new)
}

/// Whether a tenant is bound as before, to its region and its namespaces, with keys as ready as before.
fn same_binding(old: Option<&Tenant>, new: Option<&Tenant>) -> bool {
    let of = |tenant: Option<&Tenant>| {
        let status = tenant?.status.as_ref()?;
        Some((
            status.region_uid.clone(),
            status.namespaces.clone(),
            api::conditions::is_true(&status.conditions, api::conditions::KEYS_READY),
        ))
    };
    of(old) == of(new)
}
