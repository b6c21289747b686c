//! `dataimporter drain`: what `helm uninstall` runs before it removes the processes that finish deletions. Without it, a
//! Tenant or Connection deleted later would wait for ever for a finalizer that nobody serves.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api::{Connection, NamespaceName, Tenant, Uid, names};
use clap::ValueEnum;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use runtime::events::Events;
use runtime::metrics::Metrics;
use runtime::store::ObjectKey;

use crate::terminal;

/// Workloads of the chart, and the label of their pods.
const OPERATOR: &str = "dataimporter-operator";
const KEEPER: &str = "dataimporter-keeper";
const THEIR_PODS: &str = "app.kubernetes.io/name=dataimporter,app.kubernetes.io/component in (operator,keeper)";
/// The hook's Job and account.
const THE_JOB: &str = "dataimporter-drain";
const POLL: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    /// Refuse lists what is left and fails; Release lets go of it, credentials stay encrypted and unusable; Erase
    /// disconnects and deletes every Connection and Tenant with their data, and then what we keep ourselves.
    #[arg(long, env = "DRAIN_POLICY", value_enum)]
    pub policy: Policy,
    /// Seconds until Erase gives up.
    #[arg(long, env = "DRAIN_TIMEOUT_SECONDS", default_value_t = 300)]
    pub timeout_seconds: u64,
    /// Namespace of the operator and the keeper.
    #[arg(long, env = "POD_NAMESPACE", default_value = "dataimporter-system")]
    pub namespace: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Policy {
    Refuse,
    Release,
    Erase,
}

pub async fn run(args: Args) -> Result<()> {
    let client = Client::try_default().await.context("no connection to the cluster")?;
    drain(client, args).await
}

/// The same over a connection that is there.
pub async fn drain(client: Client, args: Args) -> Result<()> {
    let namespace = args.namespace.clone();
    let outcome = carry_out(&client, args).await;
    if let Err(error) = &outcome {
        report(client, &namespace, &runtime::causes::chain(error.as_ref())).await;
    }
    outcome
}

async fn carry_out(client: &Client, args: Args) -> Result<()> {
    let sets = Api::<StatefulSet>::namespaced(client.clone(), &args.namespace);
    let set = sets.get_opt(KEEPER).await.with_context(|| format!("StatefulSet {}/{KEEPER} cannot be read", args.namespace))?;
    let policy = chosen(&args, set.as_ref())?;
    let left = Remaining::list(client).await?;
    let until = Instant::now() + Duration::from_secs(args.timeout_seconds);
    let ours = Ours { client: client.clone(), namespace: args.namespace, until };
    match policy {
        Policy::Refuse => ensure!(left.is_empty(), "{}", refusal(&left, &ours.namespace, set.as_ref())),
        Policy::Release => {
            ours.stop().await?;
            // As they are now that nobody touches them any more.
            Remaining::list(client).await?.release(client).await?;
        }
        Policy::Erase => {
            left.erase(client, ours.until).await?;
            ours.erase_keys().await?;
            ours.stop().await?;
            ours.remove().await?;
        }
    }
    Ok(())
}

/// Helm removes the Job with its log when it fails: the reason stays for an hour as an event about it.
async fn report(client: Client, namespace: &str, reason: &str) {
    let mut job = Job::default();
    job.metadata.name = Some(THE_JOB.to_owned());
    job.metadata.namespace = Some(namespace.to_owned());
    Events::new(client, THE_JOB, THE_JOB, Metrics::new()).warning(&job, "DrainFailed", reason).await;
}

/// What a person says about this very installation, or else what was installed: Helm cannot change a release any more whose uninstall was
/// refused. They say it on the keeper's StatefulSet and with its UID: Helm removes that with the release, and the next one has another.
fn chosen(args: &Args, set: Option<&StatefulSet>) -> Result<Policy> {
    let Some((set, said)) = set.and_then(|set| Some((set, set.annotations().get(names::DRAIN_POLICY_ANNOTATION)?))) else {
        return Ok(args.policy);
    };
    let uid = Uid::of(set)?;
    let (policy, given_for) = said.split_once('/').map_or((said.as_str(), None), |(policy, uid)| (policy, Some(uid)));
    match (Policy::from_str(policy, false), given_for) {
        // Takes nothing away from anybody.
        (Ok(Policy::Refuse), None) => Ok(Policy::Refuse),
        (Ok(policy), Some(given_for)) if given_for == uid.as_str() => Ok(policy),
        // An account that may annotate chooses its length.
        _ => bail!(
            "Nothing was removed: annotation {} of StatefulSet {}/{KEEPER} says {:?}, which is nothing that this installation obeys. Say what \
             is to become of its objects, or take the annotation away, and uninstall again:\n{}",
            names::DRAIN_POLICY_ANNOTATION,
            args.namespace,
            said.chars().take(64).collect::<String>(),
            lines(&args.namespace, uid.as_str()),
        ),
    }
}

