//! Which room may depend on what: crates by what they link to, the rooms of `src/` by what their source names.

mod paths;
mod rooms;

use anyhow::{Result, bail};

use crate::{process, workspace};

/// Crates that must stay free of any Kubernetes client, and of what else.
const PURE: [(&str, &[&str]); 5] = [
    ("api", &["kube-client", "kube-runtime", "tokio", "reqwest"]),
    ("domain", &["kube-client", "kube-runtime", "tokio", "reqwest", "rand"]),
    ("envelope", &["kube-client", "kube-runtime", "kube-core", "tokio", "reqwest", "hyper"]),
    ("formula", &["kube-client", "kube-runtime", "kube-core", "tokio", "reqwest", "serde"]),
    ("engine", &["kube-client", "kube-runtime"]),
];
/// A crate that must have them, so that a check which finds nothing anywhere is noticed.
const CONTROL: (&str, &[&str]) = ("runtime", &["kube-client", "kube-runtime", "tokio"]);

pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for (package, forbidden) in PURE {
        let tree = dependencies(package)?;
        wrong
            .extend(forbidden.iter().filter(|name| tree.contains(&(**name).to_owned())).map(|name| format!("{package} depends on {name}")));
    }
    let (package, needed) = CONTROL;
    let tree = dependencies(package)?;
    wrong.extend(
        needed
            .iter()
            .filter(|name| !tree.contains(&(**name).to_owned()))
            .map(|name| format!("control: {package} is not seen to depend on {name}")),
    );
    if !wrong.is_empty() {
        bail!("walls that moved:\n  {}", wrong.join("\n  "));
    }
    println!("boundaries: api, domain, envelope, formula and engine know no Kubernetes client");
    rooms::check()
}

/// Names of everything that a crate links to, itself left out.
fn dependencies(package: &str) -> Result<Vec<String>> {
    let mut cargo = process::cargo();
    cargo.args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let said = process::output(cargo.current_dir(workspace::root()))?;
    Ok(said.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}
