//! `kubectl import` as the process that people start: what it says when it cannot do what they want, and what it ends with.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use api::{ImportRun, names};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{ApiServer, apply_yaml};

use crate::world::{HOME, REGION, World};

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-import");

/// A person's machine: a home folder and kubeconfigs.
pub(crate) struct Desk {
    home: tempfile::TempDir,
    admin: PathBuf,
}

impl Desk {
    pub(crate) fn new(server: &ApiServer) -> Result<Self> {
        Ok(Self { home: tempfile::tempdir()?, admin: server.kubeconfig() })
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.home.path().join(name);
        fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// The administrator's kubeconfig with something else in it.
    fn kubeconfig(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<String> {
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&self.admin)?)?;
        change(&mut config);
        self.write(name, &config.to_string())
    }

    fn command(&self, kubeconfig: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = Command::new(PLUGIN);
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }

    /// As the administrator.
    pub(crate) async fn call(&self, arguments: &[&str]) -> Result<Output> {
        output(self.command(self.admin.to_str(), arguments)).await
    }

    async fn call_as(&self, kubeconfig: Option<&str>, arguments: &[&str]) -> Result<Output> {
        output(self.command(kubeconfig, arguments)).await
    }
}

/// The keeper lives in this process.
async fn output(mut command: Command) -> Result<Output> {
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was said in one place and what was meant to be.
#[derive(Default)]
struct Table {
    wrong: Vec<String>,
}

impl Table {
    /// `says`: all of standard error. A refusal says nothing on standard output.
    fn check(&mut self, what: &str, output: &Output, code: i32, says: &str) {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        if output.status.code() != Some(code) || err != format!("error: {says}\n") || !out.is_empty() {
            self.wrong.push(format!("{what}: exit {:?}, not {code}\n  said  {err}{out}\n  not   error: {says}", output.status.code()));
        }
        self.readable(what, &err);
    }

    /// No type of a program, and nothing twice.
    fn readable(&mut self, what: &str, said: &str) {
        for code in ["ApiError", "Some(", "Error(", "Status {", "ServiceError", "os error", "panicked", "{:?}", "InvalidCertificate"] {
            if said.contains(code) {
                self.wrong.push(format!("{what}: {code:?} is for programmers: {said}"));
            }
        }
        let words: Vec<&str> = said.split_whitespace().collect();
        let phrases: Vec<String> = words.windows(6).map(|phrase| phrase.join(" ")).collect();
        if let Some(twice) =
            phrases.iter().enumerate().find_map(|(at, phrase)| phrases[at + 6.min(phrases.len() - at)..].contains(phrase).then_some(phrase))
        {
            self.wrong.push(format!("{what}: {twice:?} is said twice: {said}"));
        }
    }

    fn assert(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
    }
}

/// The accounts that stand for people of a tenant, as the operator labels them.
pub(crate) async fn label_accounts(world: &World) -> Result<()> {
    let labels = Patch::Merge(json!({"metadata": {"labels": {names::REGION_LABEL: REGION, names::TENANT_LABEL: "acme"}}}));
    for account in [names::FILES_READER_ACCOUNT, names::FILES_WRITER_ACCOUNT] {
        world.api::<ServiceAccount>(HOME).patch(account, &PatchParams::default(), &labels).await?;
    }
    Ok(())
}

async fn put_job(world: &World, name: &str) -> Result<String> {
    let job = format!(
        "apiVersion: dataimporter.io/v1alpha1\nkind: ImportJob\nmetadata: {{name: {name}, namespace: {HOME}}}\nspec:\n  \
         source: {{upload: {{name: rows}}}}\n  target: {{salesforce: {{connectionRef: {{name: crm}}, object: Account, operation: Insert, \
         mapping: [{{from: Name, to: Name}}]}}}}\n"
    );
    apply_yaml(&world.client, &job).await?;
    world.api::<api::ImportJob>(HOME).get(name).await?.uid().context("a UID")
}

/// A run as the operator leaves it when it has ended.
async fn put_ended_run(world: &World, name: &str, job: &str, job_uid: &str) -> Result<()> {
    let spec = json!({"jobRef": {"name": job, "uid": job_uid}, "action": {"run": {}}, "startBefore": "2100-01-01T00:00:00Z"});
    let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name}, "spec": spec});
    let runs = world.api::<ImportRun>(HOME);
    runs.patch(name, &PatchParams::apply("person"), &Patch::Apply(object)).await?;
    let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-01T01:00:00Z"});
    let status = json!({"status": {
        "finishedAt": "2026-01-01T01:00:00Z", "observedGeneration": 1, "conditions": [condition("Ready"), condition("Succeeded")],
        "results": [{"name": "succeeded.csv", "file": "f-1", "rows": 3, "bytes": 60, "sha256": "00", "expiresAt": "2100-01-01T00:00:00Z"}],
    }});
    runs.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_is_wrong_and_the_way_out_once() -> Result<()> {
    let world = World::start().await?;
    label_accounts(&world).await?;
    let desk = Desk::new(&world.server)?;
    let job = put_job(&world, "airports").await?;
    put_job(&world, "never-run").await?;
    put_ended_run(&world, "airports-1", "airports", &job).await?;
    let gateway = world.keeper.gateway_address.to_string();
    let server = {
        let config: Value = serde_json::from_str(&fs::read_to_string(&desk.admin)?)?;
        config["clusters"][0]["cluster"]["server"].as_str().context("a server")?.to_owned()
    };
    let mut table = Table::default();

    let is_job = "\"airports\" is an ImportJob in namespace acme, and this asks about one of its runs: airports-1";
    let never = "\"never-run\" is an ImportJob in namespace acme that has never run; `kubectl import run acme/never-run` starts it";
    let no_run = "there is no ImportRun \"nope\" in namespace acme; `kubectl get importruns -n acme` lists them";
    let rows: Vec<(&[&str], &str)> = vec![
        (&["status", "acme/nope"], no_run),
        (&["status", "acme/airports"], is_job),
        (&["status", "acme/never-run"], never),
        (&["wait", "acme/nope"], no_run),
        (&["wait", "acme/airports"], is_job),
        (&["stop", "acme/nope"], no_run),
        (&["stop", "acme/airports"], is_job),
        (&["stop", "acme/airports-1"], "ImportRun acme/airports-1 has ended (Completed): there is nothing to stop"),
        (&["results", "acme/nope"], no_run),
        (&["results", "acme/airports"], is_job),
        (&["results", "acme/airports-1", "nope.csv"], "ImportRun acme/airports-1 has no result file \"nope.csv\"; it has: succeeded.csv"),
        (&["run", "acme/nope"], "there is no ImportJob \"nope\" in namespace acme; `kubectl get importjobs -n acme` lists them"),
        (&["run", "acme/airports", "--name", "airports-1"], "ImportRun acme/airports-1 exists: choose another --name"),
        (
            &["run", "acme/airports", "--name", "Bad!"],
            "ImportRun acme/Bad! cannot be created: ImportRun.dataimporter.io \"Bad!\" is invalid: metadata.name: Invalid value: \"Bad!\": a \
             lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (&["disconnect", "acme/nope"], "there is no Connection \"nope\" in namespace acme; `kubectl get connections -n acme` lists them"),
        (&["intake", "acme/nope"], "there is no Connection \"nope\" in namespace acme; `kubectl get connections -n acme` lists them"),
        (&["intake", "-f", "nope.yaml"], "nope.yaml cannot be read: No such file or directory"),
        (&["upload", "nope.csv", "-n", "acme"], "nope.csv cannot be read: No such file or directory"),
        (&["upload", ".", "-n", "acme"], ". is not a file name"),
        (
            &["audit", "verify", "--tenant", "globex", "-n", "acme"],
            "namespace acme belongs to Tenant acme: pass --namespace with one of Tenant globex",
        ),
    ];
    for (arguments, says) in rows {
        table.check(&arguments.join(" "), &desk.call(arguments).await?, 1, says);
    }

    // The way to the cluster.
    let jo = desk.kubeconfig("jo", |config| config["users"][0]["user"]["as"] = json!("jo"))?;
    let stranger = desk.kubeconfig("stranger", |config| config["users"][0]["user"] = json!({"token": "no-such-token"}))?;
    let nowhere = desk.kubeconfig("nowhere", |config| config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1"))?;
    let ca = desk.write("ca.crt", &world.org.ca_pem.clone().context("the org has an authority")?)?;
    let untrusted = desk.kubeconfig("untrusted", |config| config["clusters"][0]["cluster"]["certificate-authority"] = json!(ca))?;
    let no_context = desk.kubeconfig("no-context", |config| config["current-context"] = json!(""))?;
    let broken = desk.write("broken", "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: hush-hush}]\n")?;
    let absent = desk.home.path().join("absent").to_string_lossy().into_owned();
    let status = ["status", "acme/airports-1"];
    let ways: Vec<(&str, Option<&str>, Vec<&str>, String)> = vec![
        (
            "somebody without a role",
            Some(&jo),
            status.to_vec(),
            "ImportRun acme/airports-1 cannot be read: importruns.dataimporter.io \"airports-1\" is forbidden: User \"jo\" cannot get resource \
             \"importruns\" in API group \"dataimporter.io\" in the namespace \"acme\"; whoever looks after the Tenant can give you a role \
             (spec.members)"
                .into(),
        ),
        (
            "somebody without a role who uploads",
            Some(&jo),
            vec!["upload", "ca.crt", "-n", "acme"],
            "ServiceAccount acme/dataimporter-files-writer cannot be read, and namespace acme must belong to a Tenant: serviceaccounts \
             \"dataimporter-files-writer\" is forbidden: User \"jo\" cannot get resource \"serviceaccounts\" in API group \"\" in the namespace \
             \"acme\"; whoever looks after the Tenant can give you a role (spec.members)"
                .into(),
        ),
        (
            "a namespace of no tenant",
            desk.admin.to_str(),
            vec!["upload", "ca.crt", "-n", "default"],
            "ServiceAccount default/dataimporter-files-writer cannot be read, and namespace default must belong to a Tenant: serviceaccounts \
             \"dataimporter-files-writer\" not found"
                .into(),
        ),
        (
            "a token that nobody knows",
            Some(&stranger),
            status.to_vec(),
            "ImportRun acme/airports-1 cannot be read: Unauthorized; log in to the cluster again, or correct the user in the kubeconfig".into(),
        ),
        (
            "no API server",
            Some(&nowhere),
            status.to_vec(),
            "ImportRun acme/airports-1 cannot be read: the API server at https://127.0.0.1:1 cannot be reached: Connection refused; see \
             whether it is the cluster you mean (`kubectl config view --minify`)"
                .into(),
        ),
        (
            "an API server that nobody vouches for",
            Some(&untrusted),
            status.to_vec(),
            format!(
                "ImportRun acme/airports-1 cannot be read: the API server at {server} cannot be reached: its certificate is signed by nobody \
                 the kubeconfig trusts; see whether it is the cluster you mean (`kubectl config view --minify`)"
            ),
        ),
        (
            "a kubeconfig without a current context",
            Some(&no_context),
            status.to_vec(),
            "the kubeconfig has no context \"\"; `kubectl config get-contexts` lists them, --context or `kubectl config use-context` chooses one"
                .into(),
        ),
        (
            "a context that is not there",
            desk.admin.to_str(),
            vec!["status", "acme/airports-1", "--context", "nope"],
            "the kubeconfig has no context \"nope\"; `kubectl config get-contexts` lists them, --context or `kubectl config use-context` \
             chooses one"
                .into(),
        ),
        (
            "a broken kubeconfig",
            Some(&broken),
            status.to_vec(),
            format!("the kubeconfig {broken} is no YAML of its kind; correct it, or set KUBECONFIG to another"),
        ),
        (
            "an absent kubeconfig",
            Some(&absent),
            status.to_vec(),
            format!("the kubeconfig {absent} cannot be read: No such file or directory; correct KUBECONFIG"),
        ),
        (
            "no kubeconfig at all",
            None,
            status.to_vec(),
            "there is no kubeconfig, and this is no pod of a cluster; set KUBECONFIG to one (`cargo xtask demo` makes one with its cluster)".into(),
        ),
        (
            "another installation",
            desk.admin.to_str(),
            vec!["upload", "ca.crt", "-n", "acme", "--system-namespace", "elsewhere"],
            "ConfigMap elsewhere/dataimporter-public cannot be read: configmaps \"dataimporter-public\" not found; if Dataimporter is \
             installed elsewhere, pass --system-namespace"
                .into(),
        ),
        (
            "no gateway",
            desk.admin.to_str(),
            vec!["upload", "ca.crt", "-n", "acme", "--name", "rows", "--gateway", "127.0.0.1:1"],
            "the gateway at https://127.0.0.1:1 cannot be reached: Connection refused; pass --gateway HOST:PORT if it has another address \
             from here"
                .into(),
        ),
        (
            "a gateway that is another server",
            desk.admin.to_str(),
            vec!["audit", "verify", "--tenant", "acme", "-n", "acme", "--gateway", server.trim_start_matches("https://")],
            format!(
                "the gateway at {server} cannot be reached: its certificate is signed by nobody the installation trusts; pass --gateway \
                 HOST:PORT if it has another address from here"
            ),
        ),
    ];
    for (what, kubeconfig, arguments, says) in ways {
        let output = desk.call_as(kubeconfig, &arguments).await?;
        table.check(what, &output, 1, &says);
        if text(&output.stderr).contains("hush-hush") {
            table.wrong.push(format!("{what}: a credential is printed"));
        }
    }

    // The file that did not reach its gateway does so later, once.
    let upload = ["upload", "ca.crt", "-n", "acme", "--name", "rows", "--gateway", &gateway];
    let sent = desk.call(&upload).await?;
    if !sent.status.success() || !text(&sent.stdout).starts_with("Upload acme/rows: ") {
        table.wrong.push(format!("an upload tried again: {sent:?}"));
    }
    let exists = "Upload acme/rows has its file; choose another --name, or pass --replace";
    table.check("an upload sent twice", &desk.call(&upload).await?, 1, exists);
    table.assert();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_dataimporter_is_told_to_be_one() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = ApiServer::start().await?;
    let desk = Desk::new(&server)?;
    let mut table = Table::default();
    let says = "ImportRun acme/x cannot be read: the cluster has no such kind; Dataimporter is not installed in it, or another version is";
    table.check("status", &desk.call(&["status", "acme/x"]).await?, 1, says);
    table.assert();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_stopped_while_there_is_something_to_stop() -> Result<()> {
    let world = World::start().await?;
    let desk = Desk::new(&world.server)?;
    let job = put_job(&world, "airports").await?;
    let started = desk.call(&["run", "acme/airports", "--name", "live"]).await?;
    ensure!(started.status.success(), "{started:?}");
    for _ in 0..2 {
        let stopped = desk.call(&["stop", "acme/live"]).await?;
        let told = "ImportRun acme/live is asked to stop: committed chunks are finished, results are written\n";
        assert!(stopped.status.success() && text(&stopped.stdout) == told, "{stopped:?}");
    }
    // Not by a patch of their own either: nobody would ever look at that generation.
    put_ended_run(&world, "ended", "airports", &job).await?;
    let runs = world.api::<ImportRun>(HOME);
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    let refused = runs.patch("ended", &PatchParams::default(), &cancel).await.map(|run| run.metadata.generation);
    let Err(kube::Error::Api(status)) = &refused else { panic!("a run that has ended is asked to stop: {refused:?}") };
    assert!(status.message.contains("the run has ended: there is nothing to stop"), "{}", status.message);
    let after = runs.get("ended").await?;
    assert_eq!(after.metadata.generation, after.status.and_then(|s| s.observed_generation));
    // What else happens to one that has ended goes on: its results are erased, it is labelled, a cancelled one is finished.
    runs.patch("ended", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}))).await?;
    runs.patch_status("live", &PatchParams::default(), &Patch::Merge(json!({"status": {"finishedAt": "2026-01-01T01:00:00Z"}}))).await?;
    runs.patch_status("live", &PatchParams::default(), &Patch::Merge(json!({"status": {"observedGeneration": 2}}))).await?;
    Ok(())
}

