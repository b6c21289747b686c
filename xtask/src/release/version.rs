//! Which version is released: its number, its commit, what the changelog says of it, and what speaks against releasing it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Of the workspace, this program with it.
const NUMBER: &str = env!("CARGO_PKG_VERSION");
/// The section of what is in no version yet.
const UNRELEASED: &str = "Unreleased";

pub(super) struct Version {
    pub(super) number: String,
    pub(super) commit: String,
    /// When, in UTC.
    pub(super) committed: String,
}

impl Version {
    pub(super) fn of_this_checkout() -> Result<Self> {
        let said = git(&["log", "-1", "--format=%H %ct"])?;
        let (commit, seconds) = said.trim().split_once(' ').context("git log prints the commit and its time")?;
        let date = Command::new("date").args(["-u", &format!("--date=@{seconds}"), "+%FT%TZ"]).output().context("cannot start date")?;
        let committed = String::from_utf8_lossy(&date.stdout).trim().to_owned();
        Ok(Self { number: NUMBER.to_owned(), commit: commit.to_owned(), committed })
    }

    /// What the changelog says of it; before it has a section of its own, what is in no version yet.
    pub(super) fn changes(&self) -> Result<String> {
        let changelog = changelog()?;
        section(&changelog, &self.number).or_else(|| section(&changelog, UNRELEASED)).context("CHANGELOG.md has neither section")
    }

    /// What has to be put right before this version is published.
    pub(super) fn objections(&self) -> Result<Vec<String>> {
        let chart = fs::read_to_string(workspace::root().join("charts/dataimporter/Chart.yaml")).context("Chart.yaml cannot be read")?;
        let tags = git(&["tag", "--points-at", "HEAD"])?;
        Ok(objections(&self.number, &git(&["status", "--porcelain"])?, &tags, &changelog()?, &chart))
    }
}

fn changelog() -> Result<String> {
    fs::read_to_string(workspace::root().join("CHANGELOG.md")).context("CHANGELOG.md cannot be read")
}

fn git(arguments: &[&str]) -> Result<String> {
    process::output(Command::new("git").args(arguments).current_dir(workspace::root()))
}

fn objections(number: &str, status: &str, tags: &str, changelog: &str, chart: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !status.trim().is_empty() {
        found.push("the checkout has changes that are in no commit".to_owned());
    }
    if !tags.lines().any(|tag| tag == format!("v{number}")) {
        found.push(format!("no tag v{number} points at this commit: git tag --annotate v{number}"));
    }
    if section(changelog, number).is_none() {
        found.push(format!("CHANGELOG.md has no section `## {number}`: give what is under `## {UNRELEASED}` that heading"));
    }
    for field in ["version", "appVersion"] {
        if !chart.lines().any(|line| line.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")) == Some(number)) {
            found.push(format!("{field} of charts/dataimporter/Chart.yaml is not {number}, which Cargo.toml has"));
        }
    }
    found
}

/// What stands under `## NAME`, whatever follows the name on that line.
fn section(changelog: &str, name: &str) -> Option<String> {
    let is_it = |line: &str| line.strip_prefix("## ").and_then(|title| title.split_whitespace().next()) == Some(name);
    let text: Vec<&str> = changelog.lines().skip_while(|line| !is_it(line)).skip(1).take_while(|line| !line.starts_with("## ")).collect();
    Some(text.join("\n").trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 1.2.0 - 2026-01-01\n\n- Older.\n";
    const CHART: &str = "version: 1.2.0\nappVersion: 1.2.0\n";

    #[test]
    fn a_section_ends_where_the_next_one_begins() {
        assert_eq!(section(CHANGELOG, "Unreleased").as_deref(), Some("- New."));
        assert_eq!(section(CHANGELOG, "1.2.0").as_deref(), Some("- Older."));
        assert_eq!(section(CHANGELOG, "1.2"), None);
    }

    #[test]
    fn a_version_that_is_not_ready_is_told_why() {
        assert!(objections("1.2.0", "", "v1.1.0\nv1.2.0\n", CHANGELOG, CHART).is_empty());
        let all = objections("1.3.0", " M a\n", "v1.2.0\n", CHANGELOG, CHART).join("\n");
        for words in ["in no commit", "no tag v1.3.0", "no section `## 1.3.0`", "version of charts", "appVersion of charts"] {
            assert!(all.contains(words), "{words} is not in {all}");
        }
    }
}
