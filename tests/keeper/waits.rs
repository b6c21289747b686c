//! Somebody changes something, and something else waits for it: keeper and operator together, and no wait that a clock ends. The bound is
//! far above what it takes, so that a slow machine fails no test, and far below the intervals at which everything is looked at anyway.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::{Connection, ImportJob, Region, Tenant, conditions, names};
use dataimporter::operator::{Parts, control};
use domain::settings::{KeeperSettings, NetworkSettings, Settings, WorkerSettings};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::{Patch, PatchParams};
use runtime::health::Health;
use runtime::metrics::Metrics;
use serde_json::{Value, json};
use testkit::wait_for;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{HOME, REGION, SYSTEM, World, ready_reason};

/// Every interval at which something is looked at without a reason is longer.
const BOUND: Duration = Duration::from_secs(15);

struct Waits {
    world: World,
    /// What took how long; what took too long.
    measured: Vec<String>,
    too_long: Vec<String>,
    _operator: DropGuard,
}

impl Waits {
    /// A job that may start runs: its Connection is verified, its file is there.
    async fn start() -> Result<Self> {
        let world = World::start().await?;
        let stop = CancellationToken::new();
        let parts = Parts {
            client: world.client.clone(),
            settings: settings(),
            identity: "operator-of-waits".into(),
            concurrency: 8,
            health: Health::new(Instant::now()),
            metrics: Metrics::new(),
        };
        tokio::spawn(control(parts, stop.clone()));
        world.ready_connection("crm").await?;
        world.put_upload("rows").await?;
        wait_for("the file to be sent", BOUND, async || {
            // The operator makes the file accounts anew: they are not the ones that it would have made.
            let Ok(token) = world.files_token(names::FILES_WRITER_ACCOUNT).await else { return Ok(None) };
            let sent = world.http.put(world.gateway("uploads/rows")).bearer_auth(token).body("Name,Phone\na,1\n").send().await?;
            Ok(sent.status().is_success().then_some(()))
        })
        .await?;
        let job = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "job"},
            "spec": {
                "source": {"upload": {"name": "rows"}},
                "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert",
                    "mapping": [{"from": "Name", "to": "Name"}]}},
                "trigger": {"manual": {}},
            }
        });
        world.api::<ImportJob>(HOME).patch("job", &PatchParams::apply("person"), &Patch::Apply(job)).await?;
        let waits = Self { world, measured: Vec::new(), too_long: Vec::new(), _operator: stop.drop_guard() };
        waits.until_job("Armed").await?;
        Ok(waits)
    }

    async fn until_job(&self, reason: &str) -> Result<()> {
        let what = format!("the job to be {reason}");
        let is = |job: &ImportJob| ready_reason(job.status.as_ref().map(|s| s.conditions.as_slice())) == Some(reason);
        self.world.until("job", &what, is).await.map(drop)
    }

    /// How long it takes from now until the job may start runs, by what its Connection is and says now. Too long is written down, and
    /// then the Connection is asked for once more, so that the next edit begins with a job that may.
    async fn measure(&mut self, edit: &str, began: Instant) -> Result<()> {
        let ended = wait_for(edit, BOUND, async || Ok(self.may_run().await?.then_some(()))).await;
        let line = format!("{edit}: {} ms", began.elapsed().as_millis());
        println!("{line}");
        if ended.is_err() {
            self.too_long.push(format!("{line}; {}", self.said().await?));
            self.world.put_connection("crm", self.world.org_spec("crm", "Keep")).await?;
            self.world.poke("crm").await?;
            let again = wait_for("the job to be as before", BOUND, async || Ok(self.may_run().await?.then_some(()))).await;
            again.with_context(|| self.too_long.join("\n"))?;
        }
        self.measured.push(line);
        Ok(())
    }

    async fn may_run(&self) -> Result<bool> {
        let connection = self.world.api::<Connection>(HOME).get("crm").await?;
        let ready = conditions::find(&connection.status.unwrap_or_default().conditions, conditions::READY).cloned();
        let current = ready.is_some_and(|c| c.status == "True" && c.observed_generation == connection.metadata.generation);
        let job = self.world.api::<ImportJob>(HOME).get("job").await?;
        Ok(current && ready_reason(job.status.as_ref().map(|s| s.conditions.as_slice())) == Some("Armed"))
    }

    async fn said(&self) -> Result<String> {
        let connection = self.world.api::<Connection>(HOME).get("crm").await?;
        let job = self.world.api::<ImportJob>(HOME).get("job").await?;
        let words = |list: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]| {
            conditions::find(list, conditions::READY)
                .map(|c| format!("{} of generation {:?}: {}: {}", c.status, c.observed_generation, c.reason, c.message))
        };
        Ok(format!(
            "generation {:?} of the Connection is {}; the job is {}",
            connection.metadata.generation,
            words(&connection.status.unwrap_or_default().conditions).unwrap_or_default(),
            words(&job.status.unwrap_or_default().conditions).unwrap_or_default()
        ))
    }

    async fn edit_connection(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut spec = self.world.org_spec("crm", "Keep");
        edit(&mut spec);
        self.world.put_connection("crm", spec).await
    }

    async fn edit_region(&self, spec: Value) -> Result<()> {
        let regions: Api<Region> = Api::all(self.world.client.clone());
        regions.patch(REGION, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
        Ok(())
    }

    fn end(self) {
        assert!(self.too_long.is_empty(), "waited longer than {} s:\n{}", BOUND.as_secs(), self.too_long.join("\n"));
    }
}