/// Nobody reads what is printed: `… | true`, `… | head -1`.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_quietly() -> Result<()> {
    let world = World::start().await?;
    label_accounts(&world).await?;
    let desk = Desk::new(&world.server)?;
    let job = put_job(&world, "airports").await?;
    put_ended_run(&world, "airports-1", "airports", &job).await?;
    let gateway = world.keeper.gateway_address.to_string();
    desk.write("rows.csv", "Name\nAda\n")?;
    let verbs: [&[&str]; 9] = [
        &["status", "acme/airports-1", "-o", "json"],
        &["status", "acme/airports-1"],
        &["wait", "acme/airports-1"],
        &["results", "acme/airports-1"],
        &["run", "acme/airports"],
        &["upload", "rows.csv", "-n", "acme", "--gateway", &gateway],
        &["audit", "verify", "--tenant", "acme", "-n", "acme", "--gateway", &gateway],
        &["audit", "export", "--tenant", "acme", "-n", "acme", "--gateway", &gateway],
        &["--help"],
    ];
    for verb in verbs {
        let output = output(closed(desk.command(desk.admin.to_str(), verb))?).await?;
        // `wait` tells there how far the run is.
        let told = text(&output.stderr);
        assert!(output.status.success() && matches!(told.as_str(), "" | "  Completed\n"), "{verb:?}: {:?} {told}", output.status);
    }
    // Nor what went wrong.
    let mut command = desk.command(desk.admin.to_str(), &["status", "acme/nope"]);
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    command.stderr(writer);
    assert_eq!(tokio::task::spawn_blocking(move || command.status()).await??.code(), Some(1));
    // A full disk is no closed pipe.
    let mut command = desk.command(desk.admin.to_str(), &["status", "acme/airports-1"]);
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full")?).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = String::new();
    child.stderr.take().context("standard error")?.read_to_string(&mut said)?;
    assert_eq!((child.wait()?.code(), said.as_str()), (Some(1), "error: standard output cannot be written: No space left on device\n"));
    Ok(())
}

/// Standard output is a pipe whose reader is gone.
fn closed(mut command: Command) -> Result<Command> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    Ok(command)
}

/// The whole way of an auditor, with the program they have.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_verified_and_exported() -> Result<()> {
    let world = World::start().await?;
    label_accounts(&world).await?;
    world.ready_connection("crm").await?;
    let desk = Desk::new(&world.server)?;
    let gateway = world.keeper.gateway_address.to_string();
    let whose = ["--tenant", "acme", "-n", "acme", "--gateway", &gateway];
    let verified = desk.call(&[&["audit", "verify"][..], &whose].concat()).await?;
    let said = text(&verified.stdout);
    assert!(verified.status.success() && said.starts_with("the audit of region eu-frankfurt is whole; "), "{verified:?}");
    let exported = desk.call(&[&["audit", "export", "--to", "audit.jsonl"][..], &whose].concat()).await?;
    assert!(exported.status.success() && text(&exported.stderr) == "audit.jsonl written\n", "{exported:?}");
    let lines = fs::read_to_string(desk.home.path().join("audit.jsonl"))?;
    assert!(lines.lines().count() > 1 && lines.contains("CredentialOpened"), "{lines}");
    println!("{said}{lines}");
    Ok(())
}
