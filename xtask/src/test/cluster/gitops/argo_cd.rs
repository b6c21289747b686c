//! Argo CD's own application-controller, repo-server and API server, as processes beside the cluster. It installs the chart, too, and removes it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::Check;
use super::super::runs::Run;
use super::repository::{CLIENT_SECRET, Repository, TENANT, say_goodbye};
use super::servers::{Servers, free_address};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::progress::Progress;
use crate::{certificate, packages, pinned, process, workspace};

/// In this order: what the first one installs, the last one removes.
pub(in super::super) const CHECKS: &[Check] = &[
    ("Argo CD installs the chart, brings a tenant, its Connections and jobs in waves, and a run loads what its job says", arrives),
    ("Argo CD brings a change, and puts back what somebody changed by hand", changes),
    ("Argo CD shows a suspended job, a failed run and a refused Connection as documented", health),
    ("Argo CD's actions suspend, resume and run", actions),
    ("Argo CD applies nothing of a tenant's folder that is not the tenant's", confined),
    ("Argo CD prunes a job whose run goes on, and nothing that has prune protection", prunes),
    ("Argo CD's Applications are deleted while a run goes on, by way of the chart's drain", deleted),
];

/// Its program, and where it keeps its cache.
pub(in super::super) fn make(progress: &Progress) -> Result<()> {
    packages::install(progress, &[packages::REDIS])?;
    pinned::argo_cd(progress).map(drop)
}

const NAMESPACE: &str = "argocd";
const LIMIT: Duration = Duration::from_secs(180);
const APPLICATIONS: [&str; 4] = ["dallas-production", "dataimporter", "platform", TENANT];
/// As the examples say it; outside of a pod it leads nowhere.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// A repository that Argo CD delivers.
struct Delivery<'a> {
    repository: Repository<'a>,
    kubectl: &'a Kubectl,
    server: String,
    api: String,
    programs: Servers,
}

