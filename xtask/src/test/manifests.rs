//! No manifest names a crate that its package does not use: each is weight, and somebody's advisory to read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{process, workspace};

pub(crate) fn check() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]).current_dir(workspace::root());
    let metadata: Value = serde_json::from_str(&process::output(&mut cargo)?).context("cargo metadata prints JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let (mut unused, mut named, mut looked_at) = (Vec::new(), BTreeSet::new(), 0);
    for package in packages {
        let folder = Path::new(package["manifest_path"].as_str().context("a package has a manifest")?).parent().context("in a folder")?;
        let (program, tests) = (words(folder, &["src"])?, words(folder, &["src", "tests", "benches", "examples"])?);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            let used_in = if dependency["kind"] == "dev" { &tests } else { &program };
            looked_at += 1;
            named.insert(name.to_owned());
            if !used_in.contains(&name.replace('-', "_")) {
                unused.push(format!("{} does not use {name}", package["name"].as_str().unwrap_or_default()));
            }
        }
    }
    let offered = offered()?;
    unused.extend(offered.difference(&named).map(|name| format!("no package asks the workspace for {name}")));
    // A check that reads nothing finds nothing.
    ensure!(looked_at > 100 && offered.contains("serde"), "only {looked_at} dependencies were found, {} in the workspace", offered.len());
    if !unused.is_empty() {
        bail!("dependencies that nobody uses:\n  {}", unused.join("\n  "));
    }
    println!("manifests: {looked_at} dependencies, each is used");
    Ok(())
}

/// Every word in the Rust sources below these folders of a package.
fn words(package: &Path, folders: &[&str]) -> Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for folder in folders.iter().map(|folder| package.join(folder)).filter(|folder| folder.is_dir()) {
        collect(&folder, &mut words)?;
    }
    Ok(words)
}

fn collect(folder: &Path, words: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, words)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            read(&path, words)?;
        }
    }
    Ok(())
}

/// The words of one file, and of those that it takes from elsewhere: fixtures that several packages share.
fn read(file: &Path, words: &mut BTreeSet<String>) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let code = || text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    words.extend(code().flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')).map(str::to_owned));
    for shared in code().filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]")) {
        read(&file.with_file_name(shared), words)?;
    }
    Ok(())
}

/// What the workspace offers to its packages.
fn offered() -> Result<BTreeSet<String>> {
    let manifest = fs::read_to_string(workspace::root().join("Cargo.toml"))?;
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    Ok(section.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect())
}
