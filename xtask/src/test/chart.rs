//! The Helm chart without a cluster: lint, the values' schema, and what the rendered objects may never say.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::progress::Progress;
use crate::{cluster, process, workspace};

const CHART: &str = "charts/dataimporter";
const VALUES: [&str; 2] = ["--set", "regions={eu-frankfurt}"];

pub(crate) fn check(progress: &Progress) -> Result<()> {
    let program = cluster::build(progress)?.program("helm");
    let helm = |arguments: &[&str]| process::output(Command::new(&program).args(arguments).current_dir(workspace::root()));
    helm(&[&["lint", "--strict", CHART], &VALUES[..]].concat())?;
    let rendered = helm(&[&["template", "dataimporter", CHART, "--namespace", "dataimporter-system"], &VALUES[..]].concat())?;
    no_cluster_role_names_secrets_but_owner_create(&rendered)?;
    ensure!(rendered.matches("helm.sh/resource-policy: keep").count() == 6, "every CRD must survive an uninstall");
    for wrong in ["regions={}", "worker.memory=lots", "drain.policy=Maybe", "unknown=1", "keeper.replicas=2"] {
        let refused = helm(&["template", "dataimporter", CHART, "--set", "regions={eu-frankfurt}", "--set", wrong]).is_err();
        ensure!(refused, "the values' schema must refuse --set {wrong}");
    }
    println!("chart: lint, schema and rendered objects are as they must be");
    Ok(())
}

/// Our processes' ClusterRoles never name secrets; members who own a namespace may create one, and not read it back.
fn no_cluster_role_names_secrets_but_owner_create(rendered: &str) -> Result<()> {
    let mut control = 0;
    let rendered: String = rendered.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    for document in rendered.split("\n---") {
        if !document.contains("\nkind: ClusterRole\n") {
            continue;
        }
        control += 1;
        let name = document.lines().find_map(|line| line.strip_prefix("  name: ")).context("a ClusterRole has a name")?;
        let about_secrets: Vec<&str> = document.split("- apiGroups").filter(|rule| rule.contains("secrets")).collect();
        match (name, about_secrets.as_slice()) {
            (_, []) => {}
            ("dataimporter-owner", [rule]) if rule.contains("verbs: [create]") => {}
            _ => bail!("ClusterRole {name} names secrets:\n{}", about_secrets.join("\n")),
        }
    }
    ensure!(control >= 5, "only {control} ClusterRoles were looked at");
    Ok(())
}
