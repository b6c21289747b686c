//! What the operator sees of the cluster: one store per kind, indexed by the questions the reconciles ask.

use std::sync::Arc;

use api::{Connection, ImportJob, ImportRun, Region, Tenant, Upload, names};
use domain::{import_run, labels, tenant};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, PodSpec, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PartialObjectMeta;
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

/// Index word of runs that have not ended, with their namespace.
const UNFINISHED: &str = "unfinished";

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            regions: Store::new(|_| Vec::new()),
            tenants: Store::new(tenant_words),
            jobs: Store::new(job_words),
            runs: Store::new(run_words),
            connections: Store::new(|_| Vec::new()),
            uploads: Store::new(|_| Vec::new()),
            pods: Store::new(|pod| run_uid_word(&pod.metadata)),
            anchors: Store::new(|anchor| run_uid_word(&anchor.metadata)),
            namespaces: Store::new(|_| Vec::new()),
            nodes: Store::new(|node| {
                labels::label(&node.metadata, names::NODE_REGION_LABEL).map(|r| format!("region:{r}")).into_iter().collect()
            }),
            role_bindings: Store::new(|_| Vec::new()),
            accounts: Store::new(|_| Vec::new()),
            policies: Store::new(|_| Vec::new()),
            quotas: Store::new(|_| Vec::new()),
        }
    }

    /// The Tenant that holds this namespace as it is now, by UID.
    pub(super) fn tenant_of(&self, namespace: &str) -> Option<Arc<Tenant>> {
        let living = self.namespaces.get(&ObjectKey::cluster(namespace))?;
        let uid = labels::uid(&living.metadata).to_owned();
        self.tenants.by(&format!("holds:{namespace}")).into_iter().find(|t| tenant::holds(t, namespace, &uid))
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
    let namespace = labels::namespace(&job.metadata);
    let connections = job.spec.connection_names().into_iter().map(|c| format!("connection:{namespace}/{c}"));
    let upload = job.spec.source.upload.iter().map(|u| format!("upload:{namespace}/{}", u.name));
    connections.chain(upload).chain([format!("namespace:{namespace}")]).collect()
}

fn run_words(run: &ImportRun) -> Vec<String> {
    let mut words = vec![format!("uid:{}", labels::uid(&run.metadata)), format!("job:{}", run.spec.job_ref.uid)];
    if !import_run::is_finished(run) {
        words.push(format!("{UNFINISHED}:{}", labels::namespace(&run.metadata)));
    }
    words
}

fn run_uid_word(meta: &kube::api::ObjectMeta) -> Vec<String> {
    labels::label(meta, names::RUN_UID_LABEL).map(|uid| format!("run:{uid}")).into_iter().collect()
}

/// Of a run we read the operator's part, the sums and the outcome; chunks and files are most of its weight.
pub(super) fn prune_run(run: &mut ImportRun) {
    if let Some(status) = &mut run.status {
        status.chunks = None;
        status.results.clear();
    }
}

/// Of a pod's spec we read the node.
pub(super) fn prune_pod(pod: &mut Pod) {
    let node_name = pod.spec.take().and_then(|spec| spec.node_name);
    pod.spec = Some(PodSpec { node_name, ..Default::default() });
}
