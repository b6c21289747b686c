//! The guide lists the systems as they describe themselves.

use std::path::Path;

use api::connection::{Rows, SystemKind};

#[test]
fn the_guide_says_what_each_system_needs() {
    let rows: Vec<_> = SystemKind::ALL.iter().flat_map(|system| rows(*system)).collect();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/credentials.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let listed: Vec<_> = text
        .lines()
        .skip_while(|line| *line != "## What each system needs")
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(listed, rows, "docs/user/credentials.md should say:\n{}", rows.join("\n"));
}

/// A row for each way to log in.
fn rows(system: SystemKind) -> Vec<String> {
    let profile = system.profile();
    let read = match profile.rows {
        Rows::None => "no",
        Rows::Files { .. } => "`source.file`, read again from its start",
        Rows::Query => "`source.sql`, read again with `orderBy`",
    };
    let end = format!("{}; {}", profile.revoked_by_disconnect, profile.left_after_disconnect);
    let row = |login: &api::connection::LoginProfile| {
        let keys: Vec<_> = login.keys.iter().map(|key| format!("`{}`: {}", key.name, key.holds)).collect();
        let needed = match login.audience {
            Some(audience) => format!("a ServiceAccount in its place; its tokens are for `{audience}`"),
            None => keys.join(", "),
        };
        format!("| {} | `{}` | {} | {} | {read} | {end} |", profile.name, login.field, needed, profile.public_port)
    };
    profile.logins.iter().map(row).collect()
}
