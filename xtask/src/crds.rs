//! `cargo xtask crds`: writes the generated CustomResourceDefinitions to `crds/` and to the chart.

use std::process::ExitCode;

use anyhow::Result;

use crate::{process, workspace};

pub(crate) fn run() -> Result<ExitCode> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "api", "--example", "write-crds", "--"]).arg(workspace::root());
    print!("{}", process::output(cargo.current_dir(workspace::root()))?);
    Ok(ExitCode::SUCCESS)
}
