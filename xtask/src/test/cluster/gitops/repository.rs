//! A repository as `examples/gitops/README.md` has a team begin one: the examples, with credentials that are sealed for this installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::runs::Run;
use super::git::Git;
use crate::demo::Demo;
use crate::kubectl::{Kubectl, condition};
use crate::{process, workspace};

/// The tenant of the examples, and its namespace.
pub(super) const TENANT: &str = "orchard";
pub(super) const CELL: &str = "cells/dallas-production";
const REGION: &str = "us-dallas";
/// As they are in examples/30-connections.yaml: of no value.
pub(super) const CLIENT_SECRET: &str = "demo-client-secret-of-no-value";
const PASSWORD: &str = "demo-password-of-no-value";

/// A line of production's overlay.
const GUARDS: &str = "    - {op: add, path: /spec/guards";

/// The Git server and what is on it.
pub(super) struct Repository<'a> {
    pub(super) demo: &'a Demo,
    pub(super) git: Git,
    /// For what is not to be committed, and for servers. Goes with it.
    pub(super) folder: PathBuf,
}

impl<'a> Repository<'a> {
    /// Begins one.
    pub(super) fn begin(demo: &'a Demo) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("dataimporter-gitops-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let git = Git::serve(&folder.join("git"))?;
        let begun = Self { demo, git, folder };
        let examples = workspace::root().join("examples/gitops/.");
        process::output(Command::new("cp").arg("-r").arg(examples).arg(&begun.git.files))?;
        begun.git.push("The imports of orchard")?;
        Ok(begun)
    }

    /// Seals both credentials for the Region as it is now.
    pub(super) fn seal_all(&self) -> Result<()> {
        let key = process::output(&mut self.demo.plugin_command(&["seal-key", REGION]))?;
        self.write("seal-key.yaml", &key)?;
        self.seal("crm", "clientSecret", CLIENT_SECRET)?;
        self.seal("warehouse", "password", PASSWORD)?;
        self.git.push("Credentials, sealed")?;
        let history = self.git.history()?;
        ensure!(history.matches("ciphertext: >-").count() >= 4, "control: sealed credentials are in Git: {history:.300}");
        for secret in [CLIENT_SECRET, PASSWORD] {
            ensure!(!history.contains(secret), "{secret} is in Git");
        }
        Ok(())
    }

    /// Seals a credential into a Connection of the cell, without asking the cluster.
    pub(super) fn seal(&self, connection: &str, entry: &str, value: &str) -> Result<()> {
        let (secret, file) = (self.folder.join("secret"), format!("{CELL}/orchard/{connection}.yaml"));
        fs::write(&secret, value)?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let arguments = ["seal", "--seal-key", &path(&self.git.files.join("seal-key.yaml")), "--tenant", TENANT];
        let what = ["-f", &path(&self.git.files.join(&file)), "--from-file", &format!("{entry}={}", path(&secret))];
        let sealed = process::output(&mut self.demo.plugin_command(&[&arguments[..], &what].concat()))?;
        fs::remove_file(&secret)?;
        self.write(&file, &sealed)
    }

