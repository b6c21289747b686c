//! The project's own programs, built for use: optimized, static, of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::progress::Progress;
use crate::{process, workspace};

pub(crate) struct Programs {
    pub(crate) dataimporter: PathBuf,
    pub(crate) plugin: PathBuf,
    pub(crate) emulator: PathBuf,
}

/// What cargo is told to build. Of packages chosen by name it would compile dependencies, and then our own crates, with fewer
/// features than `cargo test --workspace` does: everything twice.
pub(crate) const CHOICE: [&str; 7] = ["--workspace", "--bin", "dataimporter", "--bin", "kubectl-import", "--bin", "salesforce-emulator"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Optimized {
    Yes,
    No,
}

/// Cargo's words go to `build.log` in `folder`.
pub(crate) fn build(progress: &Progress, folder: &Path, optimized: Optimized) -> Result<Programs> {
    let (what, profile, directory) = match optimized {
        Optimized::No => ("building the programs", "dev", "debug"),
        Optimized::Yes => ("building the programs (release)", "release", "release"),
    };
    let log = folder.join("build.log");
    progress.during(
        what,
        || last_line(&log),
        || {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--locked", "--profile", profile]).args(CHOICE).current_dir(workspace::root());
            process::logged(&mut cargo, &log)
        },
    )?;
    let folder = workspace::built(directory);
    Ok(Programs {
        dataimporter: folder.join("dataimporter"),
        plugin: folder.join("kubectl-import"),
        emulator: folder.join("salesforce-emulator"),
    })
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().map(|line| format!(", {}", line.trim())).unwrap_or_default()
}
