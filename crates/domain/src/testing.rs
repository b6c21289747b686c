//! Fixtures through real parsing: a Region, a Tenant, a job and what it needs, all in order. Tests change one thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Connection, ImportJob, ImportRun, NamespaceName, Region, Tenant, Uid, Upload};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::import_run::{self, Anchor, Basis, Begun, Frozen, JobFacts, Placed, PodFacts, RunNamespaceFacts, plan};
use crate::limits::Plans;
use crate::settings::{KeeperSettings, NetworkSettings, Settings, WorkerSettings};
use crate::{import_job, tenant};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The moment at which everything below is in order.
pub(crate) fn now() -> Timestamp {
    at("2026-11-24T06:00:00Z")
}

pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The same, changed as a person changes a manifest.
pub(crate) fn edited<T: Serialize + DeserializeOwned>(object: &T, edit: impl FnOnce(&mut Value)) -> T {
    let mut manifest = serde_json::to_value(object).unwrap();
    edit(&mut manifest);
    serde_json::from_value(manifest).unwrap()
}

fn ready(reason: &str) -> String {
    format!(r#"{{type: Ready, status: "True", reason: {reason}, message: "", lastTransitionTime: "2026-11-24T05:00:00Z"}}"#)
}

pub(crate) fn settings() -> Settings {
    let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
    Settings {
        system_namespace: "dataimporter-system".into(),
        installation: "inst-1".into(),
        worker: WorkerSettings {
            image: "registry.example/dataimporter:0.1.0".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            memory: "256Mi".into(),
            cpu: "100m".into(),
            log_level: "info".into(),
        },
        keeper: KeeperSettings {
            url: "https://dataimporter-keeper.dataimporter-system.svc:8443".into(),
            port: 8443,
            selector: pair("app.kubernetes.io/component", "keeper"),
        },
        network: NetworkSettings {
            cluster_cidrs: vec!["44.1.0.0/16".into(), "fd00::/48".into()],
            dns_namespace: "kube-system".into(),
            dns_selector: pair("k8s-app", "kube-dns"),
            dns_cidrs: vec!["169.254.20.10/32".into()],
            proxy: None,
        },
        plans: Plans::default(),
        kinds_known_after: std::time::Duration::ZERO,
    }
}

pub(crate) fn region() -> Region {
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Region
metadata: {{name: eu-frankfurt, uid: region-uid, generation: 1}}
spec:
  location: {{city: Frankfurt, country: DE}}
  isolation: Placement
  storage: {{volume: {{name: files}}}}
  rootKey: {{secret: {{}}}}
  nodes: {{labelled: {{}}}}
  privateEndpoints:
  - {{service: {{namespace: demo, name: postgres}}, ports: [5432], tenants: [acme]}}
  - {{cidr: 10.1.2.3/32, ports: [5432, 6432], tenants: [acme, globex]}}
  - {{cidr: 10.9.9.9/32, ports: [5432], tenants: [globex]}}
  workers: {{tolerations: [{{key: spot, operator: Exists}}]}}
status: {{conditions: [{}]}}
"#,
        ready("Served")
    ))
}

pub(crate) fn tenant() -> Tenant {
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: acme, uid: tenant-uid, generation: 2, creationTimestamp: "2026-11-24T05:00:00Z"}}
spec:
  region: eu-frankfurt
  namespaces: [acme]
  contact: {{firstName: Ada, lastName: Byron, email: ada@acme.example, country: DE}}
  plan: Standard
  members:
  - {{email: ada@acme.example, role: Owner}}
  - {{email: grace@acme.example, role: Owner}}
  - {{email: alan@acme.example, role: Viewer}}
