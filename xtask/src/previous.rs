//! The version that an upgrade begins with: its program, built once and kept outside of the checkout, and its chart and examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::progress::Progress;
use crate::{process, programs, workspace};

/// The commit that upgrades begin with, until there is a release that they can begin with: before the chart knew proxies, sealed
/// credentials and more than one keeper, and with other definitions than today's.
const COMMIT: &str = "ee168ed59edb0aa5a489e0bf38cee73450dea05d";

pub(crate) struct Previous {
    pub(crate) dataimporter: PathBuf,
    pub(crate) chart: PathBuf,
    pub(crate) examples: PathBuf,
}

/// Makes it unless it is there.
pub(crate) fn make(progress: &Progress) -> Result<Previous> {
    let folder = workspace::cache()?.join("previous").join(&COMMIT[..16]);
    let sources = folder.join("sources");
    let dataimporter = folder.join("dataimporter");
    if !dataimporter.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&sources).with_context(|| format!("cannot create {}", sources.display()))?;
        take_out(&sources)?;
        let log = folder.join("build.log");
        let mut cargo = process::cargo();
        // With a target directory of its own: cargo tells crates of two checkouts apart by nothing, and would take one's for the other's.
        let target = folder.join("target");
        cargo.args(["build", "--locked"]).args(programs::CHOICE).current_dir(&sources).env("CARGO_TARGET_DIR", &target);
        let what = format!("building the version before ({}; five to fifteen minutes the first time)", &COMMIT[..7]);
        progress.during(&what, || programs::last_line(&log), || process::logged(&mut cargo, &log))?;
        let unfinished = folder.join("unfinished");
        let built = target.join(workspace::triple()).join("debug/dataimporter");
        fs::copy(built, &unfinished).context("cannot keep its program")?;
        fs::remove_dir_all(&target)?;
        fs::rename(&unfinished, &dataimporter)?;
    }
    Ok(Previous { dataimporter, chart: sources.join("charts/dataimporter"), examples: sources.join("examples") })
}

/// The files of the commit.
fn take_out(folder: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["archive", COMMIT]).current_dir(workspace::root()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut archive = git.spawn().context("cannot start git")?;
    let packed = archive.stdout.take().context("it is piped")?;
    let unpacked = Command::new("tar").arg("-x").current_dir(folder).stdin(packed).status().context("cannot start tar")?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "commit {COMMIT}, which upgrades begin with, is not in this clone: git fetch --unshallow brings it"
    );
    Ok(())
}
