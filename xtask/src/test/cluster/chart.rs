//! The installed chart with other values, as an administrator changes them.

use std::process::Command;

use anyhow::Result;

use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::{process, workspace};

/// Helm, in the namespace of the installation.
pub(super) fn helm(kubectl: &Kubectl, arguments: &[&str]) -> Result<String> {
    let mut helm = Command::new(kubectl.program.with_file_name("helm"));
    kubectl.point(&mut helm).args(arguments).args(["--namespace", SYSTEM]);
    process::output(&mut helm)
}

/// Values as `helm --set` has them, the others as they were. Comes back once the pods are those of the new values.
pub(super) fn set(kubectl: &Kubectl, values: &[&str]) -> Result<()> {
    let chart = workspace::root().join("charts/dataimporter").to_string_lossy().into_owned();
    let upgrade = ["upgrade", "dataimporter", &chart, "--reuse-values", "--wait", "--timeout", "240s"];
    helm(kubectl, &[&upgrade[..], &values.iter().flat_map(|value| ["--set", value]).collect::<Vec<_>>()].concat())?;
    // Helm calls an upgraded StatefulSet ready while its old pod still answers.
    rolled_out(kubectl)
}

/// Waits until operator and keeper run as their objects say.
pub(super) fn rolled_out(kubectl: &Kubectl) -> Result<()> {
    for workload in ["statefulset/dataimporter-keeper", "deployment/dataimporter-operator"] {
        kubectl.run(&["rollout", "status", workload, "-n", SYSTEM, "--timeout=240s"])?;
    }
    Ok(())
}
