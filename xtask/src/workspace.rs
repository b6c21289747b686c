//! Where things are: the checkout, what is built inside it, and what is kept outside of it. Knows paths, reads no files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask sits inside the workspace")
}

/// State of the checkout that `cargo clean` may remove, wherever cargo's own target directory is.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// What is expensive to make and the same for every checkout.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("dataimporter"))
}

/// Cargo's own target directory. A user who may not write into the checkout has one elsewhere.
pub(crate) fn cargo_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, |directory| root().join(directory))
}

/// The one target triple of `.cargo/config.toml`.
pub(crate) fn triple() -> String {
    std::env::var("CARGO_BUILD_TARGET").unwrap_or_else(|_| "x86_64-unknown-linux-gnu".to_owned())
}

/// Where cargo puts programs of a profile.
pub(crate) fn built(profile: &str) -> PathBuf {
    cargo_target().join(triple()).join(profile)
}

/// SHA-256 of a file's content, hexadecimal.
pub(crate) fn digest(file: &Path) -> Result<String> {
    let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compiler of rustup, of the image and of the public workflow is one, and the one that the manifest asks for.
    #[test]
    fn every_file_names_the_same_version_of_rust() {
        let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
        let version =
            read("rust-toolchain.toml").lines().find_map(|line| Some(line.strip_prefix("channel = \"")?.trim_end_matches('"').to_owned()));
        let version = version.expect("rust-toolchain.toml names a channel");
        let (minor, _) = version.rsplit_once('.').expect("of three parts");
        for (file, words) in [
            ("Cargo.toml", format!("rust-version = \"{minor}\"")),
            ("Dockerfile", format!("FROM rust:{version}-")),
            (".github/workflows/ci.yaml", format!("\"rust:{version}-")),
        ] {
            assert!(read(file).contains(&words), "{file} does not say {words}");
        }
    }
}
