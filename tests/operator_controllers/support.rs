//! A world with one API server, the operator inside this process, and hands to play the others. Knows our manifests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use api::conditions::Conditions;
use api::import_run::{ImportRunStatus, Outcome, Rows, RunReason};
use api::names::{KEEPER_MANAGER, worker_pod};
use api::{Connection, ImportJob, ImportRun, Region, Tenant, Upload};
use dataimporter::operator::{Parts, control};
use domain::limits::Plans;
use domain::settings::{KeeperSettings, NetworkSettings, Settings, WorkerSettings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, CustomResourceExt, Resource, ResourceExt};
use runtime::health::Health;
use runtime::metrics::Metrics;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testkit::{ApiServer, Witness, apply_yaml, wait_for};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long something that comes at once may take before it counts as hanging: long, because a busy machine may give it few turns.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
    pub(crate) metrics: Metrics,
    /// Of every operator that starts from now on.
    pub(crate) settings: Settings,
    operator: Option<(CancellationToken, JoinHandle<Result<()>>)>,
    witness: Witness,
}

impl World {
    /// A server with our kinds, a Region that the keeper has checked, and the operator at work.
    pub(crate) async fn start() -> Self {
        let mut world = Self::without_operator().await;
        world.start_operator();
        world
    }

    pub(crate) async fn without_operator() -> Self {
        let server = ApiServer::start().await.expect("an API server");
        let client = server.client().await.expect("a client");
        for crd in api::crds::all() {
            apply_yaml(&client, &serde_saphyr::to_string(&crd).expect("plain data")).await.expect("the CRD applies");
        }
        apply_yaml(&client, REGION).await.expect("the Region applies");
        server.create_namespace("dataimporter-system").await.expect("a namespace");
        apply_yaml(&client, &public("PEM")).await.expect("what the keeper publishes");
        let kinds = [Region::api_resource(), Tenant::api_resource(), ImportJob::api_resource(), ImportRun::api_resource()];
        let witness = Witness::of(&client, kinds, &[attempts_only_grow]).await.expect("the witness reads every kind");
        let world = Self { server, client, metrics: Metrics::new(), settings: settings(), operator: None, witness };
        world.node("node-a", "eu-frankfurt").await;
        world.keeper_checks_region("eu-frankfurt").await;
        world
    }

    pub(crate) fn start_operator(&mut self) {
        let client = self.client.clone();
        self.start_operator_with(client);
    }

    pub(crate) fn start_operator_with(&mut self, client: Client) {
        let stop = CancellationToken::new();
        self.operator = Some((stop.clone(), self.another_operator(client, stop)));
    }

    /// One more that believes to lead.
    pub(crate) fn another_operator(&self, client: Client, stop: CancellationToken) -> JoinHandle<Result<()>> {
        let parts = Parts {
            client,
            settings: self.settings.clone(),
            identity: "operator-under-test".into(),
            concurrency: 8,
            health: Health::new(Instant::now()),
            metrics: self.metrics.clone(),
        };
        tokio::spawn(control(parts, stop))
    }

