//! Packs files into a container image without a container engine: one layer, its configuration and a manifest in the
//! archive form that `docker save` writes and every engine reads. The same files give the same bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tar::Tar;

/// The user of our images; nothing in them belongs to it.
pub(crate) const USER: u32 = 65532;

const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

pub(crate) struct Image {
    reference: String,
    entrypoint: Vec<String>,
    files: Vec<File>,
}

struct File {
    name: String,
    source: PathBuf,
    mode: u32,
}

/// An image as every form of it has it: one layer and what is said of it.
pub(crate) struct Packed {
    /// A tar archive.
    pub(crate) layer: Vec<u8>,
    /// JSON.
    pub(crate) configuration: Vec<u8>,
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
    pub(crate) fn with_file(self, name: &str, source: &Path) -> Self {
        self.with(name, source, 0o755)
    }

    /// Adds the content of a file of this machine, readable by all.
    pub(crate) fn with_document(self, name: &str, source: &Path) -> Self {
        self.with(name, source, 0o644)
    }

    /// Adds the machine's certificate authorities, at the place where TLS libraries look for them.
    pub(crate) fn with_certificate_authorities(self) -> Self {
        self.with_document(CA_BUNDLE, &Path::new("/").join(CA_BUNDLE))
    }

    fn with(mut self, name: &str, source: &Path, mode: u32) -> Self {
        self.files.push(File { name: name.to_owned(), source: source.to_owned(), mode });
        self
    }

    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let Packed { layer, configuration } = self.pack(architecture, "1970-01-01T00:00:00Z", &json!({}))?;
        let configuration_name = format!("{}.json", digest(&configuration));
        let manifest = json!([{"Config": configuration_name, "RepoTags": [self.reference], "Layers": ["layer.tar"]}]);

        let mut outer = Tar::default();
        outer.file("manifest.json", 0o644, manifest.to_string().as_bytes())?;
        outer.file(&configuration_name, 0o644, &configuration)?;
        outer.file("layer.tar", 0o644, &layer)?;
        std::fs::write(archive, outer.finish()).with_context(|| format!("cannot write {}", archive.display()))
    }

    /// For an architecture, in Go's words.
    pub(crate) fn pack(&self, architecture: &str, created: &str, labels: &Value) -> Result<Packed> {
        let mut layer = Tar::default();
        for File { name, source, mode } in &self.files {
            let content = std::fs::read(source).with_context(|| format!("cannot read {} for the image", source.display()))?;
            layer.file(name, *mode, &content)?;
        }
        let layer = layer.finish();
        let configuration = json!({
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {"Entrypoint": self.entrypoint, "User": format!("{USER}:{USER}"), "WorkingDir": "/", "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
            "history": [{"created": created}],
        });
        Ok(Packed { layer, configuration: configuration.to_string().into_bytes() })
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
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
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "tool:dev");

        let configuration = std::fs::read(folder.join(manifest[0]["Config"].as_str().unwrap())).unwrap();
        let configuration: Value = serde_json::from_slice(&configuration).unwrap();
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
}
