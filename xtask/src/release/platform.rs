//! The systems that a version is built for, and what a machine needs to build for each.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::packages::{self, Package};
use crate::progress::Progress;
use crate::{process, programs, workspace};

/// A system, by its name in archives.
pub(crate) struct Platform {
    pub(crate) name: &'static str,
    pub(crate) os: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) triple: &'static str,
    /// What compiles and links C for it, beside the machine's own compiler.
    packages: &'static [Package],
    environment: &'static [(&'static str, &'static str)],
}

/// Of the others only the plugin is built: what runs in pods runs on Linux.
const LINUX: &str = "linux";

pub(crate) const LINUX_AMD64: Platform =
    Platform { name: "linux-amd64", os: LINUX, architecture: "amd64", triple: "x86_64-unknown-linux-gnu", packages: &[], environment: &[] };

pub(crate) const LINUX_ARM64: Platform = Platform {
    name: "linux-arm64",
    os: LINUX,
    architecture: "arm64",
    triple: "aarch64-unknown-linux-gnu",
    packages: &[packages::GCC_ARM64, packages::LIBC_ARM64],
    environment: &[
        ("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc"),
        ("AR_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-ar"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
    ],
};

pub(crate) const WINDOWS_AMD64: Platform = Platform {
    name: "windows-amd64",
    os: "windows",
    architecture: "amd64",
    triple: "x86_64-pc-windows-gnu",
    packages: &[packages::MINGW],
    environment: &[
        ("CC_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-gcc"),
        ("AR_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-ar"),
        ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc"),
    ],
};

pub(crate) const DARWIN_ARM64: Platform =
    Platform { name: "darwin-arm64", os: "darwin", architecture: "arm64", triple: "aarch64-apple-darwin", packages: &[], environment: &[] };

pub(crate) const DARWIN_AMD64: Platform =
    Platform { name: "darwin-amd64", os: "darwin", architecture: "amd64", triple: "x86_64-apple-darwin", packages: &[], environment: &[] };

pub(crate) const ALL: [&Platform; 5] = [&LINUX_AMD64, &LINUX_ARM64, &DARWIN_AMD64, &DARWIN_ARM64, &WINDOWS_AMD64];

/// What was built for a platform.
pub(super) struct Built {
    pub(super) platform: &'static Platform,
    /// Where there are pods.
    pub(super) dataimporter: Option<PathBuf>,
    pub(super) plugin: PathBuf,
}

impl Platform {
    /// Linking for macOS takes files of Apple that only a Mac may have.
    pub(super) fn can_be_built_here(&self) -> bool {
        (self.os == "darwin") == cfg!(target_os = "macos")
    }

    pub(super) fn has_pods(&self) -> bool {
        self.os == LINUX
    }

    pub(crate) fn plugin(&self) -> &'static str {
        if self.os == "windows" { "kubectl-import.exe" } else { "kubectl-import" }
    }

    /// Debian's compilers and Rust's standard library for it.
    pub(crate) fn prepare(&self, progress: &Progress) -> Result<()> {
        packages::install(progress, self.packages)?;
        let library = process::output(Command::new("rustc").args(["--print", "target-libdir", "--target", self.triple]))?;
        if std::path::Path::new(library.trim()).exists() {
            return Ok(());
        }
        ensure!(process::is_installed("rustup"), "Rust's standard library for {} is not installed, and there is no rustup", self.triple);
        let mut rustup = Command::new("rustup");
        // In the checkout, whose file names the compiler.
        rustup.args(["target", "add", self.triple]).current_dir(workspace::root());
        progress.during(&format!("Rust's standard library for {}", self.name), String::new, || process::output(&mut rustup)).map(drop)
    }

    pub(super) fn build(&'static self, progress: &Progress) -> Result<Built> {
        self.prepare(progress)?;
        let log = workspace::target().join(format!("release-{}.log", self.name));
        let mut cargo = process::cargo();
        cargo.args(["build", "--locked", "--profile", "dist", "--package", "dataimporter", "--target", self.triple]);
        cargo.args(["--bin", "kubectl-import"]).args(if self.has_pods() { &["--bin", "dataimporter"][..] } else { &[] });
        cargo.envs(self.environment.iter().copied()).current_dir(workspace::root());
        let what = format!("building for {}", self.name);
        progress.during(&what, || programs::last_line(&log), || process::logged(&mut cargo, &log))?;
        let folder = workspace::cargo_target().join(self.triple).join("dist");
        Ok(Built { platform: self, dataimporter: self.has_pods().then(|| folder.join("dataimporter")), plugin: folder.join(self.plugin()) })
    }
}

pub(crate) fn named(name: &str) -> Result<&'static Platform, String> {
    let names = || ALL.map(|platform| platform.name).join(", ");
    ALL.into_iter().find(|platform| platform.name == name).ok_or_else(|| format!("{name:?} is none of {}", names()))
}
