//! What the operator sees of the cluster: one store per kind, indexed by the questions the reconciles ask.

use std::sync::Arc;

use api::conditions::SUCCEEDED;
use api::{Connection, ImportJob, ImportRun, Region, Tenant, Uid, Upload, names};
use domain::{import_run, labels, tenant};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, PodSpec, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ObjectMeta, PartialObjectMeta};
use runtime::store::{ObjectKey, Store};

pub(super) type Meta<K> = PartialObjectMeta<K>;

#[derive(Clone)]
pub(super) struct Caches {
    pub(super) regions: Store<Region>,
    pub(super) tenants: Store<Tenant>,
    pub(super) jobs: Store<ImportJob>,
    pub(super) runs: Store<ImportRun>,
    pub(super) connections: Store<Connection>,
    pub(super) uploads: Store<Upload>,
    pub(super) pods: Store<Pod>,
    pub(super) anchors: Store<Meta<ConfigMap>>,
    pub(super) namespaces: Store<Meta<Namespace>>,
    pub(super) nodes: Store<Meta<Node>>,
    pub(super) role_bindings: Store<Meta<RoleBinding>>,
    pub(super) accounts: Store<Meta<ServiceAccount>>,
    pub(super) policies: Store<Meta<NetworkPolicy>>,
    pub(super) quotas: Store<Meta<ResourceQuota>>,
}

/// In every label and annotation of ours.
const NAME: &str = "dataimporter";
/// Index word of runs that have not ended, with their namespace.
const UNFINISHED: &str = "unfinished";
/// Index word of runs between their first attempt and their end.
pub(super) const BEGUN: &str = "begun";
/// Index word of pods whose containers may run.
pub(super) const ACTIVE: &str = "active";

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            regions: Store::pruned(|_| Vec::new(), |region| slim(&mut region.metadata)),
            tenants: Store::pruned(tenant_words, |tenant| slim(&mut tenant.metadata)),
            jobs: Store::pruned(job_words, prune_job),
            runs: Store::pruned(run_words, prune_run),
            connections: Store::pruned(|_| Vec::new(), prune_connection),
            uploads: Store::pruned(|_| Vec::new(), |upload| slim(&mut upload.metadata)),
            pods: Store::pruned(pod_words, prune_pod),
            anchors: Store::pruned(|_| Vec::new(), |anchor| slim(&mut anchor.metadata)),
            namespaces: metadata(),
            nodes: Store::pruned(node_words, |node| slim(&mut node.metadata)),
            role_bindings: metadata(),
            accounts: metadata(),
            policies: metadata(),
            quotas: metadata(),
        }
    }

    /// The Tenant that holds this namespace as it is now, by UID.
    pub(super) fn tenant_of(&self, namespace: &str) -> Option<Arc<Tenant>> {
        let living = self.namespaces.get(&ObjectKey::cluster(namespace))?;
        let uid = Uid::of_meta(&living.metadata)?;
        self.tenants.by(&format!("holds:{namespace}")).into_iter().find(|t| tenant::holds(t, namespace, &uid))
    }

    /// Where pods and snapshot of a run stand; what carries its label elsewhere is none of its own.
    pub(super) fn run_namespace_of(&self, run: &ImportRun) -> Option<String> {
        let recorded = run.status.as_ref().and_then(|s| s.placement.as_ref()?.run_namespace.clone());
        recorded.or_else(|| Some(names::run_namespace(labels::name(&self.tenant_of(labels::namespace(&run.metadata)?)?.metadata))))
    }

    /// Runs of this very job. They stand beside it: one elsewhere that names its UID is none of them.
    pub(super) fn runs_of(&self, namespace: &str, job_uid: &str) -> Vec<Arc<ImportRun>> {
        self.runs.by(&run_of_job(namespace, job_uid))
    }

    /// The run of this UID, which the API server gave it.
    pub(super) fn run(&self, uid: &str) -> Option<Arc<ImportRun>> {
        self.runs.by(&format!("uid:{uid}")).into_iter().next()
    }

    pub(super) fn region(&self, name: &str) -> Option<Arc<Region>> {
        self.regions.get(&ObjectKey::cluster(name))
    }

    pub(super) fn unfinished_runs_in(&self, namespace: &str) -> Vec<Arc<ImportRun>> {
        self.runs.by(&format!("{UNFINISHED}:{namespace}"))
    }
}