    /// As `kill -9` would: whatever is under way just ends.
    pub(crate) async fn kill_operator(&mut self) {
        if let Some((_, task)) = self.operator.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Every status that was ever written followed the conventions. Ends the world.
    pub(crate) async fn assert_conformant(mut self) {
        if let Some((stop, task)) = self.operator.take() {
            stop.cancel();
            task.await.expect("the operator does not panic").expect("the operator ends well");
        }
        let (seen, violations) = self.witness.report().await.expect("the witness catches up");
        assert!(seen >= 3, "the witness saw only {seen} versions");
        assert!(violations.is_empty(), "of {seen} versions:\n{}", violations.join("\n"));
    }

    pub(crate) async fn apply(&self, yaml: &str) -> Vec<DynamicObject> {
        apply_yaml(&self.client, yaml).await.unwrap_or_else(|error| panic!("{error:#}\n{yaml}"))
    }

    pub(crate) fn namespaced<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// A namespace with a ready tenant, connections `crm` and `lake`, and upload `accounts`.
    pub(crate) async fn tenant(&self, name: &str) {
        self.server.create_namespace(name).await.expect("a namespace");
        self.apply(&tenant_yaml(name, &[name])).await;
        self.wait_ready::<Tenant>(Api::all(self.client.clone()), name, "Bound").await;
        self.keeper_makes_keys(name).await;
        self.apply(&connections_yaml(name)).await;
        self.keeper_verifies(name, "crm").await;
        self.keeper_verifies(name, "lake").await;
        self.apply(&format!("{{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {{name: accounts, namespace: {name}}}, spec: {{fileName: a.csv}}}}")).await;
        self.keeper_stores(name, "accounts").await;
    }

    /// Takes a tenant and what is its own away, while no operator and no keeper looks: whoever looks next has nothing to do about it.
    pub(crate) async fn clear(&self, name: &str) {
        clear(&self.namespaced::<ImportJob>(name)).await;
        clear(&self.namespaced::<ImportRun>(name)).await;
        clear(&self.namespaced::<Upload>(name)).await;
        clear(&self.namespaced::<Connection>(name)).await;
        remove(&Api::<Tenant>::all(self.client.clone()), name).await;
    }

    pub(crate) async fn node(&self, name: &str, region: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{node-restriction.kubernetes.io/dataimporter-region: {region}}}}}}}"
        ))
        .await;
    }

    pub(crate) async fn keeper_checks_region(&self, name: &str) {
        let api = Api::<Region>::all(self.client.clone());
        self.keeper_writes(&api, name, json!({"conditions": [condition("StorageReady", "Checked")]})).await;
    }

    pub(crate) async fn keeper_makes_keys(&self, tenant: &str) {
        let api = Api::<Tenant>::all(self.client.clone());
        let keys = json!([{"id": "2c3d", "state": "active", "createdAt": Timestamp::now()}]);
        self.keeper_writes(&api, tenant, json!({"conditions": [condition("KeysReady", "Made")], "keys": keys})).await;
    }

    pub(crate) async fn keeper_verifies(&self, namespace: &str, name: &str) {
        self.keeper_verifies_generation(namespace, name, 1).await;
    }

    pub(crate) async fn keeper_verifies_generation(&self, namespace: &str, name: &str, generation: i64) {
        let api = self.namespaced::<Connection>(namespace);
        let ready = Conditions::from(&[], Some(generation), Timestamp::now()).ready("Verified", "").build();
        self.keeper_writes(&api, name, json!({"observedGeneration": generation, "credentialVersion": 3, "conditions": ready})).await;
    }

    pub(crate) async fn keeper_stores(&self, namespace: &str, name: &str) {
        let now = Timestamp::now();
        let status = json!({
            "observedGeneration": 1, "bytes": 10, "completedAt": now, "expiresAt": now + Duration::from_secs(3600),
            "conditions": [condition("Ready", "Complete")],
        });
        self.keeper_writes(&self.namespaced::<Upload>(namespace), name, status).await;
    }

    /// An hour after it came.
    pub(crate) async fn keeper_erases(&self, namespace: &str, name: &str) {
        let now = Timestamp::now();
        let ready = Conditions::from(&[], Some(1), now).stalled("Expired", "").build();
        let status = json!({
            "observedGeneration": 1, "bytes": 10, "completedAt": now - Duration::from_secs(3600), "expiresAt": now, "erasedAt": now,
            "conditions": ready,
        });
        self.keeper_writes(&self.namespaced::<Upload>(namespace), name, status).await;
    }

    /// What a worker's report becomes.
    pub(crate) async fn keeper_reports(&self, namespace: &str, run: &str, attempt: i32, reason: RunReason, rows: Rows) {
        self.keeper_reports_left(namespace, run, attempt, reason, rows, None).await;
    }

    /// The same of a run that leaves files to the next one.
    pub(crate) async fn keeper_reports_left(
        &self,
        namespace: &str,
        run: &str,
        attempt: i32,
        reason: RunReason,
        rows: Rows,
        files_left: Option<i64>,
    ) {
        let outcome = Outcome {
            attempt,
            reason,
            message: "told by the worker".into(),
            at: Time(Timestamp::now()),
            warnings: Vec::new(),
            file: None,
            files_left,
            after_success: None,
            sealed_file: None,
        };
        let status = ImportRunStatus { rows: Some(rows), outcome: Some(outcome), ..Default::default() };
        self.keeper_writes(&self.namespaced::<ImportRun>(namespace), run, serde_json::to_value(status).expect("plain data")).await;
    }

    async fn keeper_writes<K>(&self, api: &Api<K>, name: &str, status: serde_json::Value)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "status": status});
        let params = PatchParams::apply(KEEPER_MANAGER).force();
        api.patch_status(name, &params, &Patch::Apply(object)).await.unwrap_or_else(|error| panic!("keeper, {name}: {error}"));
    }

    pub(crate) async fn wait_ready<K>(&self, api: Api<K>, name: &str, reason: &str) -> K
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let mut last = None;
        let what = format!("{} {name} to be {reason}", K::kind(&()));
        let found = wait_for(&what, SOON, async || {
            let object = api.get_opt(name).await?;
            last = object.as_ref().map(|o| serde_json::to_value(o).unwrap_or_default()["status"].clone());
            Ok(object.filter(|o| ready_reason(o) == reason))
        });
        match found.await {
            Ok(object) => object,
            Err(error) => panic!("{error:#}; last status: {last:#?}"),
        }
    }

    /// Waits for the pod of an attempt that the run's status records.
    pub(crate) async fn worker(&self, namespace: &str, run: &str, attempt: i32) -> Pod {
        let runs = self.namespaced::<ImportRun>(namespace);
        let pods = self.namespaced::<Pod>(&format!("dataimporter-run-{namespace}"));
        let mut last = None;
        let what = format!("attempt {attempt} of {run}");
        let found = wait_for(&what, SOON, async || {
            let Some(run) = runs.get_opt(run).await? else { return Ok(None) };
            last = run.status.clone();
            let recorded = run.status.as_ref().and_then(|s| s.current_attempt()).filter(|a| a.number == attempt && a.pod_uid.is_some());
            let Some(recorded) = recorded else { return Ok(None) };
            let name = worker_pod(&run.uid().unwrap_or_default(), attempt.unsigned_abs());
            Ok(pods.get_opt(&name).await?.filter(|pod| pod.metadata.uid == recorded.pod_uid))
        });
        match found.await {
            Ok(pod) => pod,
            Err(error) => panic!("{error:#}; last status: {last:#?}"),
        }
    }

    /// The scheduler.
    pub(crate) async fn bind(&self, pod: &Pod, node: &str) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
        let scheduler = self.server.client_as("system:kube-scheduler", &[]).await.expect("a client of the scheduler");
        let api = Api::<Pod>::namespaced(scheduler, &namespace);
        let _: serde_json::Value =
            api.create_subresource("binding", &name, &PostParams::default(), &binding).await.expect("the pod is bound");
    }

    /// The kubelet.
    pub(crate) async fn pod_status(&self, pod: &Pod, status: serde_json::Value) {
        let api = self.namespaced::<Pod>(&pod.namespace().unwrap_or_default());
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.expect("kubelet writes");
    }

    pub(crate) async fn pod_runs(&self, pod: &Pod) {
        self.pod_status(pod, json!({"phase": "Running"})).await;
    }

    pub(crate) async fn pod_ends(&self, pod: &Pod, exit_code: i32, reason: &str) {
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let state = json!({"terminated": {"exitCode": exit_code, "reason": reason}});
        let container = json!({"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        self.pod_status(pod, json!({"phase": phase, "containerStatuses": [container]})).await;
    }

    pub(crate) async fn anchor(&self, namespace: &str, run_uid: &str) -> Option<ConfigMap> {
        let api = self.namespaced::<ConfigMap>(&format!("dataimporter-run-{namespace}"));
        api.get_opt(&format!("run-{run_uid}")).await.expect("the anchor can be asked for")
    }

    pub(crate) async fn anchor_goes(&self, namespace: &str, run_uid: &str) {
        wait_for("the anchor to go", SOON, async || Ok(self.anchor(namespace, run_uid).await.is_none().then_some(())))
            .await
            .expect("cleaned up");
    }

    /// Resource versions of everything of ours and everything that the operator makes: what a second apply must not change.
    pub(crate) async fn versions(&self, namespace: &str) -> BTreeMap<String, String> {
        let run_namespace = format!("dataimporter-run-{namespace}");
        let mut found = BTreeMap::new();
        self.note::<Region>(Api::all(self.client.clone()), &mut found).await;
        self.note::<Tenant>(Api::all(self.client.clone()), &mut found).await;
        self.note::<Connection>(self.namespaced(namespace), &mut found).await;
        self.note::<ImportJob>(self.namespaced(namespace), &mut found).await;
        self.note::<ImportRun>(self.namespaced(namespace), &mut found).await;
        self.note::<Upload>(self.namespaced(namespace), &mut found).await;
        self.note::<k8s_openapi::api::rbac::v1::RoleBinding>(self.namespaced(namespace), &mut found).await;
        self.note::<k8s_openapi::api::core::v1::ServiceAccount>(self.namespaced(namespace), &mut found).await;
        self.note::<k8s_openapi::api::core::v1::ServiceAccount>(self.namespaced(&run_namespace), &mut found).await;
        self.note::<k8s_openapi::api::networking::v1::NetworkPolicy>(self.namespaced(&run_namespace), &mut found).await;
        self.note::<k8s_openapi::api::core::v1::ResourceQuota>(self.namespaced(&run_namespace), &mut found).await;
        self.note::<Pod>(self.namespaced(&run_namespace), &mut found).await;
        found
    }

    async fn note<K>(&self, api: Api<K>, found: &mut BTreeMap<String, String>)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        for object in api.list(&Default::default()).await.expect("a list") {
            let name = format!("{} {}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any());
            found.insert(name, object.resource_version().unwrap_or_default());
        }
    }
}

async fn clear<K>(api: &Api<K>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    for object in api.list(&Default::default()).await.expect("a list").items {
        remove(api, &object.name_any()).await;
    }
}

/// Whatever finalizers it has.
async fn remove<K>(api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch(name, &PatchParams::default(), &freed).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    api.delete(name, &Default::default()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn condition(type_: &str, reason: &str) -> Condition {
    let conditions = Conditions::from(&[], Some(1), Timestamp::now()).with_true(type_, reason, "").build();
    conditions.into_iter().next().expect("one condition")
}

pub(crate) fn ready_reason(object: &impl Serialize) -> String {
    let value = serde_json::to_value(object).unwrap_or_default();
    let conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().find(|c| c["type"] == "Ready").and_then(|c| c["reason"].as_str()).unwrap_or_default().to_owned()
}

/// What the keeper publishes, with whom workers trust.
pub(crate) fn public(ca: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: dataimporter-public, namespace: dataimporter-system}}, data: {{ca.crt: {ca:?}}}}}"
    )
}

