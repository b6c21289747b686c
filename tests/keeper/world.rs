//! One cluster, one org, one keeper; what the operator would write is written here by hand.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use api::import_run::{Action, ImportRunStatus};
use api::snapshot::{ObjectId, Snapshot, SnapshotConnection};
use api::tenant::ResultRetention;
use api::{Connection, ConnectionSpec, ImportRun, Tenant, Uid, Upload, conditions, names};
use dataimporter::keeper::{self, Args, Running};
use domain::lease::PeerIpCheck;
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, CustomResourceExt, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::{ApiServer, Line, Witness, apply_yaml, wait_for};
use tokio_util::sync::CancellationToken;

pub(crate) const SYSTEM: &str = "dataimporter-system";
pub(crate) const HOME: &str = "acme";
pub(crate) const RUNS: &str = "dataimporter-run-acme";
pub(crate) const REGION: &str = "eu-frankfurt";
const CONSENT: &str = "dataimporter.io/consent";
const WAIT: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) keeper: Running,
    pub(crate) http: reqwest::Client,
    pub(crate) ground: Ground,
}

/// Everything that is there before the first keeper.
pub(crate) struct Ground {
    pub(crate) client: Client,
    pub(crate) org: salesforce_emulator::Running,
    pub(crate) storage: tempfile::TempDir,
    /// Where keepers listen and their callers come from.
    address: IpAddr,
    witness: Witness,
    /// Last, because everything above talks to it.
    pub(crate) server: Arc<ApiServer>,
}

impl Deref for World {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Ground {
    pub(crate) async fn prepare(address: IpAddr) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        runtime::logs::init();
        let server = Arc::new(ApiServer::start().await?);
        let client = server.client().await?;
        let org = salesforce_emulator::Emulator::builder().start().await?;
        let crds: Vec<String> =
            api::crds::files().into_iter().filter(|(path, _)| path.starts_with("crds/")).map(|(_, text)| text).collect();
        apply_yaml(&client, &crds.join("\n---\n")).await?;
        for namespace in [SYSTEM, HOME, RUNS] {
            server.create_namespace(namespace).await?;
        }
        apply_yaml(&client, &testkit::chart::keeper_rights(SYSTEM)).await?;
        apply_yaml(&client, &objects(org.address.port())).await?;
        bind_tenant(&client).await?;
        let witness = Witness::of(&client, [Connection::api_resource(), Upload::api_resource()], &[]).await?;
        let storage = tempfile::tempdir()?;
        std::fs::create_dir(storage.path().join("files"))?;
        Ok(Self { client, org, storage, address, witness, server })
    }