impl<'a> Delivery<'a> {
    /// Argo CD with the cell's Applications, whatever becomes of them.
    fn begin(demo: &'a Demo) -> Result<Self> {
        let argo = pinned::argo_cd(&Progress::begin())?;
        let repository = Repository::begin(demo)?;
        let kubectl = &demo.kubectl;
        kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &argo.join("crds").to_string_lossy()])?;
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
        let (cluster, server) = cluster(kubectl)?;
        kubectl.apply(&cluster)?;
        for object in settings(&repository)? {
            kubectl.apply(&object)?;
        }
        for file in ["examples/gitops/argo-cd/argocd-cm.yaml", "docs/gitops/argo-cd/argocd-cm.yaml"] {
            let file = workspace::root().join(file);
            kubectl.run(&["patch", "configmap", "argocd-cm", "-n", NAMESPACE, "--patch-file", &file.to_string_lossy()])?;
        }
        let api = format!("http://{}", free_address()?);
        let programs = Servers::with_logs_in(&repository.folder);
        let mut begun = Self { repository, kubectl, server, api, programs };
        begun.vendor_chart(demo)?;
        begun.place()?;
        begun.repository.git.push("For this cluster and this server")?;
        if kubectl.exists(&["application", TENANT, "-n", NAMESPACE])? {
            // Of an earlier check, with a Git server that is gone: Argo CD would begin with that, and try for minutes.
            let folder = begun.repository.git.files.join("cells/dallas-production/applications");
            kubectl.run(&["apply", "-f", &folder.to_string_lossy()])?;
            for name in APPLICATIONS {
                let idle = json!({"operation": null, "status": {"operationState": null}}).to_string();
                kubectl.run(&["patch", "application", name, "-n", NAMESPACE, "--type=merge", "-p", &idle])?;
            }
        }
        let first = begun.repository.read("argo-cd/dallas-production.yaml")?;
        kubectl.fed(&["apply", "-f", "-"], &first)?;
        begun.start(&argo)?;
        Ok(begun)
    }

    /// The same once all of it is there and healthy, with credentials that are sealed for this installation.
    fn begin_healthy(demo: &'a Demo) -> Result<Self> {
        let begun = Self::begin(demo)?;
        for application in ["dataimporter", "platform"] {
            begun.healthy(application)?;
        }
        begun.repository.seal_all()?;
        begun.all_healthy()?;
        Ok(begun)
    }

    /// Its four programs, of which redis is Debian's.
    fn start(&mut self, argo: &Path) -> Result<()> {
        let (cluster, folder, kubectl) = (Cluster::find()?, self.repository.folder.clone(), self.kubectl);
        let bin = folder.join("bin");
        for made in ["bin", "tls", "ssh", "gnupg", "tmp"] {
            fs::create_dir_all(folder.join(made))?;
        }
        let program = argo.join("argo-cd");
        symlink(&program, bin.join("argocd"))?;
        for script in ["git-verify-wrapper.sh", "gpg-wrapper.sh"] {
            fs::copy(argo.join("hack").join(script), bin.join(script))?;
            fs::set_permissions(bin.join(script), fs::Permissions::from_mode(0o755))?;
        }
        symlink(cluster.tools().program("helm"), bin.join("helm"))?;
        // It renders with the kustomize of kubectl.
        let kustomize = bin.join("kustomize");
        let kubectl_program = kubectl.program.display();
        fs::write(
            &kustomize,
            format!("#!/bin/sh\ncase $1 in build) shift; exec {kubectl_program} kustomize \"$@\";; *) echo v5.7.1;; esac\n"),
        )?;
        fs::set_permissions(&kustomize, fs::Permissions::from_mode(0o755))?;

        let [redis, repo] = [free_address()?, free_address()?];
        let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port(&redis), "--save", "", "--appendonly", "no"]);
        self.programs.start("redis", command.current_dir(&folder))?;
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let at = |name: &str| folder.join(name);
        let environment: [(&str, PathBuf); 6] = [
            ("ARGOCD_TLS_DATA_PATH", at("tls")),
            ("ARGOCD_SSH_DATA_PATH", at("ssh")),
            ("ARGOCD_GNUPGHOME", at("gnupg")),
            ("ARGOCD_PLUGINCONFIGFILEPATH", at("plugin")),
            ("TMPDIR", at("tmp")),
            ("HOME", folder.clone()),
        ];
        // What it knows the Git server by; in an installation this is ConfigMap argocd-tls-certs-cm.
        fs::copy(certificate::authority(), at("tls").join("127.0.0.1"))?;
        let metrics = [free_address()?, free_address()?, free_address()?].map(|address| port(&address));
        let to = ["--redis".to_owned(), redis];
        let namespace = ["--namespace".to_owned(), NAMESPACE.to_owned()];
        let repo_server = ["--disable-tls".to_owned(), "--client-ca-path=".to_owned(), "--address".to_owned(), "127.0.0.1".to_owned()];
        let controller = ["--repo-server".to_owned(), repo.clone(), "--repo-server-plaintext".to_owned()];
        let often = ["--app-resync", "3", "--app-resync-jitter", "0", "--metrics-port", &metrics[1]].map(str::to_owned);
        let answers = ["--insecure", "--disable-auth", "--address", "127.0.0.1", "--port", &port(&self.api), "--metrics-port", &metrics[2]]
            .map(str::to_owned);
        // It would ask the Git server every three minutes.
        let its_port = ["--port", &port(&repo), "--metrics-port", &metrics[0], "--revision-cache-expiration", "2s"].map(str::to_owned);
        let programs: [(&str, Vec<String>); 3] = [
            ("argocd-repo-server", [&repo_server[..], &its_port, &to].concat()),
            ("argocd-application-controller", [&controller[..], &often, &to, &namespace].concat()),
            ("argocd-server", [&controller[..], &answers, &to, &namespace].concat()),
        ];
        for (name, arguments) in programs {
            let mut command = Command::new(&program);
            kubectl
                .point(&mut command)
                .args(arguments)
                .env("ARGOCD_BINARY_NAME", name)
                .env("PATH", &path)
                .env("ARGOCD_GPG_ENABLED", "false");
            command.envs(environment.iter().map(|(name, value)| (*name, value.as_path())));
            for theirs in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"] {
                command.env_remove(theirs);
            }
            self.programs.start(name, &mut command)?;
        }
        Ok(())
    }

    /// The chart and its values, as they are in the demo.
    fn vendor_chart(&self, demo: &Demo) -> Result<()> {
        let chart = workspace::root().join("charts/dataimporter");
        process::output(Command::new("cp").arg("-r").arg(chart).arg(self.repository.git.files.join("dataimporter")))?;
        let mut values: Value = serde_json::from_slice(&fs::read(demo.folder.join("values.json"))?)?;
        // The chart's default, which a demo has not.
        values["drain"]["policy"] = json!("Refuse");
        self.repository.write("cells/dallas-production/values.yaml", &values.to_string())
    }

    /// Puts this server and this cluster into the examples' words.
    fn place(&self) -> Result<()> {
        let folder = "cells/dallas-production/applications";
        let files = ["dataimporter", "platform", TENANT].map(|name| format!("{folder}/{name}.yaml"));
        for file in files.iter().map(String::as_str).chain(["argo-cd/dallas-production.yaml"]) {
            self.repository.replace(file, "https://git.example.com/imports.git", &self.repository.git.url)?;
            self.repository.replace(file, IN_CLUSTER, &self.server)?;
        }
        Ok(())
    }

    fn push(&self, message: &str) -> Result<()> {
        self.repository.git.push(message)
    }

    fn application(&self, name: &str) -> Result<Value> {
        self.kubectl.json(&["get", "application", name, "-n", NAMESPACE])
    }

    /// An Application is at what was pushed last, and this healthy. Answers how long that took.
    fn is(&self, name: &str, sync: &str, health: &str) -> Result<Duration> {
        let began = Instant::now();
        let head = self.repository.git.head()?;
        process::wait_until(&format!("Application {name}: {sync}, {health}"), LIMIT, || {
            let found = self.application(name)?;
            let status = &found["status"];
            let (at, synced, healthy) = (&status["sync"]["revision"], &status["sync"]["status"], &status["health"]["status"]);
            let whole = *at == head.as_str() && *synced == sync && *healthy == health;
            ensure!(
                whole,
                "it is {synced} and {healthy} at {at}: {} {} {}",
                status["conditions"],
                status["operationState"]["message"],
                unhealthy(status)
            );
            Ok(())
        })?;
        Ok(began.elapsed())
    }

    fn healthy(&self, name: &str) -> Result<Duration> {
        self.is(name, "Synced", "Healthy")
    }

    fn all_healthy(&self) -> Result<()> {
        APPLICATIONS.iter().try_for_each(|name| self.healthy(name).map(drop))
    }

    fn job(&self, name: &str) -> Result<Value> {
        self.kubectl.json(&["get", "importjob", name, "-n", TENANT])
    }

    /// What Argo CD shows of an object: its health and the words to it.
    fn shows(&self, kind: &str, name: &str, health: &str, words: &str) -> Result<()> {
        process::wait_until(&format!("Argo CD shows {kind} {name} as {health}"), LIMIT, || {
            let tree = self.ask("GET", &format!("applications/{TENANT}/resource-tree"), &Value::Null)?;
            let nodes = tree["nodes"].as_array().context("a tree has nodes")?;
            let node = nodes.iter().find(|node| node["kind"] == kind && node["name"] == name).context("it shows nothing of it")?;
            let said = node["health"]["message"].as_str().unwrap_or_default();
            ensure!(node["health"]["status"] == health && said.contains(words), "it shows {}", node["health"]);
            Ok(())
        })
    }

    fn act(&self, kind: &str, name: &str, action: &str) -> Result<()> {
        let asked = json!({
            "name": TENANT, "namespace": TENANT, "resourceName": name, "version": "v1alpha1", "group": "dataimporter.io", "kind": kind,
            "action": action,
        });
        self.ask("POST", &format!("applications/{TENANT}/resource/actions/v2"), &asked).map(drop)
    }

    /// Asks Argo CD's API.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--noproxy", "*", "--request", method]);
        if !body.is_null() {
            curl.args(["--header", "content-type: application/json", "--data", &body.to_string()]);
        }
        let said = process::output(curl.arg(format!("{}/api/v1/{path}", self.api)))?;
        serde_json::from_str(&said).with_context(|| format!("Argo CD answered {said:.200}"))
    }

    /// The automated sync of an Application of the cell is off, or on again. The one above it would put it back.
    fn heals(&self, name: &str, heals: bool) -> Result<()> {
        let (from, to) = if heals { ("selfHeal: false", "selfHeal: true") } else { ("selfHeal: true", "selfHeal: false") };
        self.repository.replace(&format!("cells/dallas-production/applications/{name}.yaml"), from, to)?;
        self.push("Who heals")?;
        self.healthy("dallas-production").map(drop)
    }
}

