//! A tenant of its own for each cell, and what a person does there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::conditions::{self, READY, SUCCEEDED};
use api::{Connection, ImportJob, ImportRun, Upload, names};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use salesforce_emulator::{Action, Fault, Running};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::{ADDRESS, apply_yaml, wait_for};

use crate::installation::{Installation, REGION, SYSTEM};

/// Longer than anything takes here: a guard against waiting for ever.
const LONG: Duration = Duration::from_secs(120);
/// How long the org waits with its answer, so that something can happen meanwhile.
const HELD: u64 = 8_000;
pub(crate) const ROWS: usize = 120;

pub(crate) struct Tenant<'a> {
    pub(crate) whole: &'a Installation,
    pub(crate) name: String,
    pub(crate) org: &'a Running,
}

/// Before which call of a run the org holds it up.
#[derive(Clone, Copy)]
pub(crate) enum Hold {
    /// Nothing is read yet.
    BeforeReading,
    /// The first chunk is on its way.
    WithRows,
}

fn conditions_of<K: serde::Serialize>(object: &K) -> Vec<Condition> {
    let value = serde_json::to_value(object).unwrap_or_default();
    serde_json::from_value(value["status"]["conditions"].clone()).unwrap_or_default()
}

pub(crate) fn reason<K: serde::Serialize>(object: &K) -> String {
    conditions::find(&conditions_of(object), READY).map(|c| c.reason.clone()).unwrap_or_default()
}

