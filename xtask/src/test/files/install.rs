//! The packages that ship the files, fetched by their registries' own clients and unpacked in the cache. Nothing of them is
//! ever committed, so every file keeps its licence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::table::{PACKAGES, Package, Registry};
use crate::progress::Progress;
use crate::{process, workspace};

/// The folder with one folder a package, named after it.
pub(super) fn shelf(progress: &Progress) -> Result<PathBuf> {
    let pins = PACKAGES.map(|package| format!("{:?} {} {}\n", package.registry, package.name, package.version)).concat();
    let pins = hex::encode(Sha256::digest(pins));
    let shelves = workspace::cache()?.join("files");
    fs::create_dir_all(&shelves).with_context(|| format!("cannot create {}", shelves.display()))?;
    let shelf = shelves.join(&pins[..16]);
    let complete = shelf.join("complete");
    let lock = fs::File::create(shelves.join("lock"))?;
    if lock.try_lock().is_err() {
        progress.during("waiting for another to fetch the files", String::new, || lock.lock())?;
    }
    if complete.exists() {
        return Ok(shelf);
    }
    // A half-made one has no stamp and is made again.
    if shelf.exists() {
        fs::remove_dir_all(&shelf)?;
    }
    fs::create_dir(&shelf)?;
    let fetch = Fetch { shelf: &shelf };
    fetch.prepare(progress)?;
    for package in &PACKAGES {
        progress.during(&format!("fetching {}", package.name), String::new, || fetch.package(package))?;
    }
    fs::write(complete, "")?;
    Ok(shelf)
}

struct Fetch<'a> {
    shelf: &'a Path,
}

impl Fetch<'_> {
    /// A pip of our own, and Debian's current lists.
    fn prepare(&self, progress: &Progress) -> Result<()> {
        process::output(Command::new("python3").args(["-m", "venv"]).arg(self.shelf.join("venv")))?;
        for tool in ["npm", "apt-get", "dpkg-deb"] {
            ensure!(process::is_installed(tool), "{tool} is needed and not installed");
        }
        progress
            .during("refreshing the package lists", String::new, || process::output(Command::new("apt-get").args(["-qq", "update"])))?;
        Ok(())
    }

    fn package(&self, package: &Package) -> Result<()> {
        let folder = self.shelf.join(package.name);
        fs::create_dir_all(&folder)?;
        match package.registry {
            Registry::PyPiWheel | Registry::PyPiSource => self.pip(package, &folder)?,
            Registry::Npm => {
                let name = format!("{}@{}", package.name, package.version);
                process::output(Command::new("npm").args(["pack", "--silent", &name]).current_dir(&folder))?;
            }
            Registry::Debian => {
                let name = format!("{}={}", package.name, package.version);
                process::output(Command::new("apt-get").args(["-qq", "download", &name]).current_dir(&folder))?;
            }
            Registry::Crates => return copy_crate(package, &folder),
        }
        unpack(&folder)
    }

    fn pip(&self, package: &Package, folder: &Path) -> Result<()> {
        let mut pip = Command::new(self.shelf.join("venv/bin/pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]).arg(folder);
        match package.registry {
            Registry::PyPiSource => pip.args(["--no-binary", ":all:"]),
            // Named, so that every Python gets the same file.
            _ => pip.args(["--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]),
        };
        process::output(pip.arg(format!("{}=={}", package.name, package.version)))?;
        Ok(())
    }
}

/// The one archive in the folder, beside itself.
fn unpack(folder: &Path) -> Result<()> {
    let mut found = fs::read_dir(folder)?;
    let archive = found.next().with_context(|| format!("nothing came to {}", folder.display()))??.path();
    let mut command = match archive.extension().and_then(|ending| ending.to_str()) {
        Some("whl") => Command::new("python3"),
        Some("gz" | "tgz") => Command::new("tar"),
        Some("deb") => Command::new("dpkg-deb"),
        _ => bail!("{} is no archive that is known here", archive.display()),
    };
    match archive.extension().and_then(|ending| ending.to_str()) {
        Some("whl") => command.args(["-m", "zipfile", "-e"]).arg(&archive).arg(folder),
        Some("deb") => command.arg("-x").arg(&archive).arg(folder),
        _ => command.arg("-xf").arg(&archive).arg("--strip-components=1").arg("-C").arg(folder),
    };
    process::output(&mut command)?;
    Ok(())
}

/// A crate of our own `Cargo.lock`, as cargo unpacked it.
fn copy_crate(package: &Package, folder: &Path) -> Result<()> {
    let said = process::output(process::cargo().args(["metadata", "--locked", "--format-version", "1"]).current_dir(workspace::root()))?;
    let metadata: Value = serde_json::from_str(&said)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let found = packages.iter().find(|found| found["name"] == package.name && found["version"] == package.version);
    let found = found.with_context(|| format!("Cargo.lock has no {} {}", package.name, package.version))?;
    let manifest = Path::new(found["manifest_path"].as_str().context("a package has a manifest")?);
    let from = manifest.parent().context("a manifest is in a folder")?;
    process::output(Command::new("cp").arg("-r").arg(from.join(".")).arg(folder))?;
    Ok(())
}
