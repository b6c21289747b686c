//! Archives of a program for people: a tarball, or a zip file where that is what people have.

use std::io::{Cursor, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use zip::write::SimpleFileOptions;

use super::oci::gzip;
use super::platform::Platform;
use crate::tar::Tar;

/// A program and the licences that go with it.
pub(super) struct Contents<'a> {
    pub(super) program: &'a Path,
    pub(super) licence: &'a Path,
    pub(super) third_party: &'a Path,
}

/// The archive of a program, and how its name ends.
pub(super) fn of(platform: &Platform, contents: &Contents<'_>) -> Result<(Vec<u8>, &'static str)> {
    let name = contents.program.file_name().context("a program has a file name")?.to_string_lossy();
    let files = [
        (name.as_ref(), contents.program, 0o755),
        ("LICENSE", contents.licence, 0o644),
        ("THIRD-PARTY-LICENSES", contents.third_party, 0o644),
    ];
    let files: Vec<(&str, Vec<u8>, u32)> = files
        .into_iter()
        .map(|(name, path, mode)| Ok((name, std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?, mode)))
        .collect::<Result<_>>()?;
    match platform.os {
        "windows" => Ok((zipped(&files)?, "zip")),
        _ => Ok((tarred(&files)?, "tar.gz")),
    }
}

fn tarred(files: &[(&str, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut tar = Tar::default();
    for (name, content, mode) in files {
        tar.file(name, *mode, content)?;
    }
    gzip(&tar.finish())
}

fn zipped(files: &[(&str, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in files {
        // Dated 1980, when zip files begin: the same content gives the same bytes.
        let options = SimpleFileOptions::default().unix_permissions(*mode).last_modified_time(zip::DateTime::default());
        zip.start_file(*name, options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}
