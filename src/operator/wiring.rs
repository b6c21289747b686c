//! Which change wakes which object. Nothing here decides: a wake too many costs one look at memory, a wake too few would
//! leave an object asleep.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Connection, ImportJob, ImportRun, Region, Tenant, Uid, Upload, names};
use domain::import_run::is_finished;
use domain::labels::{self, MANAGED_SELECTOR};
use domain::tenant;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Resource;
use kube::api::ObjectMeta;
use runtime::metrics::Metrics;
use runtime::store::{ObjectKey, Store};
use runtime::watch::{Wake, Watches};
use runtime::work::Queue;
use tokio::sync::Notify;

use super::caches::{Caches, Meta, is_active};
use super::key::Key;
use super::places::Places;

#[derive(Clone)]
struct Wakeups {
    caches: Caches,
    queue: Queue<Key>,
    places: Arc<Places>,
    /// A run is gone: its anchor is an orphan.
    deleted: Arc<Notify>,
    metrics: Metrics,
}

/// Starts every watch of the operator.
pub(super) fn watch_all(
    watches: &mut Watches,
    caches: &Caches,
    queue: &Queue<Key>,
    places: &Arc<Places>,
    deleted: &Arc<Notify>,
    metrics: &Metrics,
) {
    let wakeups = Wakeups {
        caches: caches.clone(),
        queue: queue.clone(),
        places: places.clone(),
        deleted: deleted.clone(),
        metrics: metrics.clone(),
    };
    watches.objects::<Region>("Region", None, caches.regions.clone(), wakeups.wake(Wakeups::region));
    watches.objects::<Tenant>("Tenant", None, caches.tenants.clone(), wakeups.wake(Wakeups::tenant));
    watches.objects::<ImportJob>("ImportJob", None, caches.jobs.clone(), wakeups.wake(Wakeups::job));
    watches.objects::<ImportRun>("ImportRun", None, caches.runs.clone(), wakeups.wake(Wakeups::run));
    watches.objects::<Connection>("Connection", None, caches.connections.clone(), wakeups.wake(Wakeups::connection));
    watches.objects::<Upload>("Upload", None, caches.uploads.clone(), wakeups.wake(Wakeups::upload));
    watches.objects::<Pod>("Pod", Some(names::RUN_UID_LABEL), caches.pods.clone(), wakeups.wake(Wakeups::pod));
    let anchors = caches.anchors.clone();
    watches.metadata::<ConfigMap>("ConfigMap", Some(names::RUN_UID_LABEL), anchors, wakeups.wake(Wakeups::anchor));
    watches.metadata::<Namespace>("Namespace", None, caches.namespaces.clone(), wakeups.wake(Wakeups::namespace));
    watches.metadata::<Node>("Node", None, caches.nodes.clone(), wakeups.wake(Wakeups::node));
    children::<RoleBinding>(watches, &wakeups, "RoleBinding", &caches.role_bindings);
    children::<ServiceAccount>(watches, &wakeups, "ServiceAccount", &caches.accounts);
    children::<NetworkPolicy>(watches, &wakeups, "NetworkPolicy", &caches.policies);
    children::<ResourceQuota>(watches, &wakeups, "ResourceQuota", &caches.quotas);
}