    /// How any keeper of this world is started.
    pub(crate) fn keeper_arguments(&self, identity: &str) -> Args {
        let (plain, served) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((self.address, 0)));
        Args {
            namespace: SYSTEM.into(),
            identity: identity.into(),
            listen: plain,
            worker_listen: served,
            gateway_listen: served,
            gateway_hosts: vec!["files.example.com".into(), self.address.to_string()],
            gateway_port: 443,
            storage_dir: self.storage.path().to_owned(),
            storage_reserve: 8 << 20,
            root_key_dir: self.storage.path().to_owned(),
            peer_ip_check: PeerIpCheck::Enforce,
            shutdown_delay_seconds: 0,
            egress: Default::default(),
            plans: Default::default(),
        }
    }

    /// A keeper with the rights of the chart, whose calls go over `line`.
    pub(crate) async fn start_keeper(&self, identity: &str, line: &Line) -> Result<Running> {
        start_keeper(self.server.clone(), self.keeper_arguments(identity), line.clone()).await
    }

    /// A keeper that stands for the lease.
    pub(crate) async fn start_candidate(&self, identity: &str) -> Result<Running> {
        let config = self.server.config_of_service_account(SYSTEM, "dataimporter-keeper").await?;
        let client = Client::try_from(config.clone())?;
        keeper::start(client, Some(config), self.keeper_arguments(identity), CancellationToken::new()).await
    }

    /// The world, once its tenant has keys.
    pub(crate) async fn with(self, keeper: Running) -> Result<World> {
        let http =
            reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(keeper.ca_pem().as_bytes())?]).no_proxy().build()?;
        let world = World { keeper, http, ground: self };
        world.until_tenant("its keys", |t| is_true(t.status.as_ref().map(|s| s.conditions.as_slice()), conditions::KEYS_READY)).await?;
        Ok(world)
    }
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// With a keeper that is reached at this address of the machine.
    pub(crate) async fn start_at(address: IpAddr) -> Result<Self> {
        let ground = Ground::prepare(address).await?;
        let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
        ground.with(keeper).await
    }

    /// Every status of a Connection and an Upload that was ever written followed the conventions.
    pub(crate) async fn assert_conformant(self) {
        let (seen, violations) = self.ground.witness.report().await.expect("the witness catches up");
        assert!(seen >= 3, "the witness saw only {seen} versions");
        assert!(violations.is_empty(), "of {seen} versions:\n{}", violations.join("\n"));
    }

    /// Ends the keeper and starts it again at the same addresses, when `pause` has passed.
    pub(crate) async fn restart_after(self, pause: SignedDuration) -> Result<Self> {
        let Self { keeper, http, ground } = self;
        let (worker_listen, gateway_listen) = (keeper.worker_address, keeper.gateway_address);
        let arguments = Args { worker_listen, gateway_listen, ..ground.keeper_arguments("keeper-0") };
        keeper.finish().await;
        let keeper = start_keeper_later(ground.server.clone(), arguments, Line::default(), pause).await?;
        Ok(Self { keeper, http, ground })
    }

    /// Ends the keeper without a word and starts it again at other addresses, with what `meanwhile` does in between.
    pub(crate) async fn crash(self, meanwhile: impl FnOnce(&Ground) -> Result<()>) -> Result<Self> {
        let Self { keeper, http, ground } = self;
        drop(keeper);
        meanwhile(&ground)?;
        let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
        Ok(Self { keeper, http, ground })
    }

    /// The same world with `keeper` in the place of the one that it had.
    pub(crate) fn with_keeper(self, keeper: Running) -> (Self, Running) {
        let Self { keeper: former, http, ground } = self;
        (Self { keeper, http, ground }, former)
    }

    /// Waits until the org has answered everybody.
    pub(crate) async fn org_is_quiet(&self) {
        let mut heard = usize::MAX;
        while heard != self.org.request_count() {
            heard = self.org.request_count();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Where the region's files lie.
    pub(crate) fn files(&self) -> PathBuf {
        self.storage.path().join("files").join(REGION).join("files")
    }

    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) async fn until<K>(&self, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = self.api(HOME);
        let mut last = None;
        let found = wait_for(what, WAIT, async || {
            last = api.get_opt(name).await?;
            Ok(last.clone().filter(|object| holds(object)))
        })
        .await;
        found.with_context(|| format!("last seen: {last:?}"))
    }

    pub(crate) async fn until_tenant(&self, what: &str, holds: impl Fn(&Tenant) -> bool) -> Result<Tenant> {
        let api: Api<Tenant> = Api::all(self.client.clone());
        let mut last = None;
        let found = wait_for(what, WAIT, async || {
            last = api.get_opt("acme").await?;
            Ok(last.clone().filter(|object| holds(object)))
        })
        .await;
        found.with_context(|| format!("last seen: {last:?}"))
    }

    pub(crate) async fn until_connection(&self, name: &str, reason: &str) -> Result<Connection> {
        let what = format!("Connection {name} to be {reason}");
        self.until(name, &what, |c: &Connection| ready_reason(c.status.as_ref().map(|s| s.conditions.as_slice())) == Some(reason)).await
    }

    /// The Secret that a person keeps beside a Connection, and the Role that lets the keeper read it.
    pub(crate) async fn put_secret(&self, name: &str, data: Value) -> Result<()> {
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data}))?;
        let params = PatchParams::apply("person").force();
        self.api::<Secret>(HOME).patch(name, &params, &Patch::Apply(with_type(secret, "v1", "Secret"))).await?;
        Ok(())
    }

    pub(crate) async fn allow(&self, secret: &str) -> Result<()> {
        let yaml = format!(
            r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: intake-{secret}, namespace: {HOME}}}
