//! The cells of the table: what is done to which object in which state, and what becomes of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use api::{Connection, ImportJob, ImportRun, Region, Upload, names};
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::installation::REGION;
use crate::tenant::{Hold, Tenant};

#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub(crate) kind: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) state: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) walk: for<'t> fn(&'t Tenant<'t>) -> LocalBoxFuture<'t, Result<Seen>>,
}

/// What came out, and how long that took from the deed on.
type Seen = (String, Duration);

impl Cell<'_> {
    pub(crate) async fn walk(&self, tenant: &Tenant<'_>) -> Result<Seen> {
        (self.walk)(tenant).await
    }
}

macro_rules! cells {
    ($($kind:literal, $verb:literal, $state:literal => $outcome:literal, |$t:ident| $walk:block)*) => {
        &[$(Cell { kind: $kind, verb: $verb, state: $state, outcome: $outcome, walk: |$t| Box::pin(async move $walk) }),*]
    };
}

fn seen(what: impl Into<String>, since: Instant) -> Result<Seen> {
    Ok((what.into(), since.elapsed()))
}

/// A change of a Connection that moves nothing.
async fn relabel(tenant: &Tenant<'_>) -> Result<()> {
    let patch = json!({"spec": {"credentials": {"secretRef": {"name": "crm", "afterIntake": "Delete"}}}});
    tenant.patch::<Connection>("crm", patch).await.map(drop)
}

/// A change that does: another host.
async fn move_endpoint(tenant: &Tenant<'_>) -> Result<()> {
    let url = tenant.org.url.replace("127.0.0.1", "localhost");
    tenant.patch::<Connection>("crm", json!({"spec": {"salesforce": {"loginUrl": url}}})).await.map(drop)
}

async fn replace_job(tenant: &Tenant<'_>) -> Result<()> {
    tenant.delete::<ImportJob>("load").await?;
    tenant.until_gone(&tenant.api::<ImportJob>(), "load").await?;
    tenant.put_job().await.map(drop)
}

async fn replace_upload(tenant: &Tenant<'_>) -> Result<()> {
    tenant.delete::<Upload>("rows").await?;
    tenant.until_gone(&tenant.api::<Upload>(), "rows").await?;
    tenant.send().await.map(drop)
}

async fn edit_job(tenant: &Tenant<'_>) -> Result<ImportJob> {
    let mapping = json!([{"from": "Name", "to": "Name"}]);
    tenant
        .patch::<ImportJob>("load", json!({"spec": {"guards": {"deadlineSeconds": 61}, "target": {"salesforce": {"mapping": mapping}}}}))
        .await
}

/// One more login host.
async fn edit_region(tenant: &Tenant<'_>) -> Result<()> {
    let regions: Api<Region> = Api::all(tenant.whole.client.clone());
    let hosts = json!({"spec": {"allowedLoginHosts": ["127.0.0.1", format!("{}.login.example", tenant.name)]}});
    regions.patch(REGION, &PatchParams::default(), &Patch::Merge(hosts)).await?;
    Ok(())
}

async fn cancel(tenant: &Tenant<'_>, run: &str) -> Result<()> {
    tenant.patch::<ImportRun>(run, json!({"spec": {"cancel": true}})).await.map(drop)
}

async fn delete_tenant(tenant: &Tenant<'_>) -> Result<()> {
    tenant.confirm_deletion().await?;
    tenant.tenants().delete(&tenant.name, &DeleteParams::default()).await?;
    Ok(())
}

/// Everything that was kept for a tenant is gone: its object, its files, its tokens, its Connection's revocation.
async fn nothing_left(tenant: &Tenant<'_>, uid: &str) -> Result<String> {
    tenant.until_gone(&tenant.tenants(), &tenant.name).await?;
    ensure!(tenant.files(uid) == 0, "{} files are left", tenant.files(uid));
    ensure!(tenant.tokens() == 0, "{} tokens are alive", tenant.tokens());
    Ok("everything of it is gone, its tokens are revoked".into())
}

async fn resume(tenant: &Tenant<'_>) -> Result<()> {
    tenant.suspend_connection(false).await
}

