//! Flux's own source-controller and kustomize-controller, as processes beside the cluster. Its helm-controller cannot be built from its
//! module, so the chart is there before it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::Check;
use super::super::runs::Run;
use super::repository::{CLIENT_SECRET, Repository, TENANT, say_goodbye};
use super::servers::{Servers, free_address};
use crate::demo::Demo;
use crate::kubectl::{Kubectl, condition};
use crate::progress::Progress;
use crate::{certificate, pinned, process};

pub(in super::super) const CHECKS: &[Check] = &[
    ("Flux brings a tenant, its Connections and jobs in order, and a run loads what its job says", arrives),
    ("Flux brings a change, and puts back what somebody changed by hand", changes),
    ("Flux is green for a suspended job and a failed run, and red for a Connection that is refused", health),
    ("Flux applies nothing of a tenant's folder that is not the tenant's", confined),
    ("Flux prunes a job whose run goes on, and nothing that has prune protection", prunes),
    ("Flux's Kustomizations are deleted while a run goes on, and then the tenant", deleted),
];

const SYSTEM: &str = "flux-system";
const LIMIT: Duration = Duration::from_secs(90);

/// A repository that Flux delivers.
struct Delivery<'a> {
    repository: Repository<'a>,
    kubectl: &'a Kubectl,
    controllers: Servers,
}

