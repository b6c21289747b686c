//! Programs of Python that only tests use: each in an environment of its own, made once for every checkout with the same pins.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::progress::Progress;
use crate::{process, workspace};

/// The environment with all that `xtask/<name>/requirements.txt` names.
pub(crate) fn environment(progress: &Progress, name: &str) -> Result<PathBuf> {
    let requirements = workspace::root().join("xtask").join(name).join("requirements.txt");
    let folder = workspace::cache()?.join(name).join(&workspace::digest(&requirements)?[..16]);
    let complete = folder.join("complete");
    if !complete.exists() {
        // A half-made one has no stamp and is made again.
        let _ = fs::remove_dir_all(&folder);
        progress.during(&format!("installing {name} (a minute the first time)"), String::new, || -> Result<()> {
            process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--requirement"];
            process::output(Command::new(folder.join("bin/python")).args(pip).arg(&requirements))?;
            Ok(fs::write(&complete, "")?)
        })?;
    }
    Ok(folder)
}
