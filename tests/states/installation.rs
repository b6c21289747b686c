//! Operator, keeper and the orgs of all tenants, with everything they need.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dataimporter::keeper::{self, Args};
use dataimporter::operator::{Parts, control};
use domain::lease::PeerIpCheck;
use domain::limits::Plans;
use domain::settings::{KeeperSettings, NetworkSettings, Settings, WorkerSettings};
use futures::future::try_join_all;
use kube::Client;
use runtime::health::Health;
use runtime::metrics::Metrics;
use salesforce_emulator::{Emulator, Running};
use testkit::{ADDRESS, ApiServer, Line, apply_yaml, wait_for};
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::kubelet::Kubelet;
use crate::tenant::Tenant;

pub(crate) const SYSTEM: &str = "dataimporter-system";
pub(crate) const REGION: &str = "eu-frankfurt";
pub(crate) const LABEL: &str = "node-restriction.kubernetes.io/dataimporter-region";

pub(crate) struct Installation {
    pub(crate) client: Client,
    pub(crate) kubelet: Kubelet,
    pub(crate) orgs: Vec<Running>,
    pub(crate) keeper: RwLock<Option<keeper::Running>>,
    operator: Mutex<Option<(CancellationToken, JoinHandle<Result<()>>)>>,
    arguments: Args,
    settings: Settings,
    storage: tempfile::TempDir,
    server: Arc<ApiServer>,
}

pub(crate) fn name_of(number: usize) -> String {
    format!("t{number:02}")
}

impl Installation {
    pub(crate) async fn start(tenants: usize) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = Arc::new(ApiServer::start().await?);
        let client = server.client().await?;
        let crds: Vec<String> =
            api::crds::files().into_iter().filter(|(path, _)| path.starts_with("crds/")).map(|(_, text)| text).collect();
        apply_yaml(&client, &crds.join("\n---\n")).await?;
        server.create_namespace(SYSTEM).await?;
        apply_yaml(&client, &testkit::chart::keeper_rights(SYSTEM)).await?;
        let orgs = try_join_all((0..tenants).map(|_| Emulator::builder().start())).await?;
        apply_yaml(&client, &region(&orgs)).await?;
        let storage = tempfile::tempdir()?;
        std::fs::create_dir(storage.path().join("files"))?;
        let address: IpAddr = ADDRESS.parse()?;
        let arguments = Args {
            namespace: SYSTEM.into(),
            identity: "keeper-0".into(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            worker_listen: SocketAddr::from((address, 8443)),
            gateway_listen: SocketAddr::from((address, 9443)),
            gateway_hosts: vec![ADDRESS.into()],
            gateway_port: 9443,
            storage_dir: storage.path().to_owned(),
            storage_reserve: 8 << 20,
            root_key_dir: storage.path().to_owned(),
            peer_ip_check: PeerIpCheck::Enforce,
            shutdown_delay_seconds: 0,
            egress: Default::default(),
            plans: Plans::default(),
        };
        let keeper = begin_keeper(&server, &arguments).await?;
        let settings = settings(&keeper.installation);
        let kubelet = Kubelet::start(client.clone(), &keeper.installation);
        let installation = Self {
            client,
            kubelet,
            orgs,
            keeper: RwLock::new(Some(keeper)),
            operator: Mutex::default(),
            arguments,
            settings,
            storage,
            server,
        };
        installation.start_operator().await;
        installation.region_is_served().await?;
        Ok(installation)
    }

    pub(crate) fn tenant(&self, number: usize) -> Tenant<'_> {
        Tenant { whole: self, name: name_of(number), org: &self.orgs[number] }
    }

    async fn region_is_served(&self) -> Result<()> {
        let regions = kube::Api::<api::Region>::all(self.client.clone());
        wait_for("the Region to be served", Duration::from_secs(60), async || {
            let status = regions.get(REGION).await?.status.unwrap_or_default();
            Ok(api::conditions::is_true(&status.conditions, api::conditions::READY).then_some(()))
        })
        .await
    }

    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        self.server.create_namespace(name).await
    }

    async fn start_operator(&self) {
        let stop = CancellationToken::new();
        let parts = Parts {
            client: self.client.clone(),
            settings: self.settings.clone(),
            identity: "operator-under-test".into(),
            concurrency: 16,
            health: Health::new(Instant::now()),
            metrics: Metrics::new(),
        };
        *self.operator.lock().await = Some((stop.clone(), tokio::spawn(control(parts, stop))));
    }

    /// As `kill -9` would, and then another one.
    pub(crate) async fn crash_operator(&self) {
        if let Some((_, task)) = self.operator.lock().await.take() {
            task.abort();
            let _ = task.await;
        }
        self.start_operator().await;
    }

    /// Without a word, and then another one at the same addresses.
    pub(crate) async fn crash_keeper(&self) -> Result<()> {
        let mut held = self.keeper.write().await;
        drop(held.take());
        *held = Some(begin_keeper(&self.server, &self.arguments).await?);
        Ok(())
    }

    /// Files of a tenant on the volume.
    pub(crate) fn files_of(&self, tenant_uid: &str) -> usize {
        let folder = self.storage.path().join("files").join(REGION).join("files").join(tenant_uid);
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&folder)
    }

    pub(crate) async fn end(self) -> Result<()> {
        if let Some((stop, task)) = self.operator.lock().await.take() {
            stop.cancel();
            task.await?.context("the operator ends well")?;
        }
        if let Some(keeper) = self.keeper.write().await.take() {
            keeper.finish().await;
        }
        Ok(())
    }
}

async fn begin_keeper(server: &ApiServer, arguments: &Args) -> Result<keeper::Running> {
    // The socket of one that was killed is free a moment after.
    wait_for("a keeper", Duration::from_secs(30), async || {
        let account = server.client_as_service_account_on(SYSTEM, "dataimporter-keeper", &Line::default()).await?;
        Ok(keeper::start(account, None, arguments.clone(), CancellationToken::new()).await.ok())
    })
    .await
}

fn region(orgs: &[Running]) -> String {
    let ports: Vec<u16> = orgs.iter().map(|org| org.address.port()).collect();
    let endpoints: Vec<String> = ports
        .chunks(16)
        .enumerate()
        .map(|(chunk, ports)| {
            let tenants: Vec<String> = (0..ports.len()).map(|n| name_of(chunk * 16 + n)).collect();
            format!("{{cidr: 127.0.0.1/32, ports: {ports:?}, tenants: {tenants:?}}}")
        })
        .collect();
    format!(
        r#"
{{apiVersion: v1, kind: Node, metadata: {{name: node-1, labels: {{{LABEL}: {REGION}}}}}}}
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
  privateEndpoints: [{}]
  allowedLoginHosts: [127.0.0.1]
"#,
        endpoints.join(", ")
    )
}

fn settings(installation: &str) -> Settings {
    let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
    Settings {
        system_namespace: SYSTEM.into(),
        installation: installation.into(),
        worker: WorkerSettings {
            image: "dataimporter:test".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            memory: "256Mi".into(),
            cpu: "100m".into(),
            log_level: "info".into(),
        },
        keeper: KeeperSettings {
            url: format!("https://{ADDRESS}:8443"),
            port: 8443,
            selector: pair("app.kubernetes.io/component", "keeper"),
        },
        network: NetworkSettings::default(),
        plans: Plans::default(),
        kinds_known_after: Duration::ZERO,
    }
}
