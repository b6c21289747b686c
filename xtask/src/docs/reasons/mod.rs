//! The page of reasons, written from the lists that code takes them from.
//!
//! A list is a file of documented constants, which code calls `reasons`: one per kind, and one beside each error whose `reason()` becomes
//! that of a condition. Where a reason is taken tells what is seen of it: by `Finding::waiting`, by `Conditions::with_true`, by an event …
//! Two things are errors here and not gaps in the page: a word that code of a kind writes without its list, and one that is listed and
//! taken nowhere.

mod calls;
mod errors;
mod list;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::calls::NOT_REASONS;
use self::list::List;
use super::markdown::{cell, code, table};
use crate::workspace;

pub(super) use self::source::text;

/// Lists of the kinds, below [`LISTS`], and where their conditions and events are written: files and folders below the project's.
const KINDS: [(&str, &str, &[&str]); 8] = [
    (
        "Region",
        "region",
        &["crates/domain/src/region", "src/operator/region.rs", "src/keeper/controllers/regions.rs", "src/keeper/vault/custody.rs"],
    ),
    (
        "Tenant",
        "tenant",
        &["crates/domain/src/tenant", "src/operator/tenant.rs", "src/keeper/controllers/tenants.rs", "src/keeper/controllers/ownerless.rs"],
    ),
    ("Region and Tenant", "rotation", &["src/keeper/controllers/rotation.rs"]),
    ("Region and Tenant after a restore", "rebind", &["src/keeper/controllers/rebind.rs"]),
    ("Connection", "connection", &["crates/domain/src/connection", "src/keeper/controllers/connections", "src/keeper/vault/source.rs"]),
    ("ImportJob", "import_job", &["crates/domain/src/import_job", "src/operator/import_job.rs"]),
    ("ImportRun", "import_run", &["crates/domain/src/import_run", "src/operator/import_run"]),
    ("Upload", "upload", &["crates/domain/src/upload", "src/keeper/controllers/uploads.rs"]),
];
const LISTS: &str = "crates/api/src/reasons";
/// Lists of the errors whose `reason()` becomes the reason of a condition, and the files that have it.
const ERRORS: [(&str, &str, &[&str]); 4] = [
    (
        "Region, Tenant, Connection: what the keeper ran into",
        "src/keeper/base/reasons.rs",
        &["src/keeper/base/error.rs", "src/keeper/storage/bucket/unfit.rs"],
    ),
    (
        "Region, Tenant, Connection: a record or key that cannot be used",
        "crates/envelope/src/reasons.rs",
        &["crates/envelope/src/error.rs"],
    ),
    (
        "Connection: on the way to the system, and what a database or an S3 server answered",
        "crates/connect/src/reasons.rs",
        &[
            "crates/connect/src/error.rs",
            "crates/connect/src/download/refusal.rs",
            "crates/connect/src/objects/refusal.rs",
            "crates/connect/src/objects/s3/refusal.rs",
        ],
    ),
    ("Connection: what Salesforce answered", "crates/salesforce/src/reasons.rs", &["crates/salesforce/src/error.rs"]),
];
const CONDITION_TYPES: &str = "crates/api/src/conditions.rs";
/// Why a run ended: written for people there, one by one.
const RUN_REASONS: (&str, &str) = ("crates/api/src/import_run.rs", "docs/user/import-jobs.md");

pub(super) fn page() -> Result<String> {
    let types = calls::condition_types(&read(CONDITION_TYPES)?)?;
    let mut page = super::heading("Reasons", "the lists in `crates/api/src/reasons`, and those beside the errors");
    page.push_str(
        "\nThe words for programs in conditions and events. Messages are for people: they name what is concerned and say what to do. \
         `Ready` says whether an object is as it should be; `Reconciling` stands while somebody works on it or waits by itself, `Stalled` \
         when nothing gets better until somebody changes something.\n",
    );
    let mut none = BTreeSet::new();
    for (kind, name, places) in KINDS {
        let file = format!("{LISTS}/{name}.rs");
        let list = list::list(&read(&file)?).with_context(|| file.clone())?;
        let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
        for file in files(places)? {
            let source = fs::read_to_string(workspace::root().join(&file))?;
            let found = calls::found(&source, &types).with_context(|| file.display().to_string())?;
            let own = found.taken.is_empty() || found.lists.iter().eq([name]);
            ensure!(own, "{} takes reasons of another kind than {kind}", file.display());
            let unlisted: Vec<_> =
                found.unlisted.iter().filter(|word| !NOT_REASONS.contains(&word.as_str())).chain(&found.written).collect();
            ensure!(
                unlisted.is_empty(),
                "{} writes {unlisted:?}: a reason is listed in {LISTS}/{name}.rs and taken from there, a word that is none is listed as such in \
                 xtask/src/docs/reasons/calls.rs",
                file.display()
            );
            none.extend(found.unlisted);
            for (reason, standing) in found.taken {
                seen.entry(reason).or_default().insert(standing);
            }
        }
        all_taken(&file, &list, |name| seen.contains_key(name))?;
        page.push_str(&section(kind, &list, &seen));
        if kind == "ImportRun" {
            page.push_str(&run_reasons()?);
        }
    }
    let gone: Vec<&&str> = NOT_REASONS.iter().filter(|word| !none.contains(**word)).collect();
    ensure!(gone.is_empty(), "NOT_REASONS in xtask/src/docs/reasons/calls.rs has words that stand nowhere any more: {gone:?}");
    for (title, file, places) in ERRORS {
        let list = list::list(&read(file)?).with_context(|| file.to_owned())?;
        let mut given = BTreeSet::new();
        for place in places {
            let found = errors::given(&read(place)?).with_context(|| (*place).to_owned())?;
            ensure!(found.unlisted.is_empty(), "{place} gives reasons that {file} does not list: {:?}", found.unlisted);
            given.extend(found.constants);
        }
        all_taken(file, &list, |name| given.contains(name))?;
        let rows: Vec<[String; 2]> = list.values().map(|(reason, meaning)| [code(reason), cell(meaning)]).collect();
        page.push_str(&format!("\n## {title}\n\n{}", table(["reason", "meaning"], &rows)));
    }
    Ok(page)
}

fn all_taken(file: &str, list: &List, is_taken: impl Fn(&str) -> bool) -> Result<()> {
    let idle: Vec<_> = list.iter().filter(|(name, _)| !is_taken(name)).map(|(_, (reason, _))| reason).collect();
    ensure!(
        idle.is_empty(),
        "{file} lists what nothing says, or what is said in a way that this does not read (see WRITERS in \
         xtask/src/docs/reasons/calls.rs): {idle:?}"
    );
    Ok(())
}

fn section(title: &str, list: &List, seen: &BTreeMap<String, BTreeSet<String>>) -> String {
    let row = |(name, (reason, meaning)): (&String, &(String, String))| {
        let seen = seen.get(name).into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        [code(reason), cell(meaning), cell(&seen.join("; "))]
    };
    let rows: Vec<[String; 3]> = list.iter().map(row).collect();
    format!("\n## {title}\n\n{}", table(["reason", "meaning", "seen as"], &rows))
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
