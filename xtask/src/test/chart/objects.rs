//! What holds for every object that the chart consists of.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What the values of everything call a common label, and what it is there.
const COMMON: (&str, &str) = ("team", "platform");

/// Neither our processes' ClusterRoles nor those of members: a user who brings or reads a Secret got that right from somebody else.
pub(super) fn no_cluster_role_names_secrets(rendered: &str) -> Result<()> {
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

/// With `imagePullSecrets` the operator writes their copies, and that is the one rule about Secrets: what is left has none.
pub(super) fn secrets_are_named_for_registry_logins_only(rendered: &str) -> Result<()> {
    const RULE: &str = "\n  resources: [secrets]\n  verbs: [create, patch]\n";
    let roles = rendered.split("\n---").filter(|document| document.contains("\nkind: ClusterRole\n") && document.contains(RULE));
    let named: Vec<&str> = roles.filter_map(|document| document.lines().find_map(|line| line.strip_prefix("  name: "))).collect();
    ensure!(named == ["dataimporter-operator"], "Secrets may be written by {named:?}");
    ensure!(rendered.matches(RULE).count() == 1, "more than one rule is about writing Secrets");
    no_cluster_role_names_secrets(&rendered.replace(RULE, "\n"))
}

/// Every object has the common labels, and so have the pods that it makes; none selects by them. Answers how many there are.
pub(super) fn common_labels(objects: &[Value]) -> Result<usize> {
    let mut found = 0;
    for object in objects.iter().filter(|object| !object.is_null()) {
        let name = format!("{} {}", object["kind"].as_str().unwrap_or("?"), object["metadata"]["name"].as_str().unwrap_or("?"));
        ensure!(is_common(&object["metadata"]["labels"]), "{name} has no common labels");
        let template = &object["spec"]["template"];
        ensure!(template.is_null() || is_common(&template["metadata"]["labels"]), "pods of {name} have no common labels");
        ensure!(!selects(object), "{name} selects by a common label");
        found += 1;
    }
    ensure!(found > 60, "only {found} objects were looked at");
    Ok(found)
}

fn is_common(labels: &Value) -> bool {
    labels[COMMON.0] == COMMON.1
}

/// Whether anything in it that chooses objects names the common label.
fn selects(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, field)| {
            let chooses = name == "matchLabels" || (name == "selector" && field.is_object());
            (chooses && field.get(COMMON.0).is_some()) || selects(field)
        }),
        Value::Array(items) => items.iter().any(selects),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn registry_logins_take_one_rule_of_the_operators() {
        let others = roles("- {apiGroups: [\"\"], resources: [pods], verbs: [get]}");
        let operator = "---\napiVersion: v1\nkind: ClusterRole\nmetadata:\n  name: dataimporter-operator\nrules:\n- apiGroups: [\"\"]   # copies\n  resources: [secrets]\n  verbs: [create, patch]\n";
        let check = |rendered: String| secrets_are_named_for_registry_logins_only(&rendered);
        assert!(check(format!("\n{others}{operator}")).is_ok());
        assert!(check(format!("\n{others}")).is_err(), "the rule is missing");
        assert!(check(format!("\n{others}{}", operator.replace("-operator", "-keeper"))).is_err());
        assert!(check(format!("\n{others}{}", operator.replace("create, patch", "create, patch, get"))).is_err());
        assert!(check(format!("\n{others}{operator}{operator}")).is_err());
    }

    #[test]
    fn common_labels_are_on_every_object_and_in_no_selector() {
        let labelled = |spec: Value| json!({"kind": "Thing", "metadata": {"name": "a", "labels": {"team": "platform"}}, "spec": spec});
        let all = |last: Value| [vec![labelled(json!({})); 61], vec![last]].concat();
        assert_eq!(common_labels(&all(Value::Null)).unwrap(), 61);
        let refused = |last: Value| common_labels(&all(last)).unwrap_err().to_string();
        assert_eq!(refused(json!({"kind": "Thing", "metadata": {"name": "b"}})), "Thing b has no common labels");
        assert_eq!(refused(labelled(json!({"template": {"metadata": {"labels": {}}}}))), "pods of Thing a have no common labels");
        for chosen in
            [json!({"selector": {"team": "platform"}}), json!({"egress": [{"to": [{"podSelector": {"matchLabels": {"team": "x"}}}]}]})]
        {
            assert_eq!(refused(labelled(chosen)), "Thing a selects by a common label");
        }
        assert!(common_labels(&[]).is_err(), "nothing to look at is no proof");
    }
}
