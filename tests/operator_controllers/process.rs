//! The operator as a process: what it waits for, who leads, how it leaves.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use api::ImportRun;
use api::import_run::{Rows, RunReason};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use testkit::wait_for;

use crate::support::{SOON, UPLOAD, World, job_yaml};

pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    pub(crate) fn start(world: &World, identity: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dataimporter"))
            .args(["operator", "--keeper-url", "https://keeper:8443", "--worker-image", "dataimporter:test"])
            .args(["--identity", identity, "--listen", &address.to_string()])
            .env("KUBECONFIG", world.server.kubeconfig())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    async fn page(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn until(&self, path: &str, status: u16, words: &str) {
        let what = format!("{path} to say {status} {words:?}");
        let page = wait_for(&what, SOON, async || Ok(self.page(path).await.filter(|(s, text)| *s == status && text.contains(words))));
        if let Err(error) = page.await {
            panic!("{error:#}; it says {:?}", self.page(path).await);
        }
    }

    /// Numbers of the kernel's status of the process, in KiB.
    pub(crate) fn memory<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let number = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":")?.trim().strip_suffix(" kB"));
        names.map(|name| number(name).and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in:\n{status}")))
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// What the kubelet does first.
    async fn terminate(mut self) {
        self.signal("-TERM");
        let status = wait_for("the process to end", SOON, async || Ok(self.child.try_wait()?)).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who this installation is; the keeper writes it at its first start.
pub(crate) const INSTALLATION: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: dataimporter-installation, namespace: dataimporter-system}, data: {uid: inst-1}}";

async fn holder(world: &World) -> Option<String> {
    let lease = world.namespaced::<Lease>("dataimporter-system").get_opt("dataimporter-operator").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_the_keeper_leads_alone_and_hands_over_when_told_to_stop() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::without_operator().await;
    let first = Process::start(&world, "first");
    first.until("/readyz", 503, "the keeper's first start").await;
    first.until("/livez", 200, "ok").await;
    assert_eq!(holder(&world).await, None, "nobody leads before there is anything to do");

    world.apply(INSTALLATION).await;
    first.until("/readyz", 200, "ok").await;
    first.until("/metrics", 200, "\ndataimporter_leader 1\n").await;
    assert_eq!(holder(&world).await.as_deref(), Some("first"));
    world.wait_ready::<api::Region>(kube::Api::all(world.client.clone()), "eu-frankfurt", "Served").await;

    let second = Process::start(&world, "second");
    second.until("/readyz", 200, "ok").await;
    second.until("/metrics", 200, "\ndataimporter_leader 0\n").await;
    first.terminate().await;
    second.until("/metrics", 200, "\ndataimporter_leader 1\n").await;
    assert_eq!(holder(&world).await.as_deref(), Some("second"));
    second.terminate().await;
    assert_eq!(holder(&world).await, None, "released, not run out");
}

/// A machine that stops for longer than a lease lasts, and then goes on as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_finds_itself_replaced_and_ends() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::without_operator().await;
    world.apply(INSTALLATION).await;
    let mut first = Process::start(&world, "first");
    first.until("/metrics", 200, "\ndataimporter_leader 1\n").await;
    let second = Process::start(&world, "second");
    second.until("/metrics", 200, "\ndataimporter_leader 0\n").await;
    world.tenant("frozen").await;
    world.apply(&job_yaml("frozen", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let pod = world.worker("frozen", "accounts-once-1", 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;

    first.signal("-STOP");
    world.pod_ends(&pod, 137, "OOMKilled").await;
    wait_for("the second to lead", 3 * SOON, async || Ok(holder(&world).await.filter(|holder| holder == "second"))).await.unwrap();
    let pod = world.worker("frozen", "accounts-once-1", 2).await;
    first.signal("-CONT");
    let status = wait_for("the first to end", SOON, async || Ok(first.child.try_wait()?)).await.unwrap();
    assert!(!status.success(), "it lost its lease: {status}");

    world.keeper_reports("frozen", "accounts-once-1", 2, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&pod, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("frozen"), "accounts-once-1", "Completed").await;
    assert_eq!(run.status.unwrap().attempts.len(), 2);
    let pods = world.namespaced::<Pod>("dataimporter-run-frozen").list(&ListParams::default()).await.unwrap().items;
    assert_eq!(pods.len(), 2, "one pod an attempt");
    second.terminate().await;
    world.assert_conformant().await;
}
