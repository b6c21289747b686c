//! Debian packages that a command needs: installs the missing ones, or says which they are.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::progress::Progress;
use crate::{cluster, process, workspace};

/// A package, and what is there once it is installed.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    name: &'static str,
    brings: Brings,
}

#[derive(Clone, Copy)]
enum Brings {
    Program(&'static str),
    File(&'static str),
}

pub(crate) const POSTGRESQL: Package = Package::with_file("postgresql", "/usr/lib/postgresql/15/bin/postgres");
pub(crate) const MARIADB: Package = Package::with_file("mariadb-server", "/usr/sbin/mariadbd");
pub(crate) const PGBOUNCER: Package = Package::with_file("pgbouncer", "/usr/sbin/pgbouncer");
pub(crate) const NGINX: Package = Package::with_file("nginx-light", "/usr/sbin/nginx");
/// Git over HTTPS, behind nginx.
pub(crate) const FCGIWRAP: Package = Package::with_file("fcgiwrap", "/usr/sbin/fcgiwrap");
pub(crate) const GIT: Package = Package::with_file("git", "/usr/lib/git-core/git-http-backend");
/// What Argo CD keeps its cache in.
pub(crate) const REDIS: Package = Package::with_file("redis-server", "/usr/bin/redis-server");
pub(crate) const TINYPROXY: Package = Package::with_file("tinyproxy-bin", "/usr/bin/tinyproxy");
pub(crate) const OPENSSH: Package = Package::with_file("openssh-server", "/usr/sbin/sshd");
pub(crate) const OPENSSL: Package = Package::with_program("openssl", "openssl");
pub(crate) const RCLONE: Package = Package::with_program("rclone", "rclone");
/// Brings promtool, which checks rules of Prometheus. Its server is started by Debian; no test uses that.
pub(crate) const PROMETHEUS: Package = Package::with_program("prometheus", "promtool");
/// The language of Argo CD's scripts.
pub(crate) const LUA: Package = Package::with_program("lua5.1", "lua5.1");
pub(crate) const CURL: Package = Package::with_program("curl", "curl");
/// Builds the cryptography library.
pub(crate) const CMAKE: Package = Package::with_program("cmake", "cmake");
/// What compiles and links for other platforms.
pub(crate) const GCC_ARM64: Package = Package::with_program("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc");
pub(crate) const LIBC_ARM64: Package = Package::with_file("libc6-dev-arm64-cross", "/usr/aarch64-linux-gnu/lib/libc.a");
pub(crate) const MINGW: Package = Package::with_program("gcc-mingw-w64-x86-64-posix", "x86_64-w64-mingw32-gcc");
/// Runs programs of arm64.
pub(crate) const QEMU: Package = Package::with_program("qemu-user", "qemu-aarch64");
/// Programs of Windows run under it; its own program is not among the commands.
pub(crate) const WINE: Package = Package::with_file("wine64", WINE_PROGRAM);
pub(crate) const WINE_PROGRAM: &str = "/usr/lib/wine/wine64";
/// A registry, and what copies into one.
pub(crate) const REGISTRY: Package = Package::with_program("docker-registry", "docker-registry");
pub(crate) const SKOPEO: Package = Package::with_program("skopeo", "skopeo");
pub(crate) const PYTHON_VENV: Package = Package::with_file("python3-venv", "/usr/share/doc/python3-venv");

impl Package {
    pub(crate) const fn with_program(name: &'static str, program: &'static str) -> Self {
        Self { name, brings: Brings::Program(program) }
    }

    pub(crate) const fn with_file(name: &'static str, file: &'static str) -> Self {
        Self { name, brings: Brings::File(file) }
    }

    fn is_missing(&self) -> bool {
        match self.brings {
            Brings::Program(program) => !process::is_installed(program),
            Brings::File(file) => !Path::new(file).exists(),
        }
    }
}

pub(crate) fn install(progress: &Progress, wanted: &[Package]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !process::is_installed("apt-get") {
        bail!("programs are missing, from these Debian packages or what your system calls them: {names}");
    }
    if !cluster::is_root() {
        bail!("Debian packages are missing that only root can install: apt-get install {names}");
    }
    std::fs::create_dir_all(workspace::target())?;
    let log = workspace::target().join("packages.log");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
        process::logged(&mut command, &log)
    };
    progress.during("refreshing the package lists", String::new, || apt(&["update"]))?;
    let install = [&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat();
    progress.during(&format!("installing {names}"), String::new, || apt(&install))?;
    let missing = self::missing(wanted);
    if !missing.is_empty() {
        bail!("apt-get installed all it was asked for, and still what {} should bring is not there", missing.join(", "));
    }
    Ok(())
}

fn missing(wanted: &[Package]) -> Vec<&'static str> {
    wanted.iter().filter(|package| package.is_missing()).map(|package| package.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        let wanted = [
            Package::with_program("dash", "sh"),
            Package::with_program("nonsense", "no-such-program"),
            Package::with_file("base-files", "/etc"),
            Package::with_file("nothing", "/no/such/file"),
        ];
        assert_eq!(missing(&wanted), ["nonsense", "nothing"]);
    }
}