impl Tenant<'_> {
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.whole.client.clone(), &self.name)
    }

    pub(crate) fn tenants(&self) -> Api<api::Tenant> {
        Api::all(self.whole.client.clone())
    }

    /// Waits until `holds`; says what was seen last when it never does.
    pub(crate) async fn until<K>(&self, api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> Result<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let mut last = None;
        let what = format!("{} {name} to be {what}", K::kind(&()));
        let found = wait_for(&what, LONG, async || {
            last = api.get_opt(name).await?;
            Ok(last.clone().filter(|object| holds(object)))
        });
        found.await.with_context(|| format!("last seen: {}", serde_json::to_value(&last).unwrap_or_default()["status"]))
    }

    pub(crate) async fn until_reason<K>(&self, name: &str, wanted: &str) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        self.until(&self.api::<K>(), name, wanted, |object| reason(object) == wanted).await
    }

    pub(crate) async fn until_gone<K>(&self, api: &Api<K>, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let what = format!("{} {name} to be gone", K::kind(&()));
        let mut last = None;
        let gone = wait_for(&what, LONG, async || {
            last = api.get_opt(name).await?;
            Ok(last.is_none().then_some(()))
        });
        gone.await.with_context(|| format!("last seen: {}", serde_json::to_value(&last).unwrap_or_default()["status"]))
    }

    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        Ok(self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    pub(crate) async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(crate) async fn admit(&self) -> Result<()> {
        self.whole.namespace(&self.name).await?;
        self.put_tenant().await
    }

    pub(crate) async fn put_tenant(&self) -> Result<()> {
        let name = &self.name;
        apply_yaml(
            &self.whole.client,
            &format!(
                r#"
apiVersion: dataimporter.io/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  region: {REGION}
  namespaces: [{name}]
  contact: {{firstName: Ada, lastName: Byron, email: ada@acme.example, country: DE}}
  plan: Enterprise
"#
            ),
        )
        .await?;
        self.until(&self.tenants(), name, "ready", |tenant| conditions::is_true(&conditions_of(tenant), READY)).await?;
        Ok(())
    }

    pub(crate) async fn confirm_deletion(&self) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {names::CONFIRM_DELETION_ANNOTATION: self.name}}});
        self.tenants().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub(crate) fn connection(&self) -> Value {
        json!({
            "salesforce": {
                "loginUrl": self.org.url, "auth": {"clientCredentials": {"clientId": self.org.client_id}},
                "tls": {"caBundle": self.org.ca_pem.clone().unwrap_or_default()}},
            "credentials": {"secretRef": {"name": "crm", "afterIntake": "Keep"}},
        })
    }

    /// The Secret with its owner's consent.
    pub(crate) async fn put_secret(&self, secret: &str) -> Result<()> {
        let spec: api::connection::ConnectionSpec = serde_json::from_value(self.connection())?;
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": {"clientSecret": secret},
            "metadata": {"name": "crm", "annotations": {"dataimporter.io/consent": format!("crm={}", spec.endpoint_digest())}}});
        self.api::<Secret>().patch("crm", &PatchParams::apply("person").force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    pub(crate) async fn put_connection(&self) -> Result<()> {
        let object = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "crm"}, "spec": self.connection()});
        self.api::<Connection>().patch("crm", &PatchParams::apply("person").force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    pub(crate) async fn connect(&self) -> Result<()> {
        let name = &self.name;
        apply_yaml(
            &self.whole.client,
            &format!(
                r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: intake-crm, namespace: {name}}}
rules: [{{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get, delete]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: intake-crm, namespace: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: intake-crm}}
subjects: [{{kind: ServiceAccount, name: dataimporter-keeper, namespace: {SYSTEM}}}]
"#
            ),
        )
        .await?;
        self.put_secret(&self.org.client_secret).await?;
        self.put_connection().await?;
        self.until_reason::<Connection>("crm", "Verified").await?;
        Ok(())
    }

    /// An Upload with its file.
    pub(crate) async fn send(&self) -> Result<Upload> {
        let upload = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Upload", "metadata": {"name": "rows"}, "spec": {"fileName": "rows.csv"}});
        self.api::<Upload>().create(&PostParams::default(), &serde_json::from_value(upload)?).await?;
        let (authority, installation) = {
            let keeper = self.whole.keeper.read().await;
            let keeper = keeper.as_ref().context("a keeper")?;
            (keeper.ca_pem(), keeper.installation.clone())
        };
        let http =
            reqwest::Client::builder().tls_certs_only(reqwest::Certificate::from_pem_bundle(authority.as_bytes())?).no_proxy().build()?;
        let request: TokenRequest = serde_json::from_value(json!({
            "spec": {"audiences": [names::files_audience(REGION, &installation)], "expirationSeconds": 600}}))?;
        let accounts = self.api::<ServiceAccount>();
        let issued = accounts.create_token_request(names::FILES_WRITER_ACCOUNT, &PostParams::default(), &request).await?;
        let url = format!("https://{ADDRESS}:9443/v1/namespaces/{}/uploads/rows", self.name);
        let sent = http.put(url).bearer_auth(issued.status.context("a token")?.token).body(csv()).send().await?;
        ensure!(sent.status().is_success(), "the file was answered {}: {}", sent.status(), sent.text().await?);
        self.until_reason::<Upload>("rows", "Complete").await
    }

    pub(crate) fn job(&self) -> Value {
        json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "load"},
            "spec": {
                "source": {"upload": {"name": "rows"}},
                "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert",
                    "mapping": [{"from": "Name", "to": "Name"}, {"from": "Phone", "to": "Phone"}]}},
                "trigger": {"manual": {}}}})
    }

    pub(crate) async fn put_job(&self) -> Result<ImportJob> {
        Ok(self.api::<ImportJob>().patch("load", &PatchParams::apply("person").force(), &Patch::Apply(self.job())).await?)
    }

    /// Everything that a run needs.
    pub(crate) async fn idle(&self) -> Result<()> {
        self.admit().await?;
        self.connect().await?;
        self.send().await?;
        self.put_job().await?;
        self.until_reason::<ImportJob>("load", "Armed").await?;
        Ok(())
    }

    pub(crate) async fn run(&self, name: &str) -> Result<ImportRun> {
        let uid = self.api::<ImportJob>().get("load").await?.uid();
        let run = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name},
            "spec": {"jobRef": {"name": "load", "uid": uid}, "action": {"run": {}}, "startBefore": "2100-01-01T00:00:00Z"}});
        Ok(self.api::<ImportRun>().create(&PostParams::default(), &serde_json::from_value(run)?).await?)
    }

    /// A run that waits for its Connection.
    pub(crate) async fn waiting(&self) -> Result<()> {
        self.idle().await?;
        self.suspend_connection(true).await?;
        self.run("first").await?;
        self.until_reason::<ImportRun>("first", "ConnectionSuspended").await?;
        Ok(())
    }

    pub(crate) async fn suspend_connection(&self, suspend: bool) -> Result<()> {
        self.patch::<Connection>("crm", json!({"spec": {"suspend": suspend}})).await.map(drop)
    }

    /// A run whose worker waits for the org's answer.
    pub(crate) async fn running(&self, hold: Hold) -> Result<()> {
        self.idle().await?;
        self.running_now(hold).await
    }

    pub(crate) async fn running_now(&self, hold: Hold) -> Result<()> {
        let (method, path) = match hold {
            Hold::BeforeReading => ("GET", "*/sobjects/*/describe*"),
            Hold::WithRows => ("PATCH", "*/jobs/ingest/*"),
        };
        let action = Action::Delay { milliseconds: HELD };
        let fault = Fault { action, method: Some(method.into()), path: Some(path.into()), skip: 0, times: 1, probability: 1.0 };
        self.org.inject(fault);
        self.run("first").await?;
        wait_for("the org to hold the run up", LONG, async || Ok(self.org.pending_faults().is_empty().then_some(()))).await
    }

    /// A run that has completed.
    pub(crate) async fn ended(&self) -> Result<()> {
        self.idle().await?;
        self.run("first").await?;
        let outcome = self.outcome("first").await?;
        ensure!(outcome == "Completed after 1 attempt", "{outcome}");
        Ok(())
    }

    /// How a run ends: its reason, how many attempts it took, and whether a worker told. Every row is accounted for, and where it succeeded every row is there.
    pub(crate) async fn outcome(&self, run: &str) -> Result<String> {
        let ended = |run: &ImportRun| run.status.as_ref().is_some_and(|s| conditions::find(&s.conditions, SUCCEEDED).is_some());
        let run = self.until(&self.api::<ImportRun>(), run, "ended", ended).await?;
        let status = run.status.clone().unwrap_or_default();
        ensure!(status.rows.unwrap_or_default().balanced(), "not every row is accounted for: {:?}", status.rows);
        let there = self.org.count("Account");
        let told = status.rows.unwrap_or_default().succeeded;
        ensure!(there >= told.unsigned_abs(), "{told} rows are said to be loaded, {there} are there");
        if conditions::is_true(&status.conditions, SUCCEEDED) {
            ensure!(told == ROWS as i64, "{told} rows were loaded");
        }
        let attempts = match status.attempts.len() {
            1 => "1 attempt".to_owned(),
            several => format!("{several} attempts"),
        };
        let silent = if status.outcome.is_none() && !status.attempts.is_empty() { ", and its worker said nothing" } else { "" };
        Ok(format!("{} after {attempts}{silent}", reason(&run)))
    }

    /// Pods of the tenant's runs.
    pub(crate) async fn until_no_pod_runs(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.whole.client.clone(), &names::run_namespace(&self.name));
        wait_for("the pods to be gone", LONG, async || {
            let all = pods.list(&Default::default()).await?.items;
            Ok(all.iter().all(|pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() != Some("Running"))).then_some(()))
        })
        .await
    }

    pub(crate) async fn worker(&self) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.whole.client.clone(), &names::run_namespace(&self.name));
        pods.list(&Default::default()).await?.items.pop().context("a worker pod")
    }

    pub(crate) async fn uid(&self) -> Result<String> {
        self.tenants().get(&self.name).await?.uid().context("a UID")
    }

    pub(crate) fn files(&self, tenant_uid: &str) -> usize {
        self.whole.files_of(tenant_uid)
    }

    /// Tokens of the org that somebody could still use.
    pub(crate) fn tokens(&self) -> usize {
        self.org.tokens().iter().filter(|token| token.active).count()
    }
}

fn csv() -> String {
    let lines = (1..=ROWS).map(|n| format!("name-{n:04},+49 {n}\n"));
    format!("Name,Phone\n{}", lines.collect::<String>())
}
