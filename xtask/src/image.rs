//! Packs files into a container image without a container engine: one layer, its configuration and a manifest in the
//! archive form that `docker save` writes and every engine reads. The same files give the same bytes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The user of our images; nothing in them belongs to it.
pub(crate) const USER: u32 = 65532;

const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const BLOCK: usize = 512;

pub(crate) struct Image {
    reference: String,
    entrypoint: Vec<String>,
    files: Vec<(String, PathBuf)>,
}

impl Image {
    /// An image that holds one static program, which is also its entry point.
    pub(crate) fn of_program(reference: &str, program: &Path) -> Result<Self> {
        let name = program.file_name().context("a program has a file name")?.to_string_lossy().into_owned();
        Ok(Self::new(reference, &[&format!("/{name}")]).with_file(&name, program))
    }

    /// An empty image; `entrypoint` names what it starts.
    pub(crate) fn new(reference: &str, entrypoint: &[&str]) -> Self {
        Self { reference: reference.to_owned(), entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(), files: Vec::new() }
    }

    /// Adds the content of a file of this machine, readable and executable by all.
    pub(crate) fn with_file(mut self, name: &str, source: &Path) -> Self {
        self.files.push((name.to_owned(), source.to_owned()));
        self
    }

    /// Adds the machine's certificate authorities, at the place where TLS libraries look for them.
    pub(crate) fn with_certificate_authorities(mut self) -> Self {
        self.files.push((CA_BUNDLE.to_owned(), Path::new("/").join(CA_BUNDLE)));
        self
    }

    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        let mut layer = Tar::default();
        for (name, source) in &self.files {
            let content = std::fs::read(source).with_context(|| format!("cannot read {} for the image", source.display()))?;
            layer.directories_of(name)?;
            layer.file(name, 0o755, &content)?;
        }
        let layer = layer.finish();
        let configuration = self.configuration(&digest(&layer)).to_string();
        let configuration_name = format!("{}.json", digest(configuration.as_bytes()));
        let manifest = json!([{"Config": configuration_name, "RepoTags": [self.reference], "Layers": ["layer.tar"]}]);

        let mut outer = Tar::default();
        outer.file("manifest.json", 0o644, manifest.to_string().as_bytes())?;
        outer.file(&configuration_name, 0o644, configuration.as_bytes())?;
        outer.file("layer.tar", 0o644, &layer)?;
        std::fs::write(archive, outer.finish()).with_context(|| format!("cannot write {}", archive.display()))
    }

    fn configuration(&self, layer: &str) -> serde_json::Value {
        let created = "1970-01-01T00:00:00Z";
        json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "created": created,
            "config": {"Entrypoint": self.entrypoint, "User": format!("{USER}:{USER}"), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
            "history": [{"created": created}],
        })
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A tar archive in the ustar form: everything belongs to root and dates from 1970.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
    directories: Vec<String>,
}

impl Tar {
    fn directories_of(&mut self, name: &str) -> Result<()> {
        let ends: Vec<usize> = name.match_indices('/').map(|(at, _)| at + 1).collect();
        for end in ends {
            let directory = name[..end].to_owned();
            if !self.directories.contains(&directory) {
                self.entry(&directory, b'5', 0o755, 0)?;
                self.directories.push(directory);
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(name, b'0', mode, content.len())?;
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    fn entry(&mut self, name: &str, kind: u8, mode: u32, size: usize) -> Result<()> {
        anyhow::ensure!(name.len() <= 100, "{name} is too long a name for the archive");
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(257, "ustar\x0000");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        (&mut header[148..156]).write_all(format!("{sum:06o}\0 ").as_bytes())?;
        self.bytes.extend_from_slice(&header);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::output;

    fn packed(name: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("image-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tool"), "content of the tool").unwrap();
        let archive = folder.join("image.tar");
        Image::of_program("tool:dev", &folder.join("tool")).unwrap().write(&archive).unwrap();
        (folder, archive)
    }

    #[test]
    fn tar_reads_the_archive_and_the_layer_in_it() {
        let (folder, archive) = packed("read");
        output(Command::new("tar").args(["-xf", "image.tar"]).current_dir(&folder)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "tool:dev");

        let configuration = std::fs::read(folder.join(manifest[0]["Config"].as_str().unwrap())).unwrap();
        let configuration: serde_json::Value = serde_json::from_slice(&configuration).unwrap();
        let layer = std::fs::read(folder.join("layer.tar")).unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(&layer)));
        assert_eq!(configuration["config"]["Entrypoint"][0], "/tool");
        assert_eq!(configuration["config"]["User"], "65532:65532");

        let listing = output(Command::new("tar").args(["-tvf", "layer.tar"]).current_dir(&folder)).unwrap();
        assert!(listing.starts_with("-rwxr-xr-x 0/0"), "{listing}");
        assert_eq!(output(Command::new("tar").args(["-xOf", "layer.tar", "tool"]).current_dir(&folder)).unwrap(), "content of the tool");
        assert!(archive.is_file());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let (one, first) = packed("first");
        let (two, second) = packed("second");
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
        std::fs::remove_dir_all(one).unwrap();
        std::fs::remove_dir_all(two).unwrap();
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut tar = Tar::default();
        for name in ["a/b/one", "a/b/two"] {
            tar.directories_of(name).unwrap();
            tar.file(name, 0o644, b"x").unwrap();
        }
        assert_eq!(tar.directories, ["a/", "a/b/"]);
    }
}