/// Objects that are not as they should be, for a message.
fn unhealthy(status: &Value) -> Value {
    let resources = status["resources"].as_array().cloned().unwrap_or_default();
    resources
        .into_iter()
        .filter(|found| found["status"] != "Synced" || !["Healthy", ""].contains(&found["health"]["status"].as_str().unwrap_or_default()))
        .collect()
}

/// The cluster as Argo CD is told of it, and its address.
fn cluster(kubectl: &Kubectl) -> Result<(Value, String)> {
    let config: Value = serde_json::from_str(&kubectl.run(&["config", "view", "--raw", "--flatten", "-o", "json"])?)?;
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let server = cluster["server"].as_str().context("a cluster has an address")?.to_owned();
    let tls = json!({"tlsClientConfig": {
        "caData": cluster["certificate-authority-data"], "certData": user["client-certificate-data"], "keyData": user["client-key-data"],
    }});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "cluster", "namespace": NAMESPACE, "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": "here", "server": server, "config": tls.to_string()},
    });
    Ok((secret, server))
}

/// What an installation of Argo CD has beside its programs.
fn settings(repository: &Repository<'_>) -> Result<Vec<Value>> {
    let authority = fs::read_to_string(certificate::authority())?;
    let named = |kind: &str, name: &str, label: &str, value: &str, key: &str, data: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "labels": {label: value}}, key: data});
    let own = |kind: &str, name: &str, key: &str, data: Value| named(kind, name, "app.kubernetes.io/part-of", "argocd", key, data);
    let git = &repository.git;
    Ok(vec![
        own("ConfigMap", "argocd-cm", "data", json!({"timeout.reconciliation": "3s", "timeout.reconciliation.jitter": "0s"})),
        own("ConfigMap", "argocd-rbac-cm", "data", json!({})),
        own("ConfigMap", "argocd-tls-certs-cm", "data", json!({"127.0.0.1": authority})),
        own("Secret", "argocd-secret", "stringData", json!({"server.secretkey": "of no value: it lives as long as a test"})),
        named(
            "Secret",
            "imports",
            "argocd.argoproj.io/secret-type",
            "repository",
            "stringData",
            json!({"type": "git", "url": git.url, "username": git.user, "password": git.password}),
        ),
    ])
}

