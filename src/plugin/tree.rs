//! A run as a tree of lines.

use api::import_run::{ChunkState, ImportRun};
use api::{conditions, import_run};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::output::{grouped, rows};

/// The lines about a run, as a tree.
pub(crate) fn text(run: &ImportRun) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut branches = vec![("state", state(&status.conditions))];
    if let Some(place) = &status.placement {
        let node = place.node.as_deref().map(|n| format!(" on node {n}")).unwrap_or_default();
        let key = place.key_id.as_deref().map(|k| format!(", key {k}")).unwrap_or_default();
        branches.push(("where", format!("{}{node}{key}", place.region)));
    }
    if let Some(counted) = &status.rows {
        branches.push(("rows", rows(counted)));
    }
    if let Some(chunks) = &status.chunks {
        branches.push(("chunks", chunk_line(chunks)));
    }
    if status.attempts.len() > 1 {
        let ends: Vec<_> = status.attempts.iter().map(|a| a.reason.as_deref().unwrap_or("running")).collect();
        branches.push(("attempts", ends.join(", ")));
    }
    for file in &status.results {
        let life = match (&file.erased_at, &file.expires_at) {
            (Some(_), _) => "erased".to_owned(),
            (None, Some(at)) => format!("until {}", at.0.strftime("%Y-%m-%d %H:%M UTC")),
            (None, None) => String::new(),
        };
        branches.push(("result", format!("{} ({} rows) {life}", file.name, grouped(file.rows))));
    }
    // Between the worker's last word and the operator's, it says more than the state.
    let outcome = status.outcome.as_ref().map(|outcome| reason_and_message(&outcome.reason.to_string(), &outcome.message));
    branches.extend(outcome.filter(|outcome| *outcome != branches[0].1).map(|outcome| ("outcome", outcome)));
    let read = status.outcome.as_ref().and_then(|outcome| Some((outcome.file.clone()?, outcome.files_left)));
    branches.extend(read.map(|(file, left)| ("file", left.map_or(file.clone(), |left| format!("{file} ({left} more wait)")))));
    let warnings = status.outcome.iter().flat_map(|outcome| &outcome.warnings);
    branches.extend(warnings.map(|warning| ("warning", warning.to_string())));
    let mut text = format!("ImportRun {}/{} of job {}", run.namespace().unwrap_or_default(), run.name_any(), run.spec.job_ref.name);
    let last = branches.len() - 1;
    for (index, (name, value)) in branches.iter().enumerate() {
        let corner = if index == last { "└─" } else { "├─" };
        text.push_str(&format!("\n{corner} {name:<9}{value}"));
    }
    text
}

fn state(list: &[Condition]) -> String {
    match conditions::find(list, conditions::READY) {
        None => "waiting for the operator".to_owned(),
        Some(ready) => reason_and_message(&ready.reason, &ready.message),
    }
}

fn reason_and_message(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

fn chunk_line(chunks: &import_run::Chunks) -> String {
    let open: Vec<String> = chunks
        .listed
        .iter()
        .filter(|c| !matches!(c.state, ChunkState::Done | ChunkState::Abandoned))
        .map(|c| format!("#{} {:?}", c.number, c.state))
        .collect();
    let open = if open.is_empty() { String::new() } else { format!(" ({})", open.join(", ")) };
    format!("{} of {} done{open}", chunks.done, chunks.total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_once() {
        let run = |reason: &str| -> ImportRun {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": "r", "namespace": "acme"},
                "spec": {"jobRef": {"name": "j", "uid": "u"}, "action": {"run": {}}, "startBefore": "2026-11-25T00:00:00Z"},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-11-25T00:00:00Z"}],
                    "outcome": {"attempt": 1, "reason": "Completed", "message": "", "at": "2026-11-25T00:00:00Z"},
                },
            }))
            .unwrap()
        };
        assert_eq!(text(&run("Completed")), "ImportRun acme/r of job j\n└─ state    Completed");
        assert_eq!(text(&run("Running")), "ImportRun acme/r of job j\n├─ state    Running\n└─ outcome  Completed");
    }

    #[test]
    fn what_looks_like_a_mistake_is_told_with_its_count() {
        let run: ImportRun = serde_json::from_value(serde_json::json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": "r", "namespace": "acme"},
            "spec": {"jobRef": {"name": "j", "uid": "u"}, "action": {"run": {}}, "startBefore": "2026-11-25T00:00:00Z"},
            "status": {"outcome": {
                "attempt": 1, "reason": "Completed", "message": "", "at": "2026-11-25T00:00:00Z", "file": "in/a-3.csv", "filesLeft": 2,
                "warnings": [{"field": "Industry", "what": "odd", "rows": 1, "firstRow": 5}],
            }},
        }))
        .unwrap();
        assert!(
            text(&run).ends_with("├─ outcome  Completed\n├─ file     in/a-3.csv (2 more wait)\n└─ warning  Industry: odd (row 5)"),
            "{}",
            text(&run)
        );
    }
}
