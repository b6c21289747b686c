//! `dataimporter drain`: what `helm uninstall` runs before it removes the processes that finish deletions. Without it, a
//! Tenant or Connection deleted later would wait for ever for a finalizer that nobody serves.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use api::{Connection, Tenant, names};
use clap::ValueEnum;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};

const POLL: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    /// Refuse lists what is left and fails; Release lets go of it, credentials stay encrypted and unusable; Erase
    /// disconnects and deletes every Connection and Tenant with their data.
    #[arg(long, env = "DRAIN_POLICY", value_enum)]
    policy: Policy,
    /// Seconds until Erase gives up.
    #[arg(long, env = "DRAIN_TIMEOUT_SECONDS", default_value_t = 300)]
    timeout_seconds: u64,
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
    let left = Left::list(&client).await?;
    match args.policy {
        _ if left.is_empty() => println!("nothing is left to drain"),
        Policy::Refuse => bail!(
            "still there:\n{}\nDelete them first (kubectl import disconnect …, then the Tenants), or uninstall with --set drain.policy=Erase, \
             which destroys their data, or --set drain.policy=Release, which leaves it encrypted for good",
            left.describe()
        ),
        Policy::Release => left.release(&client).await?,
        Policy::Erase => left.erase(&client, Instant::now() + Duration::from_secs(args.timeout_seconds)).await?,
    }
    Ok(())
}

/// Objects whose deletion needs our processes.
struct Left {
    connections: Vec<Connection>,
    tenants: Vec<Tenant>,
}

impl Left {
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
            let _ = writeln!(text, "  Connection {}/{}", connection.namespace().unwrap_or_default(), connection.name_any());
        }
        for tenant in &self.tenants {
            let _ = writeln!(text, "  Tenant {}", tenant.name_any());
        }
        text
    }

    /// Takes our finalizers away and nothing else, so that whoever deletes the objects later is not held up.
    async fn release(&self, client: &Client) -> Result<()> {
        for connection in &self.connections {
            let api = Api::<Connection>::namespaced(client.clone(), &connection.namespace().unwrap_or_default());
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
            let api = Api::<Connection>::namespaced(client.clone(), &connection.namespace().unwrap_or_default());
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
    println!("released {}", object.name_any());
    Ok(())
}

/// What somebody else deleted meanwhile is as good as deleted.
fn gone_by<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}

async fn wait_until(until: Instant, client: &Client, done: impl Fn(&Left) -> bool) -> Result<()> {
    loop {
        let left = Left::list(client).await?;
        if done(&left) {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("not erased in time, see the conditions of:\n{}", left.describe());
        }
        tokio::time::sleep(POLL).await;
    }
}