/// The installation of the demo goes, and Argo CD makes its own.
fn arrives(demo: &Demo) -> Result<()> {
    let helm = |arguments: &[&str]| {
        let mut helm = Command::new(Cluster::find()?.tools().program("helm"));
        process::output(demo.kubectl.point(&mut helm).args(arguments).args(["-n", SYSTEM]))
    };
    if helm(&["list", "-q"])?.contains("dataimporter") {
        helm(&["uninstall", "dataimporter", "--timeout=300s"])?;
    }
    let began = Instant::now();
    let delivery = Delivery::begin_healthy(demo)?;
    println!("  everything is there and healthy {:.1} s after nothing was", began.elapsed().as_secs_f32());
    delivery.repository.loads()
}

fn changes(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    let generation = || Ok::<_, anyhow::Error>(delivery.job("contacts")?["metadata"]["generation"].clone());
    let before = generation()?;
    std::thread::sleep(Duration::from_secs(10));
    ensure!(generation()? == before, "Argo CD and we write in turn: {before}, then {}", generation()?);

    delivery.repository.map_one_more()?;
    delivery.push("Contacts say where they come from")?;
    let took = delivery.healthy(TENANT)?;
    let mapping = |job: &Value| job["spec"]["target"]["salesforce"]["mapping"].as_array().map(Vec::len);
    ensure!(mapping(&delivery.job("contacts")?) == Some(5), "{}", delivery.job("contacts")?["spec"]);
    println!("  a change was there and healthy after {:.1} s", took.as_secs_f32());

    let by_hand = json!({"spec": {"source": {"sql": {"query": "SELECT 1 AS id"}}}}).to_string();
    demo.kubectl.run(&["patch", "importjob", "contacts", "-n", TENANT, "--type=merge", "-p", &by_hand])?;
    process::wait_until("what was changed by hand is put back", LIMIT, || {
        let spec = delivery.job("contacts")?["spec"].clone();
        ensure!(spec["source"]["sql"]["query"].as_str().unwrap_or_default().contains("FROM contacts"), "it stays: {spec}");
        Ok(())
    })
}