impl<'a> Delivery<'a> {
    /// Both Kustomizations of the cell, ready.
    fn begin(demo: &'a Demo) -> Result<Self> {
        let flux = pinned::flux(&Progress::begin())?;
        let repository = Repository::begin(demo)?;
        repository.seal_all()?;
        let controllers = Servers::with_logs_in(&repository.folder);
        let mut begun = Self { repository, kubectl: &demo.kubectl, controllers };
        begun.kubectl.run(&["apply", "--server-side", "-f", &flux.join("crds").to_string_lossy()])?;
        begun.kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}))?;
        begun.start_source_controller(&flux)?;
        begun.kubectl.apply(&begun.readers())?;
        begun.kubectl.fed(&["apply", "-f", "-"], &begun.manifests()?)?;
        // Before the other one starts: what an earlier Flux had said of the repository would have it ask where nobody answers, for minutes.
        process::wait_until("the repository in Flux", LIMIT, || {
            let found = begun.kubectl.json(&["get", "gitrepository", "imports", "-n", SYSTEM])?;
            let revision = found["status"]["artifact"]["revision"].as_str().unwrap_or_default();
            ensure!(revision.ends_with(&begun.repository.git.head()?), "it is at {revision}: {:?}", condition(&found, "Ready"));
            Ok(())
        })?;
        begun.start_kustomize_controller(&flux)?;
        begun.applied_both()?;
        Ok(begun)
    }

    fn start_source_controller(&mut self, flux: &Path) -> Result<()> {
        let artifacts = self.repository.folder.join("artifacts");
        fs::create_dir_all(&artifacts)?;
        let storage = free_address()?;
        let at = ["--storage-addr", "--storage-adv-addr"].map(|flag| format!("{flag}={storage}"));
        self.start(&flux.join("source-controller"), &[&[format!("--storage-path={}", artifacts.display())][..], &at].concat())
    }

    fn start_kustomize_controller(&mut self, flux: &Path) -> Result<()> {
        self.start(&flux.join("kustomize-controller"), &["--requeue-dependency=2s".to_owned(), "--no-remote-bases".to_owned()])
    }

    fn start(&mut self, program: &Path, arguments: &[String]) -> Result<()> {
        let mut command = Command::new(program);
        self.kubectl.point(&mut command).env("RUNTIME_NAMESPACE", SYSTEM).env("TMPDIR", &self.repository.folder).args(arguments);
        for flag in ["--metrics-addr", "--health-addr"] {
            command.arg(format!("{flag}={}", free_address()?));
        }
        self.controllers.start(&program.file_name().unwrap_or_default().to_string_lossy(), &mut command)
    }

    /// What Flux reads the Git server with.
    fn readers(&self) -> Value {
        let authority = fs::read_to_string(certificate::authority()).unwrap_or_default();
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "imports-git", "namespace": SYSTEM},
            "stringData": {"username": self.repository.git.user, "password": self.repository.git.password, "ca.crt": authority},
        })
    }

    /// The cell's own file, for this server, and looking more often.
    fn manifests(&self) -> Result<String> {
        let mut text = self.repository.read("flux/dallas-production.yaml")?;
        for (from, to) in [
            ("https://git.example.com/imports.git", self.repository.git.url.as_str()),
            ("retryInterval: 1m", "retryInterval: 2s"),
            ("interval: 1m", "interval: 2s"),
            ("interval: 10m", "interval: 3s"),
            ("timeout: 5m", "timeout: 30s"),
        ] {
            ensure!(text.contains(from), "the example says nothing of {from}");
            text = text.replace(from, to);
        }
        Ok(text)
    }

    fn push(&self, message: &str) -> Result<()> {
        self.repository.git.push(message)
    }

    fn kustomization(&self, name: &str) -> Result<Value> {
        self.kubectl.json(&["get", "kustomization", name, "-n", SYSTEM])
    }

    /// What was pushed last is applied, and healthy. Answers how long that took.
    fn applied(&self, name: &str) -> Result<Duration> {
        let began = Instant::now();
        let head = self.repository.git.head()?;
        process::wait_until(&format!("Kustomization {name} at {head}"), LIMIT, || {
            let found = self.kustomization(name)?;
            let status = &found["status"];
            let told = condition(&found, "Ready");
            let applied = status["lastAppliedRevision"].as_str().unwrap_or_default().ends_with(&head);
            let seen = status["observedGeneration"] == found["metadata"]["generation"];
            ensure!(applied && seen && matches!(told, Some(("True", ..))), "it is at {}, and says {told:?}", status["lastAppliedRevision"]);
            Ok(())
        })?;
        Ok(began.elapsed())
    }

    fn applied_both(&self) -> Result<()> {
        self.applied("platform")?;
        self.applied(TENANT).map(drop)
    }

    /// What was pushed last is refused, or unhealthy, with these words.
    fn red(&self, name: &str, reason: &str, words: &[&str]) -> Result<()> {
        let head = self.repository.git.head()?;
        process::wait_until(&format!("Kustomization {name} red at {head}"), LIMIT, || {
            let found = self.kustomization(name)?;
            let told = condition(&found, "Ready").context("it says nothing")?;
            let tried = found["status"]["lastAttemptedRevision"].as_str().unwrap_or_default().ends_with(&head);
            let says = words.iter().all(|word| told.2.contains(word));
            ensure!(tried && told.0 == "False" && told.1 == reason && says, "it says {told:?}");
            Ok(())
        })
    }

    fn job(&self, name: &str) -> Result<Value> {
        self.kubectl.json(&["get", "importjob", name, "-n", TENANT])
    }

    /// Kustomization `name` has looked again so many times.
    fn looked_again(&self, name: &str, times: usize) -> Result<()> {
        for _ in 0..times {
            let asked = process::output(Command::new("date").arg("+%s%N"))?.trim().to_owned();
            let annotation = format!("reconcile.fluxcd.io/requestedAt={asked}");
            self.kubectl.run(&["annotate", "--overwrite", "kustomization", name, "-n", SYSTEM, &annotation])?;
            process::wait_until("another look", LIMIT, || {
                let status = &self.kustomization(name)?["status"];
                ensure!(status["lastHandledReconcileAt"] == asked.as_str(), "{}", status["lastHandledReconcileAt"]);
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn arrives(demo: &Demo) -> Result<()> {
    // Of an earlier run of this level.
    demo.kubectl.run(&["delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=false"])?;
    remove_finalizers(&demo.kubectl)?;
    say_goodbye(&demo.kubectl)?;
    process::wait_until("the namespace of an earlier Flux to be gone", LIMIT, || {
        ensure!(!demo.kubectl.exists(&["namespace", SYSTEM])?, "it is there");
        Ok(())
    })?;

    let began = Instant::now();
    let delivery = Delivery::begin(demo)?;
    println!("  everything is there and healthy {:.1} s after nothing was", began.elapsed().as_secs_f32());
    demo.ready(&["-n", TENANT, "connections/crm", "connections/warehouse", "importjobs/contacts"])?;
    let text = |arguments: &[&str]| demo.kubectl.run(arguments).map(|text| text.trim().to_owned());
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].lastTransitionTime}";
    let tenant = text(&["get", "tenant", TENANT, "-o", ready])?;
    let connection = text(&["get", "connection", "crm", "-n", TENANT, "-o", "jsonpath={.metadata.creationTimestamp}"])?;
    ensure!(!tenant.is_empty() && tenant <= connection, "the Connection came at {connection}, before its tenant was ready: {tenant}");
    let brought = text(&["get", "secrets", "-n", TENANT, "-o", "name"])?;
    ensure!(!brought.contains("crm") && !brought.contains("warehouse"), "there are {brought}");

    delivery.repository.loads()?;

    // The other environment of the same repository, in this one's place: taken by the API server and its policies, with what its overlay says.
    let tenant = in_its_place(&delivery, "platform", "Tenant")?;
    let job = in_its_place(&delivery, TENANT, "ImportJob")?;
    let query = job["spec"]["source"]["sql"]["query"].as_str().unwrap_or_default();
    ensure!(tenant["spec"]["plan"] == "Free" && query.ends_with("id <= 100"), "{} {query}", tenant["spec"]["plan"]);
    Ok(())
}

/// An object of staging's cell as the API server would have it.
fn in_its_place(delivery: &Delivery<'_>, folder: &str, kind: &str) -> Result<Value> {
    let folder = delivery.repository.git.files.join("cells/dallas-staging").join(folder);
    let taken = delivery.kubectl.run(&["replace", "--dry-run=server", "-o", "json", "-k", &folder.to_string_lossy()])?;
    let mut objects =
        serde_json::Deserializer::from_str(&taken).into_iter::<Value>().flatten().flat_map(|object| match object["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![object],
        });
    objects.find(|object| object["kind"] == kind).with_context(|| format!("{} has no {kind}", folder.display()))
}

fn changes(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin(demo)?;
    let generations = || -> Result<Vec<Value>> {
        let objects: [&[&str]; 4] = [
            &["get", "region", "us-dallas"],
            &["get", "tenant", TENANT],
            &["get", "connection", "crm", "-n", TENANT],
            &["get", "importjob", "contacts", "-n", TENANT],
        ];
        objects.iter().map(|get| Ok(demo.kubectl.json(get)?["metadata"]["generation"].clone())).collect()
    };
    let before = generations()?;
    delivery.looked_again("platform", 2)?;
    delivery.looked_again(TENANT, 2)?;
    ensure!(generations()? == before, "Flux and we write in turn: {before:?}, then {:?}", generations()?);

    delivery.repository.map_one_more()?;
    delivery.push("Contacts say where they come from")?;
    let took = delivery.applied(TENANT)?;
    let mapping = |job: &Value| job["spec"]["target"]["salesforce"]["mapping"].as_array().map(Vec::len);
    ensure!(mapping(&delivery.job("contacts")?) == Some(5), "{}", delivery.job("contacts")?["spec"]);
    println!("  a change was there and healthy after {:.1} s", took.as_secs_f32());

    let by_hand = json!({"spec": {"suspend": true, "source": {"sql": {"query": "SELECT 1 AS id"}}}}).to_string();
    demo.kubectl.run(&["patch", "importjob", "contacts", "-n", TENANT, "--type=merge", "-p", &by_hand])?;
    ensure!(delivery.job("contacts")?["spec"]["suspend"] == true, "control: it was changed");
    delivery.looked_again(TENANT, 1)?;
    let spec = delivery.job("contacts")?["spec"].clone();
    let query = spec["source"]["sql"]["query"].as_str().unwrap_or_default();
    ensure!(query.contains("FROM contacts") && spec["suspend"].is_null(), "what was changed by hand stayed: {spec}");

    // As `docs/user/gitops.md` has it for a job that has to stop at once.
    let left_alone = "kustomize.toolkit.fluxcd.io/reconcile";
    demo.kubectl.run(&["annotate", "importjob", "contacts", "-n", TENANT, &format!("{left_alone}=disabled")])?;
    demo.kubectl.run(&["patch", "importjob", "contacts", "-n", TENANT, "--type=merge", "-p", r#"{"spec": {"suspend": true}}"#])?;
    delivery.looked_again(TENANT, 2)?;
    ensure!(delivery.job("contacts")?["spec"]["suspend"] == true, "Flux resumed a job that it was to leave alone");
    demo.kubectl.run(&["annotate", "importjob", "contacts", "-n", TENANT, &format!("{left_alone}-")])?;
    // Twice, as above: a look that began before may answer for the first one.
    delivery.looked_again(TENANT, 2)?;
    ensure!(delivery.job("contacts")?["spec"]["suspend"].is_null(), "it is suspended still");
    Ok(())
}

fn health(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin(demo)?;
    delivery.repository.suspend(true)?;
    delivery.repository.add_broken_job()?;
    delivery.push("One job suspended, one that fails")?;
    delivery.applied(TENANT)?;
    let job = delivery.job("contacts")?;
    ensure!(job["spec"]["suspend"] == true && matches!(condition(&job, "Ready"), Some(("True", "Suspended", _))), "{}", job["status"]);

    Run::start(demo, TENANT, "broken", &delivery.repository.folder)?.ends("False", "")?;
    process::wait_until("the job to know how its run ended", LIMIT, || {
        let job = delivery.job("broken")?;
        let (ready, last) = (condition(&job, "Ready"), condition(&job, "LastRunSucceeded"));
        ensure!(matches!((ready, last), (Some(("True", ..)), Some(("False", ..)))), "it says {ready:?} {last:?}");
        Ok(())
    })?;
    delivery.looked_again(TENANT, 2)?;
    delivery.applied(TENANT)?;

    delivery.repository.seal("crm", "clientSecret", "another-secret-of-no-value")?;
    delivery.push("A secret that the org does not know")?;
    delivery.red(TENANT, "HealthCheckFailed", &["Connection/orchard/crm"])?;
    let connection = demo.kubectl.json(&["get", "connection", "crm", "-n", TENANT])?;
    ensure!(matches!(condition(&connection, "Ready"), Some(("False", "LoginRefused", _))), "{}", connection["status"]);
    delivery.repository.seal("crm", "clientSecret", CLIENT_SECRET)?;
    delivery.push("The right one")?;
    delivery.applied(TENANT).map(drop)
}

fn confined(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin(demo)?;
    for (what, text) in delivery.repository.strangers()? {
        delivery.repository.add("more.yaml", &text)?;
        delivery.push(what)?;
        let refused = delivery.red(TENANT, "ReconciliationFailed", &["forbidden", "system:serviceaccount:flux-system:orchard-deployer"]);
        refused.context(what)?;
        delivery.repository.remove("more.yaml")?;
    }
    delivery.repository.no_strangers()?;
    delivery.push("None of it")?;
    delivery.applied(TENANT).map(drop)
}

fn prunes(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin(demo)?;
    delivery.repository.add_slow_job()?;
    delivery.push("A job that takes its time")?;
    delivery.applied(TENANT)?;
    let run = delivery.repository.start_slowly("pruned")?;
    let (_, log) = run.worker(1)?;

    delivery.repository.take_out()?;
    delivery.push("Less than there was")?;
    delivery.applied_both()?;
    ensure!(!demo.kubectl.exists(&["importjob", "slowly", "-n", TENANT])?, "the job is there");
    ensure!(run.object()?["status"]["finishedAt"].is_null(), "control: the run was over before its job was pruned");
    delivery.repository.kept()?;
    run.ends("True", "Completed")?;
    let rows = run.object()?["status"]["rows"].clone();
    ensure!(rows["read"] == 2_000, "{rows}");
    log.ended().map(drop)
}

fn deleted(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin(demo)?;
    delivery.repository.add_slow_job()?;
    delivery.push("A job that takes its time")?;
    delivery.applied(TENANT)?;
    let run = delivery.repository.start_slowly("deleted")?;
    let (_, log) = run.worker(1)?;
    // Before its account and its rights go: without those Flux leaves everything as it is, and says nothing.
    demo.kubectl.run(&["delete", "kustomization", TENANT, "-n", SYSTEM, "--timeout=60s"])?;
    let manifests = delivery.manifests()?;
    demo.kubectl.fed(&["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"], &manifests)?;
    for gone in ["slowly", "contacts"] {
        process::wait_until(&format!("job {gone} to be gone"), LIMIT, || {
            ensure!(!demo.kubectl.exists(&["importjob", gone, "-n", TENANT])?, "it is there");
            Ok(())
        })?;
    }
    demo.ready(&["-n", TENANT, "connections/crm", "connections/warehouse"])?;
    demo.ready(&["tenants/orchard"])?;
    run.ends("True", "Completed")?;
    log.ended()?;
    say_goodbye(&demo.kubectl)?;
    demo.kubectl.run(&["delete", "namespace", SYSTEM, "--timeout=60s"]).map(drop)
}

/// Those of a Flux that ended before its objects.
fn remove_finalizers(kubectl: &Kubectl) -> Result<()> {
    for kind in ["kustomizations.kustomize.toolkit.fluxcd.io", "gitrepositories.source.toolkit.fluxcd.io"] {
        let Ok(names) = kubectl.run(&["get", kind, "-n", SYSTEM, "-o", "name"]) else { continue };
        for name in names.lines() {
            kubectl.run(&["patch", name, "-n", SYSTEM, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#])?;
        }
    }
    Ok(())
}
