//! The Helm chart without a cluster: lint, the values' schema, and what the rendered objects may never say.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress::Progress;
use crate::{cluster, process, workspace};

const CHART: &str = "charts/dataimporter";
const VALUES: [&str; 2] = ["--set", "regions={eu-frankfurt}"];

pub(crate) fn check(progress: &Progress) -> Result<()> {
    let program = cluster::build(progress)?.program("helm");
    let helm = |arguments: &[&str]| process::output(Command::new(&program).args(arguments).current_dir(workspace::root()));
    helm(&[&["lint", "--strict", CHART], &VALUES[..]].concat())?;
    let rendered = helm(&[&["template", "dataimporter", CHART, "--namespace", "dataimporter-system"], &VALUES[..]].concat())?;
    no_cluster_role_names_secrets(&rendered)?;
    ensure!(rendered.matches("helm.sh/resource-policy: keep").count() == 6, "every CRD must survive an uninstall");
    for wrong in ["regions={}", "worker.memory=lots", "drain.policy=Maybe", "unknown=1", "keeper.replicas=2"] {
        let refused = helm(&["template", "dataimporter", CHART, "--set", "regions={eu-frankfurt}", "--set", wrong]).is_err();
        ensure!(refused, "the values' schema must refuse --set {wrong}");
    }
    println!("chart: lint, schema and rendered objects are as they must be");
    Ok(())
}

/// Neither our processes' ClusterRoles nor those of members: a user who brings or reads a Secret got that right from somebody else.
fn no_cluster_role_names_secrets(rendered: &str) -> Result<()> {
    let mut control = 0;
    let bare = |line: &str| format!("{}\n", line.split_once(" #").map_or(line, |(rule, _)| rule));
    let rendered: String = rendered.lines().filter(|line| !line.trim_start().starts_with('#')).map(bare).collect();
    for document in rendered.split("\n---").filter(|document| document.contains("\nkind: ClusterRole\n")) {
        control += 1;
        let name = document.lines().find_map(|line| line.strip_prefix("  name: ")).context("a ClusterRole has a name")?;
        ensure!(!document.contains("secrets") && !document.contains('*'), "ClusterRole {name} names secrets, or everything:\n{document}");
    }
    ensure!(control >= 5, "only {control} ClusterRoles were looked at");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(rule: &str) -> String {
        (0..5)
            .map(|n| format!("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: r{n}\nrules:\n{rule}\n"))
            .collect()
    }

    #[test]
    fn one_rule_about_secrets_is_one_too_many() {
        assert!(no_cluster_role_names_secrets(&roles("- {apiGroups: [\"\"], resources: [pods], verbs: [get]} # no secrets")).is_ok());
        let create = no_cluster_role_names_secrets(&roles("- {apiGroups: [\"\"], resources: [secrets], verbs: [create]}")).unwrap_err();
        assert!(create.to_string().contains("ClusterRole r0 names secrets"), "{create}");
        assert!(no_cluster_role_names_secrets(&roles("- {apiGroups: [\"*\"], resources: [\"*\"], verbs: [get]}")).is_err());
        assert!(no_cluster_role_names_secrets("").is_err(), "nothing to look at is no proof");
    }
}
