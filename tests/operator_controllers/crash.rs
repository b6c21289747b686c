//! The operator dies right after one of its writes, whichever it is, and the next one finishes the work: one run, one pod
//! an attempt, everything in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use api::import_run::{Rows, RunReason};
use api::{ImportJob, ImportRun, Tenant};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::sync::Notify;
use tower::{Layer, Service};

use crate::support::{UPLOAD, World, connections_yaml, job_yaml, tenant_yaml};

/// Lets so many writes for one tenant through; the answer to the last one never arrives. Those for the tenants of earlier
/// rounds are not counted: a new operator puts them right first.
#[derive(Clone)]
struct Fuse {
    tenant: String,
    left: Arc<AtomicUsize>,
    blown: Arc<Notify>,
}

impl Fuse {
    fn after(writes: usize, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), left: Arc::new(AtomicUsize::new(writes)), blown: Arc::new(Notify::new()) }
    }
}

impl<S> Layer<S> for Fuse {
    type Service = Fused<S>;

    fn layer(&self, inner: S) -> Fused<S> {
        Fused { inner, fuse: self.clone() }
    }
}

#[derive(Clone)]
struct Fused<S> {
    inner: S,
    fuse: Fuse,
}

impl<S, B> Service<http::Request<B>> for Fused<S>
where
    S: Service<http::Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        // The one creation whose path does not name the tenant is that of its run namespace.
        let ours = path.contains(&self.fuse.tenant) || path == "/api/v1/namespaces";
        let writes = request.method() != http::Method::GET && ours;
        let (fuse, answer) = (self.fuse.clone(), self.inner.call(request));
        Box::pin(async move {
            if !writes {
                return answer.await;
            }
            let before = fuse.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match before {
                // A dead process sends nothing.
                Err(_) => std::future::pending().await,
                Ok(1) => {
                    let _done = answer.await;
                    fuse.blown.notify_one();
                    std::future::pending().await
                }
                Ok(_) => answer.await,
            }
        })
    }
}

async fn fused_client(world: &World, fuse: &Fuse) -> Client {
    let kubeconfig = Kubeconfig::read_from(world.server.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    ClientBuilder::try_from(config).unwrap().with_layer(fuse).build()
}

/// Everything up to a finished run, with an operator that dies after `writes` writes and one that does not. False: it did not come to die.
async fn survives(world: &mut World, name: &str, writes: usize) -> bool {
    let fuse = Fuse::after(writes, name);
    let client = fused_client(world, &fuse).await;
    world.start_operator_with(client);
    world.server.create_namespace(name).await.unwrap();
    world.apply(&tenant_yaml(name, &[name])).await;
    world.apply(&connections_yaml(name)).await;
    world.apply(&format!("{{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {{name: accounts, namespace: {name}}}, spec: {{fileName: a.csv}}}}")).await;
    world.apply(&job_yaml(name, "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    // The keeper and the cluster do their part whatever becomes of the operator.
    world.keeper_makes_keys(name).await;
    world.keeper_verifies(name, "crm").await;
    world.keeper_stores(name, "accounts").await;
    let died = tokio::select! {
        () = fuse.blown.notified() => true,
        pod = world.worker(name, "accounts-once-1", 1) => {
            world.bind(&pod, "node-a").await;
            world.pod_runs(&pod).await;
            world.keeper_reports(name, "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
            world.pod_ends(&pod, 0, "Completed").await;
            tokio::select! {
                () = fuse.blown.notified() => true,
                () = settled(world, name) => false,
            }
        }
    };
    world.kill_operator().await;
    world.start_operator();
    let pod = world.worker(name, "accounts-once-1", 1).await;
    let run = world.namespaced::<ImportRun>(name).get("accounts-once-1").await.unwrap();
    if run.status.as_ref().is_none_or(|s| s.outcome.is_none()) {
        world.bind(&pod, "node-a").await;
        world.pod_runs(&pod).await;
        world.keeper_reports(name, "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
        world.pod_ends(&pod, 0, "Completed").await;
    }
    settled(world, name).await;
    let runs = world.namespaced::<ImportRun>(name).list(&Default::default()).await.unwrap().items;
    assert_eq!(runs.len(), 1, "{name}: one run");
    assert_eq!(runs[0].status.as_ref().unwrap().attempts.len(), 1, "{name}: one attempt");
    let pods = world.namespaced::<Pod>(&format!("dataimporter-run-{name}")).list(&Default::default()).await.unwrap().items;
    assert_eq!(pods.len(), 1, "{name}: one pod");
    world.kill_operator().await;
    died
}

async fn settled(world: &World, name: &str) {
    let run = world.wait_ready::<ImportRun>(world.namespaced(name), "accounts-once-1", "Completed").await;
    world.anchor_goes(name, run.metadata.uid.as_deref().unwrap_or_default()).await;
    world.wait_ready::<ImportJob>(world.namespaced(name), "accounts", "Done").await;
    world.wait_ready::<Tenant>(Api::all(world.client.clone()), name, "Bound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_die_after_any_of_its_writes() {
    let mut world = World::without_operator().await;
    // The Region's own status is written once, by the first operator.
    world.start_operator();
    world.wait_ready::<api::Region>(Api::all(world.client.clone()), "eu-frankfurt", "Served").await;
    world.kill_operator().await;
    let mut writes = 1;
    while survives(&mut world, &format!("dies-at-{writes:03}"), writes).await {
        writes += 1;
        assert!(writes < 80, "the work comes to an end");
    }
    println!("died after each of {} writes", writes - 1);
    assert!(writes > 15, "only {writes} writes: did the fuse work?");
    world.assert_conformant().await;
}
