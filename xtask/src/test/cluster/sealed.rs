//! A tenant whose credentials come sealed in their Connections, as from Git: nobody brings a Secret or writes a Role.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::Beside;
use super::runs::Run;
use crate::demo::Demo;
use crate::process;

pub(super) const CHECKS: &[Check] =
    &[("a job runs on credentials that were sealed into their Connections, which open in no other namespace", sealed)];

const TENANT: &str = "sealer";
const OTHER: &str = "lakeside";

fn sealed(demo: &Demo) -> Result<()> {
    let beside = Beside::start(demo)?;
    beside.tenant(TENANT)?;
    beside.tenant(OTHER)?;
    let folder = demo.folder.join("sealed");
    std::fs::create_dir_all(&folder)?;
    let clear = folder.join("connections.json");
    std::fs::write(&clear, beside.manifests(TENANT)?.to_string())?;
    ensure!(std::fs::read_to_string(&clear)?.contains(&beside.marker), "control: what is sealed was in clear");
    let made = process::output(&mut demo.plugin_command(&["seal", "-f", &clear.to_string_lossy(), "-o", "json"]))?;
    ensure!(!made.contains(&beside.marker), "a secret is in what is to lie in Git: {made}");
    let made: Value = serde_json::from_str(&made).context("kubectl import seal prints JSON")?;
    ensure!(made["items"].as_array().is_some_and(|items| items.len() == 2), "not two Connections: {made}");

    demo.kubectl.apply(&made)?;
    beside.connection_says(TENANT, "crm", "Verified", "")?;
    beside.connection_says(TENANT, "warehouse", "Verified", "PostgreSQL")?;
    let there = demo.kubectl.json(&["get", "secrets,roles", "-n", TENANT])?;
    let there: Vec<&str> = there["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    ensure!(!there.iter().any(|name| name.contains("crm") || name.contains("warehouse") || name.contains("intake")), "there are {there:?}");

    // What a neighbour copies from the repository.
    let mut copied = made.clone();
    for item in copied["items"].as_array_mut().into_iter().flatten() {
        item["metadata"]["namespace"] = json!(OTHER);
    }
    demo.kubectl.apply(&copied)?;
    for name in ["crm", "warehouse"] {
        beside.connection_says(OTHER, name, "SealedForAnother", &format!("of Connection {OTHER}/{name}, tenant {OTHER}, for "))?;
    }

    beside.job(TENANT, "contacts", "warehouse", "SELECT id, first_name, last_name FROM contacts")?;
    let run = Run::start(demo, TENANT, "contacts", &folder)?;
    run.ends("True", "Completed")?;
    let rows = run.object()?["status"]["rows"].clone();
    ensure!(rows["read"] == 2_000 && rows["succeeded"] == 2_000, "{rows}");
    Ok(())
}