pub(crate) fn settings() -> Settings {
    let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
    Settings {
        system_namespace: "dataimporter-system".into(),
        installation: "inst-1".into(),
        worker: WorkerSettings {
            image: "dataimporter:test".into(),
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
            cluster_cidrs: vec!["10.244.0.0/16".into()],
            dns_namespace: "kube-system".into(),
            dns_selector: pair("k8s-app", "kube-dns"),
            dns_cidrs: Vec::new(),
            proxy: None,
        },
        plans: Plans::default(),
        kinds_known_after: Duration::ZERO,
    }
}

/// What was written down of an attempt is never lost: a pod keeps its authority until its attempt ends, and an attempt ends once.
fn attempts_only_grow(before: &DynamicObject, after: &DynamicObject) -> Vec<String> {
    let attempts = |run: &DynamicObject| run.data["status"]["attempts"].as_array().cloned().unwrap_or_default();
    let (known, now) = (attempts(before), attempts(after));
    let kept = |attempt: &serde_json::Value| {
        let same = now.iter().find(|other| other["number"] == attempt["number"]);
        same.is_some_and(|other| ["podUID", "finishedAt", "reason"].iter().all(|f| attempt[*f].is_null() || attempt[*f] == other[*f]))
    };
    let lost = known.iter().filter(|attempt| !kept(attempt));
    lost.map(|attempt| format!("run {}: {attempt} became {now:?}", after.name_any())).collect()
}