pub(crate) const CELLS: &[Cell<'static>] = cells! {
    "ImportJob", "edit", "idle" => "Armed for the new generation", |t| {
        t.idle().await?;
        let (edited, since) = (edit_job(t).await?, Instant::now());
        let generation = edited.metadata.generation;
        t.until(&t.api::<ImportJob>(), "load", "looked at", |job| job.status.as_ref().is_some_and(|s| s.observed_generation == generation)).await?;
        seen("Armed for the new generation", since)
    }
    "ImportJob", "edit", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        let job = json!({"spec": {"guards": {"deadlineSeconds": 61}}});
        t.patch::<ImportJob>("load", job).await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "edit", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        edit_job(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "edit", "ended" => "nothing starts", |t| {
        t.ended().await?;
        let (edited, since) = (edit_job(t).await?, Instant::now());
        let generation = edited.metadata.generation;
        t.until(&t.api::<ImportJob>(), "load", "looked at", |job| job.status.as_ref().is_some_and(|s| s.observed_generation == generation)).await?;
        ensure!(t.api::<ImportRun>().list(&Default::default()).await?.items.len() == 1, "another run");
        seen("nothing starts", since)
    }
    "ImportJob", "suspend", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        t.patch::<ImportJob>("load", json!({"spec": {"suspend": true}})).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "delete", "waiting" => "Stale after 0 attempts", |t| {
        t.waiting().await?;
        t.delete::<ImportJob>("load").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "delete", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        t.delete::<ImportJob>("load").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "delete", "ended" => "the run stays", |t| {
        t.ended().await?;
        t.delete::<ImportJob>("load").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<ImportJob>(), "load").await?;
        t.api::<ImportRun>().get("first").await?;
        seen("the run stays", since)
    }
    "ImportJob", "delete and make again", "waiting" => "Stale after 0 attempts", |t| {
        t.waiting().await?;
        replace_job(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "delete and make again", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        replace_job(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportJob", "delete and make again", "ended" => "Completed after 1 attempt", |t| {
        t.ended().await?;
        replace_job(t).await?;
        t.run("second").await?;
        let since = Instant::now();
        seen(t.outcome("second").await?, since)
    }
    "ImportJob", "apply again", "ended" => "nothing changes", |t| {
        t.ended().await?;
        let before = t.api::<ImportJob>().get("load").await?.metadata.generation;
        let since = Instant::now();
        ensure!(t.put_job().await?.metadata.generation == before, "a generation more");
        ensure!(t.api::<ImportRun>().list(&Default::default()).await?.items.len() == 1, "another run");
        seen("nothing changes", since)
    }
    "ImportRun", "cancel", "waiting" => "Cancelled after 0 attempts", |t| {
        t.waiting().await?;
        cancel(t, "first").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportRun", "cancel", "running" => "Cancelled after 1 attempt", |t| {
        t.running(Hold::WithRows).await?;
        cancel(t, "first").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "ImportRun", "cancel, then back", "running" => "refused: stays cancelled", |t| {
        t.running(Hold::WithRows).await?;
        cancel(t, "first").await?;
        let since = Instant::now();
        let refused = t.patch::<ImportRun>("first", json!({"spec": {"cancel": false}})).await;
        ensure!(format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("taken"))).contains("a cancelled run stays cancelled"));
        let outcome = t.outcome("first").await?;
        ensure!(outcome == "Cancelled after 1 attempt", "{outcome}");
        seen("refused: stays cancelled", since)
    }
    "ImportRun", "edit", "running" => "refused: immutable", |t| {
        t.running(Hold::BeforeReading).await?;
        let since = Instant::now();
        let refused = t.patch::<ImportRun>("first", json!({"spec": {"jobRef": {"name": "other"}}})).await;
        ensure!(format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("taken"))).contains("immutable"));
        let outcome = t.outcome("first").await?;
        ensure!(outcome == "Completed after 1 attempt", "{outcome}");
        seen("refused: immutable", since)
    }
    "ImportRun", "delete", "waiting" => "gone", |t| {
        t.waiting().await?;
        t.delete::<ImportRun>("first").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<ImportRun>(), "first").await?;
        seen("gone", since)
    }
    "ImportRun", "delete", "running" => "gone with its worker", |t| {
        t.running(Hold::WithRows).await?;
        t.delete::<ImportRun>("first").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<ImportRun>(), "first").await?;
        t.until_no_pod_runs().await?;
        seen("gone with its worker", since)
    }
    "ImportRun", "a second one", "running" => "it goes after the first", |t| {
        t.running(Hold::BeforeReading).await?;
        t.run("second").await?;
        let since = Instant::now();
        t.until_reason::<ImportRun>("second", "OtherRunActive").await?;
        let (first, second) = (t.outcome("first").await?, t.outcome("second").await?);
        ensure!((first.as_str(), second.as_str()) == ("Completed after 1 attempt", "Completed after 1 attempt"), "{first}, {second}");
        seen("it goes after the first", since)
    }
    "Upload", "delete", "idle" => "its file is gone", |t| {
        t.idle().await?;
        let uid = t.uid().await?;
        ensure!(t.files(&uid) == 1, "control: its file is on the volume");
        t.delete::<Upload>("rows").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<Upload>(), "rows").await?;
        testkit::wait_for("the file to be gone", Duration::from_secs(100), async || Ok((t.files(&uid) == 0).then_some(()))).await?;
        seen("its file is gone", since)
    }
    "Upload", "delete and make again", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        replace_upload(t).await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Upload", "delete", "running" => "UploadGone after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        t.delete::<Upload>("rows").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Upload", "delete and make again", "running" => "UploadGone after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        replace_upload(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Upload", "delete", "ended" => "the run and its results stay", |t| {
        t.ended().await?;
        t.delete::<Upload>("rows").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<Upload>(), "rows").await?;
        let run = t.api::<ImportRun>().get("first").await?;
        ensure!(run.status.is_some_and(|s| !s.results.is_empty()), "no results");
        seen("the run and its results stay", since)
    }
    "Connection", "suspend and resume", "idle" => "Verified for its generation", |t| {
        t.idle().await?;
        t.suspend_connection(true).await?;
        resume(t).await?;
        let since = Instant::now();
        let fresh = |c: &Connection| c.status.as_ref().is_some_and(|s| s.observed_generation == c.metadata.generation) && crate::tenant::reason(c) == "Verified";
        t.until(&t.api::<Connection>(), "crm", "verified as it is", fresh).await?;
        seen("Verified for its generation", since)
    }
    "Connection", "suspend and resume", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Connection", "edit that moves nothing", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        relabel(t).await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Connection", "edit that moves nothing", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        relabel(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Connection", "edit of the endpoint", "idle" => "ConsentMissing", |t| {
        t.idle().await?;
        move_endpoint(t).await?;
        let since = Instant::now();
        t.until_reason::<Connection>("crm", "ConsentMissing").await?;
        seen("ConsentMissing", since)
    }
    "Connection", "edit of the endpoint and back", "idle" => "Completed after 1 attempt", |t| {
        t.idle().await?;
        move_endpoint(t).await?;
        t.until_reason::<Connection>("crm", "ConsentMissing").await?;
        t.put_connection().await?;
        t.patch::<Connection>("crm", json!({"spec": {"salesforce": {"loginUrl": t.org.url}}})).await?;
        t.run("first").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Connection", "suspend", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::WithRows).await?;
        t.suspend_connection(true).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Connection", "delete", "idle" => "gone, its tokens are revoked", |t| {
        t.idle().await?;
        t.delete::<Connection>("crm").await?;
        let since = Instant::now();
        t.until_gone(&t.api::<Connection>(), "crm").await?;
        ensure!(t.tokens() == 0, "{} tokens are alive", t.tokens());
        seen("gone, its tokens are revoked", since)
    }
    "Connection", "delete", "running" => "Cancelled after 1 attempt", |t| {
        t.running(Hold::WithRows).await?;
        t.delete::<Connection>("crm").await?;
        let since = Instant::now();
        let outcome = t.outcome("first").await?;
        t.until_gone(&t.api::<Connection>(), "crm").await?;
        ensure!(t.tokens() == 0, "{} tokens are alive", t.tokens());
        seen(outcome, since)
    }
    "Connection", "delete and make again", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        t.delete::<Connection>("crm").await?;
        t.until_gone(&t.api::<Connection>(), "crm").await?;
        t.until_reason::<ImportRun>("first", "ConnectionNotFound").await?;
        t.put_connection().await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Secret", "another value", "idle" => "LoginRefused, and Verified when it is right again", |t| {
        t.idle().await?;
        t.put_secret("wrong").await?;
        let since = Instant::now();
        t.until_reason::<Connection>("crm", "LoginRefused").await?;
        t.put_secret(&t.org.client_secret).await?;
        t.patch::<Connection>("crm", json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: "now"}}})).await?;
        t.until_reason::<Connection>("crm", "Verified").await?;
        seen("LoginRefused, and Verified when it is right again", since)
    }
    "Secret", "delete", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        t.delete::<Secret>("crm").await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Tenant", "edit", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        let members = json!({"spec": {"members": [{"email": "ada@acme.example", "role": "Owner"}]}});
        t.tenants().patch(&t.name, &PatchParams::default(), &Patch::Merge(members)).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Tenant", "delete", "idle" => "everything of it is gone, its tokens are revoked", |t| {
        t.idle().await?;
        let uid = t.uid().await?;
        ensure!(t.files(&uid) == 1 && t.tokens() > 0, "control: a file and a token");
        delete_tenant(t).await?;
        let since = Instant::now();
        seen(nothing_left(t, &uid).await?, since)
    }
    "Tenant", "delete", "waiting" => "everything of it is gone, its tokens are revoked", |t| {
        t.waiting().await?;
        let uid = t.uid().await?;
        delete_tenant(t).await?;
        let since = Instant::now();
        let outcome = t.outcome("first").await?;
        ensure!(outcome == "Cancelled after 0 attempts", "{outcome}");
        seen(nothing_left(t, &uid).await?, since)
    }
    "Tenant", "delete", "running" => "Cancelled after 1 attempt", |t| {
        t.running(Hold::WithRows).await?;
        let uid = t.uid().await?;
        delete_tenant(t).await?;
        let since = Instant::now();
        let outcome = t.outcome("first").await?;
        nothing_left(t, &uid).await?;
        seen(outcome, since)
    }
    "Tenant", "delete", "ended" => "everything of it is gone, its tokens are revoked", |t| {
        t.ended().await?;
        let uid = t.uid().await?;
        delete_tenant(t).await?;
        let since = Instant::now();
        seen(nothing_left(t, &uid).await?, since)
    }
    "operator", "crash", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        t.whole.crash_operator().await;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "operator", "crash", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        t.whole.crash_operator().await;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "keeper", "crash", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        t.whole.crash_keeper().await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "keeper", "crash", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::WithRows).await?;
        t.whole.crash_keeper().await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "worker pod", "delete", "running" => "Completed after 2 attempts", |t| {
        t.running(Hold::WithRows).await?;
        let pod = t.worker().await?;
        let pods: Api<Pod> = Api::namespaced(t.whole.client.clone(), &names::run_namespace(&t.name));
        pods.delete(&pod.name_any(), &DeleteParams::default()).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "worker pod", "lose its node", "running" => "Completed after 2 attempts", |t| {
        t.running(Hold::WithRows).await?;
        let pod = t.worker().await?;
        t.whole.kubelet.lose(&pod);
        // As the node controller asks; nobody is there to say that it went.
        let pods: Api<Pod> = Api::namespaced(t.whole.client.clone(), &names::run_namespace(&t.name));
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(1)).await?;
        let since = Instant::now();
        let outcome = t.outcome("first").await?;
        ensure!(pods.get_opt(&pod.name_any()).await?.is_some_and(|left| left.uid() == pod.uid()), "control: its pod never ends");
        seen(outcome, since)
    }
    "Region", "edit", "waiting" => "Completed after 1 attempt", |t| {
        t.waiting().await?;
        edit_region(t).await?;
        resume(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
    "Region", "edit", "running" => "Completed after 1 attempt", |t| {
        t.running(Hold::BeforeReading).await?;
        edit_region(t).await?;
        let since = Instant::now();
        seen(t.outcome("first").await?, since)
    }
};
