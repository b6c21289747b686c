//! Which room of `src/` may use which: the table of docs/architecture.md, held against the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use anyhow::{Context, Result, bail};

use super::paths::{Modules, Named, Path, What, named};
use crate::workspace;

/// A room and the rooms that it may use, each of which stands above it: so the arrows cannot form a circle. A room is a module with all
/// modules below it that are no rooms themselves.
type Rooms = [(&'static str, &'static [&'static str])];

const ROOMS: &Rooms = &[
    ("terminal", &[]),
    ("output", &["terminal"]),
    ("systems", &[]),
    ("file_grant", &[]),
    ("sealing", &[]),
    ("sources", &["systems"]),
    ("manifests", &[]),
    ("operator", &[]),
    ("keeper::base", &[]),
    ("keeper::identity", &["keeper::base"]),
    ("keeper::storage", &["systems", "keeper::base"]),
    ("keeper::audit", &["keeper::base", "keeper::storage"]),
    ("keeper::vault", &["sealing", "systems", "keeper::base", "keeper::audit"]),
    ("keeper::files", &["file_grant", "keeper::base", "keeper::storage", "keeper::audit", "keeper::vault"]),
    ("keeper::admission", &["file_grant", "keeper::base", "keeper::audit", "keeper::vault", "keeper::files"]),
    ("keeper::controllers", &["keeper::base", "keeper::audit", "keeper::vault", "keeper::files"]),
    (
        "keeper::listeners",
        &["file_grant", "keeper::base", "keeper::storage", "keeper::audit", "keeper::vault", "keeper::files", "keeper::admission"],
    ),
    (
        "keeper",
        &[
            "terminal",
            "keeper::base",
            "keeper::identity",
            "keeper::storage",
            "keeper::audit",
            "keeper::vault",
            "keeper::files",
            "keeper::admission",
            "keeper::controllers",
            "keeper::listeners",
        ],
    ),
    ("worker", &["sources", "systems", "file_grant"]),
    ("run", &["sources", "manifests", "output", "terminal"]),
    ("validate", &["manifests", "terminal"]),
    ("plugin", &["sealing", "output", "terminal"]),
    ("drain", &["terminal"]),
    ("check_installation", &["terminal"]),
    ("cli", &["check_installation", "drain", "keeper", "operator", "run", "terminal", "validate", "worker"]),
    ("main", &["cli"]),
    ("bin::kubectl-import", &["plugin"]),
];

/// Names of other crates that one room alone may use: with them one gets at keys. Tests make keys of their own.
const GUARDED: &[(&[&str], &str)] = &[(
    &[
        "envelope::FileRoot",
        "envelope::KeyRing",
        "envelope::RootCustody",
        "envelope::RootRing",
        "envelope::SecretRoot",
        "envelope::TenantKey",
        "envelope::TenantRing",
        "envelope::sealed::SealKey",
    ],
    "keeper::vault",
)];

/// How often each arrow is used.
type Arrows = BTreeMap<(&'static str, &'static str), usize>;

/// Prints the arrows there are; an error names every one that should not be, and every allowed one that is not.
pub(super) fn check() -> Result<()> {
    let arrows = arrows_in(&workspace::root().join("src"), ROOMS, GUARDED)?;
    println!("boundaries: arrows in src/, each with the number of places that use it");
    for (room, _) in ROOMS {
        let used: Vec<String> =
            arrows.iter().filter(|((by, _), _)| by == room).map(|((_, used), count)| format!("{used} ({count})")).collect();
        println!("  {room} → {}", if used.is_empty() { "nothing".to_owned() } else { used.join(", ") });
    }
    Ok(())
}

fn arrows_in(source: &FilePath, rooms: &'static Rooms, guarded: &[(&[&str], &str)]) -> Result<Arrows> {
    let files = files_below(source)?;
    let modules: Modules = files.iter().map(|(module, _)| module.clone()).collect();
    let (mut arrows, mut wrong) = (Arrows::new(), disorder(rooms));
    for (module, file) in &files {
        // `lib.rs` only says which modules there are.
        if module.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        if room_of(module, rooms).is_none() {
            wrong.insert(format!("{} is in no room", file.display()));
        }
        for Named { by, what } in named(&text, module, &modules, "dataimporter")? {
            match what {
                What::Inside(path) => judge(&by, &path, rooms, &mut arrows, &mut wrong),
                What::Foreign(path) => wrong.extend(guard(&by, &path, rooms, guarded)),
            }
        }
    }
    let allowed = rooms.iter().flat_map(|(by, may)| may.iter().map(move |used| (*by, *used)));
    wrong
        .extend(allowed.filter(|arrow| !arrows.contains_key(arrow)).map(|(by, used)| format!("{by} → {used} is allowed and used nowhere")));
    if !wrong.is_empty() {
        bail!("arrows that should not be:\n  {}", wrong.into_iter().collect::<Vec<_>>().join("\n  "));
    }
    Ok(arrows)
}

/// Modules and their files, by what the files are called.
fn files_below(source: &FilePath) -> Result<Vec<(Path, PathBuf)>> {
    let mut found = Vec::new();
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(source)?.with_extension("");
                let mut module: Path = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
                    module.pop();
                }
                found.push((module, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Rooms that use one that does not stand above them.
fn disorder(rooms: &Rooms) -> BTreeSet<String> {
    let mut above = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    for (room, may) in rooms {
        let late = may.iter().filter(|used| !above.contains(**used));
        wrong.extend(late.map(|used| format!("{room} → {used} is allowed, but {used} does not stand above it")));
        above.insert(*room);
    }
    wrong
}

/// The room with the longest name that a path begins with.
fn room_of(path: &[String], rooms: &'static Rooms) -> Option<&'static str> {
    let begins = |room: &&str| room.split("::").enumerate().all(|(at, part)| path.get(at).is_some_and(|segment| segment == part));
    rooms.iter().map(|(room, _)| *room).filter(begins).max_by_key(|room| room.len())
}

fn judge(by: &[String], path: &[String], rooms: &'static Rooms, arrows: &mut Arrows, wrong: &mut BTreeSet<String>) {
    let Some(from) = room_of(by, rooms) else { return };
    let Some(to) = room_of(path, rooms) else {
        wrong.insert(format!("{} uses crate::{}, which is in no room", by.join("::"), path.join("::")));
        return;
    };
    if from == to {
        return;
    }
    if rooms.iter().any(|(room, may)| *room == from && may.contains(&to)) {
        *arrows.entry((from, to)).or_default() += 1;
    } else {
        wrong.insert(format!("{from} → {to}: {} uses crate::{}", by.join("::"), path.join("::")));
    }
}

/// A guarded name outside of its room, or a way to get at it without saying so.
fn guard(by: &[String], path: &[String], rooms: &'static Rooms, guarded: &[(&[&str], &str)]) -> Option<String> {
    if by.last().is_some_and(|module| module == "tests") {
        return None;
    }
    // `use envelope;` and `use envelope::*;` name the crate and reach everything in it.
    let path = path.join("::");
    let is_guarded = |name: &&str| path == *name || path.starts_with(&format!("{name}::")) || name.starts_with(&format!("{path}::"));
    let (_, room) = guarded.iter().find(|(names, _)| names.iter().any(&is_guarded))?;
    (room_of(by, rooms) != Some(*room)).then(|| format!("{} uses {path}, which is for {room} alone", by.join("::")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &Rooms =
        &[("shared", &[]), ("keeper::vault", &["shared"]), ("keeper::files", &["keeper::vault"]), ("worker", &["shared"])];
    const WALL: &[(&[&str], &str)] = &[(&["envelope::KeyRing"], "keeper::vault")];

    /// What is found in a tree of a few files, of which the last one is as given.
    fn checked(file: &str, source: &str) -> Result<Arrows> {
        let folder = std::env::temp_dir().join(format!("boundaries-{}-{:?}", std::process::id(), std::thread::current().id()));
        for (file, source) in [
            ("lib.rs", "pub mod shared;"),
            ("shared.rs", ""),
            ("keeper/vault/mod.rs", "use crate::shared::x; use envelope::KeyRing;"),
            ("keeper/files/sweeper.rs", "use super::super::vault::Ring;"),
            ("worker.rs", "fn f() { crate::shared::x() }"),
            (file, source),
        ] {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(path, source)?;
        }
        let found = arrows_in(&folder, PLANTED, WALL);
        std::fs::remove_dir_all(&folder)?;
        found
    }

    fn refusal(file: &str, source: &str) -> String {
        checked(file, source).unwrap_err().to_string()
    }

    #[test]
    fn arrows_that_are_allowed_are_counted() {
        let arrows = checked("worker/upload.rs", "use crate::shared::y;").unwrap();
        assert_eq!(arrows[&("worker", "shared")], 2);
        assert_eq!(arrows[&("keeper::files", "keeper::vault")], 1);
    }

    #[test]
    fn a_planted_arrow_is_found_whatever_way_it_is_written() {
        let wanted = "worker → keeper::vault";
        for source in [
            "use crate::keeper::vault::Ring;",
            "use super::super::keeper::vault;",
            "fn f() { tracing::info!(\"{}\", crate::keeper::vault::x()) }",
            "mod tests { use super::super::super::keeper::vault::*; }",
        ] {
            let told = refusal("worker/upload.rs", source);
            assert!(told.contains(wanted), "{source}: {told}");
        }
        assert!(refusal("keeper/vault/ring.rs", "use super::super::files::X;").contains("keeper::vault → keeper::files"));
    }

    #[test]
    fn a_module_without_a_room_and_a_whole_that_has_rooms_are_refused() {
        assert!(refusal("keeper/other.rs", "").contains("is in no room"));
        assert!(refusal("worker/upload.rs", "use crate::keeper;").contains("worker::upload uses crate::keeper, which is in no room"));
    }

    #[test]
    fn a_name_that_one_room_alone_may_use_is_refused_elsewhere() {
        let told = refusal("worker/upload.rs", "use envelope::{Kid, KeyRing};");
        assert!(told.contains("worker::upload uses envelope::KeyRing, which is for keeper::vault alone"), "{told}");
        assert!(!told.contains("Kid"));
        for way in ["use envelope::*;", "fn f() { envelope::KeyRing::new() }", "use envelope as e;"] {
            assert!(refusal("worker/upload.rs", way).contains("for keeper::vault alone"), "{way}");
        }
        assert!(checked("worker/upload.rs", "mod tests { use envelope::KeyRing; }").is_ok());
    }

    #[test]
    fn an_arrow_that_nobody_uses_and_one_that_points_down_are_refused() {
        assert!(refusal("worker.rs", "").contains("worker → shared is allowed and used nowhere"));
        assert!(disorder(&[("a", &["b"]), ("b", &[])]).iter().any(|told| told.contains("b does not stand above it")));
    }
}