#[test]
fn an_attempt_that_is_forgotten_loses_its_pod_or_ends_twice_is_noticed() {
    let run = |attempts: serde_json::Value| -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": "r"},
            "status": {"attempts": attempts}}))
        .unwrap()
    };
    let before = run(json!([{"number": 1, "podUID": "a", "finishedAt": "t", "reason": "Error"}, {"number": 2, "podUID": "b"}]));
    assert!(attempts_only_grow(&before, &before).is_empty());
    let ended = run(json!([{"number": 1, "podUID": "a", "finishedAt": "t", "reason": "Error"},
        {"number": 2, "podUID": "b", "finishedAt": "u", "reason": "Completed"}]));
    assert!(attempts_only_grow(&before, &ended).is_empty());
    for (attempts, lost) in [
        (json!([{"number": 1, "podUID": "a", "finishedAt": "t", "reason": "Error"}]), 1),
        (json!([{"number": 1, "podUID": "a", "finishedAt": "t", "reason": "Error"}, {"number": 2}]), 1),
        (json!([{"number": 1, "podUID": "a", "finishedAt": "u", "reason": "Lost"}, {"number": 2, "podUID": "c"}]), 2),
    ] {
        assert_eq!(attempts_only_grow(&before, &run(attempts)).len(), lost);
    }
}

