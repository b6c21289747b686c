//! What the Salesforce side itself says, asked with `curl` and not with our client.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::kubectl::{Forward, Kubectl};
use crate::process;

const HOST: &str = "salesforce-emulator.demo.svc";

pub(crate) struct SalesforceSide<'a> {
    forward: Forward,
    authority: &'a Path,
    token: String,
}

impl<'a> SalesforceSide<'a> {
    pub(crate) fn open(kubectl: &Kubectl, authority: &'a Path) -> Result<Self> {
        let forward = kubectl.forward("demo", "service/salesforce-emulator", 8443)?;
        let mut side = Self { forward, authority, token: String::new() };
        let body = "grant_type=client_credentials&client_id=demo-client&client_secret=demo-client-secret-of-no-value";
        let answer = side.ask("/services/oauth2/token", &["--data", body])?;
        side.token = answer["access_token"].as_str().context("the Salesforce side gave no token")?.to_owned();
        Ok(side)
    }

    /// The local port that leads there.
    pub(crate) fn port(&self) -> u16 {
        self.forward.port
    }

    /// For other clients that ask the same side.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// `SELECT COUNT() FROM …`
    pub(crate) fn count(&self, from: &str) -> Result<i64> {
        let (bearer, query) = (format!("Authorization: Bearer {}", self.token), format!("q=SELECT COUNT() FROM {from}"));
        let answer = self.ask("/services/data/v66.0/query", &["--get", "--data-urlencode", &query, "--header", &bearer])?;
        answer["totalSize"].as_i64().with_context(|| format!("the Salesforce side answered {answer}"))
    }

    fn ask(&self, path: &str, arguments: &[&str]) -> Result<Value> {
        let port = self.forward.port;
        let said = process::output(
            Command::new("curl")
                .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--cacert"])
                .arg(self.authority)
                .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1"), &format!("https://{HOST}:{port}{path}")])
                .args(arguments),
        )?;
        serde_json::from_str(&said).with_context(|| format!("the Salesforce side answered {said:.200}"))
    }
}
