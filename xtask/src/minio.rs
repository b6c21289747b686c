//! MinIO, a real server of S3 for tests: built from its Go module, whose pins are in `xtask/minio`, and kept outside the checkout.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress::Progress;
use crate::{process, workspace};

const PACKAGE: &str = "github.com/minio/minio";

/// Builds it unless it is in the cache, and links it to `target/minio`, where tests look for it.
pub(crate) fn build(progress: &Progress) -> Result<()> {
    let sources = workspace::root().join("xtask/minio");
    let shelf = workspace::cache()?.join("minio");
    fs::create_dir_all(&shelf).with_context(|| format!("cannot create {}", shelf.display()))?;
    // `go.sum` names every module by its content.
    let folder = shelf.join(&workspace::digest(&sources.join("go.sum"))?[..16]);
    let lock = File::create(shelf.join("lock"))?;
    if lock.try_lock().is_err() {
        progress.during("waiting for another build of MinIO", String::new, || lock.lock())?;
    }
    if !folder.join("minio").is_file() {
        compile(progress, &sources, &shelf, &folder)?;
    }
    link(&folder)
}

fn compile(progress: &Progress, sources: &Path, shelf: &Path, folder: &Path) -> Result<()> {
    ensure!(process::is_installed("go"), "Go is not installed; MinIO is built from its Go module (see xtask/minio/go.mod for the version)");
    let (log, unfinished) = (shelf.join("build.log"), shelf.join("unfinished"));
    let mut build = Command::new("go");
    build.args(["build", "-v", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&unfinished).arg(PACKAGE);
    build.current_dir(sources).env("CGO_ENABLED", "0");
    let compiled = || format!(", {} packages", fs::read_to_string(&log).map_or(0, |text| text.lines().count()));
    progress.during("building MinIO (four to ten minutes the first time)", compiled, || process::logged(&mut build, &log))?;
    fs::create_dir_all(folder)?;
    fs::rename(&unfinished, folder.join("minio")).with_context(|| format!("cannot put MinIO into {}", folder.display()))
}

fn link(folder: &Path) -> Result<()> {
    let link = workspace::target().join("minio");
    if fs::read_link(&link).is_ok_and(|linked| linked == folder) {
        return Ok(());
    }
    fs::create_dir_all(workspace::target())?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(folder, &link).with_context(|| format!("cannot link {}", link.display()))
}
