//! Other people's programs that only tests use, made from pins: stores of objects (MinIO and fake-gcs-server, built from their Go modules, and
//! Azurite, of npm), helm-unittest, Flux, Argo CD and etcd's tools. The pins of each are in `xtask/<name>`; what is made of them is kept outside the
//! checkout, and linked to `target/<name>`, where tests look for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress::Progress;
use crate::{process, workspace};

/// How a program comes about.
enum Making {
    /// Built from these packages of Go: one that gets the name of all of it, or several that have their own.
    Go(&'static [&'static str]),
    /// Installed by npm.
    Npm,
}

/// Nobody debugs these, and what a debugger needs takes an eighth of the time.
const FLAGS: [&str; 4] = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", "-s -w"];

struct Pinned {
    /// Of its folders, and of its program if it has one.
    name: &'static str,
    making: Making,
    /// The file that names all that it is made of by content.
    pins: &'static str,
    /// Folders of Go modules whose files lie beside the program, and what they are called there.
    beside: &'static [(&'static str, &'static str, &'static str)],
    /// How long the first time takes.
    takes: &'static str,
}

const MINIO: Pinned =
    Pinned { name: "minio", making: Making::Go(&["github.com/minio/minio"]), pins: "go.sum", beside: &[], takes: "four to ten minutes" };
const GCS: Pinned = Pinned {
    name: "fake-gcs-server",
    making: Making::Go(&["github.com/fsouza/fake-gcs-server"]),
    pins: "go.sum",
    beside: &[],
    takes: "one to three minutes",
};
const AZURITE: Pinned =
    Pinned { name: "azurite", making: Making::Npm, pins: "package-lock.json", beside: &[], takes: "one to two minutes" };

const HELM_UNITTEST: Pinned = Pinned {
    name: "helm-unittest",
    making: Making::Go(&["github.com/helm-unittest/helm-unittest/cmd/helm-unittest"]),
    pins: "go.sum",
    beside: &[],
    takes: "one to three minutes",
};

/// One module for both: what they have in common compiles once.
const FLUX: Pinned = Pinned {
    name: "flux",
    making: Making::Go(&["github.com/fluxcd/source-controller", "github.com/fluxcd/kustomize-controller"]),
    pins: "go.sum",
    beside: &[
        ("github.com/fluxcd/source-controller", "config/crd/bases", "crds"),
        ("github.com/fluxcd/kustomize-controller", "config/crd/bases", "crds"),
    ],
    takes: "five to ten minutes",
};

/// One program, which is another by the name that it is told.
const ARGO_CD: Pinned = Pinned {
    name: "argo-cd",
    making: Making::Go(&["github.com/argoproj/argo-cd/v3/cmd"]),
    pins: "go.sum",
    beside: &[("github.com/argoproj/argo-cd/v3", "manifests/crds", "crds"), ("github.com/argoproj/argo-cd/v3", "hack", "hack")],
    takes: "ten to twenty minutes",
};

const ETCD: Pinned = Pinned {
    name: "etcd",
    making: Making::Go(&["go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"]),
    pins: "go.sum",
    beside: &[],
    takes: "one to two minutes",
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

/// Flux's controllers of sources and of Kustomizations, with the definitions of their resources in `crds`.
pub(crate) fn flux(progress: &Progress) -> Result<PathBuf> {
    FLUX.make(progress)?;
    Ok(workspace::target().join(FLUX.name))
}

/// Argo CD, with the definitions of its resources in `crds` and its scripts in `hack`.
pub(crate) fn argo_cd(progress: &Progress) -> Result<PathBuf> {
    ARGO_CD.make(progress)?;
    Ok(workspace::target().join(ARGO_CD.name))
}

/// What takes and restores snapshots of etcd.
pub(crate) fn etcd(progress: &Progress) -> Result<PathBuf> {
    ETCD.make(progress)?;
    Ok(workspace::target().join(ETCD.name))
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
            self.add_what_lies_beside(&sources, &unfinished)?;
            fs::rename(&unfinished, &folder).with_context(|| format!("cannot put {} into {}", self.name, folder.display()))?;
        }
        link(&folder, self.name)
    }

    fn command(&self, sources: &Path, folder: &Path) -> Result<Command> {
        let mut command = match self.making {
            Making::Go(packages) => {
                let mut build = self.go(sources)?;
                let into = if packages.len() == 1 { folder.join(self.name) } else { folder.to_owned() };
                build.args(["build", "-v"]).args(FLAGS).arg("-o").arg(into).args(packages);
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

    fn go(&self, sources: &Path) -> Result<Command> {
        ensure!(process::is_installed("go"), "Go is not installed; {} is built from its Go module", self.name);
        let mut go = Command::new("go");
        // Some need a newer compiler than the machine's, and name it in their go.mod: Go fetches that by itself.
        go.current_dir(sources).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "auto");
        Ok(go)
    }

    fn add_what_lies_beside(&self, sources: &Path, folder: &Path) -> Result<()> {
        for (module, from, into) in self.beside {
            let place = process::output(self.go(sources)?.args(["list", "-m", "-f", "{{.Dir}}", module]))?;
            fs::create_dir_all(folder.join(into))?;
            for entry in fs::read_dir(Path::new(place.trim()).join(from))? {
                let (file, to) = (entry?, folder.join(into));
                // A list for kustomize is no resource.
                if file.file_type()?.is_file() && file.file_name() != "kustomization.yaml" {
                    fs::copy(file.path(), to.join(file.file_name()))?;
                }
            }
        }
        Ok(())
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
