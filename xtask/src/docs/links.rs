//! Every link of every document that leads into the checkout: the file is there, and the heading that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::workspace;

/// Documents at the root, and folders whose documents are looked at.
const PLACES: [&str; 9] =
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "charts/dataimporter", "examples", ".github", "crates"];

pub(crate) fn check() -> Result<()> {
    let mut documents = BTreeMap::new();
    for place in PLACES {
        collect(Path::new(place), &mut documents)?;
    }
    let looked = documents.values().map(|text| links(text).len()).sum::<usize>();
    // A check that reads nothing finds nothing.
    ensure!(looked > 20, "only {looked} links were found in {} documents", documents.len());
    let dead: Vec<String> = documents.iter().flat_map(|(path, text)| dead(path, text, &documents)).collect();
    if !dead.is_empty() {
        bail!("links that lead nowhere:\n  {}", dead.join("\n  "));
    }
    println!("docs: {looked} links of {} documents lead somewhere", documents.len());
    Ok(())
}

fn collect(place: &Path, documents: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let full = workspace::root().join(place);
    if full.is_dir() {
        for entry in fs::read_dir(&full)? {
            collect(&place.join(entry?.file_name()), documents)?;
        }
    } else if place.extension().is_some_and(|ending| ending == "md") {
        documents.insert(place.to_owned(), fs::read_to_string(&full)?);
    }
    Ok(())
}

/// What is wrong with the links of a document, each with its line.
fn dead(path: &Path, text: &str, documents: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let wrong = links(text).into_iter().filter_map(|(line, target)| {
        let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(file, anchor)| (file, Some(anchor)));
        let led_to = if file.is_empty() { path.to_owned() } else { normal(&path.parent().unwrap_or(Path::new("")).join(file)) };
        let there = documents.contains_key(&led_to) || workspace::root().join(&led_to).exists();
        let reason = match anchor {
            _ if !there => "there is no such file".to_owned(),
            Some(anchor) if !documents.get(&led_to).is_some_and(|text| anchors(text).contains(anchor)) => {
                format!("{} has no such heading", led_to.display())
            }
            _ => return None,
        };
        Some(format!("{}:{line}: {target}: {reason}", path.display()))
    });
    wrong.collect()
}

/// Targets of links outside of code, with their lines, without those that lead to the network.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        let mut rest = content.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty() {
                found.push((line, target.to_owned()));
            }
        }
    }
    found
}

/// Names of a document's headings, as GitHub makes them: small letters, hyphens for spaces, signs left out, a number behind a repetition.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in raw(text).filter(|(_, line)| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept: String = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect();
        let name = kept.replace(' ', "-");
        let free = (0..).map(|n| if n == 0 { name.clone() } else { format!("{name}-{n}") }).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

/// Lines outside of fenced code, counted from 1.
fn raw(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((number + 1, line))
    })
}

/// The same without code in backticks, where brackets are no links.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    raw(text).map(|(number, line)| (number, line.split('`').step_by(2).collect::<Vec<_>>().join("`")))
}

/// A path without `..`, as text: what it names need not be there.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let documents = [("docs/a.md", text), ("docs/user/b.md", "# One thing\n\n## One thing\n\n## `code` & signs\n")];
        let documents = documents.map(|(path, text)| (PathBuf::from(path), text.to_owned())).into();
        dead(Path::new("docs/a.md"), text, &documents)
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_its_line() {
        assert_eq!(told("one\n[x](user/c.md)\n"), ["docs/a.md:2: user/c.md: there is no such file"]);
        assert_eq!(told("[x](user/b.md) and [y](../Cargo.toml) and [z](../crates/)"), [] as [&str; 0]);
    }

    #[test]
    fn a_heading_that_is_not_there_is_told() {
        assert_eq!(told("[x](user/b.md#two)"), ["docs/a.md:1: user/b.md#two: docs/user/b.md has no such heading"]);
        assert_eq!(told("[x](user/b.md#one-thing) [y](user/b.md#one-thing-1) [z](user/b.md#code--signs)"), [] as [&str; 0]);
        assert_eq!(told("# Here\n[x](#here) [y](#there)"), ["docs/a.md:2: #there: docs/a.md has no such heading"]);
    }

    #[test]
    fn code_and_the_network_hold_no_links() {
        assert_eq!(told("`[x](nowhere)` [y](https://example.org/nowhere)\n```\n[z](nowhere)\n```\n"), [] as [&str; 0]);
    }
}