fn settings() -> Settings {
    let pair = |k: &str, v: &str| [(k.to_owned(), v.to_owned())].into();
    Settings {
        system_namespace: SYSTEM.into(),
        installation: "waits".into(),
        worker: WorkerSettings {
            image: "dataimporter:test".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            memory: "256Mi".into(),
            cpu: "100m".into(),
            log_level: "info".into(),
        },
        keeper: KeeperSettings { url: "https://keeper.test:8443".into(), port: 8443, selector: pair("app", "keeper") },
        network: NetworkSettings { dns_namespace: "kube-system".into(), ..NetworkSettings::default() },
        plans: Default::default(),
        kinds_known_after: Duration::ZERO,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_an_edit_of_its_connection_takes() -> Result<()> {
    let mut waits = Waits::start().await?;

    waits.edit_connection(|spec| spec["suspend"] = json!(true)).await?;
    waits.until_job("ConnectionSuspended").await?;
    // A user who waits for a Connection is told that its suspension was seen.
    let seen = |c: &Connection| c.status.as_ref().is_some_and(|s| s.observed_generation == c.metadata.generation);
    waits.world.until("crm", "the suspension to be seen", seen).await?;
    let began = Instant::now();
    waits.edit_connection(|_| ()).await?;
    waits.measure("suspended, and resumed", began).await?;

    waits.edit_connection(|spec| spec["suspend"] = json!(true)).await?;
    let began = Instant::now();
    waits.edit_connection(|spec| spec["suspend"] = json!(false)).await?;
    waits.measure("suspended, and resumed at once", began).await?;

    let began = Instant::now();
    waits.edit_connection(|_| ()).await?;
    waits.measure("a field that says what its absence says", began).await?;

    waits.world.put_secret("other", json!({"clientSecret": waits.world.org.client_secret})).await?;
    waits.world.allow("other").await?;
    waits.world.consent("other", "crm", &waits.world.org_spec("other", "Keep")).await?;
    let began = Instant::now();
    waits.edit_connection(|spec| spec["credentials"]["secretRef"]["name"] = json!("other")).await?;
    waits.measure("another Secret", began).await?;
    let began = Instant::now();
    waits.edit_connection(|_| ()).await?;
    waits.measure("the first Secret again", began).await?;

    waits.edit_connection(|spec| spec["salesforce"]["loginUrl"] = json!("https://127.0.0.1:1")).await?;
    waits.until_job("ConnectionNotReady").await?;
    let began = Instant::now();
    waits.edit_connection(|_| ()).await?;
    waits.measure("another endpoint, and back", began).await?;

    waits.edit_connection(|spec| spec["salesforce"]["loginUrl"] = json!("https://127.0.0.1:1")).await?;
    let began = Instant::now();
    waits.edit_connection(|_| ()).await?;
    waits.measure("another endpoint, and back at once", began).await?;
    waits.end();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_an_edit_of_the_secret_takes() -> Result<()> {
    let mut waits = Waits::start().await?;
    let spec = waits.world.org_spec("crm", "Keep");
    let secret = json!({"clientSecret": waits.world.org.client_secret});

    waits.world.set_consent("crm", None).await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "ConsentMissing").await?;
    waits.until_job("ConnectionNotReady").await?;
    let began = Instant::now();
    waits.world.consent("crm", "crm", &spec).await?;
    waits.measure("the consent of the Secret's owner", began).await?;

    waits.world.set_consent("crm", None).await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "ConsentMissing").await?;
    waits.world.delete::<Secret>(HOME, "crm").await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "SourceMissing").await?;
    waits.until_job("ConnectionNotReady").await?;
    let began = Instant::now();
    waits.world.put_secret("crm", secret.clone()).await?;
    waits.world.consent("crm", "crm", &spec).await?;
    waits.measure("the Secret, made anew", began).await?;

    waits.world.put_secret("crm", json!({"clientSecret": "wrong"})).await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "LoginRefused").await?;
    waits.until_job("ConnectionNotReady").await?;
    let began = Instant::now();
    waits.world.put_secret("crm", secret.clone()).await?;
    waits.measure("the right secret after a wrong one", began).await?;

    waits.world.set_consent("crm", None).await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "ConsentMissing").await?;
    waits.world.delete::<Role>(HOME, "intake-crm").await?;
    waits.world.poke("crm").await?;
    waits.world.until_connection("crm", "SourceForbidden").await?;
    waits.until_job("ConnectionNotReady").await?;
    waits.world.consent("crm", "crm", &spec).await?;
    let began = Instant::now();
    waits.world.allow("crm").await?;
    waits.measure("the Role", began).await?;
    waits.end();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_an_edit_of_tenant_or_region_takes() -> Result<()> {
    let mut waits = Waits::start().await?;
    let tenants: Api<Tenant> = Api::all(waits.world.client.clone());
    let list = async |namespaces: Value| {
        let patch = Patch::Merge(json!({"spec": {"namespaces": namespaces}}));
        tenants.patch("acme", &PatchParams::default(), &patch).await.map(drop)
    };
    list(json!(["elsewhere"])).await?;
    waits.until_job("NoTenant").await?;
    waits.world.until_connection("crm", "NamespaceNotHeld").await?;
    let began = Instant::now();
    list(json!([HOME])).await?;
    waits.measure("the Tenant lists the namespace again", began).await?;

    let endpoints = Api::<Region>::all(waits.world.client.clone()).get(REGION).await?.spec.private_endpoints;
    for (edit, before, after, reason) in [
        ("the Region allows the login host", json!({"allowedLoginHosts": []}), json!({"allowedLoginHosts": ["127.0.0.1"]}), "HostRefused"),
        (
            "the Region lists the private endpoint",
            json!({"privateEndpoints": []}),
            json!({"privateEndpoints": endpoints}),
            "AddressRefused",
        ),
    ] {
        waits.edit_region(before).await?;
        // A session of before needs no login: the next one does.
        waits.world.set_consent("crm", None).await?;
        waits.world.poke("crm").await?;
        waits.world.until_connection("crm", "ConsentMissing").await?;
        waits.world.consent("crm", "crm", &waits.world.org_spec("crm", "Keep")).await?;
        waits.world.until_connection("crm", reason).await?;
        waits.until_job("ConnectionNotReady").await?;
        let began = Instant::now();
        waits.edit_region(after).await?;
        waits.measure(edit, began).await?;
    }
    waits.end();
    Ok(())
}
