//! The YAML of the guides, as the API server takes it: whole objects as they are, parts of a job within one.

use std::path::Path;

use serde_json::{Value, json};
use testkit::apply_yaml;

use crate::support::World;

/// Blocks of YAML in a guide, each with the line that it begins at.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(indent) = line.find("```yaml").filter(|at| line[..*at].trim().is_empty()) else { continue };
        let block = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.trim_start().starts_with("```"));
        let block = block.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
        found.push((number + 2, block));
    }
    found
}

/// What is applied; `None`: it is a part of an object of somebody else.
fn manifest(block: &str) -> Option<String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
    let mut job = json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "guide", "namespace": "acme"},
        "spec": {
            "source": {"upload": {"name": "guide"}},
            "target": {"salesforce": {
                "connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": [{"from": "Name", "to": "Name"}],
            }},
            "trigger": {"manual": {}},
        },
    });
    let part = &documents[0];
    match part.as_object().and_then(|part| part.keys().next()).map(String::as_str) {
        Some("apiVersion") => return Some(block.to_owned()),
        Some("source") => job["spec"]["source"] = part["source"].clone(),
        Some("format") => job["spec"]["source"]["upload"]["format"] = part["format"].clone(),
        Some("mapping") => job["spec"]["target"]["salesforce"]["mapping"] = part["mapping"].clone(),
        Some("metadata") => return None,
        // Workflows of GitHub and GitLab, hooks of pre-commit.
        Some("jobs" | "validate" | "repos") => return None,
        other => panic!("a block that begins with {other:?} is none that this test knows"),
    }
    Some(job.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guides_show_is_taken() {
    let world = World::without_operator().await;
    world.server.create_namespace("acme").await.unwrap();
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/user");
    let mut applied = 0;
    for guide in std::fs::read_dir(guides).unwrap() {
        let path = guide.unwrap().path();
        for (line, block) in blocks(&std::fs::read_to_string(&path).unwrap()) {
            let Some(yaml) = manifest(&block) else { continue };
            let taken = apply_yaml(&world.client, &yaml).await;
            assert!(taken.is_ok(), "{}:{line}: {:#}\n{yaml}", path.display(), taken.unwrap_err());
            applied += 1;
        }
    }
    assert!(applied >= 18, "{applied} blocks");
    // Control: a word that no schema knows is refused.
    let wrong = manifest("source:\n  upload:\n    name: customers\n    format: {csv: {delimeter: \";\"}}\n").unwrap();
    assert!(apply_yaml(&world.client, &wrong).await.is_err());
}