status:
  regionUID: region-uid
  namespaces: [{{name: acme, uid: acme-uid}}]
  runNamespace: {{name: dataimporter-run-acme, uid: run-ns-uid}}
  keys: [{{id: "0a1b", state: decryptOnly, createdAt: "2026-11-01T00:00:00Z"}}, {{id: "2c3d", state: active, createdAt: "2026-11-24T00:00:00Z"}}]
  conditions: [{}, {{type: KeysReady, status: "True", reason: Made, message: "", lastTransitionTime: "2026-11-24T05:00:00Z"}}]
"#,
        ready("Bound")
    ))
}

pub(crate) fn uid(text: &str) -> Uid {
    Uid::new(text).expect("a UID is not empty")
}

/// The namespace that jobs and runs stand in.
fn acme() -> NamespaceName {
    NamespaceName::of(&job(UPLOAD, ONCE)).expect("the job has a namespace")
}

pub(crate) fn observed_tenant() -> tenant::Observed {
    tenant::Observed {
        tenant: Arc::new(tenant()),
        uid: uid("tenant-uid"),
        region: Some(Arc::new(region())),
        namespaces: [("acme".to_owned(), tenant::Living { uid: uid("acme-uid"), terminating: false })].into(),
        others: Vec::new(),
        run_namespace: Some(tenant::RunNamespace { uid: uid("run-ns-uid"), tenant_uid: Some(uid("tenant-uid")), terminating: false }),
        unfinished_runs: Vec::new(),
        foreign: Vec::new(),
        services: BTreeMap::new(),
        system_namespace: "dataimporter-system".into(),
        allowance: Plans::default().allowance(&tenant().spec),
    }
}

pub(crate) fn connection(name: &str) -> Connection {
    let system = match name {
        "crm" => "salesforce: {myDomain: acme, auth: {clientCredentials: {clientId: 3MVG9}}}",
        _ => "postgres: {host: db.acme.example, database: crm, user: reader}",
    };
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: {name}, namespace: acme, uid: {name}-uid, generation: 1}}
spec:
  {system}
  credentials: {{secretRef: {{name: {name}-secret, afterIntake: Keep}}}}
status: {{credentialVersion: 7, conditions: [{}]}}
"#,
        ready("Verified")
    ))
}

pub(crate) fn upload() -> Upload {
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Upload
metadata: {{name: accounts, namespace: acme, uid: upload-uid, generation: 1}}
spec: {{fileName: accounts.csv}}
status: {{bytes: 10, completedAt: "2026-11-24T05:30:00Z", expiresAt: "2026-11-24T06:30:00Z", conditions: [{}]}}
"#,
        ready("Complete")
    ))
}

/// `source` and `trigger` as YAML.
pub(crate) fn job(source: &str, trigger: &str) -> ImportJob {
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: accounts, namespace: acme, uid: job-uid, generation: 4, creationTimestamp: "2026-11-24T05:00:00Z"}}
spec:
  source: {source}
  target:
    salesforce:
      connectionRef: {{name: crm}}
      object: Account
      operation: Insert
      mapping: [{{from: Company, to: Name}}]
  trigger: {trigger}
  guards: {{deadlineSeconds: 3600}}
"#
    ))
}

pub(crate) const UPLOAD: &str = "{upload: {name: accounts}}";
pub(crate) const SQL: &str = "{sql: {connectionRef: {name: lake}, query: select 1, orderBy: [id]}}";
pub(crate) const ONCE: &str = "{once: {id: '1'}}";
pub(crate) const MANUAL: &str = "{manual: {}}";

pub(crate) fn observed_job(source: &str, trigger: &str) -> import_job::Observed {
    import_job::Observed {
        job: Arc::new(job(source, trigger)),
        uid: uid("job-uid"),
        namespace: acme(),
        tenant: Some(Arc::new(tenant())),
        region: Some(Arc::new(region())),
        connections: ["crm", "lake"].map(|name| (name.to_owned(), Arc::new(connection(name)))).into(),
        upload: Some(Arc::new(upload())),
        runs: Vec::new(),
        once_run: None,
    }
}

