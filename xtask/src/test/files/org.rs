//! The Salesforce side: the emulator's own program with one object a file, looked at with `curl` through its tester's door.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::certificate::{self, Certificate};
use crate::process;

pub(super) struct Org {
    program: Child,
    login: Login,
    authority: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    url: String,
    client_id: String,
    client_secret: String,
}

/// What the Salesforce side holds of one object.
#[derive(Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) sha256: String,
}

impl Org {
    pub(super) fn start(program: &Path, objects: &[Value], scratch: &Path) -> Result<Self> {
        let Certificate { certificate, key } = certificate::of_server("emulator", "127.0.0.1", scratch)?;
        let schema = scratch.join("schema.yaml");
        std::fs::write(&schema, json!({"objects": objects}).to_string())?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--enable-admin", "--tls-cert"]).arg(certificate).arg("--tls-key").arg(key);
        command.arg("--schema").arg(schema).env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = command.spawn().context("cannot start the emulator")?;
        let mut line = String::new();
        BufReader::new(program.stdout.take().context("standard output is piped")?).read_line(&mut line)?;
        let login = serde_json::from_str(&line).with_context(|| format!("the emulator did not start: it said {line:?}"))?;
        Ok(Self { program, login, authority: certificate::authority() })
    }

    /// The Connection that leads here, and its Secret.
    pub(super) fn manifests(&self) -> Result<[Value; 2]> {
        let authority = std::fs::read_to_string(&self.authority)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "crm-oauth"},
            "stringData": {"clientSecret": self.login.client_secret},
        });
        let connection = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "crm"},
            "spec": {
                "salesforce": {
                    "loginUrl": self.login.url, "auth": {"clientCredentials": {"clientId": self.login.client_id}},
                    "tls": {"caBundle": authority},
                },
                "credentials": {"secretRef": {"name": "crm-oauth", "afterIntake": "Keep"}},
            },
        });
        Ok([secret, connection])
    }

    pub(super) fn holds(&self, object: &str, fields: &[String]) -> Result<Held> {
        let url = format!("{}/emulator/digest/{object}?fields={}", self.login.url, fields.join(","));
        let said = process::output(
            Command::new("curl")
                .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--cacert"])
                .arg(&self.authority)
                .arg(url),
        )?;
        serde_json::from_str(&said).with_context(|| format!("the emulator answered {said:.200}"))
    }
}

impl Drop for Org {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about a process that cannot be ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
