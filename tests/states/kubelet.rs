//! Scheduler, kubelet, garbage collector and namespace controller: a worker pod becomes a process of the real program with its pod's
//! environment and token, and a run namespace that was deleted goes once its pods have ended.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::names;
use http::Request;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, NamespaceSpec, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::ADDRESS;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::installation::REGION;

const POLL: Duration = Duration::from_millis(200);
/// How long a process that is told to end gets.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) struct Kubelet {
    task: JoinHandle<()>,
    lost: Lost,
}

/// UIDs of pods whose node is gone: their process is, and nobody says so.
type Lost = Arc<Mutex<HashSet<String>>>;

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Node {
    client: Client,
    audience: String,
    tokens: tempfile::TempDir,
    processes: HashMap<String, Process>,
    lost: Lost,
}

struct Process {
    child: Child,
    told: Option<Instant>,
}

impl Kubelet {
    pub(crate) fn start(client: Client, installation: &str) -> Self {
        let audience = names::keeper_audience(REGION, installation);
        let tokens = tempfile::tempdir().expect("a folder for tokens");
        let lost = Lost::default();
        let mut node = Node { client, audience, tokens, processes: HashMap::new(), lost: lost.clone() };
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = node.look().await {
                    println!("kubelet: {error:#}");
                }
                tokio::time::sleep(POLL).await;
            }
        });
        Self { task, lost }
    }

    /// The pod's node is gone from now on.
    pub(crate) fn lose(&self, pod: &Pod) {
        self.lost.lock().expect("nobody panicked").insert(pod.uid().unwrap_or_default());
    }
}

impl Node {
    async fn look(&mut self) -> Result<()> {
        let pods = Api::<Pod>::all(self.client.clone()).list(&ListParams::default().labels(names::RUN_UID_LABEL)).await?;
        let maps = Api::<ConfigMap>::all(self.client.clone()).list_metadata(&ListParams::default().labels(names::RUN_UID_LABEL)).await?;
        for pod in &pods.items {
            let uid = pod.uid().unwrap_or_default();
            if self.lost.lock().expect("nobody panicked").contains(&uid) {
                self.processes.remove(&uid); // killed
                continue;
            }
            let owned =
                pod.owner_references().iter().all(|owner| maps.items.iter().any(|map| map.metadata.uid.as_ref() == Some(&owner.uid)));
            let leaves = pod.metadata.deletion_timestamp.is_some() || !owned;
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
            let outcome = match (self.processes.get_mut(&uid), leaves) {
                (None, true) => self.remove(pod).await,
                (None, false) if phase == "Pending" => self.begin(pod).await,
                (None, false) => Ok(()),
                (Some(process), _) => match process.child.try_wait()? {
                    Some(status) => {
                        self.processes.remove(&uid);
                        self.ended(pod, status.code()).await
                    }
                    None if leaves => process.end(),
                    None => Ok(()),
                },
            };
            outcome.with_context(|| pod.name_any())?;
        }
        let namespaces = Api::<Namespace>::all(self.client.clone());
        for mut namespace in namespaces.list(&ListParams::default().labels(names::TENANT_LABEL)).await?.items {
            let inside = pods.items.iter().filter(|pod| pod.namespace().as_deref() == Some(&namespace.name_any()));
            if namespace.metadata.deletion_timestamp.is_none() {
                continue;
            }
            match inside.collect::<Vec<_>>().as_slice() {
                [] => {
                    namespace.spec = Some(NamespaceSpec { finalizers: Some(Vec::new()) });
                    let request = serde_json::to_vec(&namespace)?;
                    let gone = self.client.request::<Namespace>(
                        Request::put(format!("/api/v1/namespaces/{}/finalize", namespace.name_any()))
                            .header("content-type", "application/json")
                            .body(request)?,
                    );
                    unless_gone(gone.await)?;
                }
                left => {
                    for pod in left.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
                        unless_gone(self.pods(pod).delete(&pod.name_any(), &DeleteParams::default()).await)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn pods(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }

    async fn begin(&mut self, pod: &Pod) -> Result<()> {
        let (name, uid, namespace) = (pod.name_any(), pod.uid().unwrap_or_default(), pod.namespace().unwrap_or_default());
        let binding =
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "node-1"}});
        let _: serde_json::Value = self.pods(pod).create_subresource("binding", &name, &PostParams::default(), &binding).await?;
        let status = json!({"status": {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}});
        self.pods(pod).patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        let request: TokenRequest = serde_json::from_value(json!({"spec": {
            "audiences": [self.audience], "expirationSeconds": 600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid},
        }}))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &namespace);
        let token = accounts.create_token_request(names::WORKER_ACCOUNT, &PostParams::default(), &request).await?;
        let path = self.tokens.path().join(&uid);
        std::fs::write(&path, token.status.context("a token")?.token)?;
        let env = pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.env.iter().flatten());
        let env = env.map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default()));
        // By a pipe, as in a container: a worker writes no files.
        let (mut heard, said) = std::io::pipe()?;
        let log = path.with_extension("log");
        let mut file = std::fs::File::create(&log)?;
        std::thread::spawn(move || std::io::copy(&mut heard, &mut file));
        let child = Command::new(env!("CARGO_BIN_EXE_dataimporter"))
            .arg("worker")
            .env_clear()
            .envs(env)
            .env("TOKEN_PATH", &path)
            .env("CHUNK_BYTES", "2000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()?;
        self.processes.insert(uid, Process { child, told: None });
        Ok(())
    }

    async fn ended(&self, pod: &Pod, code: Option<i32>) -> Result<()> {
        let code = code.unwrap_or(137);
        if code != 0 {
            let log = std::fs::read_to_string(self.tokens.path().join(pod.uid().unwrap_or_default()).with_extension("log"));
            println!("kubelet: {} ended with {code}: {}", pod.name_any(), log.unwrap_or_default().lines().last().unwrap_or_default());
        }
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let state = json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
        let container = json!({"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let status = json!({"status": {"phase": phase, "containerStatuses": [container]}});
        unless_gone(self.pods(pod).patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await)
    }

    async fn remove(&self, pod: &Pod) -> Result<()> {
        unless_gone(self.pods(pod).delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await)
    }
}

impl Process {
    /// Told first, then killed.
    fn end(&mut self) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("the process was waited for")?;
        match self.told {
            None => {
                self.told = Some(Instant::now());
                Ok(kill_process(pid, Signal::TERM)?)
            }
            Some(at) if at.elapsed() > GRACE => Ok(kill_process(pid, Signal::KILL)?),
            Some(_) => Ok(()),
        }
    }
}

fn unless_gone<T>(outcome: Result<T, kube::Error>) -> Result<()> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}