/// What a person may write, each for this installation only.
fn lines(namespace: &str, uid: &str) -> String {
    let annotate = format!("  kubectl annotate statefulset {KEEPER} -n {namespace} --overwrite {}", names::DRAIN_POLICY_ANNOTATION);
    format!("{annotate}=Erase/{uid}     destroys its data\n{annotate}=Release/{uid}   leaves it encrypted for good\n")
}

fn refusal(left: &Remaining, namespace: &str, set: Option<&StatefulSet>) -> String {
    let ways = match set.and_then(kube::ResourceExt::uid) {
        Some(uid) => format!("say it and uninstall again:\n{}", lines(namespace, &uid)),
        None => format!(
            "there is no StatefulSet {namespace}/{KEEPER} to say it on. Let go of it as a cluster administrator (dataimporter drain --policy \
             Release) and uninstall with --no-hooks.\n"
        ),
    };
    format!(
        "Nothing was removed. Delete what is still there first (kubectl import disconnect …, then the Tenants), or decide what is to become \
         of it: {ways}still there:\n{}",
        left.describe(),
    )
}

/// The installation itself.
struct Ours {
    client: Client,
    namespace: String,
    until: Instant,
}

impl Ours {
    /// Ends the operator and the keeper, which would take hold again of what is let go of, and write again what is removed.
    async fn stop(&self) -> Result<()> {
        let none = Patch::Merge(serde_json::json!({"spec": {"replicas": 0}}));
        let (deployments, sets) = (self.api::<Deployment>(), self.api::<StatefulSet>());
        gone_by(deployments.patch_scale(OPERATOR, &PatchParams::default(), &none).await)?;
        gone_by(sets.patch_scale(KEEPER, &PatchParams::default(), &none).await)?;
        loop {
            let pods = self.api::<Pod>().list(&ListParams::default().labels(THEIR_PODS)).await.context("pods cannot be listed")?;
            let Some(pod) = pods.items.first() else { return Ok(()) };
            ensure!(Instant::now() < self.until, "pod {} did not end in time", pod.name_any());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks the keeper to erase what it keeps for itself, root keys and certificate authority, which nobody else may touch.
    async fn erase_keys(&self) -> Result<()> {
        let maps = self.api::<ConfigMap>();
        let found = maps.get_opt(names::INSTALLATION_CONFIGMAP).await.context("the installation's ConfigMap cannot be read")?;
        // A keeper that never ran keeps nothing.
        let Some(uid) = found.and_then(|map| map.data?.remove(names::INSTALLATION_UID_KEY)) else { return Ok(()) };
        let ask = Patch::Merge(serde_json::json!({"metadata": {"annotations": {names::ERASE_ANNOTATION: uid}}}));
        maps.patch(names::INSTALLATION_CONFIGMAP, &PatchParams::default(), &ask).await.context("the keeper cannot be asked")?;
        loop {
            let map = maps.get_opt(names::INSTALLATION_CONFIGMAP).await.context("the installation's ConfigMap cannot be read")?;
            if map.is_none_or(|map| map.annotations().contains_key(names::ERASED_ANNOTATION)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < self.until,
                "the keeper did not erase its own Secrets in time: see its log. When it cannot run any more, an administrator does, and \
                 uninstalls again with --no-hooks: kubectl delete secrets -n {} -l {}={}",
                self.namespace,
                names::MANAGED_BY_LABEL,
                names::KEEPER_MANAGER
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes what else the processes wrote for themselves: the installation's identity, leadership.
    async fn remove(&self) -> Result<()> {
        for map in [names::PUBLIC_CONFIGMAP, names::INSTALLATION_CONFIGMAP] {
            gone_by(self.api::<ConfigMap>().delete(map, &DeleteParams::default()).await)?;
        }
        for lease in [OPERATOR, KEEPER] {
            gone_by(self.api::<Lease>().delete(lease, &DeleteParams::default()).await)?;
        }
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Objects whose deletion needs our processes.
struct Remaining {
    connections: Vec<Connection>,
    tenants: Vec<Tenant>,
}

impl Remaining {
    async fn list(client: &Client) -> Result<Self> {
        let everything = ListParams::default();
        let connections = Api::<Connection>::all(client.clone()).list(&everything).await.context("connections cannot be listed")?.items;
        let tenants = Api::<Tenant>::all(client.clone()).list(&everything).await.context("tenants cannot be listed")?.items;
        Ok(Self { connections, tenants })
    }

    fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.tenants.is_empty()
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for connection in &self.connections {
            let _ = writeln!(text, "  Connection {}", ObjectKey::of(connection));
        }
        for tenant in &self.tenants {
            let _ = writeln!(text, "  Tenant {}", tenant.name_any());
        }
        text
    }

    /// Takes our finalizers away and nothing else, so that a user who deletes the objects later is not held up.
    async fn release(&self, client: &Client) -> Result<()> {
        for connection in &self.connections {
            let api = Api::<Connection>::namespaced(client.clone(), NamespaceName::of(connection)?.as_str());
            release(&api, connection).await?;
        }
        let tenants = Api::<Tenant>::all(client.clone());
        for tenant in &self.tenants {
            release(&tenants, tenant).await?;
        }
        Ok(())
    }

    /// Connections first: their tokens are revoked with keys that the tenants' erasure destroys.
    async fn erase(&self, client: &Client, until: Instant) -> Result<()> {
        for connection in &self.connections {
            let api = Api::<Connection>::namespaced(client.clone(), NamespaceName::of(connection)?.as_str());
            gone_by(api.delete(&connection.name_any(), &DeleteParams::default()).await)?;
        }
        wait_until(until, client, |left| left.connections.is_empty()).await?;
        let tenants = Api::<Tenant>::all(client.clone());
        for tenant in &self.tenants {
            let name = tenant.name_any();
            let confirm = serde_json::json!({"metadata": {"annotations": {names::CONFIRM_DELETION_ANNOTATION: name}}});
            gone_by(tenants.patch(&name, &PatchParams::default(), &Patch::Merge(confirm)).await)?;
            gone_by(tenants.delete(&name, &DeleteParams::default()).await)?;
        }
        wait_until(until, client, Self::is_empty).await
    }
}

async fn release<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let kept: Vec<&String> = object.finalizers().iter().filter(|f| !f.starts_with("dataimporter.io/")).collect();
    if kept.len() == object.finalizers().len() {
        return Ok(());
    }
    let patch = serde_json::json!({"metadata": {"finalizers": kept, "resourceVersion": object.resource_version()}});
    gone_by(api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await)?;
    terminal::print(format_args!("released {}", object.name_any()))?;
    Ok(())
}

/// What somebody else deleted meanwhile is as good as deleted.
fn gone_by<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}

async fn wait_until(until: Instant, client: &Client, done: impl Fn(&Remaining) -> bool) -> Result<()> {
    loop {
        let left = Remaining::list(client).await?;
        if done(&left) {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("not erased in time, see the conditions of:\n{}", left.describe());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(said: Option<&str>) -> StatefulSet {
        let mut set = StatefulSet::default();
        set.metadata.uid = Some("this-one".into());
        set.metadata.annotations = said.map(|said| [(names::DRAIN_POLICY_ANNOTATION.to_owned(), said.to_owned())].into());
        set
    }

    fn decided(installed: Policy, said: Option<&str>) -> Result<Policy> {
        chosen(&Args { policy: installed, timeout_seconds: 1, namespace: "sys".into() }, Some(&set(said)))
    }

    #[test]
    fn a_consent_is_for_one_installation() {
        for (said, expected) in [
            (None, Policy::Refuse),
            (Some("Erase/this-one"), Policy::Erase),
            (Some("Release/this-one"), Policy::Release),
            (Some("Refuse"), Policy::Refuse),
        ] {
            assert_eq!(decided(Policy::Refuse, said).unwrap(), expected, "{said:?}");
        }
        // An administrator who installed with Erase is held back by one word.
        assert_eq!(decided(Policy::Erase, Some("Refuse")).unwrap(), Policy::Refuse);
    }

    #[test]
    fn what_was_said_about_another_installation_or_about_none_is_refused_with_the_lines_to_write() {
        let long = "x".repeat(100_000);
        for said in ["Erase", "Release", "Erase/", "Erase/another-one", "Release/another-one", "erase/this-one", "", "yes", &long] {
            // Also where it was installed with Erase: they meant something else by it.
            for installed in [Policy::Refuse, Policy::Erase] {
                let refused = decided(installed, Some(said)).unwrap_err().to_string();
                let line =
                    "kubectl annotate statefulset dataimporter-keeper -n sys --overwrite dataimporter.io/drain-policy=Erase/this-one ";
                assert!(refused.contains(line) && refused.len() < 1000, "{said:.20}: {refused}");
            }
        }
    }

    #[test]
    fn without_a_statefulset_only_what_was_installed_counts() {
        let args = Args { policy: Policy::Release, timeout_seconds: 1, namespace: "sys".into() };
        assert_eq!(chosen(&args, None).unwrap(), Policy::Release);
        let left = Remaining { connections: Vec::new(), tenants: Vec::new() };
        assert!(refusal(&left, "sys", None).contains("--no-hooks"));
    }
}
