//! The words that conditions and events use, read from the code that writes them, with the message that goes with each.
//!
//! A word is a literal in CamelCase that a known function takes (`Finding::waiting`, `Conditions::with_true`, an event …), or an arm of an
//! error's `reason()`, whose message stands at the variant. Every other such literal in the same files must be known to be none:
//! a word that is written in a way that this does not read is an error here, and not a gap in the page.

mod calls;
mod errors;
mod meanings;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::calls::{NOT_REASONS, Row};
use self::meanings::Meanings;
use super::markdown::{cell, code, table};
use crate::workspace;

pub(super) use self::source::text;

/// Whose conditions and events are written where: files and folders below the project's.
const KINDS: [(&str, &[&str]); 7] = [
    ("Region", &["crates/domain/src/region", "src/operator/region.rs", "src/keeper/controllers/regions.rs", "src/keeper/vault/custody.rs"]),
    (
        "Tenant",
        &["crates/domain/src/tenant", "src/operator/tenant.rs", "src/keeper/controllers/tenants.rs", "src/keeper/controllers/ownerless.rs"],
    ),
    ("Region and Tenant", &["src/keeper/controllers/rotation.rs"]),
    ("Connection", &["crates/domain/src/connection", "src/keeper/controllers/connections", "src/keeper/vault/source.rs"]),
    ("ImportJob", &["crates/domain/src/import_job", "src/operator/import_job.rs"]),
    ("ImportRun", &["crates/domain/src/import_run", "src/operator/import_run"]),
    ("Upload", &["crates/domain/src/upload", "src/keeper/controllers/uploads.rs"]),
];
/// Errors whose `reason()` becomes the reason of a condition, and of whose.
const ERRORS: [(&str, &str); 5] = [
    ("src/keeper/base/error.rs", "Region, Tenant, Connection: what the keeper ran into"),
    ("crates/envelope/src/error.rs", "Region, Tenant, Connection: a record or key that cannot be used"),
    ("crates/connect/src/error.rs", "Connection: on the way to the system"),
    ("crates/connect/src/s3/refusal.rs", "Connection: what an S3 server answered"),
    ("crates/salesforce/src/error.rs", "Connection: what Salesforce answered"),
];
const CONDITION_TYPES: &str = "crates/api/src/conditions.rs";
/// Why a run ended: written for people there, one by one.
const RUN_REASONS: (&str, &str) = ("crates/api/src/import_run.rs", "docs/user/import-jobs.md");

pub(super) fn page() -> Result<String> {
    let types = calls::condition_types(&read(CONDITION_TYPES)?)?;
    let mut page = super::heading("Reasons", "the code that writes them");
    page.push_str(
        "\nThe words for programs in conditions and events. Messages are for people and say what to do; `…` stands for what only \
         the moment knows, and where a message is put together from parts, what it says stands in italics. `Ready` says whether an object is as it should be; `Reconciling` stands while somebody works on it or waits by \
         itself, `Stalled` when nothing gets better until somebody changes something.\n",
    );
    let (mut unread, mut known, mut meanings) = (Vec::new(), BTreeSet::new(), Meanings::default());
    for (kind, places) in KINDS {
        let mut rows = BTreeSet::new();
        for file in files(places)? {
            let source = fs::read_to_string(workspace::root().join(&file))?;
            let found = calls::found(&source, &types).with_context(|| file.display().to_string())?;
            let (none, taken): (Vec<_>, Vec<_>) = found.unread.into_iter().partition(|word| NOT_REASONS.contains(&word.as_str()));
            known.extend(none);
            unread.extend(taken.iter().map(|word| format!("{}: {word}", file.display())));
            rows.extend(found.rows);
        }
        ensure!(!rows.is_empty(), "no reason of {kind} was found");
        page.push_str(&section(kind, &rows, &mut meanings));
        if kind == "ImportRun" {
            page.push_str(&run_reasons()?);
        }
    }
    ensure!(
        unread.is_empty(),
        "words that no known function takes; a reason would be lacking from the page (see WRITERS and NOT_REASONS in \
         xtask/src/docs/reasons/calls.rs):\n  {}",
        unread.join("\n  ")
    );
    let gone: Vec<&&str> = NOT_REASONS.iter().filter(|word| !known.contains(**word)).collect();
    ensure!(gone.is_empty(), "NOT_REASONS in xtask/src/docs/reasons/calls.rs has words that stand nowhere any more: {gone:?}");
    for (file, title) in ERRORS {
        let rows = errors::messages(&read(file)?).with_context(|| file.to_owned())?;
        let said = |(reason, message): &(String, String)| [code(reason), cell(&meanings.message(title, reason, message))];
        let rows: Vec<[String; 2]> = rows.iter().map(said).collect();
        page.push_str(&format!("\n## {title}\n\n{}", table(["reason", "message"], &rows)));
    }
    meanings.are_complete()?;
    Ok(page)
}

fn section(title: &str, rows: &BTreeSet<Row>, meanings: &mut Meanings) -> String {
    let said = |(seen, reason, message): &Row| [cell(seen), code(reason), cell(&meanings.message(title, reason, message))];
    let rows: Vec<[String; 3]> = rows.iter().map(said).collect();
    format!("\n## {title}\n\n{}", table(["seen as", "reason", "message"], &rows))
}

/// The closed list of why a run ended has a page of its own; a reason that it lacks is an error.
fn run_reasons() -> Result<String> {
    let (source, guide) = (syn::parse_file(&read(RUN_REASONS.0)?)?, read(RUN_REASONS.1)?);
    let variants = source.items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "RunReason" => Some(item.variants.iter().map(|variant| variant.ident.to_string())),
        _ => None,
    });
    let variants: Vec<String> = variants.context("there is no RunReason")?.collect();
    let lacking: Vec<&String> = variants.iter().filter(|reason| !guide.contains(&code(reason))).collect();
    ensure!(lacking.is_empty(), "{} does not say what these mean: {lacking:?}", RUN_REASONS.1);
    let words = variants.iter().map(|reason| code(reason)).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "\n`Succeeded` of a run that has ended, and `LastRunSucceeded` of its ImportJob: {words}. What each means and what to do: [import-jobs.md](../user/import-jobs.md).\n"
    ))
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(workspace::root().join(file)).with_context(|| format!("{file} cannot be read"))
}

/// Rust files of the program at or below these places, tests left out.
fn files(places: &[&str]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for place in places {
        collect(Path::new(place), &mut found)?;
    }
    Ok(found)
}

fn collect(place: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let full = workspace::root().join(place);
    if full.is_file() {
        found.insert(place.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&full).with_context(|| format!("{} is neither a file nor a folder", place.display()))? {
        let path = place.join(entry?.file_name());
        let tests = path.file_stem().is_some_and(|name| ["tests", "testing", "fixtures"].iter().any(|tests| name == *tests));
        if full.join(path.file_name().unwrap_or_default()).is_dir() || path.extension().is_some_and(|ending| ending == "rs") && !tests {
            collect(&path, found)?;
        }
    }
    Ok(())
}