fn tenant_words(tenant: &Tenant) -> Vec<String> {
    let held = tenant.status.iter().flat_map(|s| &s.namespaces).map(|b| format!("holds:{}", b.name));
    let listed = tenant.spec.namespaces.iter().map(|n| format!("lists:{n}"));
    held.chain(listed).chain([format!("region:{}", tenant.spec.region)]).collect()
}

fn job_words(job: &ImportJob) -> Vec<String> {
    let Some(namespace) = labels::namespace(&job.metadata) else { return Vec::new() };
    let connections = job.spec.connection_names().into_iter().map(|c| format!("connection:{namespace}/{c}"));
    let upload = job.spec.source.upload().into_iter().map(|u| format!("upload:{namespace}/{}", u.name));
    connections.chain(upload).chain([format!("namespace:{namespace}")]).collect()
}

fn run_words(run: &ImportRun) -> Vec<String> {
    let Some(namespace) = labels::namespace(&run.metadata) else { return Vec::new() };
    let mut words = vec![run_of_job(namespace, &run.spec.job_ref.uid)];
    words.extend(Uid::of_meta(&run.metadata).map(|uid| format!("uid:{uid}")));
    if !import_run::is_finished(run) {
        words.push(format!("{UNFINISHED}:{namespace}"));
        if run.status.as_ref().is_some_and(|status| !status.attempts.is_empty()) {
            words.push(BEGUN.to_owned());
        }
    }
    words
}

fn run_of_job(namespace: &str, job_uid: &str) -> String {
    format!("job:{namespace}/{job_uid}")
}

fn pod_words(pod: &Pod) -> Vec<String> {
    is_active(pod).then(|| ACTIVE.to_owned()).into_iter().collect()
}

/// Whether it takes a place: not all of its containers have ended.
pub(super) fn is_active(pod: &Pod) -> bool {
    !matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn node_words(node: &Meta<Node>) -> Vec<String> {
    labels::label(&node.metadata, names::NODE_REGION_LABEL).map(|r| format!("region:{r}")).into_iter().collect()
}

/// Of a job the rules read how it starts and what it refers to; what to do with the rows is read when a run begins.
fn prune_job(job: &mut ImportJob) {
    slim(&mut job.metadata);
    job.spec.forget_rows();
}

/// Of a run that goes on we read the operator's part and the outcome, of one that has ended what its job and its history ask: when and how
/// it ended, and which of its files are alive.
fn prune_run(run: &mut ImportRun) {
    slim(&mut run.metadata);
    run.metadata.labels = None;
    let finished = import_run::is_finished(run);
    let Some(status) = &mut run.status else { return };
    status.chunks = None;
    if let Some(outcome) = &mut status.outcome {
        outcome.sealed_file = None;
    }
    status.results.retain(|file| file.erased_at.is_none());
    status.results.shrink_to_fit();
    if finished {
        status.conditions.retain(|condition| condition.type_ == SUCCEEDED);
        status.conditions.shrink_to_fit();
        (status.attempts, status.snapshot_digest, status.placement) = (Vec::new(), None, None);
        status.rows = None;
        // Of one that has left files to others, by what it is followed.
        status.outcome = status.outcome.take().filter(|outcome| outcome.files_left.is_some());
        if let Some(outcome) = &mut status.outcome {
            (outcome.message, outcome.warnings, outcome.file) = (String::new(), Vec::new(), None);
        }
    }
}

/// Certificates go into the snapshot only, which reads them live. What is sealed is the keeper's.
fn prune_connection(connection: &mut Connection) {
    slim(&mut connection.metadata);
    connection.spec.forget_certificates();
    connection.spec.credentials.forget_sealed();
}

/// Of a pod's spec we read the node.
fn prune_pod(pod: &mut Pod) {
    slim(&mut pod.metadata);
    let node_name = pod.spec.take().and_then(|spec| spec.node_name);
    pod.spec = Some(PodSpec { node_name, ..Default::default() });
}

/// Labels and annotations of others say nothing to us, and anybody who may write an object may make them large.
fn slim(meta: &mut ObjectMeta) {
    let ours = |key: &String| key.contains(NAME) || key == names::MANAGED_BY_LABEL;
    for map in [&mut meta.labels, &mut meta.annotations].into_iter().flatten() {
        map.retain(|key, _| ours(key));
    }
    meta.owner_references = None;
}

fn metadata<K>() -> Store<Meta<K>>
where
    Meta<K>: kube::Resource<DynamicType = ()>,
{
    Store::pruned(|_| Vec::new(), |object| slim(&mut object.metadata))
}