pub(crate) const REGION: &str = r#"
apiVersion: dataimporter.io/v1alpha1
kind: Region
metadata: {name: eu-frankfurt}
spec:
  location: {city: Frankfurt, country: DE}
  isolation: Placement
  storage: {volume: {name: files}}
  rootKey: {secret: {}}
  nodes: {labelled: {}}
"#;

pub(crate) fn tenant_yaml(name: &str, namespaces: &[&str]) -> String {
    format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  region: eu-frankfurt
  namespaces: [{}]
  contact: {{firstName: Ada, lastName: Byron, email: ada@{name}.example, country: DE}}
  plan: Standard
  members: [{{email: ada@{name}.example, role: Owner}}, {{email: alan@{name}.example, role: Viewer}}]
"#,
        namespaces.join(", ")
    )
}

pub(crate) fn connections_yaml(namespace: &str) -> String {
    format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: crm, namespace: {namespace}}}
spec:
  salesforce: {{myDomain: acme, auth: {{clientCredentials: {{clientId: 3MVG9}}}}}}
  credentials: {{secretRef: {{name: crm-oauth, afterIntake: Keep}}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: lake, namespace: {namespace}}}
spec:
  postgres: {{host: db.acme.example, database: crm, user: reader}}
  credentials: {{secretRef: {{name: lake-password, afterIntake: Keep}}}}
"#
    )
}

pub(crate) fn job_yaml(namespace: &str, name: &str, source: &str, trigger: &str) -> String {
    format!(
        r#"
apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  source: {source}
  target:
    salesforce: {{connectionRef: {{name: crm}}, object: Account, operation: Insert, mapping: [{{from: Company, to: Name}}]}}
  trigger: {trigger}
"#
    )
}

pub(crate) const UPLOAD: &str = "{upload: {name: accounts}}";
pub(crate) const SQL: &str = "{sql: {connectionRef: {name: lake}, query: select 1, orderBy: [id]}}";
