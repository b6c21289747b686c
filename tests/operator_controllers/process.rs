//! The operator as a process: what it waits for, who leads, how it leaves.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::coordination::v1::Lease;
use testkit::wait_for;

use crate::support::{SOON, World};

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(world: &World, identity: &str) -> Self {
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

    /// What the kubelet does first.
    async fn terminate(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
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

async fn holder(world: &World) -> Option<String> {
    let lease = world.namespaced::<Lease>("dataimporter-system").get_opt("dataimporter-operator").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_the_keeper_leads_alone_and_hands_over_when_told_to_stop() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::without_operator().await;
    world.server.create_namespace("dataimporter-system").await.unwrap();
    let first = Process::start(&world, "first");
    first.until("/readyz", 503, "the keeper's first start").await;
    first.until("/livez", 200, "ok").await;
    assert_eq!(holder(&world).await, None, "nobody leads before there is anything to do");

    let facts = r#"
{apiVersion: v1, kind: ConfigMap, metadata: {name: dataimporter-installation, namespace: dataimporter-system}, data: {uid: inst-1}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: dataimporter-public, namespace: dataimporter-system}, data: {ca.crt: PEM}}
"#;
    world.apply(facts).await;
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
