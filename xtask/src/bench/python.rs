//! Other people's Python libraries, in the versions that the tests' files were made with, and the scripts that have them make and read files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::progress::Progress;
use crate::{packages, process, workspace};

/// A Python that has some libraries.
pub(super) struct Python {
    program: PathBuf,
    /// The libraries with their versions.
    pins: String,
}

impl Python {
    /// Installs once what the file of requirements says of each of `libraries`.
    pub(super) fn with(progress: &Progress, requirements: &str, libraries: &[&str]) -> Result<Self> {
        packages::install(progress, &[packages::PYTHON_VENV])?;
        let file = workspace::root().join(requirements);
        let listed = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let pins: Vec<&str> = listed.lines().filter(|line| libraries.contains(&line.split("==").next().unwrap_or_default())).collect();
        ensure!(pins.len() == libraries.len(), "{requirements} pins not all of {}", libraries.join(", "));
        let digest = hex::encode(Sha256::digest(pins.join("\n")));
        let folder = workspace::cache()?.join("bench-python").join(&digest[..16]);
        let (program, complete) = (folder.join("bin/python"), folder.join("complete"));
        if !complete.exists() {
            // A half-made one has no stamp and is made again.
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            progress.during(&format!("installing {}", pins.join(" ")), String::new, || -> Result<()> {
                process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
                process::output(Command::new(&program).args(pip).args(&pins))?;
                Ok(std::fs::write(&complete, "")?)
            })?;
        }
        Ok(Self { program, pins: pins.join(", ").replace("==", " ") })
    }

    /// Of Python and of the libraries.
    pub(super) fn versions(&self) -> Result<String> {
        let python = process::output(Command::new(&self.program).arg("--version"))?;
        Ok(format!("{}, {}", self.pins, python.trim()))
    }

    /// A script of the folder `clients`.
    pub(super) fn script(&self, script: &str, arguments: &[&Path]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(workspace::root().join("xtask/src/bench/clients").join(script)).args(arguments);
        command
    }

    /// What the script makes of the file of rows, unless it was made before.
    pub(super) fn made(&self, progress: &Progress, script: &str, csv: &Path, extension: &str) -> Result<PathBuf> {
        let made = csv.with_extension(extension);
        if !made.exists() {
            let part = made.with_extension("part");
            let what = format!("making {}", made.file_name().unwrap_or_default().display());
            progress.during(&what, String::new, || process::output(&mut self.script(script, &[csv, &part])))?;
            std::fs::rename(&part, &made)?;
        }
        // Its first reader does not wait for the disk.
        std::io::copy(&mut std::fs::File::open(&made)?, &mut std::io::sink())?;
        Ok(made)
    }
}