/// A run whose status is given as YAML.
pub(crate) fn run(status: &str) -> ImportRun {
    yaml(&format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: ImportRun
metadata: {{name: accounts-once-1, namespace: acme, uid: 11111111-2222-3333-4444-555555555555, generation: 1, creationTimestamp: "2026-11-24T05:59:00Z"}}
spec: {{jobRef: {{name: accounts, uid: job-uid}}, action: {{run: {{}}}}, startBefore: "2026-11-24T07:00:00Z"}}
status: {status}
"#
    ))
}

pub(crate) const FRESH: &str = "{}";
pub(crate) const ANNOUNCED: &str = r#"{snapshotDigest: d1, startedAt: "2026-11-24T05:59:10Z", placement: {region: eu-frankfurt, runNamespace: dataimporter-run-acme},
  attempts: [{number: 1, createdAt: "2026-11-24T05:59:10Z"}]}"#;
pub(crate) const WORKING: &str = r#"{snapshotDigest: d1, startedAt: "2026-11-24T05:59:10Z", placement: {region: eu-frankfurt, runNamespace: dataimporter-run-acme},
  attempts: [{number: 1, createdAt: "2026-11-24T05:59:10Z", podUID: pod-1, node: node-a}]}"#;

/// Judged by its job before its first attempt is announced, and after that by the snapshot of this job.
pub(crate) fn observed_run(status: &str) -> import_run::Observed {
    let run = run(status);
    let working = run.status.as_ref().and_then(|s| s.attempts.last()).is_some_and(|a| a.pod_uid.is_some() && a.finished_at.is_none());
    let fresh = run.status.as_ref().is_none_or(|s| s.attempts.is_empty());
    let over = import_run::is_finished(&run);
    let mut observed = import_run::Observed {
        uid: Uid::of(&run).expect("the run has a UID"),
        namespace: acme(),
        run: Arc::new(run),
        basis: Basis::Job(job_facts()),
        tenant: Some(Arc::new(tenant())),
        region: Some(Arc::new(region())),
        run_namespace: Some(RunNamespaceFacts { name: "dataimporter-run-acme".into(), uid: uid("run-ns-uid"), terminating: false }),
        pod: working.then(pod),
    };
    if over {
        observed.basis = Basis::Over(None);
    } else if !fresh {
        let (frozen, JobFacts { connections, upload, .. }) = (Arc::new(frozen(&observed)), job_facts());
        observed.basis = Basis::Snapshot(Begun { frozen, connections, upload });
    }
    observed
}

pub(crate) fn job_facts() -> JobFacts {
    JobFacts {
        job: Some(Arc::new(job(UPLOAD, ONCE))),
        connections: ["crm", "lake"].map(|name| (name.to_owned(), Arc::new(connection(name)))).into(),
        upload: Some(Arc::new(upload())),
        ..JobFacts::default()
    }
}

/// What a run of that job began with at 05:59:10.
pub(crate) fn frozen(observed: &import_run::Observed) -> Frozen {
    let placed = Placed::prove(observed).expect("everything is in order");
    let snapshot = plan::snapshot(&job_facts(), &placed, at("2026-11-24T05:59:10Z")).expect("nothing is missing");
    Frozen::read(anchor(), &snapshot.encode()).expect("a snapshot")
}

pub(crate) fn anchor() -> Anchor {
    Anchor { namespace: "dataimporter-run-acme".into(), name: "run-11111111-2222-3333-4444-555555555555".into(), uid: uid("anchor-uid") }
}

/// Running on node-a.
pub(crate) fn pod() -> PodFacts {
    PodFacts {
        uid: uid("pod-1"),
        name: "run-11111111-2222-3333-4444-555555555555-a1".into(),
        run_uid: Some("11111111-2222-3333-4444-555555555555".into()),
        attempt: Some("1".into()),
        node: Some("node-a".into()),
        phase: "Running".into(),
        reason: None,
        disrupted: false,
        deleted_by: None,
        exit_code: None,
        exit_reason: None,
        holdup: None,
    }
}
