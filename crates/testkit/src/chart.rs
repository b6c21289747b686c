//! What the chart installs, for an API server without Helm.

/// The keeper's rights exactly as the chart gives them to a release in this namespace.
pub fn keeper_rights(namespace: &str) -> String {
    let template = include_str!("../../../charts/dataimporter/templates/keeper/rbac.yaml");
    let lines = template.lines().filter(|line| !line.contains("{{- include"));
    lines.collect::<Vec<_>>().join("\n").replace("{{ .Release.Namespace }}", namespace)
}
