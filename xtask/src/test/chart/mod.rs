//! The Helm chart without a cluster: lint, the values' schema, what the rendered objects may never say, what it says of itself, its
//! suites, its alerts, and what Argo CD is told about our kinds.

mod about;
mod alerts;
mod argo_cd;
mod objects;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::progress::Progress;
use crate::{cluster, pinned, process, workspace};

const CHART: &str = "charts/dataimporter";
/// The kinds of the Prometheus Operator, for a cluster that has them.
const MONITORED: [&str; 4] =
    ["--api-versions", "monitoring.coreos.com/v1/PodMonitor", "--api-versions", "monitoring.coreos.com/v1/PrometheusRule"];
/// Every optional object, and every value that shapes a pod.
const EVERYTHING: &str = "charts/dataimporter/ci/everything-values.yaml";
/// Values that the schema refuses: `regions={}` is a list of one empty name for Helm. The suite `refused_test.yaml` has many more, each with
/// the words of its refusal.
const REFUSED: [&str; 6] =
    ["regions={}", "regions={Frankfurt}", "worker.memory=lots", "drain.policy=Maybe", "unknown=1", "keeper.replicas=0"];

/// Helm, as the test cluster has it.
pub(super) struct Helm(PathBuf);

impl Helm {
    pub(super) fn build(progress: &Progress) -> Result<Self> {
        Ok(Self(cluster::build(progress)?.program("helm")))
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        process::output(Command::new(&self.0).args(arguments).current_dir(workspace::root()))
    }

    /// What an installation with these arguments consists of.
    fn rendered(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["template", "dataimporter", CHART, "--namespace", "dataimporter-system"], arguments].concat())
    }

    /// What an installation with the least values consists of.
    pub(super) fn least(&self) -> Result<String> {
        self.rendered(&["--set", "regions={eu-frankfurt}"])
    }

    /// Everything that the chart can consist of.
    pub(super) fn everything(&self) -> Result<String> {
        self.rendered(&[&["--values", EVERYTHING], &MONITORED[..]].concat())
    }
}

pub(crate) fn check(progress: &Progress) -> Result<()> {
    let helm = Helm::build(progress)?;
    // An installation without values is one without regions: its notes say what comes next.
    helm.run(&["lint", "--strict", CHART])?;
    let scenarios = scenarios()?;
    for values in &scenarios {
        // Lint knows no kinds but Kubernetes' own, and monitoring is refused without those of Prometheus.
        if values != EVERYTHING {
            helm.run(&["lint", "--strict", CHART, "--values", values])?;
        }
        helm.rendered(&[&["--values", values], &MONITORED[..]].concat())?;
    }
    for wrong in REFUSED {
        ensure!(helm.rendered(&["--set", wrong]).is_err(), "the values' schema must refuse --set {wrong}");
    }
    let (least, everything) = (helm.least()?, helm.everything()?);
    objects::no_cluster_role_names_secrets(&least)?;
    objects::secrets_are_named_for_registry_logins_only(&everything)?;
    for rendered in [&least, &everything] {
        ensure!(rendered.matches("helm.sh/resource-policy: keep").count() == 6, "every CRD must survive an uninstall");
    }
    about::check()?;
    let labelled = objects::common_labels(&documents(&everything)?)?;
    println!("chart: {} sets of values, schema and {labelled} rendered objects are as they must be", scenarios.len() + 1);
    println!("chart: {}", suites(&unittest(progress)?)?);
    argo_cd::check()?;
    alerts::check(&documents(&everything)?)
}

/// The sets of values that lie beside the chart, as paths below the project's folder.
fn scenarios() -> Result<Vec<String>> {
    let folder = workspace::root().join(CHART).join("ci");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(name.ends_with("-values.yaml"), "{CHART}/ci/{name}: sets of values are called NAME-values.yaml");
        found.push(format!("{CHART}/ci/{name}"));
    }
    found.sort();
    ensure!(found.contains(&EVERYTHING.to_owned()), "{EVERYTHING} is not there");
    Ok(found)
}

fn documents(rendered: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(rendered).context("the rendered chart is not YAML")
}

/// Runs the suites that lie beside the chart; answers with what was said.
fn unittest(progress: &Progress) -> Result<String> {
    let log = workspace::target().join("tests/helm-unittest.log");
    std::fs::create_dir_all(log.parent().context("a log lies in a folder")?)?;
    let mut suites = Command::new(pinned::helm_unittest(progress)?);
    process::logged(suites.args(["--strict", CHART]).current_dir(workspace::root()), &log)?;
    std::fs::read_to_string(&log).with_context(|| format!("{} cannot be read", log.display()))
}

/// The line with which helm-unittest counts its tests. One that ran none found nothing.
fn suites(said: &str) -> Result<String> {
    let line = said.lines().find(|line| line.starts_with("Tests:")).context("helm-unittest counted no tests")?;
    let passed = line.split(',').find_map(|part| part.trim().trim_start_matches("Tests:").trim().strip_suffix(" passed"));
    let passed: usize = passed.and_then(|number| number.parse().ok()).with_context(|| format!("helm-unittest says: {line}"))?;
    ensure!(passed >= 60, "only {passed} tests of the chart's suites ran");
    Ok(format!("{passed} tests of its suites passed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_that_run_nothing_are_no_proof() {
        assert_eq!(suites("Charts: 1\nTests:       70 passed, 70 total\n").unwrap(), "70 tests of its suites passed");
        assert!(suites("Tests:       0 passed, 0 total").is_err());
        assert!(suites("Tests:       2 failed, 68 passed, 70 total").is_ok(), "its exit code says that two failed");
        assert!(suites("nothing").is_err());
    }
}
