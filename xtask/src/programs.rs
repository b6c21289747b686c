//! The project's own programs, of this checkout: optimized where speed is measured, and otherwise as tests build them, so that nothing is
//! compiled twice.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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
    build_unless(progress, folder, optimized, &AtomicBool::new(false))
}

/// Builds them while `other` runs. When `other` fails nobody needs them, and the build is stopped. When the build fails, this is said at once;
/// `other` goes on to its end, because what it makes is kept for the next attempt.
pub(crate) fn build_beside<T>(
    progress: &Progress,
    folder: &Path,
    optimized: Optimized,
    other: impl FnOnce() -> Result<T>,
) -> Result<(Programs, T)> {
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let building = scope.spawn(|| {
            let built = build_unless(progress, folder, optimized, &stopped);
            match &built {
                Ok(_) => progress.say("the programs are built"),
                Err(_) if stopped.load(Ordering::Relaxed) => {}
                Err(error) => progress.say(&format!("the programs do not build; what runs beside goes on to its end: {error:#}")),
            }
            built
        });
        let other = other();
        stopped.store(other.is_err(), Ordering::Relaxed);
        let built = building.join().expect("the build does not panic");
        other.and_then(|other| Ok((built?, other)))
    })
}

fn build_unless(progress: &Progress, folder: &Path, optimized: Optimized, stopped: &AtomicBool) -> Result<Programs> {
    let (what, profile, directory) = match optimized {
        Optimized::No => ("building the programs", "dev", "debug"),
        Optimized::Yes => ("building the programs (release)", "release", "release"),
    };
    let log = folder.join("build.log");
    progress.during(
        what,
        || last_line(&log),
        || {
            let mut cargo = process::cargo();
            cargo.args(["build", "--locked", "--profile", profile]).args(CHOICE).current_dir(workspace::root());
            process::logged_unless(&mut cargo, &log, stopped)
        },
    )?;
    let folder = workspace::built(directory);
    Ok(Programs {
        dataimporter: folder.join("dataimporter"),
        plugin: folder.join("kubectl-import"),
        emulator: folder.join("salesforce-emulator"),
    })
}

pub(crate) fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().map(|line| format!(", {}", line.trim())).unwrap_or_default()
}
