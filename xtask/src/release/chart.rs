//! The chart as it is published: it names the image of its version by digest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::oci::gzip;
use super::version::Version;
use crate::tar::Tar;
use crate::{process, workspace};

pub(super) struct Chart {
    /// What `helm install` takes.
    pub(super) packed: Vec<u8>,
    /// Its `Chart.yaml`.
    pub(super) said: Value,
}

/// Packs a copy of the chart in `folder`, without what its `.helmignore` names.
pub(super) fn pack(helm: &Path, folder: &Path, version: &Version, repository: &str, digest: &str, platforms: &[String]) -> Result<Chart> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    process::output(Command::new("cp").arg("-r").arg(workspace::root().join("charts/dataimporter")).arg(folder))?;
    let copy = folder.join("dataimporter");
    replace(&copy.join("values.yaml"), "  repository: dataimporter\n", &format!("  repository: {repository}\n"))?;
    replace(&copy.join("values.yaml"), "  digest: \"\" ", &format!("  digest: \"{digest}\" "))?;
    let listed = copy.join("Chart.yaml");
    replace(&listed, &format!("      image: dataimporter:{}\n", version.number), &format!("      image: {repository}@{digest}\n"))?;
    replace(&listed, "      platforms: [linux/amd64]\n", &format!("      platforms: [{}]\n", platforms.join(", ")))?;
    // Helm says what belongs to a chart, and dates what it packs by the clock: its files are packed once more.
    process::output(Command::new(helm).args(["package", "dataimporter", "--destination", "."]).current_dir(folder))?;
    fs::remove_dir_all(&copy)?;
    process::output(Command::new("tar").args(["-xzf", &format!("dataimporter-{}.tgz", version.number)]).current_dir(folder))?;
    let names = process::output(Command::new("find").args(["dataimporter", "-type", "f"]).current_dir(folder))?;
    let mut names: Vec<&str> = names.lines().collect();
    // Helm reads what a chart is from its first entries.
    names.sort_by_key(|name| (*name != "dataimporter/Chart.yaml", *name));
    let mut tar = Tar::default();
    for name in names {
        tar.file(name, 0o644, &fs::read(folder.join(name))?)?;
    }
    let said = serde_saphyr::from_str(&fs::read_to_string(copy.join("Chart.yaml"))?).context("Chart.yaml is no YAML")?;
    Ok(Chart { packed: gzip(&tar.finish())?, said })
}

/// What the file has exactly once.
fn replace(file: &Path, old: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(text.matches(old).count() == 1, "{} has {old:?} not exactly once", file.display());
    fs::write(file, text.replace(old, new)).with_context(|| format!("cannot write {}", file.display()))
}
