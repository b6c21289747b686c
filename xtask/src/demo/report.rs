//! What the demo prints, and whether it is true: the accounting of each run against what was counted from the input, and
//! against what the Salesforce side holds.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::airports::Expected;
use super::number;
use crate::kubectl::condition;

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
    pub(crate) expected: Expected,
    /// Counted by the Salesforce side itself.
    pub(crate) in_salesforce: i64,
    pub(crate) object: Value,
    /// Header and first rows of the file of failed rows.
    pub(crate) failures: Vec<String>,
}

impl Report {
    pub(crate) fn is_true(&self) -> bool {
        self.runs.iter().all(|run| run.findings().is_empty())
    }

    pub(crate) fn print(&self) {
        for run in &self.runs {
            run.print();
        }
        println!("\nHow long it took");
        for (name, took) in &self.stages {
            println!("  {name:<24}{:8.1} s", took.as_secs_f32());
        }
        let total: Duration = self.stages.iter().map(|(_, took)| *took).sum();
        println!("  {:<24}{:8.1} s", "together", total.as_secs_f32());
        println!("\nTry next");
        match &self.kubeconfig {
            Some(kubeconfig) => println!("  export KUBECONFIG={} PATH={}:$PATH", kubeconfig.display(), self.bin.display()),
            None => {
                println!("  export PATH={}:$PATH DATAIMPORTER_GATEWAY=127.0.0.1:8444", self.bin.display());
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

impl RunReport {
    /// Everything that is not as it must be.
    fn findings(&self) -> Vec<String> {
        let rows = |name: &str| number(&self.object, &format!("/status/rows/{name}"));
        let ends =
            ["filtered", "deduplicated", "notSampled", "skipped", "succeeded", "failed", "unprocessed"].map(rows).iter().sum::<i64>();
        let figures = [
            ("rows read", rows("read"), self.expected.read),
            ("rows filtered", rows("filtered"), self.expected.filtered),
            ("rows failed", rows("failed"), self.expected.failed),
            ("rows succeeded", rows("succeeded"), self.expected.succeeded()),
            ("rows with an end", ends, rows("read")),
            ("records in Salesforce", self.in_salesforce, self.expected.succeeded()),
        ];
        let mut findings: Vec<String> = figures
            .iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(what, found, expected)| format!("{what}: {found}, expected {expected}"))
            .collect();
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
        let rows = |name: &str| number(&self.object, &format!("/status/rows/{name}"));
        println!(
            "  rows          {} read = {} filtered + {} deduplicated + {} succeeded + {} failed + {} unprocessed",
            rows("read"),
            rows("filtered"),
            rows("deduplicated"),
            rows("succeeded"),
            rows("failed"),
            rows("unprocessed")
        );
        println!("  in Salesforce {} records, counted there", self.in_salesforce);
        for line in &self.failures {
            println!("  failed.csv    {line}");
        }
        match self.findings() {
            findings if findings.is_empty() => println!("  all true"),
            findings => findings.iter().for_each(|finding| println!("  NOT TRUE      {finding}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(succeeded: i64, in_salesforce: i64) -> RunReport {
        let object = json!({"status": {
            "rows": {"read": 10, "filtered": 1, "failed": 2, "succeeded": succeeded},
            "placement": {"region": "eu-frankfurt", "node": "frankfurt", "keyId": "k"},
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "CompletedWithFailedRows"}],
        }});
        let expected = Expected { read: 10, filtered: 1, failed: 2 };
        RunReport {
            namespace: "acme".into(),
            name: "r".into(),
            region: "eu-frankfurt",
            expected,
            in_salesforce,
            object,
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_adds_up_has_no_findings() {
        assert_eq!(report(7, 7).findings(), Vec::<String>::new());
    }

    #[test]
    fn a_lost_row_and_a_doubled_row_are_found() {
        assert_eq!(report(6, 7).findings(), ["rows succeeded: 6, expected 7", "rows with an end: 9, expected 10"]);
        assert_eq!(report(7, 8).findings(), ["records in Salesforce: 8, expected 7"]);
    }

    #[test]
    fn a_run_elsewhere_is_found() {
        let mut elsewhere = report(7, 7);
        elsewhere.object["status"]["placement"]["region"] = json!("us-dallas");
        assert_eq!(elsewhere.findings().len(), 1);
    }
}
