//! Other people's programs that only tests use, made from pins: stores of objects (MinIO and fake-gcs-server, built from their Go modules, and
//! Azurite, of npm), and helm-unittest. The pins of each are in `xtask/<name>`; what is made of them is kept outside the checkout, and linked to
//! `target/<name>`, where tests look for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress::Progress;
use crate::{process, workspace};

/// How a program comes about.
enum Making {
    /// Built from the Go module of this name.
    Go(&'static str),
    /// Installed by npm.
    Npm,
}

struct Pinned {
    /// Of its folders, and of its program if it has one.
    name: &'static str,
    making: Making,
    /// The file that names all that it is made of by content.
    pins: &'static str,
    /// How long the first time takes.
    takes: &'static str,
}

const MINIO: Pinned = Pinned { name: "minio", making: Making::Go("github.com/minio/minio"), pins: "go.sum", takes: "four to ten minutes" };
const GCS: Pinned = Pinned {
    name: "fake-gcs-server",
    making: Making::Go("github.com/fsouza/fake-gcs-server"),
    pins: "go.sum",
    takes: "one to three minutes",
};
const AZURITE: Pinned = Pinned { name: "azurite", making: Making::Npm, pins: "package-lock.json", takes: "one to two minutes" };

const HELM_UNITTEST: Pinned = Pinned {
    name: "helm-unittest",
    making: Making::Go("github.com/helm-unittest/helm-unittest/cmd/helm-unittest"),
    pins: "go.sum",
    takes: "one to three minutes",
};

/// S3.
pub(crate) fn minio(progress: &Progress) -> Result<()> {
    MINIO.make(progress)
}

/// Google Cloud Storage and Azure Blob Storage.
pub(crate) fn clouds(progress: &Progress) -> Result<()> {
    GCS.make(progress)?;
    AZURITE.make(progress)
}

/// What runs the suites of the chart: its program.
pub(crate) fn helm_unittest(progress: &Progress) -> Result<PathBuf> {
    HELM_UNITTEST.make(progress)?;
    Ok(workspace::target().join(HELM_UNITTEST.name).join(HELM_UNITTEST.name))
}

impl Pinned {
    /// Makes it unless it is there already.
    fn make(&self, progress: &Progress) -> Result<()> {
        let sources = workspace::root().join("xtask").join(self.name);
        let shelf = workspace::cache()?.join(self.name);
        fs::create_dir_all(&shelf).with_context(|| format!("cannot create {}", shelf.display()))?;
        let folder = shelf.join(&workspace::digest(&sources.join(self.pins))?[..16]);
        let lock = File::create(shelf.join("lock"))?;
        if lock.try_lock().is_err() {
            progress.during(&format!("waiting for another build of {}", self.name), String::new, || lock.lock())?;
        }
        if !folder.exists() {
            // What is begun and broken off is no program.
            let unfinished = shelf.join("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            fs::create_dir_all(&unfinished)?;
            let log = shelf.join("build.log");
            let mut build = self.command(&sources, &unfinished)?;
            let lines = || format!(", {} lines of its log", fs::read_to_string(&log).map_or(0, |text| text.lines().count()));
            let what = format!("making {} ({} the first time)", self.name, self.takes);
            progress.during(&what, lines, || process::logged(&mut build, &log))?;
            fs::rename(&unfinished, &folder).with_context(|| format!("cannot put {} into {}", self.name, folder.display()))?;
        }
        link(&folder, self.name)
    }

    fn command(&self, sources: &Path, folder: &Path) -> Result<Command> {
        let mut command = match self.making {
            Making::Go(package) => {
                ensure!(process::is_installed("go"), "Go is not installed; {} is built from its Go module", self.name);
                let mut build = Command::new("go");
                build.args(["build", "-v", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(folder.join(self.name)).arg(package);
                build.current_dir(sources).env("CGO_ENABLED", "0");
                build
            }
            Making::Npm => {
                ensure!(process::is_installed("npm"), "npm is not installed; {} is a package of it", self.name);
                for file in ["package.json", self.pins] {
                    fs::copy(sources.join(file), folder.join(file))?;
                }
                let mut install = Command::new("npm");
                install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=http"]).current_dir(folder);
                install
            }
        };
        command.stdin(std::process::Stdio::null());
        Ok(command)
    }
}

fn link(folder: &Path, name: &str) -> Result<()> {
    let link = workspace::target().join(name);
    if fs::read_link(&link).is_ok_and(|linked| linked == folder) {
        return Ok(());
    }
    fs::create_dir_all(workspace::target())?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(folder, &link).with_context(|| format!("cannot link {}", link.display()))
}