/// Children of a Tenant: a change of one wakes the Tenant, so that the child is put right.
fn children<K>(watches: &mut Watches, wakeups: &Wakeups, kind: &'static str, store: &Store<Meta<K>>)
where
    K: runtime::write::Kind + 'static,
{
    let (wakeups, kept) = (wakeups.clone(), store.clone());
    let wake: Wake<Meta<K>> = Box::new(move |old, new| wakeups.of_tenant(kind, old, new));
    watches.metadata::<K>(kind, Some(MANAGED_SELECTOR), kept, wake);
}

impl Wakeups {
    fn wake<K: 'static>(&self, ring: fn(&Self, Option<&K>, Option<&K>)) -> Wake<K> {
        let wakeups = self.clone();
        Box::new(move |old, new| ring(&wakeups, old, new))
    }

    fn region(&self, old: Option<&Region>, new: Option<&Region>) {
        self.places.changed();
        for region in self.caches.regions.all() {
            // A Cell must notice when it is not alone any more.
            self.queue.wake(Key::region(labels::name(&region.metadata)));
        }
        if let Some(name) = either(old, new) {
            self.queue.wake(Key::region(&name));
            for tenant in self.caches.tenants.by(&format!("region:{name}")) {
                self.queue.wake(Key::tenant(labels::name(&tenant.metadata)));
                self.work_of(&tenant);
            }
        }
    }

    fn tenant(&self, old: Option<&Tenant>, new: Option<&Tenant>) {
        if let Some(name) = either(old, new) {
            self.queue.wake(Key::tenant(&name));
        }
        for tenant in old.into_iter().chain(new) {
            self.work_of(tenant);
        }
        self.places.changed();
        // Rivals for a namespace that was let go, or taken.
        let held = |t: &Tenant| t.status.iter().flat_map(|s| &s.namespaces).map(|b| b.name.clone()).collect::<Vec<_>>();
        let namespaces = old.into_iter().chain(new).flat_map(|t| t.spec.namespaces.iter().cloned().chain(held(t)));
        for rival in namespaces.flat_map(|n| self.caches.tenants.by(&format!("lists:{n}"))) {
            self.queue.wake(Key::tenant(labels::name(&rival.metadata)));
        }
    }

    /// Jobs and unfinished runs in a tenant's namespaces: those that it asks for, and those that it has.
    fn work_of(&self, tenant: &Tenant) {
        let held = tenant.status.iter().flat_map(|s| &s.namespaces).map(|bound| &bound.name);
        for namespace in tenant.spec.namespaces.iter().chain(held).collect::<BTreeSet<_>>() {
            for job in self.caches.jobs.by(&format!("namespace:{namespace}")) {
                self.queue.wake(Key::job(namespace, labels::name(&job.metadata)));
            }
            self.runs_in(namespace);
        }
    }

    fn runs_in(&self, namespace: &str) {
        for run in self.caches.unfinished_runs_in(namespace) {
            self.queue.wake(Key::run(namespace, labels::name(&run.metadata)));
        }
    }

    fn job(&self, old: Option<&ImportJob>, new: Option<&ImportJob>) {
        for meta in metas(old, new) {
            self.queue.wake(Key::ImportJob(key(meta)));
            let (Some(namespace), Some(uid)) = (labels::namespace(meta), Uid::of_meta(meta)) else { continue };
            for run in self.caches.runs_of(namespace, uid.as_str()).iter().filter(|run| !is_finished(run)) {
                self.queue.wake(Key::ImportRun(key(&run.metadata)));
            }
        }
    }

    fn run(&self, old: Option<&ImportRun>, new: Option<&ImportRun>) {
        for meta in metas(old, new) {
            self.queue.wake(Key::ImportRun(key(meta)));
        }
        if new.is_none() {
            self.deleted.notify_one();
        }
        let over = |run: Option<&ImportRun>| run.map(is_finished);
        if over(old) == over(new) && old.is_some() {
            return; // progress is nobody else's business
        }
        self.places.changed();
        for run in old.into_iter().chain(new) {
            let Some(namespace) = labels::namespace(&run.metadata) else { continue };
            self.queue.wake(Key::job(namespace, &run.spec.job_ref.name));
            // The next in line, and the tenant, which makes a run namespace for its first run or waits for its last one.
            for next in self.caches.runs_of(namespace, &run.spec.job_ref.uid).iter().filter(|run| !is_finished(run)) {
                self.queue.wake(Key::ImportRun(key(&next.metadata)));
            }
            for tenant in self.caches.tenants.by(&format!("lists:{namespace}")) {
                self.queue.wake(Key::tenant(labels::name(&tenant.metadata)));
            }
        }
    }

    fn connection(&self, old: Option<&Connection>, new: Option<&Connection>) {
        for meta in metas(old, new) {
            self.users_of("connection", meta);
        }
    }

    fn upload(&self, old: Option<&Upload>, new: Option<&Upload>) {
        for meta in metas(old, new) {
            self.users_of("upload", meta);
        }
    }

    fn users_of(&self, word: &str, meta: &ObjectMeta) {
        let (Some(namespace), name) = (labels::namespace(meta), labels::name(meta)) else { return };
        for job in self.caches.jobs.by(&format!("{word}:{namespace}/{name}")) {
            self.queue.wake(Key::job(namespace, labels::name(&job.metadata)));
        }
        self.runs_in(namespace);
    }

    /// One that has ended makes room for the next run.
    fn pod(&self, old: Option<&Pod>, new: Option<&Pod>) {
        self.of_run("Pod", old, new);
        if old.is_some_and(is_active) && !new.is_some_and(is_active) {
            self.places.changed();
        }
    }

    fn anchor(&self, old: Option<&Meta<ConfigMap>>, new: Option<&Meta<ConfigMap>>) {
        self.of_run("ConfigMap", old, new);
    }

    /// Pods and anchors carry the UID of their run. Where they do not belong they wake nobody, and are counted when they are first seen.
    fn of_run<K: Resource<DynamicType = ()>>(&self, kind: &'static str, old: Option<&K>, new: Option<&K>) {
        for meta in metas(old, new) {
            let run = labels::label(meta, names::RUN_UID_LABEL).and_then(|uid| self.caches.run(uid));
            let home = run.as_ref().and_then(|run| self.caches.run_namespace_of(run));
            let at_home = labels::stands_with_its_tenant(meta) && home.is_none_or(|home| labels::namespace(meta) == Some(&home));
            match run {
                Some(run) if at_home => self.queue.wake(Key::ImportRun(key(&run.metadata))),
                None if at_home => {}
                _ => self.foreign(kind, old.is_none()),
            }
        }
    }

    /// Children of a Tenant in its own namespaces or in its run namespace.
    fn of_tenant<K: Resource<DynamicType = ()>>(&self, kind: &'static str, old: Option<&K>, new: Option<&K>) {
        for meta in metas(old, new) {
            let Some(name) = labels::label(meta, names::TENANT_LABEL) else { continue };
            // One that is not there yet is woken by its own coming.
            let Some(tenant) = self.caches.tenants.get(&ObjectKey::cluster(name)) else { continue };
            if labels::stands_with_its_tenant(meta) || labels::namespace(meta).is_some_and(|namespace| tenant::concerns(&tenant, namespace))
            {
                self.queue.wake(Key::tenant(name));
            } else {
                self.foreign(kind, old.is_none());
            }
        }
    }

    fn foreign(&self, kind: &'static str, first_seen: bool) {
        if first_seen {
            self.metrics.foreign_object(kind);
        }
    }

    fn namespace(&self, old: Option<&Meta<Namespace>>, new: Option<&Meta<Namespace>>) {
        if let Some(name) = either(old, new) {
            for word in [format!("lists:{name}"), format!("holds:{name}")] {
                for tenant in self.caches.tenants.by(&word) {
                    self.queue.wake(Key::tenant(labels::name(&tenant.metadata)));
                    self.work_of(&tenant);
                }
            }
            if let Some(tenant) = name.strip_prefix(names::RUN_NAMESPACE_PREFIX) {
                self.queue.wake(Key::tenant(tenant));
                // Runs wait for it.
                if let Some(tenant) = self.caches.tenants.get(&ObjectKey::cluster(tenant)) {
                    self.work_of(&tenant);
                }
            }
        }
    }

    /// Nodes change all the time; only coming, going and moving between regions matters.
    fn node(&self, old: Option<&Meta<Node>>, new: Option<&Meta<Node>>) {
        let region = |node: Option<&Meta<Node>>| node.map(|n| labels::label(&n.metadata, names::NODE_REGION_LABEL).map(str::to_owned));
        if region(old) != region(new) {
            for region in self.caches.regions.all() {
                self.queue.wake(Key::region(labels::name(&region.metadata)));
            }
        }
    }
}

fn metas<'a, K: Resource<DynamicType = ()>>(old: Option<&'a K>, new: Option<&'a K>) -> impl Iterator<Item = &'a ObjectMeta> {
    // Usually both are the same object.
    new.or(old).into_iter().map(Resource::meta)
}

fn either<K: Resource<DynamicType = ()>>(old: Option<&K>, new: Option<&K>) -> Option<String> {
    new.or(old).and_then(|object| object.meta().name.clone())
}

fn key(meta: &ObjectMeta) -> ObjectKey {
    ObjectKey { namespace: meta.namespace.clone(), name: labels::name(meta).to_owned() }
}
