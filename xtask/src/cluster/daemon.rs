//! Daemons of the cluster: started in the cluster's control group and in the namespaces they need, with a log each, and
//! outliving the command that started them. Knows nothing of what they do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cgroup::{DAEMONS, Groups};
use super::layout::Layout;
use crate::process;

/// A process that cannot be mistaken for another one that got its number later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Clock ticks between the machine's boot and the process's start.
    started: u64,
}

/// Which namespaces a daemon is started in.
#[derive(Clone, Copy)]
pub(crate) enum Inside<'a> {
    /// The host's own.
    Host,
    /// A network namespace of its own.
    NewNetwork,
    /// The network namespace of that daemon.
    NetworkOf(&'a Daemon),
    /// The network namespace of that daemon, and a new set of mounts that goes when its last process goes.
    NewMounts { network_of: &'a Daemon },
    /// All that `NewMounts` made for that daemon.
    Of(&'a Daemon),
}

impl Inside<'_> {
    fn prefix(self) -> Vec<String> {
        let namespaces = |daemon: &Daemon, kinds: &[(&str, &str)]| {
            let flags = kinds.iter().map(|(flag, file)| format!("--{flag}=/proc/{}/ns/{file}", daemon.pid));
            std::iter::once("nsenter".to_owned()).chain(flags).chain(["--".to_owned()]).collect::<Vec<_>>()
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match self {
            Self::Host => Vec::new(),
            Self::NewNetwork => words("unshare --net --"),
            Self::NetworkOf(daemon) => namespaces(daemon, &[("net", "net")]),
            Self::NewMounts { network_of } => {
                [namespaces(network_of, &[("net", "net")]), words("unshare --mount --propagation slave --")].concat()
            }
            Self::Of(daemon) => namespaces(daemon, &[("net", "net"), ("mount", "mnt")]),
        }
    }

    /// A command to be run to its end in those namespaces.
    pub(crate) fn command(self, arguments: &[&str]) -> Command {
        let words = [self.prefix(), arguments.iter().map(|word| (*word).to_owned()).collect()].concat();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

/// Joins control groups (the arguments before `--`) and becomes the rest of the arguments.
const JOIN: &str = r#"while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@""#;

/// Starts a daemon in a session of its own. It works in the cluster's folder, so that it may use short relative paths.
pub(crate) fn start(layout: &Layout, groups: &Groups, name: &str, inside: Inside, arguments: &[String]) -> Result<Daemon> {
    let log = File::create(layout.log(name)).with_context(|| format!("cannot write {}", layout.log(name).display()))?;
    let child = Command::new("setsid")
        .args(["sh", "-c", JOIN, "join"])
        .args(groups.doors(DAEMONS))
        .arg("--")
        .args(inside.prefix())
        .args(arguments)
        .current_dir(&layout.root)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let started = start_time(child.id()).with_context(|| format!("{name} ended at once"))?;
    Ok(Daemon { name: name.to_owned(), pid: child.id(), started })
}

impl Daemon {
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Fails, with the daemon's last words, unless it runs.
    pub(crate) fn check(&self, layout: &Layout) -> Result<()> {
        anyhow::ensure!(self.is_alive(), "{} has ended; {}", self.name, process::tail(&layout.log(&self.name)));
        Ok(())
    }

    /// The daemon's view of a path, as the host can open it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.pid)).join(path.trim_start_matches('/'))
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() * 1024
    }
}

/// When the process started; none when it is gone or only waits to be collected.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything, also blanks and parentheses.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if matches!(fields.first()?, &"Z" | &"X") { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_took_over_the_number_is_another_one() {
        let mine = Daemon { name: "test".into(), pid: std::process::id(), started: start_time(std::process::id()).unwrap() };
        assert!(mine.is_alive());
        assert!(!Daemon { started: mine.started + 1, ..mine }.is_alive());
    }

    #[test]
    fn a_process_that_ended_is_not_alive_even_before_it_is_collected() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let started = start_time(child.id()).unwrap();
        child.kill().unwrap();
        let daemon = Daemon { name: "sleep".into(), pid: child.id(), started };
        process::wait_until("sleep ends", std::time::Duration::from_secs(5), || {
            anyhow::ensure!(!daemon.is_alive());
            Ok(())
        })
        .unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_node_enters_the_network_before_it_leaves_the_mounts() {
        let holder = Daemon { name: "network".into(), pid: 7, started: 0 };
        assert_eq!(
            Inside::NewMounts { network_of: &holder }.prefix().join(" "),
            "nsenter --net=/proc/7/ns/net -- unshare --mount --propagation slave --"
        );
    }
}
