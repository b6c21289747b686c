//! The test programs of the workspace, as cargo builds them, and what each says it would run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use toml_edit::DocumentMut;

use crate::{process, workspace};

/// A test program.
#[derive(Debug)]
pub(super) struct Suite {
    /// `api` for the unit tests of a library, `dataimporter::keeper` for a program of `tests/`, `dataimporter::bin/kubectl-import`
    /// for the unit tests of a program.
    pub(super) name: String,
    /// Its tests, ignored ones too; none of a program that is one test by itself.
    pub(super) tests: Option<Vec<String>>,
    package: String,
    program: PathBuf,
    /// Cargo runs a suite in the folder of its package.
    folder: PathBuf,
}

/// What cargo says of something that it built.
#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds every suite of the workspace, with what cargo says going to the person.
pub(super) fn build() -> Result<Vec<Suite>> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    cargo.current_dir(workspace::root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo test --no-run ended with {}", output.status);
    let mut suites = named(&String::from_utf8_lossy(&output.stdout))?;
    for suite in &mut suites {
        if !suite.is_one_test()? {
            suite.tests = Some(listed(&process::output(suite.command().args(["--list", "--format", "terse"]))?));
        }
    }
    Ok(suites)
}

impl Suite {
    /// A program with `harness = false` knows no list of tests, and no other argument of ours.
    fn is_one_test(&self) -> Result<bool> {
        let manifest = self.folder.join("Cargo.toml");
        let manifest = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let target = self.name.rsplit_once("::").map_or("", |(_, target)| target);
        Ok(without_harness(&manifest.parse()?).any(|name| name == target))
    }

    /// The program as cargo runs it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).env("CARGO_PKG_NAME", &self.package);
        command
    }
}

#[cfg(test)]
impl Suite {
    pub(super) fn of_tests(name: &str, tests: &[&str]) -> Self {
        let tests = tests.iter().map(|test| (*test).to_owned()).collect();
        Self { name: name.to_owned(), tests: Some(tests), package: String::new(), program: PathBuf::new(), folder: PathBuf::new() }
    }
}

/// The suites among what cargo built. One line a message.
fn named(messages: &str) -> Result<Vec<Suite>> {
    let artifacts = messages.lines().filter(|line| line.contains(r#""reason":"compiler-artifact""#));
    let artifacts = artifacts.map(serde_json::from_str::<Artifact>).collect::<Result<Vec<_>, _>>().context("cargo says something else")?;
    let suites: Vec<Suite> = artifacts.into_iter().filter_map(Artifact::suite).collect();
    ensure!(!suites.is_empty(), "cargo built no tests");
    Ok(suites)
}

impl Artifact {
    fn suite(self) -> Option<Suite> {
        let program = self.executable.filter(|_| self.profile.test)?;
        let package = package(&self.package_id).to_owned();
        let name = match self.target.kind.first()?.as_str() {
            "lib" => package.clone(),
            "test" => format!("{package}::{}", self.target.name),
            kind => format!("{package}::{kind}/{}", self.target.name),
        };
        Some(Suite { name, tests: None, package, program, folder: self.manifest_path.parent().map(Path::to_owned)? })
    }
}

/// `api` of `path+file:///…/crates/api#0.1.0`, and of `path+file:///…/somewhere#api@0.1.0`.
fn package(id: &str) -> &str {
    let (path, version) = id.rsplit_once('#').unwrap_or((id, ""));
    version.split_once('@').map_or_else(|| path.rsplit('/').next().unwrap_or(path), |(name, _)| name)
}

/// The tests of a manifest with `harness = false`.
fn without_harness(manifest: &DocumentMut) -> impl Iterator<Item = &str> {
    let targets = manifest.get("test").and_then(|targets| targets.as_array_of_tables()).into_iter().flatten();
    let targets = targets.filter(|target| target.get("harness").and_then(|harness| harness.as_bool()) == Some(false));
    targets.filter_map(|target| target.get("name").and_then(|name| name.as_str()))
}

/// `a::b` of `a::b: test`.
fn listed(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(id: &str, kind: &str, name: &str, test: bool) -> String {
        let executable = format!("/t/{name}-0");
        serde_json::json!({
            "reason": "compiler-artifact", "package_id": id, "manifest_path": "/w/crates/api/Cargo.toml",
            "target": {"kind": [kind], "name": name}, "profile": {"test": test}, "executable": executable, "fresh": true,
        })
        .to_string()
    }

    #[test]
    fn suites_have_the_names_of_their_package_and_target() {
        let (member, root) = ("path+file:///w/crates/api#0.1.0", "path+file:///w#dataimporter@0.1.0");
        let messages = [
            r#"{"reason":"compiler-message","message":{}}"#.to_owned(),
            artifact(member, "lib", "api", true),
            artifact(member, "lib", "api", false),
            artifact(root, "test", "keeper", true),
            artifact(root, "bin", "kubectl-import", true),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let suites = named(&messages.join("\n")).unwrap();
        let names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["api", "dataimporter::keeper", "dataimporter::bin/kubectl-import"]);
        assert_eq!(suites[0].folder, Path::new("/w/crates/api"));
        assert!(named(&artifact(member, "lib", "api", false)).is_err(), "no tests are not all tests");
    }

    #[test]
    fn a_program_without_harness_is_found_in_its_manifest() {
        let manifest = "[[bench]]\nname = \"rows\"\nharness = false\n[[test]]\nname = \"a\"\n[[test]]\nname = \"b\"\nharness = false\n";
        assert_eq!(Vec::from_iter(without_harness(&manifest.parse().unwrap())), ["b"]);
    }

    #[test]
    fn a_list_names_tests_and_nothing_else() {
        assert_eq!(listed("a::b: test\nc: benchmark\n\n1 test, 1 benchmark\n"), ["a::b"]);
    }
}
