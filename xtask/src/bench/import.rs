//! `dataimporter run` on the file, as a person would start it, and whether every row arrived.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::child::{Measured, measured};
use super::data::COLUMNS;
use super::org::Org;

/// Of all objects: they find each other within it.
const NAMESPACE: &str = "bench";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Results {
    /// Every row with all its columns and what Salesforce said, in files.
    Files,
    /// `results: {none: {}}`: read and counted only.
    None,
}

pub(super) struct Import<'a> {
    pub(super) program: &'a Path,
    pub(super) folder: &'a Path,
}

/// A finished run.
pub(super) struct Ran {
    pub(super) process: Measured,
    pub(super) server_processor_seconds: f64,
}

#[derive(Deserialize)]
struct Summary {
    rows: Rows,
}

#[derive(Deserialize)]
struct Rows {
    succeeded: u64,
}

impl Import<'_> {
    /// Loads the file into the org; a row that does not arrive is an error.
    pub(super) fn run(&self, org: &Org, file: &Path, rows: u64, results: Results) -> Result<Ran> {
        let manifests = self.manifests(org, results)?;
        let before = (org.accounts()?, org.processor_seconds()?);
        let mut command = Command::new(self.program);
        command.args(["run", "--quiet", "--output", "json", "--filename"]).arg(&manifests).arg("--file").arg(file);
        command.arg("--results-dir").arg(self.folder.join("results"));
        let process = measured(&mut command, &self.folder.join("import.log"), &[0])?;
        let server_processor_seconds = org.processor_seconds()? - before.1;
        let summary: Summary = serde_json::from_str(&process.stdout).context("the summary of the import cannot be read")?;
        let (told, counted) = (summary.rows.succeeded, org.accounts()? - before.0);
        ensure!(told == rows && counted == rows, "{rows} rows were sent, the import tells of {told} and Salesforce of {counted}");
        Ok(Ran { process, server_processor_seconds })
    }

    fn manifests(&self, org: &Org, results: Results) -> Result<PathBuf> {
        let path = self.folder.join("job.yaml");
        // JSON is YAML.
        let [secret, connection] = org.manifests(NAMESPACE);
        let documents = [secret, connection, job(results)].map(|document| document.to_string());
        std::fs::write(&path, documents.join("\n---\n")).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn job(results: Results) -> Value {
    let mapping: Vec<Value> = COLUMNS.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
    let mut job = json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "customers", "namespace": NAMESPACE},
        "spec": {
            "source": {"upload": {"name": "customers"}},
            "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": mapping}},
        },
    });
    if results == Results::None {
        job["spec"]["results"] = json!({"none": {}});
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_written_unless_the_job_says_no() {
        assert_eq!(job(Results::Files)["spec"].get("results"), None);
        assert_eq!(job(Results::None)["spec"]["results"], json!({"none": {}}));
        assert_eq!(job(Results::Files)["spec"]["target"]["salesforce"]["mapping"][1], json!({"from": "Company", "to": "Name"}));
    }
}
