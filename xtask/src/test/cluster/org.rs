//! A Salesforce beside the cluster, asked with `curl` at its tester's door and elsewhere.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::beside::authority;
use crate::certificate::{self, Certificate};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::process;

const CLIENT: &str = "canary";

/// Where it is.
pub(super) struct Org {
    pub(super) host: &'static str,
    pub(super) address: &'static str,
    pub(super) port: u16,
}

impl Org {
    pub(super) fn url(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }

    /// The command that is this Salesforce.
    pub(super) fn server(&self, demo: &Demo, tls: &Certificate, client_secret: &str) -> Result<Command> {
        let program = demo.bin.join("salesforce-emulator").to_string_lossy().into_owned();
        let listen = format!("{}:{}", self.address, self.port);
        let mut server = Cluster::find()?.in_network(&[&program, "--listen", &listen, "--client-id", CLIENT, "--enable-admin"])?;
        server.args(["--public-url", &self.url(), "--tls-cert"]).arg(&tls.certificate).arg("--tls-key").arg(&tls.key);
        // Its first line says the secret.
        server.env("EMULATOR_CLIENT_SECRET", client_secret).env("RUST_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null());
        Ok(server)
    }

    /// It in a Connection's words.
    pub(super) fn connection(&self) -> Result<Value> {
        let (auth, tls) = (json!({"clientCredentials": {"clientId": CLIENT}}), json!({"caBundle": authority()?}));
        Ok(json!({"salesforce": {"loginUrl": self.url(), "auth": auth, "tls": tls}}))
    }

    pub(super) fn ask(&self, path: &str, arguments: &[&str]) -> Result<Value> {
        let authority = certificate::authority().to_string_lossy().into_owned();
        let resolve = format!("{}:{}:{}", self.host, self.port, self.address);
        let url = format!("{}{path}", self.url());
        let curl = ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", "--noproxy", "*"];
        let to = ["--cacert", &authority, "--resolve", &resolve, &url];
        let said = process::output(&mut Cluster::find()?.in_network(&[&curl[..], &to, arguments].concat())?)?;
        if said.trim().is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&said).with_context(|| format!("it answered {said:.200}"))
        }
    }

    pub(super) fn token(&self, client_secret: &str) -> Result<String> {
        let secret = format!("client_secret={client_secret}");
        let form = ["--data", "grant_type=client_credentials", "--data", &format!("client_id={CLIENT}"), "--data", &secret];
        let answer = self.ask("/services/oauth2/token", &form)?;
        answer["access_token"].as_str().map(str::to_owned).context("the Salesforce side gave no token")
    }

    /// So many calls of this kind wait so long for their answer, once `skip` of them have passed.
    pub(super) fn hold(&self, skip: u32, (method, path): (&str, &str), seconds: u32, times: u32) -> Result<()> {
        let delay =
            json!({"action": "delay", "milliseconds": seconds * 1000, "method": method, "path": path, "skip": skip, "times": times});
        let fault = delay.to_string();
        let arguments = ["--request", "POST", "--header", "content-type: application/json", "--data", &fault];
        self.ask("/emulator/faults", &arguments).map(drop)
    }

    pub(super) fn let_pass(&self) -> Result<()> {
        self.ask("/emulator/faults", &["--request", "DELETE"]).map(drop)
    }
}
