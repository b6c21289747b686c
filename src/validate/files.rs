//! Which files are read, and how much of them.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::terminal;

/// No file of manifests is larger; an API server takes no object of more than 3 MiB.
const LARGEST: u64 = 16 << 20;
/// Folders within each other.
const DEEPEST: usize = 64;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What is read, and what is not although it lies there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    pub(super) kustomizations: usize,
    pub(super) charts: usize,
}

/// The files of all these paths, each once, in the order of the command line and of their names.
pub(super) fn find<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        let before = found.files.len();
        if path.as_os_str() != "-" && fs::metadata(path).with_context(|| unreadable(path))?.is_dir() {
            below(path, 0, &mut found)?;
            let empty = found.files.len() == before && found.kustomizations + found.charts == 0;
            ensure!(!empty, "{} has no *.yaml, *.yml or *.json in it or below", path.display());
        } else {
            found.files.push(path.clone());
        }
    }
    let mut seen = HashSet::new();
    found.files.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn unreadable(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

/// Nothing that is hidden, and no folder that is a link: it may lead to one above.
fn below(folder: &Path, depth: usize, found: &mut Found) -> anyhow::Result<()> {
    ensure!(depth < DEEPEST, "{} lies deeper than {DEEPEST} folders", folder.display());
    if folder.join("Chart.yaml").is_file() {
        found.charts += 1;
        return Ok(());
    }
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).with_context(|| unreadable(folder))?;
    let mut entries: Vec<_> = listed.into_iter().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().with_context(|| unreadable(&path))?.is_dir() {
            below(&path, depth + 1, found)?;
        } else if KUSTOMIZATIONS.iter().any(|name| entry.file_name() == *name) {
            found.kustomizations += 1;
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) && path.is_file() {
            found.files.push(path);
        }
    }
    Ok(())
}

/// A file as findings call it, relative to where we are if it was named so: workflows know it by that.
pub(super) fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.strip_prefix(".").unwrap_or(path).display().to_string() }
}

/// The text of a file, or why there is none.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let bytes = bytes_of(path).map_err(|error| format!("cannot be read: {}", terminal::without_number(&error.to_string())))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {} MiB: these are no manifests, or they belong into several files", LARGEST >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is no text in UTF-8: save it as such".to_owned())
}

fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_without_what_is_no_manifest() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.yml",
            "a/c.json",
            "a/b.yaml",
            "a/notes.md",
            ".git/d.yaml",
            "kustomization.yaml",
            "chart/Chart.yaml",
            "chart/templates/x.yaml",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: 1\n").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let root = folder.path().to_owned();
        let found = find([root.clone(), root.join("b.yml")].iter()).unwrap();
        let names: Vec<_> = found.files.iter().map(|path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["a/b.yaml", "a/c.json", "b.yml"]);
        assert_eq!((found.kustomizations, found.charts), (1, 1));
        fs::create_dir(root.join("empty")).unwrap();
        assert!(find([root.join("empty")].iter()).unwrap_err().to_string().contains("has no *.yaml"));
        assert!(find([root.join("missing.yaml")].iter()).unwrap_err().to_string().ends_with("missing.yaml cannot be read"));
    }

    #[test]
    fn what_is_too_large_or_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        fs::write(&path, b"a: \xff\n").unwrap();
        assert!(text_of(&path).unwrap_err().contains("UTF-8"));
        fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(text_of(&path).unwrap_err().contains("larger than 16 MiB"));
    }
}
