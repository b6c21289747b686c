//! Control groups: the one place where every process of a cluster can be found again, whichever process started it, however its
//! parents died. Ending a cluster is ending what is in its group; nothing outside of it can be hit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where daemons live; a node's containers live beside it in a group of the node's name.
pub(crate) const DAEMONS: &str = "daemons";
const END_LIMIT: Duration = Duration::from_secs(20);

/// The cluster's group in every hierarchy: one under version 2, one a controller under version 1, and where both are
/// mounted all of them, since container runtimes use all of them.
pub(crate) struct Groups {
    hierarchies: Vec<PathBuf>,
    name: String,
}

impl Groups {
    pub(crate) fn named(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let hierarchies = hierarchies(&mounts);
        if hierarchies.is_empty() {
            bail!("no control groups are mounted under /sys/fs/cgroup; containers cannot run here");
        }
        Ok(Self { hierarchies, name: name.to_owned() })
    }

    fn roots(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.join(&self.name))
    }

    pub(crate) fn exist(&self) -> bool {
        self.roots().any(|root| root.exists())
    }

    /// Creates the group with these children.
    pub(crate) fn create(&self, children: &[&str]) -> Result<()> {
        for hierarchy in &self.hierarchies {
            let root = hierarchy.join(&self.name);
            create(hierarchy, &root)?;
            for child in children {
                create(&root, &root.join(child))?;
            }
        }
        Ok(())
    }

    /// The files that a process writes its id to, to join a child of the group.
    pub(crate) fn doors(&self, child: &str) -> Vec<PathBuf> {
        self.roots().map(|root| root.join(child).join("cgroup.procs")).collect()
    }

    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for root in self.roots() {
            walk(&root, &mut |directory| {
                let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            });
        }
        found
    }

    /// Seconds of processor time that everything in the group has had.
    pub(crate) fn processor_seconds(&self) -> f64 {
        let value = |root: &Path| {
            if let Ok(nanoseconds) = fs::read_to_string(root.join("cpuacct.usage")) {
                return nanoseconds.trim().parse::<f64>().ok().map(|used| used / 1e9);
            }
            let stat = fs::read_to_string(root.join("cpu.stat")).ok()?;
            let microseconds = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            microseconds.parse::<f64>().ok().map(|used| used / 1e6)
        };
        self.roots().filter_map(|root| value(&root)).fold(0.0, f64::max)
    }

    /// Groups of that name below ours: one a hierarchy.
    pub(crate) fn folders_named(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in self.roots() {
            walk(&root, &mut |directory| {
                if directory.file_name().is_some_and(|own| own == name) {
                    found.push(directory.to_owned());
                }
            });
        }
        found
    }

    /// Ends every process of the group at once and removes the group. There is nothing to save in a test cluster.
    pub(crate) fn end(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let processes = self.processes();
            if processes.is_empty() && self.remove() {
                return Ok(());
            }
            if began.elapsed() > END_LIMIT {
                bail!("control group {} cannot be removed; processes still in it: {processes:?}", self.name);
            }
            if !processes.is_empty() {
                let mut kill = Command::new("sh");
                kill.args(["-c", "kill -KILL \"$@\" 2>/dev/null", "kill"]).args(processes.iter().map(u32::to_string));
                kill.status().context("cannot start sh")?;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn remove(&self) -> bool {
        for root in self.roots() {
            walk(&root, &mut |directory| {
                // A group that is still busy is tried again by the caller.
                let _ = fs::remove_dir(directory);
            });
        }
        !self.exist()
    }
}

/// Mount points of control groups of either version.
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| line.split_once(" - "));
    let mounts = mounts.filter(|(_, source)| matches!(source.split(' ').next(), Some("cgroup" | "cgroup2")));
    let places: BTreeSet<_> = mounts.filter_map(|(place, _)| place.split(' ').nth(4)).map(PathBuf::from).collect();
    places.into_iter().filter(|place| place.starts_with("/sys/fs/cgroup")).collect()
}

fn create(parent: &Path, group: &Path) -> Result<()> {
    let subtree = parent.join("cgroup.subtree_control");
    if subtree.exists() {
        let available = fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in available.split_whitespace() {
            // One that the machine withholds is not needed by everybody; the kubelet names those that it misses.
            let _ = fs::write(&subtree, format!("+{controller}"));
        }
    }
    fs::create_dir_all(group).with_context(|| format!("cannot create control group {}", group.display()))?;
    for inherited in ["cpuset.cpus", "cpuset.mems"] {
        // A version 1 cpuset starts empty, and a process cannot join an empty one.
        let (from, to) = (parent.join(inherited), group.join(inherited));
        if !subtree.exists() && from.exists() {
            fs::write(&to, fs::read(&from)?).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    Ok(())
}

/// Visits the directories below and then the directory itself.
fn walk(directory: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        walk(&path, visit);
    }
    visit(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_of_either_version_counts() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(hierarchies(mounts), ["cpu", "pids", "unified"].map(|name| Path::new("/sys/fs/cgroup").join(name)));
    }

    #[test]
    fn version_two_means_the_one_tree() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(hierarchies(mounts), [Path::new("/sys/fs/cgroup")]);
    }
}
