//! What the demo prints, and whether it is true: the accounting of each run against what was counted from the input, and
//! against what the Salesforce side holds.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::accounting::{self, Accounting};
use crate::kubectl::condition;
use crate::process::quoted;

pub(crate) struct Report {
    pub(crate) runs: Vec<RunReport>,
    pub(crate) stages: Vec<(&'static str, Duration)>,
    pub(crate) bin: PathBuf,
    /// Of the cluster that the demo started; absent when it used another one.
    pub(crate) kubeconfig: Option<PathBuf>,
}

pub(crate) struct RunReport {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) region: &'static str,
    pub(crate) accounting: Accounting,
    pub(crate) object: Value,
}

impl Report {
    pub(crate) fn is_true(&self) -> bool {
        self.runs.iter().all(|run| run.findings().is_empty())
    }

    pub(crate) fn print(&self) {
        for run in &self.runs {
            run.print();
        }
        print_stages(&self.stages);
        println!("\nTry next");
        let bin = quoted(&self.bin);
        match &self.kubeconfig {
            Some(kubeconfig) => println!("  export KUBECONFIG={} PATH={bin}:$PATH", quoted(kubeconfig)),
            None => {
                println!("  export PATH={bin}:$PATH DATAIMPORTER_GATEWAY=127.0.0.1:8444");
                println!("  kubectl port-forward -n dataimporter-system service/dataimporter-gateway 8444:443 &");
            }
        }
        println!("  kubectl get dataimporter -A");
        for run in &self.runs {
            println!("  kubectl import results {}/{} failed.csv", run.namespace, run.name);
        }
        println!("  kubectl import upload my.csv --name mine -n acme      # a CSV of your own: README, \"Your own CSV in five minutes\"");
    }
}

pub(super) fn print_stages(stages: &[(&'static str, Duration)]) {
    println!("\nHow long it took");
    for (name, took) in stages {
        println!("  {name:<24}{:8.1} s", took.as_secs_f32());
    }
    let total: Duration = stages.iter().map(|(_, took)| *took).sum();
    println!("  {:<24}{:8.1} s", "together", total.as_secs_f32());
}

impl RunReport {
    /// Everything that is not as it must be.
    fn findings(&self) -> Vec<String> {
        let mut findings = self.accounting.findings();
        if condition(&self.object, "Succeeded").is_none_or(|(status, ..)| status != "True") {
            findings.push(format!("the run did not succeed: {:?}", condition(&self.object, "Succeeded")));
        }
        let place = self.text("/status/placement/region");
        if place != self.region {
            findings.push(format!("it ran in region {place:?}, expected {:?}", self.region));
        }
        if self.text("/status/placement/node").is_empty() {
            findings.push("status does not say on which node it ran".to_owned());
        }
        findings
    }

    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn print(&self) {
        println!("\n{}/{}", self.namespace, self.name);
        let place = ["region", "node", "keyId"].map(|part| self.text(&format!("/status/placement/{part}")));
        println!("  ran in        {} on node {}, key {}", place[0], place[1], place[2]);
        self.accounting.print();
        self.accounting.print_failures();
        accounting::print_verdict(&self.findings());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::airports::Expected;
    use super::*;

    fn report(region: &str, succeeded: i64) -> RunReport {
        let object = json!({"status": {
            "rows": {"read": 10, "filtered": 1, "failed": 2, "succeeded": succeeded},
            "placement": {"region": region, "node": "frankfurt", "keyId": "k"},
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "CompletedWithFailedRows"}],
        }});
        let accounting = Accounting {
            rows: object["status"]["rows"].clone(),
            expected: Expected { read: 10, filtered: 1, failed: 2 },
            in_salesforce: 7,
            failures: Vec::new(),
        };
        RunReport { namespace: "acme".into(), name: "r".into(), region: "eu-frankfurt", accounting, object }
    }

    #[test]
    fn a_run_that_adds_up_has_no_findings() {
        assert_eq!(report("eu-frankfurt", 7).findings(), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_figure_and_a_run_elsewhere_are_found() {
        assert_eq!(report("eu-frankfurt", 6).findings().len(), 2);
        assert_eq!(report("us-dallas", 7).findings(), ["it ran in region \"us-dallas\", expected \"eu-frankfurt\""]);
    }
}
