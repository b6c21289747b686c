//! checkov's policies against the rendered chart, as it is installed with the least and with every value. What it finds is mended or has a
//! reason in `xtask/checkov/skips.yaml`; a reason without a finding is one too many.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::chart::Helm;
use crate::progress::Progress;
use crate::{process, python, workspace};

const SKIPS: &str = "xtask/checkov/skips.yaml";

/// A finding that stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    check: String,
    /// `Kind/name` each.
    resources: BTreeSet<String>,
    reason: String,
}

pub(crate) fn check(progress: &Progress) -> Result<()> {
    let helm = Helm::build(progress)?;
    let program = python::environment(progress, "checkov")?.join("bin/checkov");
    let folder = workspace::target().join("tests/checkov");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("least.yaml"), helm.least()?)?;
    fs::write(folder.join("everything.yaml"), helm.everything()?)?;
    let mut checkov = Command::new(&program);
    checkov.args(["--skip-download", "--framework", "kubernetes", "--output", "json", "--soft-fail", "--directory"]).arg(&folder);
    let said = progress.during("checkov", String::new, || process::output(&mut checkov))?;
    let report: Value = serde_json::from_str(&said).context("checkov prints JSON")?;
    let passed = report["summary"]["passed"].as_u64().unwrap_or_default();
    // A check that reads nothing finds nothing.
    ensure!(passed > 500, "checkov passed only {passed} checks: it did not see the chart");
    let text = fs::read_to_string(workspace::root().join(SKIPS)).with_context(|| format!("{SKIPS} cannot be read"))?;
    let skips: Vec<Skip> = serde_saphyr::from_str(&text).with_context(|| format!("{SKIPS} is no list of skips"))?;
    let explained = judge(&findings(&report)?, &skips)?;
    println!("checkov: {passed} checks passed, {explained} findings stay for a reason that {SKIPS} names");
    Ok(())
}

/// What was found: the check and what it says, by check and `Kind/name`.
fn findings(report: &Value) -> Result<BTreeMap<(String, String), String>> {
    let failed = report["results"]["failed_checks"].as_array().context("checkov lists what failed")?;
    let one = |finding: &Value| {
        let (check, resource) = (finding["check_id"].as_str()?, finding["resource"].as_str()?);
        let (kind, rest) = resource.split_once('.')?;
        let name = rest.split_once('.').map_or(rest, |(_, name)| name);
        Some(((check.to_owned(), format!("{kind}/{name}")), finding["check_name"].as_str().unwrap_or_default().to_owned()))
    };
    failed.iter().map(|finding| one(finding).with_context(|| format!("a finding of checkov that this does not read: {finding}"))).collect()
}

/// Every finding has a reason and every reason a finding. Answers how many there are.
fn judge(findings: &BTreeMap<(String, String), String>, skips: &[Skip]) -> Result<usize> {
    let mut wrong = Vec::new();
    for ((check, resource), says) in findings {
        if !skips.iter().any(|skip| skip.check == *check && skip.resources.contains(resource)) {
            wrong.push(format!("{check} for {resource}: {says}"));
        }
    }
    for skip in skips {
        if skip.reason.trim().is_empty() {
            wrong.push(format!("{SKIPS}: {} has no reason", skip.check));
        }
        for resource in &skip.resources {
            if !findings.contains_key(&(skip.check.clone(), resource.clone())) {
                wrong.push(format!("{SKIPS}: {} for {resource} is not needed: take it out", skip.check));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("checkov and {SKIPS} do not agree:\n  {}", wrong.join("\n  "));
    }
    Ok(findings.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn skip(resource: &str, reason: &str) -> Skip {
        Skip { check: "CKV_1".into(), resources: [resource.to_owned()].into(), reason: reason.into() }
    }

    #[test]
    fn findings_and_reasons_agree() {
        let report =
            json!({"results": {"failed_checks": [{"check_id": "CKV_1", "resource": "Pod.system.name.of.it", "check_name": "Be good"}]}});
        let found = findings(&report).unwrap();
        assert_eq!(judge(&found, &[skip("Pod/name.of.it", "It is.")]).unwrap(), 1);
        let refused = |skips: &[Skip]| judge(&found, skips).unwrap_err().to_string();
        assert!(refused(&[]).contains("CKV_1 for Pod/name.of.it: Be good"));
        assert!(refused(&[skip("Pod/name.of.it", " ")]).contains("CKV_1 has no reason"));
        let both = refused(&[skip("Pod/name.of.it", "It is."), skip("Pod/other", "It is.")]);
        assert!(both.contains("CKV_1 for Pod/other is not needed"), "{both}");
        assert!(findings(&json!({})).is_err());
    }
}
