//! The chart's alerts and its dashboard: every metric that they name is one of ours and every label one that it has, each alert has a
//! section in the operations guide, and promtool finds each of them firing in one case and silent in another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{process, workspace};

const RULES: &str = "charts/dataimporter/files/alerts.yaml";
const DASHBOARD: &str = "charts/dataimporter/files/dashboard.json";
/// Cases for promtool.
const CASES: &str = "charts/dataimporter/tests/alerts/cases.yaml";
const METRICS: &str = "docs/reference/metrics.md";
const RUNBOOKS: &str = "docs/operations.md";
/// Labels that a PodMonitor adds to what it scrapes.
const SCRAPED: [&str; 3] = ["namespace", "pod", "container"];

/// `objects`: everything that the chart can consist of.
pub(super) fn check(objects: &[Value]) -> Result<()> {
    let read = |path: &str| fs::read_to_string(workspace::root().join(path)).with_context(|| format!("{path} cannot be read"));
    let known = known(&read(METRICS)?);
    ensure!(known.len() > 10, "only {} metrics are known from {METRICS}", known.len());
    let mut named = 0;
    for path in [RULES, DASHBOARD] {
        named += metrics(&read(path)?, &known).with_context(|| path.to_owned())?;
    }
    let alerts = names(&yaml(RULES, &read(RULES)?)?)?;
    has_runbooks(&alerts, &read(RUNBOOKS)?)?;
    has_cases(&alerts, &yaml(CASES, &read(CASES)?)?)?;
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", RULES])?;
    promtool(&["test", "rules", CASES])?;

    // What is installed, with the words of the values in it.
    let installed = objects.iter().find(|object| object["kind"] == "PrometheusRule").context("the chart has no PrometheusRule")?;
    ensure!(names(&installed["spec"])? == alerts, "the installed rules are not those of {RULES}");
    let file = workspace::target().join("tests/alerts.json");
    fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
    fs::write(&file, installed["spec"].to_string())?;
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", &file.to_string_lossy()])?;
    println!(
        "chart: {} alerts, each firing and silent in a case; {named} metrics that they and the dashboard name are there",
        alerts.len()
    );
    Ok(())
}

fn promtool(arguments: &[&str]) -> Result<()> {
    process::output(Command::new("promtool").args(arguments).current_dir(workspace::root())).map(drop)
}

fn yaml(path: &str, text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).with_context(|| format!("{path} is not YAML"))
}

/// Metrics of the reference, as they are scraped, with their labels.
fn known(reference: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for row in reference.lines().filter(|line| line.starts_with("| `dataimporter_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells[..] else { continue };
        let mut labels: BTreeSet<String> = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned()).collect();
        labels.extend(SCRAPED.map(str::to_owned));
        let endings: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for ending in endings {
            known.insert(format!("{}{ending}", name.trim_matches('`')), labels.clone());
        }
    }
    known
}

/// How many metrics the text names, each with the labels by which it chooses. One that is not there, or a label that it does not have, is an
/// error: an alert on it would be silent for ever.
fn metrics(text: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Result<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut count = 0;
    for (at, _) in text.match_indices("dataimporter_") {
        let begins = !text[..at].ends_with(is_part);
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        ensure!(begins, "a name ends with {name}, and is no metric of ours");
        let Some(labels) = known.get(name) else { bail!("there is no metric {name}; see {METRICS}") };
        let chosen = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(chosen, _)| chosen);
        for matcher in chosen.split(',').filter(|matcher| !matcher.trim().is_empty()) {
            let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
            ensure!(labels.contains(label), "metric {name} has no label {label}; see {METRICS}");
        }
        count += 1;
    }
    ensure!(count > 5, "only {count} metrics are named");
    Ok(count)
}

fn names(rules: &Value) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for rule in rules["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
        let name = rule["alert"].as_str().context("a rule is no alert")?.to_owned();
        for text in ["summary", "description"] {
            ensure!(rule["annotations"][text].as_str().is_some_and(|text| !text.is_empty()), "alert {name} has no {text}");
        }
        ensure!(rule["labels"]["severity"].is_string(), "alert {name} has no severity");
        ensure!(found.insert(name.clone()), "there are two alerts {name}");
    }
    ensure!(found.len() > 5, "only {} alerts were found", found.len());
    Ok(found)
}

/// Each has a heading of its own name, to which `runbook_url` leads.
fn has_runbooks(alerts: &BTreeSet<String>, guide: &str) -> Result<()> {
    for alert in alerts {
        ensure!(guide.lines().any(|line| line.trim_start_matches('#') == format!(" {alert}")), "{RUNBOOKS} has no heading {alert}");
    }
    Ok(())
}

/// Each fires in a case and is silent in one.
fn has_cases(alerts: &BTreeSet<String>, cases: &Value) -> Result<()> {
    let all = || cases["tests"].as_array().into_iter().flatten().flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten());
    for alert in alerts {
        let mut of = all().filter(|case| case["alertname"] == alert.as_str()).map(|case| case["exp_alerts"].as_array().map_or(0, Vec::len));
        let (fires, silent) = of.by_ref().fold((false, false), |(fires, silent), count| (fires || count > 0, silent || count == 0));
        ensure!(fires, "{CASES} has no case in which {alert} fires");
        ensure!(silent, "{CASES} has no case in which {alert} is silent");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "| metric | type | labels | |\n|---|---|---|---|\n| `dataimporter_a_total` | counter | `kind`, `verb` | A |\n\
                         | `dataimporter_b` | histogram |  | B |\n";

    #[test]
    fn a_metric_or_label_that_is_not_there_is_found() {
        let known = known(TABLE);
        assert_eq!(known.len(), 4, "{known:?}");
        let good = "dataimporter_a_total{namespace=\"x\", kind!~\"y\"} dataimporter_b_bucket ".repeat(3);
        assert_eq!(metrics(&good, &known).unwrap(), 6);
        for (bad, said) in [
            ("dataimporter_b", "there is no metric dataimporter_b;"),
            ("dataimporter_a", "there is no metric dataimporter_a;"),
            ("old_dataimporter_a_total", "no metric of ours"),
            ("dataimporter_b_sum{kind=\"y\"}", "dataimporter_b_sum has no label kind"),
        ] {
            let error = metrics(&format!("{good}{bad}"), &known).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(metrics("", &known).is_err(), "nothing to look at is no proof");
    }

    #[test]
    fn an_alert_has_a_heading_and_both_cases() {
        let alerts = BTreeSet::from(["Late".to_owned()]);
        assert!(has_runbooks(&alerts, "## Alerts\n### Late\n").is_ok());
        assert!(has_runbooks(&alerts, "### Later\nLate\n").is_err());
        let case = |expected: Value| {
            json!({"tests": [{"alert_rule_test": [
            {"alertname": "Late", "exp_alerts": expected}, {"alertname": "Late", "exp_alerts": [{}]}, {"alertname": "Other"}]}]})
        };
        assert!(has_cases(&alerts, &case(json!([]))).is_ok());
        assert!(has_cases(&alerts, &case(json!([{}]))).unwrap_err().to_string().contains("Late is silent"));
    }
}
