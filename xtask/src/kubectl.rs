//! `kubectl` for the commands that drive a cluster: apply, get, wait, forward a port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// A cluster as `kubectl` reaches it.
#[derive(Clone)]
pub(crate) struct Kubectl {
    pub(crate) program: PathBuf,
    /// The kubeconfig's file; the user's own when absent.
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
}

impl Kubectl {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        self.point(&mut command);
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command.args(arguments);
        command
    }

    /// Makes any other client use this cluster.
    pub(crate) fn point<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(file) = &self.kubeconfig {
            command.env("KUBECONFIG", file);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.command(arguments))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let said = process::output(self.command(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&said).context("kubectl answered with something that is not JSON")
    }

    /// Applies an object that is made here.
    pub(crate) fn apply(&self, object: &Value) -> Result<String> {
        self.fed(&["apply", "--server-side", "--force-conflicts", "--field-manager=xtask", "-f", "-"], &object.to_string())
    }

    /// Runs a command with `input` on its standard input.
    pub(crate) fn fed(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        child.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("kubectl {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    pub(crate) fn exists(&self, arguments: &[&str]) -> Result<bool> {
        Ok(!self.run(&[&["get", "--ignore-not-found", "-o", "name"], arguments].concat())?.trim().is_empty())
    }

    /// Forwards a free local port for as long as the answer lives.
    pub(crate) fn forward(&self, namespace: &str, target: &str, port: u16) -> Result<Forward> {
        let mut child = self
            .command(&["port-forward", "-n", namespace, target, &format!(":{port}"), "--address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start kubectl port-forward")?;
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        said.read_line(&mut line)?;
        // It says a line for every connection, and would end if nobody listened.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        // "Forwarding from 127.0.0.1:40123 -> 8443"
        match line.split_whitespace().nth(2).and_then(|address| address.rsplit(':').next()?.parse().ok()) {
            Some(local) => Ok(Forward { child, port: local }),
            None => {
                let _ = child.kill();
                bail!("kubectl port-forward to {namespace}/{target} did not start: {}", line.trim())
            }
        }
    }
}

pub(crate) struct Forward {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `status`, `reason` and `message` of a condition.
pub(crate) fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let found = object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == type_)?;
    Some((found["status"].as_str()?, found["reason"].as_str().unwrap_or_default(), found["message"].as_str().unwrap_or_default()))
}
