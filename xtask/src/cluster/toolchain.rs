//! What a cluster is made of: Debian packages for what runs containers, and one Go binary for everything that is
//! Kubernetes, built from pinned modules and kept outside the checkout under a name that is the hash of its sources.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::packages::{self, Package};
use crate::progress::Progress;
use crate::{process, workspace};

pub(crate) const PACKAGES: [Package; 11] = [
    Package::with_program("containerd", "containerd"),
    Package::with_program("runc", "runc"),
    Package::with_file("containernetworking-plugins", "/usr/lib/cni/bridge"),
    Package::with_program("nftables", "nft"),
    Package::with_program("iptables", "iptables"),
    Package::with_program("conntrack", "conntrack"),
    Package::with_program("socat", "socat"),
    Package::with_program("iproute2", "ip"),
    Package::with_program("util-linux", "nsenter"),
    Package::with_program("mount", "mount"),
    Package::with_file("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
];

/// Of every compilation of the module: with others nothing in Go's own cache would fit, and everything would compile again. Nobody debugs
/// Kubernetes here, and what a debugger needs takes an eighth of the processor time.
pub(crate) const FLAGS: [&str; 2] = ["-trimpath", "-gcflags=all=-dwarf=false"];

/// Names under which the one binary is also a command.
const LINKS: [&str; 2] = ["kubectl", "helm"];

/// Binaries of older sources stay for a while: another checkout may use them.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The folder with `kube`, `kubectl`, `helm`, `pause`, `probe` and `walls`.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) directory: PathBuf,
}

impl Tools {
    pub(crate) fn kube(&self) -> PathBuf {
        self.directory.join("kube")
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Where the tools of this checkout are linked to, for people and for the test kit.
pub(crate) fn link() -> PathBuf {
    workspace::target().join("kube")
}

/// Builds the Go programs unless they are in the cache.
pub(crate) fn build(progress: &Progress) -> Result<Tools> {
    let sources = sources();
    let shelf = workspace::cache()?.join("kube");
    fs::create_dir_all(&shelf).with_context(|| format!("cannot create {}", shelf.display()))?;
    let tools = Tools { directory: shelf.join(fingerprint(&sources)?) };
    let lock = File::create(shelf.join("lock"))?;
    if lock.try_lock().is_err() {
        progress.during("waiting for another build of the cluster's programs", String::new, || lock.lock())?;
    }
    if !tools.kube().is_file() {
        compile(&sources, &shelf, &tools.directory, progress)?;
    }
    File::open(tools.kube())?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
    forget_old(&shelf)?;
    publish(&tools)?;
    Ok(tools)
}

fn sources() -> PathBuf {
    workspace::root().join("xtask/kube")
}

/// Installs the Debian packages that are missing.
pub(crate) fn install(progress: &Progress) -> Result<()> {
    packages::install(progress, &PACKAGES)
}

fn compile(sources: &Path, shelf: &Path, directory: &Path, progress: &Progress) -> Result<()> {
    if !process::is_installed("go") {
        bail!(
            "Go is not installed; the cluster's Kubernetes is built from its Go modules (see {}/go.mod for the version)",
            sources.display()
        );
    }
    let unfinished = shelf.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    let log = shelf.join("build.log");
    // It fetches the modules that it needs by itself, less than half of those that `go.sum` names.
    let mut build = go();
    build.args(["build", "-v"]).args(FLAGS).args(["-ldflags", &stamp()?, "-o"]).arg(&unfinished).arg("./cmd/...");
    let compiled = || how_far(&fs::read_to_string(&log).unwrap_or_default());
    progress
        .during("building Kubernetes and Helm (minutes the first time, seconds after)", compiled, || process::logged(&mut build, &log))?;
    for name in LINKS {
        std::os::unix::fs::symlink("kube", unfinished.join(name))?;
    }
    fs::rename(&unfinished, directory).with_context(|| format!("cannot put the programs at {}", directory.display()))
}

/// Go names each module that it fetches and each package that it compiles on a line.
fn how_far(log: &str) -> String {
    let (fetched, compiled): (Vec<&str>, Vec<&str>) = log.lines().partition(|line| line.starts_with("go: "));
    format!(", {} modules fetched, {} packages compiled", fetched.len(), compiled.len())
}

/// Go, for the module that the cluster is built from.
pub(crate) fn go() -> Command {
    let mut command = Command::new("go");
    // The compiler collects garbage seldom, which saves a fifth of the processor time that it takes.
    command.current_dir(sources()).env("CGO_ENABLED", "0").env("GOGC", "400");
    command
}

/// Linker flags that make the programs report the version that go.mod pins.
fn stamp() -> Result<String> {
    let version = process::output(go().args(["list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"]))?;
    let version = version.trim();
    let minor = version.split('.').nth(1).context("a Kubernetes version has three parts")?;
    let fields =
        [("gitVersion", version), ("gitMajor", "1"), ("gitMinor", minor), ("gitTreeState", "clean"), ("buildDate", "1970-01-01T00:00:00Z")];
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (field, value) in fields {
            flags += &format!(" -X {package}.{field}={value}");
        }
    }
    Ok(flags)
}

/// The name of what these sources build to. Tests are not part of it.
fn fingerprint(sources: &Path) -> Result<String> {
    let mut files = Vec::new();
    list(sources, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(&file)?;
        let name = file.strip_prefix(sources)?.to_string_lossy().into_owned();
        hash.update(format!("{}:{name}:{}:", name.len(), content.len()));
        hash.update(content);
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            list(&path, files)?;
        } else if name.starts_with("go.") || (name.ends_with(".go") && !name.ends_with("_test.go")) {
            files.push(path);
        }
    }
    Ok(())
}

fn forget_old(shelf: &Path) -> Result<()> {
    for entry in fs::read_dir(shelf)? {
        let directory = entry?.path();
        let used = fs::metadata(directory.join("kube")).and_then(|kube| kube.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEPT)) {
            fs::remove_dir_all(&directory)?;
        }
    }
    Ok(())
}

fn publish(tools: &Tools) -> Result<()> {
    let link = link();
    if fs::read_link(&link).is_ok_and(|target| target == tools.directory) {
        return Ok(());
    }
    fs::create_dir_all(workspace::target())?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(&tools.directory, &link).with_context(|| format!("cannot link {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_packages_are_told_apart() {
        let log = "go: downloading k8s.io/api v0.35.4\ngo: downloading go.etcd.io/bbolt v1.4.3\ninternal/goarch\n";
        assert_eq!(how_far(log), ", 2 modules fetched, 1 packages compiled");
    }

    #[test]
    fn the_fingerprint_follows_sources_and_not_tests() {
        let folder = std::env::temp_dir().join(format!("fingerprint-{}", std::process::id()));
        fs::create_dir_all(folder.join("cmd")).unwrap();
        fs::write(folder.join("go.mod"), "module x").unwrap();
        fs::write(folder.join("cmd/main.go"), "package main").unwrap();
        let first = fingerprint(&folder).unwrap();

        fs::write(folder.join("cmd/main_test.go"), "package main").unwrap();
        assert_eq!(fingerprint(&folder).unwrap(), first);
        fs::write(folder.join("cmd/main.go"), "package main // changed").unwrap();
        assert_ne!(fingerprint(&folder).unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }
}