rules: [{{apiGroups: [""], resources: [secrets], resourceNames: [{secret}], verbs: [get, delete]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: intake-{secret}, namespace: {HOME}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: intake-{secret}}}
subjects: [{{kind: ServiceAccount, name: dataimporter-keeper, namespace: {SYSTEM}}}]
"#
        );
        apply_yaml(&self.client, &yaml).await?;
        Ok(())
    }

    /// The owner of a Secret lets a Connection show it to the endpoint of this spec, and whatever else it let.
    pub(crate) async fn consent(&self, secret: &str, connection: &str, spec: &Value) -> Result<()> {
        let spec: ConnectionSpec = serde_json::from_value(spec.clone())?;
        let found = self.api::<Secret>(HOME).get(secret).await?;
        let before = found.annotations().get(CONSENT).map(|before| format!("{before},")).unwrap_or_default();
        self.set_consent(secret, Some(&format!("{before}{connection}={}", spec.endpoint_digest()))).await
    }

    /// Replaces what the owner of a Secret lets; absent: nothing.
    pub(crate) async fn set_consent(&self, secret: &str, consent: Option<&str>) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {CONSENT: consent}}});
        self.api::<Secret>(HOME).patch(secret, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The Region lets its tenant reach this port of the machine, too.
    pub(crate) async fn open(&self, port: u16) -> Result<()> {
        let regions: Api<api::Region> = Api::all(self.client.clone());
        let mut endpoints = serde_json::to_value(regions.get(REGION).await?.spec.private_endpoints)?;
        endpoints[0]["ports"].as_array_mut().context("ports")?.push(json!(port));
        regions.patch(REGION, &PatchParams::default(), &Patch::Merge(json!({"spec": {"privateEndpoints": endpoints}}))).await?;
        Ok(())
    }

    pub(crate) fn org_spec(&self, secret: &str, after_intake: &str) -> Value {
        spec_of(&self.org, secret, after_intake)
    }

    pub(crate) async fn put_connection(&self, name: &str, spec: Value) -> Result<()> {
        let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": name}, "spec": spec});
        self.api::<Connection>(HOME).patch(name, &PatchParams::apply("person").force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Any change of the annotation asks for a look now instead of within a minute.
    pub(crate) async fn poke(&self, connection: &str) -> Result<()> {
        let value = jiff::Timestamp::now().to_string();
        let patch = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: value}}});
        self.api::<Connection>(HOME).patch(connection, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// A Connection to the org that is Ready, with its Secret of the same name.
    pub(crate) async fn ready_connection(&self, name: &str) -> Result<Connection> {
        self.ready_connection_to(&self.org, name).await
    }

    pub(crate) async fn ready_connection_to(&self, org: &salesforce_emulator::Running, name: &str) -> Result<Connection> {
        self.put_secret(name, json!({"clientSecret": org.client_secret})).await?;
        self.allow(name).await?;
        let spec = spec_of(org, name, "Keep");
        self.consent(name, name, &spec).await?;
        self.put_connection(name, spec).await?;
        self.until_connection(name, "Verified").await
    }

    pub(crate) async fn put_upload(&self, name: &str) -> Result<Upload> {
        let upload: Upload = serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Upload", "metadata": {"name": name}, "spec": {"fileName": "rows.csv"}
        }))?;
        Ok(self.api::<Upload>(HOME).create(&PostParams::default(), &upload).await?)
    }

    /// A person's ten-minute token for the gateway.
    pub(crate) async fn files_token(&self, account: &str) -> Result<String> {
        self.token(HOME, account, &names::files_audience(REGION, &self.keeper.installation), None).await
    }

    pub(crate) async fn token(&self, namespace: &str, account: &str, audience: &str, pod: Option<&Pod>) -> Result<String> {
        self.token_for(namespace, account, audience, pod, 600).await
    }

    pub(crate) async fn token_for(
        &self,
        namespace: &str,
        account: &str,
        audience: &str,
        pod: Option<&Pod>,
        seconds: i64,
    ) -> Result<String> {
        let bound = pod.map(|p| json!({"apiVersion": "v1", "kind": "Pod", "name": p.name_any(), "uid": p.uid()}));
        let request: TokenRequest = serde_json::from_value(json!({
            "spec": {"audiences": [audience], "expirationSeconds": seconds, "boundObjectRef": bound}
        }))?;
        let accounts: Api<ServiceAccount> = self.api(namespace);
        let issued = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(issued.status.context("a token")?.token)
    }

    pub(crate) fn gateway(&self, path: &str) -> String {
        format!("https://{}/v1/namespaces/{HOME}/{path}", self.keeper.gateway_address)
    }

    pub(crate) fn workers(&self, path: &str) -> String {
        format!("https://{}/v1/{path}", self.keeper.worker_address)
    }

    /// All Secrets of the system namespace, their decoded values joined.
    pub(crate) async fn everything_stored(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for secret in self.api::<Secret>(SYSTEM).list(&Default::default()).await? {
            all.extend(serde_json::to_vec(&secret.metadata)?);
            secret.data.iter().flatten().for_each(|(_, value)| all.extend(&value.0));
        }
        Ok(all)
    }

    pub(crate) async fn secret_exists(&self, name: &str) -> Result<bool> {
        Ok(self.api::<Secret>(SYSTEM).get_opt(name).await?.is_some())
    }

    /// The audit of the region, checked line by line.
    pub(crate) fn audit(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.storage.path().join("files").join(REGION).join("audit/keeper-0.jsonl"))?;
        keeper::verify_audit(&text)?;
        Ok(text)
    }

    /// A run of `source` into `connection` with one worker pod, as the operator leaves it.
    pub(crate) async fn start_run(&self, name: &str, connection: &Connection, upload: Option<&Upload>) -> Result<Worker> {
        self.start_run_of(name, connection, upload, |_| ()).await
    }

    /// The same with a snapshot that says something else.
    pub(crate) async fn start_run_of(
        &self,
        name: &str,
        connection: &Connection,
        upload: Option<&Upload>,
        edit: impl FnOnce(&mut Snapshot),
    ) -> Result<Worker> {
        let run: ImportRun = serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name},
            "spec": {"jobRef": {"name": "job", "uid": "job-uid"}, "action": {"run": {}}, "startBefore": "2100-01-01T00:00:00Z"}
        }))?;
        let run = self.api::<ImportRun>(HOME).create(&PostParams::default(), &run).await?;
        let uid = run.uid().unwrap_or_default();
        let mut snapshot = self.snapshot(&run, connection, upload).await?;
        edit(&mut snapshot);
        let map = ConfigMap {
            metadata: serde_json::from_value(json!({"name": names::snapshot_configmap(&uid)}))?,
            data: Some(BTreeMap::from([(names::SNAPSHOT_KEY.to_owned(), snapshot.encode())])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        self.api::<ConfigMap>(RUNS).create(&PostParams::default(), &map).await?;
        let pod = self.put_pod(&names::worker_pod(&uid, 1), &uid).await?;
        let worker = Worker { run: name.into(), uid, pod, attempt: 1 };
        self.write_attempts(&worker, &snapshot.encode(), json!([attempt(1, &worker.pod)])).await?;
        Ok(worker)
    }

    pub(crate) async fn write_attempts(&self, worker: &Worker, snapshot: &str, attempts: Value) -> Result<()> {
        let written = self.write_attempts_in(json!({"name": worker.run}), worker, snapshot, attempts).await?;
        anyhow::ensure!(written, "the attempts of {} were refused", worker.run);
        Ok(())
    }

    /// Writes only over what was seen, as the operator does. False: somebody wrote since.
    pub(crate) async fn write_attempts_over(&self, seen: &ImportRun, worker: &Worker, snapshot: &str, attempts: Value) -> Result<bool> {
        let metadata = json!({"name": worker.run, "resourceVersion": seen.metadata.resource_version});
        self.write_attempts_in(metadata, worker, snapshot, attempts).await
    }

    async fn write_attempts_in(&self, metadata: Value, worker: &Worker, snapshot: &str, attempts: Value) -> Result<bool> {
        let status = json!({"snapshotDigest": Snapshot::digest(snapshot), "attempts": attempts});
        let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": metadata, "status": status});
        let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
        match self.api::<ImportRun>(HOME).patch_status(&worker.run, &params, &Patch::Apply(object)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            written => Ok(written.map(|_| true)?),
        }
    }

    pub(crate) async fn snapshot_text(&self, worker: &Worker) -> Result<String> {
        let map = self.api::<ConfigMap>(RUNS).get(&names::snapshot_configmap(&worker.uid)).await?;
        map.data.and_then(|mut data| data.remove(names::SNAPSHOT_KEY)).context("a snapshot")
    }

    pub(crate) async fn run_status(&self, worker: &Worker) -> Result<ImportRunStatus> {
        Ok(self.api::<ImportRun>(HOME).get(&worker.run).await?.status.unwrap_or_default())
    }

    async fn snapshot(&self, run: &ImportRun, connection: &Connection, upload: Option<&Upload>) -> Result<Snapshot> {
        let tenant = Api::<Tenant>::all(self.client.clone()).get("acme").await?;
        let region = Api::<api::Region>::all(self.client.clone()).get(REGION).await?;
        let id = |namespace: Option<&str>, name: String, uid: Option<String>| ObjectId {
            namespace: namespace.map(Into::into),
            name,
            uid: Uid::new(uid.unwrap_or_default()).expect("a UID"),
        };
        let known = SnapshotConnection {
            uid: Uid::of(connection)?,
            endpoint_digest: connection.spec.endpoint_digest(),
            min_credential_version: 1,
            spec: connection.spec.clone(),
        };
        let source = match upload {
            Some(upload) => json!({"upload": {"name": upload.name_any()}}),
            None => json!({"upload": {"name": "none"}}),
        };
        let now = jiff::Timestamp::now();
        Ok(Snapshot {
            run: id(Some(HOME), run.name_any(), run.uid()),
            job: id(Some(HOME), "job".into(), Some("job-uid".into())),
            tenant: id(None, "acme".into(), tenant.uid()),
            region: id(None, REGION.into(), region.uid()),
            action: run.spec.action.clone().unwrap_or_else(Action::run),
            job_spec: serde_json::from_value(json!({
                "source": source,
                "target": {"salesforce": {"connectionRef": {"name": connection.name_any()}, "object": "Account", "operation": "Insert",
                    "mapping": [{"from": "Name", "to": "Name"}, {"from": "Phone", "to": "Phone"}]}}
            }))?,
            connections: BTreeMap::from([(connection.name_any(), known)]),
            upload: upload.map(|u| id(Some(HOME), u.name_any(), u.uid())),
            results: ResultRetention::days(14),
            started_at: now,
            deadline: now + SignedDuration::from_hours(6),
        })
    }

    /// A worker pod that runs on the region's node at the address the tests call from.
    pub(crate) async fn put_pod(&self, name: &str, run_uid: &str) -> Result<Pod> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {names::RUN_UID_LABEL: run_uid}},
            "spec": {"serviceAccountName": "worker", "nodeName": "node-1", "containers": [{"name": "worker", "image": "x"}]}
        }))?;
        let pods: Api<Pod> = self.api(RUNS);
        pods.create(&PostParams::default(), &pod).await?;
        self.set_pod_status(name, json!({"phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}]})).await
    }

    pub(crate) async fn set_pod_status(&self, name: &str, status: Value) -> Result<Pod> {
        let pods: Api<Pod> = self.api(RUNS);
        Ok(pods.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?)
    }

    pub(crate) async fn worker_token(&self, worker: &Worker) -> Result<String> {
        self.token(RUNS, "worker", &names::keeper_audience(REGION, &self.keeper.installation), Some(&worker.pod)).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> Result<reqwest::Response> {
        Ok(self.http.post(self.workers(path)).bearer_auth(token).json(body).send().await?)
    }

    pub(crate) async fn delete<K>(&self, namespace: &str, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.api::<K>(namespace).delete(name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }
}

/// The same for a runtime that outlives the caller: the keeper lives on the one that this is called on.
pub(crate) async fn start_keeper(server: Arc<ApiServer>, arguments: Args, line: Line) -> Result<Running> {
    start_keeper_later(server, arguments, line, SignedDuration::ZERO).await
}

/// A keeper for which this much more time has passed.
pub(crate) async fn start_keeper_later(server: Arc<ApiServer>, arguments: Args, line: Line, pause: SignedDuration) -> Result<Running> {
    let account = server.client_as_service_account_on(SYSTEM, "dataimporter-keeper", &line).await?;
    keeper::start_later(account, None, arguments, CancellationToken::new(), pause).await
}

pub(crate) fn spec_of(org: &salesforce_emulator::Running, secret: &str, after_intake: &str) -> Value {
    json!({
        "salesforce": {
            "loginUrl": org.url,
            "auth": {"clientCredentials": {"clientId": org.client_id}},
            "tls": {"caBundle": org.ca_pem.clone().unwrap_or_default()},
        },
        "credentials": {"secretRef": {"name": secret, "afterIntake": after_intake}},
    })
}

pub(crate) struct Worker {
    pub(crate) run: String,
    pub(crate) uid: String,
    pub(crate) pod: Pod,
    pub(crate) attempt: i32,
}

pub(crate) fn attempt(number: i32, pod: &Pod) -> Value {
    json!({"number": number, "podUID": pod.uid(), "node": "node-1", "createdAt": "2026-01-01T00:00:00Z"})
}

pub(crate) fn is_true(list: Option<&[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]>, type_: &str) -> bool {
    list.is_some_and(|list| conditions::is_true(list, type_))
}

pub(crate) fn ready_reason(list: Option<&[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]>) -> Option<&str> {
    conditions::find(list?, conditions::READY).map(|c| c.reason.as_str())
}

fn with_type<T: serde::Serialize>(object: T, version: &str, kind: &str) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = json!(version);
    value["kind"] = json!(kind);
    value
}

fn objects(org_port: u16) -> String {
    format!(
        r#"
apiVersion: v1
kind: Node
metadata: {{name: node-1, labels: {{{label}: {REGION}}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: worker, namespace: {RUNS}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {reader}, namespace: {HOME}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {writer}, namespace: {HOME}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Region
metadata: {{name: {REGION}}}
spec:
  location: {{city: Frankfurt, country: DE}}
  isolation: Placement
  storage: {{volume: {{name: files}}}}
  rootKey: {{secret: {{}}}}
  nodes: {{labelled: {{}}}}
  privateEndpoints: [{{cidr: 127.0.0.1/32, ports: [{org_port}], tenants: [acme]}}]
  allowedLoginHosts: [127.0.0.1]
---
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: acme}}
spec:
  region: {REGION}
  namespaces: [{HOME}]
  contact: {{firstName: Ada, lastName: Byron, email: ada@acme.example, country: DE}}
  plan: Enterprise
"#,
        label = names::NODE_REGION_LABEL,
        reader = names::FILES_READER_ACCOUNT,
        writer = names::FILES_WRITER_ACCOUNT,
    )
}

/// What the operator writes into a Tenant's status.
pub(crate) async fn bind_tenant(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let (home, runs) = (namespaces.get(HOME).await?.uid(), namespaces.get(RUNS).await?.uid());
    let region = Api::<api::Region>::all(client.clone()).get(REGION).await?.uid();
    let status = json!({"regionUID": region, "namespaces": [{"name": HOME, "uid": home}], "runNamespace": {"name": RUNS, "uid": runs}});
    let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "status": status});
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    Api::<Tenant>::all(client.clone()).patch_status("acme", &params, &Patch::Apply(object)).await?;
    Ok(())
}

impl World {
    /// What the operator writes when a run has ended.
    pub(crate) async fn finish_run(&self, worker: &Worker) -> Result<()> {
        let status = json!({"status": {"finishedAt": "2026-01-01T01:00:00Z"}});
        self.api::<ImportRun>(HOME).patch_status(&worker.run, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}

/// Another tenant than acme, of another Region than acme's.
pub(crate) const BETA: &str = "beta";

impl Ground {
    /// Tenant `beta` of a second Region, which keeps its files there.
    pub(crate) async fn settle_beta(&self, region: &str, storage: &Value) -> Result<()> {
        self.server.create_namespace(BETA).await?;
        let yaml = format!(
            r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {writer}, namespace: {BETA}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Region
metadata: {{name: {region}}}
spec:
  location: {{city: Dallas, country: US}}
  isolation: Placement
  storage: {storage}
  rootKey: {{secret: {{}}}}
  nodes: {{labelled: {{}}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: {BETA}}}
spec:
  region: {region}
  namespaces: [{BETA}]
  contact: {{firstName: Bo, lastName: Ek, email: bo@beta.example, country: US}}
  plan: Standard
"#,
            writer = names::FILES_WRITER_ACCOUNT
        );
        apply_yaml(&self.client, &yaml).await?;
        let namespace = Api::<Namespace>::all(self.client.clone()).get(BETA).await?.uid();
        let region = Api::<api::Region>::all(self.client.clone()).get(region).await?.uid();
        let status = json!({"regionUID": region, "namespaces": [{"name": BETA, "uid": namespace}]});
        let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": BETA}, "status": status});
        let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
        Api::<Tenant>::all(self.client.clone()).patch_status(BETA, &params, &Patch::Apply(object)).await?;
        Ok(())
    }
}

impl World {
    /// Sends a file of `beta`, whose Region this is.
    pub(crate) async fn send_of_beta(&self, region: &str, name: &str, content: Vec<u8>) -> Result<reqwest::Response> {
        let upload: Upload = serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Upload", "metadata": {"name": name}, "spec": {"fileName": "rows.csv"}
        }))?;
        self.api::<Upload>(BETA).create(&PostParams::default(), &upload).await?;
        let audience = names::files_audience(region, &self.keeper.installation);
        let token = self.token(BETA, names::FILES_WRITER_ACCOUNT, &audience, None).await?;
        let url = format!("https://{}/v1/namespaces/{BETA}/uploads/{name}", self.keeper.gateway_address);
        Ok(self.http.put(url).bearer_auth(token).body(content).send().await?)
    }

    /// Waits until a Region says this of its storage, with these words in it. Answers with all that it says.
    pub(crate) async fn until_storage_is(&self, region: &str, reason: &str, words: &str) -> Result<String> {
        let mut last = String::new();
        // Guards against hanging, measures nothing.
        wait_for(&format!("StorageReady of {region} to be {reason}"), Duration::from_secs(90), async || {
            let found = Api::<api::Region>::all(self.client.clone()).get(region).await?.status.unwrap_or_default().conditions;
            let storage = conditions::find(&found, conditions::STORAGE_READY).map(|c| (c.reason.clone(), c.message.clone()));
            last = format!("{storage:?}");
            Ok(storage.filter(|(found, message)| found == reason && message.contains(words)).map(|(_, message)| message))
        })
        .await
        .with_context(|| format!("last seen: {last}"))
    }
}
