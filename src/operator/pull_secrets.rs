//! Logins of image registries for workers: the Secrets that the chart names, copied from the operator's namespace into every run namespace. A login
//! that changes arrives there within seconds. Nothing else of Secrets is read, and none whose type is another.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ObjectMeta;
use runtime::causes;
use runtime::work::Queue;
use runtime::write::WriteError;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use super::context::Context;
use super::key::Key;

/// How often it is looked whether a login has changed.
const PERIOD: Duration = Duration::from_secs(15);
/// After this a copy is written again, whatever became of it.
const AGAIN: Duration = Duration::from_secs(600);
/// What kubelets take for a login.
const TYPES: [&str; 2] = ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];

type Data = BTreeMap<String, ByteString>;

/// What was read last, and what each run namespace was brought last. Forgotten with the process: the next one brings everything once.
#[derive(Default)]
pub(super) struct PullSecrets {
    /// By name: type and data.
    read: Mutex<BTreeMap<String, (String, Data)>>,
    /// By name: what is wrong with it.
    problems: Mutex<BTreeMap<String, String>>,
    /// By namespace: when, and a hash over names, types and data.
    brought: Mutex<BTreeMap<String, (Instant, [u8; 32])>>,
}

impl PullSecrets {
    /// A run namespace is made: of one before it of the same name nothing is left.
    pub(super) fn begin(&self, namespace: &str) {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    /// Once, and not at every look.
    fn tell(&self, name: &str, problem: Option<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|problem| problems.get(name) != Some(problem)) {
            tracing::warn!(secret = name, problem, "imagePullSecrets");
        }
        match problem {
            Some(problem) => problems.insert(name.to_owned(), problem),
            None => problems.remove(name),
        };
    }

    fn logins(&self) -> BTreeMap<String, (String, Data)> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads them again and again. A change has every Tenant looked at.
pub(super) async fn follow(context: &Context, queue: &Queue<Key>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if read(context).await {
            for tenant in context.caches.tenants.all() {
                queue.wake(Key::tenant(domain::labels::name(&tenant.metadata)));
            }
        }
    }
}

/// Answers whether anything has changed. One that cannot be read now stays as it was read last.
pub(super) async fn read(context: &Context) -> bool {
    let (mut logins, api) = (context.pull_secrets.logins(), secrets(context, &context.settings.system_namespace));
    for name in &context.settings.worker.image_pull_secrets {
        let problem = match api.get_opt(name).await {
            Ok(Some(Secret { type_: Some(type_), data, .. })) if TYPES.contains(&type_.as_str()) => {
                logins.insert(name.clone(), (type_, data.unwrap_or_default()));
                None
            }
            Ok(Some(_)) => Some(format!("its type is none of {}", TYPES.join(", "))),
            Ok(None) => Some("there is no such Secret; workers cannot log in with it".to_owned()),
            Err(error) => Some(format!("it cannot be read now: {}", causes::chain(&error))),
        };
        context.pull_secrets.tell(name, problem);
    }
    let mut known = context.pull_secrets.read.lock().unwrap_or_else(PoisonError::into_inner);
    let changed = *known != logins;
    *known = logins;
    changed
}

/// Puts copies into a run namespace, under the labels of all that is made there.
pub(super) async fn bring(context: &Context, namespace: &str, labels: &BTreeMap<String, String>) -> Result<(), WriteError> {
    let logins = context.pull_secrets.logins();
    let hash: [u8; 32] = Sha256::digest(serde_json::to_vec(&logins).unwrap_or_default()).into();
    let brought = || context.pull_secrets.brought.lock().unwrap_or_else(PoisonError::into_inner);
    if logins.is_empty() || brought().get(namespace).is_some_and(|(at, before)| *before == hash && at.elapsed() < AGAIN) {
        return Ok(());
    }
    for (name, (type_, data)) in logins {
        let metadata =
            ObjectMeta { name: Some(name), namespace: Some(namespace.to_owned()), labels: Some(labels.clone()), ..Default::default() };
        context.writer.apply(&Secret { metadata, type_: Some(type_), data: Some(data), ..Default::default() }).await?;
    }
    brought().insert(namespace.to_owned(), (Instant::now(), hash));
    Ok(())
}

fn secrets(context: &Context, namespace: &str) -> Api<Secret> {
    Api::namespaced(context.writer.client().clone(), namespace)
}
