//! A Salesforce to try on as a process of this machine: with TLS on a free port of loopback, asked with `curl` and not with our client.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process;

/// A running emulator; it ends with the value, or with the process that holds the value, however that ends.
pub(crate) struct Emulator {
    child: Child,
    login: Login,
    pub(crate) token: String,
    /// What clients have to trust: a file.
    pub(crate) authority: PathBuf,
}

/// The first line that the program writes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    url: String,
    client_id: String,
    client_secret: String,
    authority: String,
}

impl Emulator {
    /// Its log and its authority become files of `folder`.
    pub(crate) fn start(program: &Path, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let log = folder.join("salesforce.log");
        let mut child = Command::new(program)
            .args(["--own-authority", "--stop-with-stdin"])
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its standard output is piped")?).read_line(&mut line)?;
        let login: Login = serde_json::from_str(&line).with_context(|| format!("the emulator did not start; {}", process::tail(&log)))?;
        let authority = folder.join("salesforce-authority.crt");
        std::fs::write(&authority, &login.authority).with_context(|| format!("cannot write {}", authority.display()))?;
        let mut emulator = Self { child, login, token: String::new(), authority };
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}", emulator.login.client_id, emulator.login.client_secret);
        let answer = emulator.ask("/services/oauth2/token", &["--data", &form])?;
        emulator.token = answer["access_token"].as_str().context("the emulator gave no token")?.to_owned();
        Ok(emulator)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> &str {
        &self.login.url
    }

    /// A Secret and the Connection `crm` that leads here with it.
    pub(crate) fn manifests(&self, namespace: &str) -> [Value; 2] {
        let Login { url, client_id, client_secret, authority } = &self.login;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "crm-oauth", "namespace": namespace},
            "stringData": {"clientSecret": client_secret},
        });
        let connection = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "crm", "namespace": namespace},
            "spec": {
                "salesforce": {"loginUrl": url, "auth": {"clientCredentials": {"clientId": client_id}}, "tls": {"caBundle": authority}},
                "credentials": {"secretRef": {"name": "crm-oauth", "afterIntake": "Keep"}},
            },
        });
        [secret, connection]
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// `curl` that trusts it and nobody else.
    pub(crate) fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--cacert"]).arg(&self.authority);
        command
    }

    pub(crate) fn ask(&self, path: &str, arguments: &[&str]) -> Result<Value> {
        let url = format!("{}{path}", self.login.url);
        let said = process::output(self.curl().args(["--fail-with-body", "--max-time", "60"]).args(arguments).arg(url))?;
        serde_json::from_str(&said).with_context(|| format!("the emulator answered {said:.200}"))
    }

    /// Returns when it ends by itself, or by somebody's signal.
    pub(crate) fn wait(&mut self) -> Result<()> {
        // Waiting would close its input first.
        let input = self.child.stdin.take();
        self.child.wait()?;
        drop(input);
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about a process that cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