    pub(super) fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.git.files.join(file)).with_context(|| format!("{file} is not in the repository"))
    }

    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.git.files.join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// Puts other words into a file.
    pub(super) fn replace(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let text = self.read(file)?;
        ensure!(text.contains(from), "{file} has no {from:?}");
        self.write(file, &text.replace(from, to))
    }

    /// One more file of the tenant's folder.
    pub(super) fn add(&self, name: &str, text: &str) -> Result<()> {
        self.write(&format!("{CELL}/orchard/{name}"), text)?;
        self.replace(&format!("{CELL}/orchard/kustomization.yaml"), "crm.yaml,", &format!("crm.yaml, {name},"))
    }

    /// Takes a file out of the tenant's folder.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.git.files.join(format!("{CELL}/orchard/{name}")))?;
        self.replace(&format!("{CELL}/orchard/kustomization.yaml"), &format!("{name}, "), "")
    }

    /// One more line of the job's mapping, which then has five.
    pub(super) fn map_one_more(&self) -> Result<()> {
        let mapped = "- {from: email, to: Email}";
        self.replace("orchard/base/contacts.yaml", mapped, &format!("{mapped}\n      - {{value: Orchard, to: Description}}"))
    }

    /// Production's overlay suspends the job, or says nothing of it.
    pub(super) fn suspend(&self, suspended: bool) -> Result<()> {
        let (without, with) = (GUARDS.to_owned(), format!("    - {{op: add, path: /spec/suspend, value: true}}\n{GUARDS}"));
        let (from, to) = if suspended { (without, with) } else { (with, without) };
        self.replace("orchard/production/kustomization.yaml", &from, &to)
    }

    /// A job that asks for a column that is not there: every run of it fails.
    pub(super) fn add_broken_job(&self) -> Result<()> {
        let job = self.read("orchard/base/contacts.yaml")?.replace("{name: contacts,", "{name: broken,");
        self.add("broken.yaml", &job.replace("SELECT id,", "SELECT nothing, id,"))
    }

    /// What nobody who writes the tenant's folder may have applied: what it is, and its manifest.
    pub(super) fn strangers(&self) -> Result<[(&'static str, String); 4]> {
        let role = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "orchard-reads"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}"#;
        let job = self.read("orchard/base/contacts.yaml")?;
        Ok([
            ("a right of the whole cluster", role.to_owned()),
            ("a right of its namespace", role.replace("ClusterRole", "Role").replace(r#"{"name""#, r#"{"namespace": "orchard", "name""#)),
            (
                "a job of somebody else",
                job.replace("namespace: orchard", "namespace: globex").replace("{name: contacts,", "{name: orchards,"),
            ),
            ("a tenant's leave to be elsewhere", self.read("platform/us-dallas.yaml")?),
        ])
    }

    /// None of them is in the cluster, but for the Region, which is there anyway.
    pub(super) fn no_strangers(&self) -> Result<()> {
        for absent in
            [&["clusterrole", "orchard-reads"][..], &["role", "orchard-reads", "-n", TENANT], &["importjob", "orchards", "-n", "globex"]]
        {
            ensure!(!self.demo.kubectl.exists(absent)?, "{absent:?} is there");
        }
        Ok(())
    }

    /// Takes out the job that takes its time, and two things that are not to be pruned.
    pub(super) fn take_out(&self) -> Result<()> {
        self.remove("slowly.yaml")?;
        self.replace(&format!("{CELL}/orchard/kustomization.yaml"), "crm.yaml, ", "")?;
        self.replace("platform/kustomization.yaml", "us-dallas.yaml, ", "")
    }

    /// Those two, and the tenant, are there as they were.
    pub(super) fn kept(&self) -> Result<()> {
        for kept in [&["connection", "crm", "-n", TENANT][..], &["region", "us-dallas"], &["tenant", TENANT]] {
            let found = self.demo.kubectl.json(&[&["get"], kept].concat())?;
            let gone = found["metadata"]["deletionTimestamp"].is_string();
            ensure!(!gone && matches!(condition(&found, "Ready"), Some(("True", ..))), "{kept:?}: {}", found["status"]);
        }
        Ok(())
    }

    /// A run loads what the job says.
    pub(super) fn loads(&self) -> Result<()> {
        let run = Run::start(self.demo, TENANT, "contacts", &self.folder)?;
        run.ends("True", "Completed")?;
        let rows = run.object()?["status"]["rows"].clone();
        ensure!(rows["read"] == 4_000 && rows["succeeded"] == 3_996 && rows["failed"] == 4, "{rows}");
        Ok(())
    }

    /// A job that reads two thousand rows for some twenty seconds, in a file of its own.
    pub(super) fn add_slow_job(&self) -> Result<()> {
        let job = self.read("orchard/base/contacts.yaml")?.replace("{name: contacts,", "{name: slowly,");
        let slow = "SELECT id, first_name, last_name, email, pg_sleep(0.01)::text FROM contacts WHERE active AND id <= 2500";
        let query = "SELECT id, first_name, last_name, email FROM contacts WHERE active";
        ensure!(job.contains(query), "the example has another query: {job}");
        self.add("slowly.yaml", &job.replace(query, slow))
    }

    /// A run of that job, named for what it is to outlive.
    pub(super) fn start_slowly(&self, why: &str) -> Result<Run<'_>> {
        Run::start_as(&format!("slowly-{why}-{}", std::process::id()), self.demo, TENANT, "slowly", &self.folder)
    }
}

impl Drop for Repository<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a person does who says goodbye to a tenant whose objects had prune protection: `docs/user/gitops.md`.
pub(super) fn say_goodbye(kubectl: &Kubectl) -> Result<()> {
    if kubectl.exists(&["tenant", TENANT])? {
        let confirmed = format!("dataimporter.io/confirm-deletion={TENANT}");
        kubectl.run(&["annotate", "--overwrite", "tenant", TENANT, &confirmed])?;
    }
    for objects in [&["connections", "--all", "-n", TENANT][..], &["tenant", TENANT], &["namespace", TENANT]] {
        kubectl.run(&[&["delete", "--ignore-not-found", "--timeout=120s"], objects].concat())?;
    }
    process::wait_until("orchard's run namespace to be gone", Duration::from_secs(60), || {
        ensure!(!kubectl.exists(&["namespace", &format!("dataimporter-run-{TENANT}")])?, "it is there");
        Ok(())
    })
}
