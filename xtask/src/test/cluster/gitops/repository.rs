//! A repository as `examples/gitops/README.md` has a team begin one: the examples, with credentials that are sealed for this installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::runs::Run;
use super::git::Git;
use crate::demo::Demo;
use crate::kubectl::Kubectl;
use crate::{process, workspace};

/// The tenant of the examples, and its namespace.
pub(super) const TENANT: &str = "orchard";
pub(super) const CELL: &str = "cells/dallas-production";
const REGION: &str = "us-dallas";
/// As they are in examples/30-connections.yaml: of no value.
pub(super) const CLIENT_SECRET: &str = "demo-client-secret-of-no-value";
const PASSWORD: &str = "demo-password-of-no-value";

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