fn health(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    delivery.repository.suspend(true)?;
    delivery.repository.add_broken_job()?;
    delivery.push("One job suspended, one that fails")?;
    delivery.is(TENANT, "Synced", "Suspended")?;
    delivery.shows("ImportJob", "contacts", "Suspended", "spec.suspend")?;

    Run::start(demo, TENANT, "broken", &delivery.repository.folder)?.ends("False", "")?;
    delivery.repository.suspend(false)?;
    delivery.push("It goes on")?;
    delivery.healthy(TENANT)?;
    delivery.shows("ImportJob", "broken", "Healthy", "")?;

    delivery.repository.seal("crm", "clientSecret", "another-secret-of-no-value")?;
    delivery.push("A secret that the org does not know")?;
    delivery.is(TENANT, "Synced", "Degraded")?;
    delivery.shows("Connection", "crm", "Degraded", "LoginRefused")?;
    delivery.repository.seal("crm", "clientSecret", CLIENT_SECRET)?;
    delivery.push("The right one")?;
    delivery.healthy(TENANT).map(drop)
}

fn actions(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    delivery.repository.add_slow_job()?;
    delivery.push("A job that takes its time")?;
    delivery.healthy(TENANT)?;
    // With self-healing, Git says whether a job is suspended.
    delivery.heals(TENANT, false)?;
    delivery.act("ImportJob", "slowly", "suspend")?;
    ensure!(delivery.job("slowly")?["spec"]["suspend"] == true, "it is not suspended");
    delivery.shows("ImportJob", "slowly", "Suspended", "")?;
    delivery.act("ImportJob", "slowly", "resume")?;
    ensure!(delivery.job("slowly")?["spec"]["suspend"] != true, "it is suspended still");
    delivery.heals(TENANT, true)?;
    delivery.healthy(TENANT)?;

    delivery.act("ImportJob", "slowly", "run")?;
    let mut name = String::new();
    process::wait_until("a run that works", LIMIT, || {
        let runs = demo.kubectl.json(&["get", "importruns", "-n", TENANT, "--field-selector=spec.jobRef.name=slowly"])?;
        let working = runs["items"].as_array().into_iter().flatten().find(|run| run["status"]["finishedAt"].is_null());
        let run = working.context("there is none")?;
        ensure!(!run["status"]["startedAt"].is_null(), "it says {}", run["status"]);
        run["metadata"]["name"].as_str().unwrap_or_default().clone_into(&mut name);
        Ok(())
    })?;
    // What it makes is not in Git, and is not pruned either.
    delivery.push("Nothing new")?;
    delivery.healthy(TENANT)?;
    ensure!(demo.kubectl.exists(&["importrun", &name, "-n", TENANT])?, "the run is pruned");
    // Argo CD acts only on what it delivers.
    demo.kubectl.run(&["patch", "importrun", &name, "-n", TENANT, "--type=merge", "-p", r#"{"spec": {"cancel": true}}"#])?;
    Run::of(demo, TENANT, &name, &delivery.repository.folder)?.ends("False", "Cancelled").map(drop)
}

fn confined(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    for (what, text) in delivery.repository.strangers()? {
        delivery.repository.add("more.yaml", &text)?;
        delivery.push(what)?;
        process::wait_until(&format!("{what} is refused"), LIMIT, || {
            let status = &delivery.application(TENANT)?["status"];
            let (operation, head) = (&status["operationState"], delivery.repository.git.head()?);
            // What was said of the attempt before says nothing of this one.
            ensure!(operation["syncResult"]["revision"] == head.as_str(), "Argo CD is at {}", operation["syncResult"]["revision"]);
            let told = format!("{} {} {}", status["conditions"], operation["message"], operation["syncResult"]);
            ensure!(told.contains("not permitted in project"), "Argo CD says {told}");
            Ok(())
        })?;
        delivery.repository.remove("more.yaml")?;
    }
    delivery.repository.no_strangers()?;
    delivery.push("None of it")?;
    delivery.all_healthy()
}

fn prunes(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    delivery.repository.add_slow_job()?;
    delivery.push("A job that takes its time")?;
    delivery.healthy(TENANT)?;
    let run = delivery.repository.start_slowly("pruned")?;
    let (_, log) = run.worker(1)?;
    delivery.repository.take_out()?;
    delivery.push("Less than there was")?;
    process::wait_until("the job to be pruned", LIMIT, || {
        ensure!(!demo.kubectl.exists(&["importjob", "slowly", "-n", TENANT])?, "it is there");
        Ok(())
    })?;
    ensure!(run.object()?["status"]["finishedAt"].is_null(), "control: the run was over before its job was pruned");
    run.ends("True", "Completed")?;
    log.ended()?;
    delivery.repository.kept()
}

fn deleted(demo: &Demo) -> Result<()> {
    let delivery = Delivery::begin_healthy(demo)?;
    delivery.repository.add_slow_job()?;
    delivery.push("A job that takes its time")?;
    delivery.healthy(TENANT)?;
    let run = delivery.repository.start_slowly("deleted")?;
    let (_, log) = run.worker(1)?;

    // All of it: jobs go, and what had protection stays.
    let there = |kind: &str, name: &str, namespace: &str| demo.kubectl.exists(&[kind, name, "-n", namespace]);
    demo.kubectl.run(&["delete", "application", "dallas-production", "-n", NAMESPACE, "--wait=false"])?;
    process::wait_until("the tenant's Application to be gone", LIMIT, || {
        ensure!(!there("application", TENANT, NAMESPACE)? && !there("importjob", "slowly", TENANT)?, "it or its job is there");
        Ok(())
    })?;
    demo.ready(&["-n", TENANT, "connections/crm", "connections/warehouse"])?;
    demo.ready(&["tenants/orchard"])?;
    run.ends("True", "Completed")?;
    log.ended()?;

    // The chart's drain refuses while a tenant is there, and lets it go once it is not.
    process::wait_until("a deletion that is held up", LIMIT, || {
        let conditions = delivery.application("dataimporter")?["status"]["conditions"].to_string();
        ensure!(conditions.contains("DeletionError") && conditions.contains("dataimporter-drain"), "it says {conditions}");
        Ok(())
    })?;
    ensure!(there("statefulset", "dataimporter-keeper", SYSTEM)?, "the keeper is gone, and a tenant is there");
    say_goodbye(&demo.kubectl)?;
    ensure!(there("statefulset", "dataimporter-keeper", SYSTEM)?, "the keeper is gone, and nobody has approved that");
    let now = process::output(Command::new("date").args(["-u", "+%FT%TZ"]))?;
    let approved = format!("argocd.argoproj.io/deletion-approved={}", now.trim());
    demo.kubectl.run(&["annotate", "application", "dataimporter", "-n", NAMESPACE, &approved])?;
    process::wait_until("all Applications to be gone", LIMIT, || {
        let left = APPLICATIONS.iter().filter(|name| there("application", name, NAMESPACE).unwrap_or(true)).collect::<Vec<_>>();
        ensure!(left.is_empty(), "there are {left:?}");
        Ok(())
    })?;
    ensure!(!there("statefulset", "dataimporter-keeper", SYSTEM)?, "the keeper is there");
    for kept in ["regions", "tenants", "connections", "importjobs", "importruns", "uploads"] {
        ensure!(demo.kubectl.exists(&["crd", &format!("{kept}.dataimporter.io")])?, "the definition of {kept} went with the chart");
    }
    Ok(())
}
