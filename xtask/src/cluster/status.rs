//! Whether the cluster runs and is well, for people and for programs.

use std::fmt::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::layout::{Layout, NODES};
use super::running::{Cluster, ClusterState};
use super::toolchain;
use crate::process;

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Human,
    Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    up: bool,
    kubeconfig: String,
    server: Option<String>,
    nodes: Vec<NodeStatus>,
    daemons: Vec<DaemonStatus>,
    trouble: Vec<String>,
}

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    region: String,
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DaemonStatus {
    name: String,
    pid: u32,
    running: bool,
    memory_bytes: u64,
    log: String,
}

/// Looks at the processes first; the API server is asked only when all of them run.
pub(crate) fn of(layout: &Layout) -> Status {
    let kubeconfig = layout.kubeconfig().display().to_string();
    let mut status = Status { up: false, kubeconfig, server: None, nodes: Vec::new(), daemons: Vec::new(), trouble: Vec::new() };
    let Some(state) = ClusterState::load(layout) else {
        status.trouble.push(if layout.root.exists() { "a start was not finished" } else { "no cluster was started" }.to_owned());
        return status;
    };
    status.server = Some(format!("https://127.0.0.1:{}", state.api_port));
    for daemon in &state.daemons {
        let running = daemon.is_alive();
        if !running {
            status.trouble.push(format!("{} has ended", daemon.name));
        }
        let log = layout.log(&daemon.name).display().to_string();
        status.daemons.push(DaemonStatus { name: daemon.name.clone(), pid: daemon.pid, running, memory_bytes: daemon.memory(), log });
    }
    if status.trouble.is_empty() {
        let cluster = Cluster { layout: layout.clone(), state };
        if let Err(error) = ask(&cluster, &mut status) {
            status.trouble.push(format!("{error:#}"));
        }
    }
    status.up = status.trouble.is_empty();
    status
}

fn ask(cluster: &Cluster, status: &mut Status) -> Result<()> {
    let arguments = ["get", "nodes,deployments.apps", "--namespace=kube-system", "--output=json", "--request-timeout=5s"];
    let objects: Value = serde_json::from_str(&process::output(&mut cluster.kubectl(&arguments))?)?;
    let objects = objects["items"].as_array().cloned().unwrap_or_default();
    let find = |kind: &str, name: &str| objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    for node in &NODES {
        let conditions = find("Node", node.name).and_then(|object| object["status"]["conditions"].as_array());
        let ready = conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
        if !ready {
            status.trouble.push(format!("node {} is not ready", node.name));
        }
        status.nodes.push(NodeStatus { name: node.name.to_owned(), region: node.region.to_owned(), ready });
    }
    if find("Deployment", "coredns").is_none_or(|object| object["status"]["readyReplicas"] != 1) {
        status.trouble.push("cluster DNS is not ready".to_owned());
    }
    Ok(())
}

impl Status {
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        (!self.trouble.is_empty()).then(|| self.trouble.join("; "))
    }

    pub(crate) fn shown(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Human => self.human(),
            Format::Json => serde_json::to_string_pretty(self)?,
        })
    }

    pub(crate) fn human(&self) -> String {
        let mut text = if self.up { "The cluster is up.\n".to_owned() } else { "The cluster is down.\n".to_owned() };
        for trouble in &self.trouble {
            let _ = writeln!(text, "  {trouble}");
        }
        if !self.daemons.is_empty() {
            let _ = writeln!(text, "\n{:<26}{:>8}  {:<8}{:>8}", "PROCESS", "PID", "STATE", "MEMORY");
            for daemon in &self.daemons {
                let state = if daemon.running { "running" } else { "ended" };
                let _ = writeln!(text, "{:<26}{:>8}  {state:<8}{:>5} MB", daemon.name, daemon.pid, daemon.memory_bytes / 1_000_000);
            }
        }
        if !self.nodes.is_empty() {
            let _ = writeln!(text, "\n{:<26}{:<14}STATE", "NODE", "REGION");
            for node in &self.nodes {
                let _ = writeln!(text, "{:<26}{:<14}{}", node.name, node.region, if node.ready { "ready" } else { "not ready" });
            }
        }
        if self.up {
            let _ = write!(
                text,
                "\nexport KUBECONFIG={}\nexport PATH={}:$PATH    # kubectl, helm",
                self.kubeconfig,
                toolchain::link().display()
            );
        } else {
            let _ = write!(text, "\nStart it with: cargo xtask cluster up");
        }
        text
    }
}
