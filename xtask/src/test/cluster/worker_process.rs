//! A worker as its node's kernel sees it: a process and its control groups. Ways to end it that no pod can ask for.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::image::USER;
use crate::process;

/// `hlt`, which a process may not: the processor faults, and the kernel sends SIGSEGV.
const FAULT: [u8; 1] = [0xf4];
const PAGE: usize = 4096;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct WorkerProcess {
    folder: PathBuf,
    groups: Vec<PathBuf>,
}

impl WorkerProcess {
    /// Of a pod whose container runs.
    pub(super) fn of(cluster: &Cluster, pod: &Value) -> Result<Self> {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().context("its container has no id yet")?;
        let id = id.strip_prefix("containerd://").context("it is a container of containerd")?;
        let groups = cluster.groups_of_container(id)?;
        let processes = groups.iter().filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        let pid: u32 = processes
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .next()
            .context("its control groups are empty")?
            .parse()?;
        Ok(Self { folder: Path::new("/proc").join(pid.to_string()), groups })
    }

    /// Nothing of the same user can read its memory, and the kernel writes no core dump of it: then its files in /proc are root's.
    pub(super) fn is_undumpable(&self) -> Result<bool> {
        Ok(fs::metadata(self.folder.join("environ"))?.uid() != USER)
    }

    /// Lifts the limit that might be the only reason why there is none.
    pub(super) fn allow_core_dumps(&self) -> Result<()> {
        let (user, pid) = (USER.to_string(), self.folder.file_name().context("a process has a number")?.to_string_lossy().into_owned());
        let arguments = ["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", "--core=unlimited", "--pid", &pid];
        process::output(Command::new("setpriv").args(arguments)).map(drop)
    }

    /// Makes its next step an instruction that it may not execute. A signal sent from outside would not do: it is the first process
    /// of its namespace, which the kernel shields from signals that it has no handler for.
    pub(super) fn crash(&self) -> Result<()> {
        let memory = OpenOptions::new().write(true).open(self.folder.join("mem")).context("cannot open its memory")?;
        let mut next = Vec::new();
        // A thread that runs at this moment shows no place.
        process::wait_until("a thread that waits", LIMIT, || {
            for task in fs::read_dir(self.folder.join("task"))? {
                // Number and arguments of the call it waits in, its stack, and where it goes on.
                let waits = fs::read_to_string(task?.path().join("syscall")).unwrap_or_default();
                let place = waits.split_whitespace().nth(8).and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
                next.extend(place);
            }
            ensure!(!next.is_empty(), "none of its threads waits");
            Ok(())
        })?;
        for place in next {
            memory.write_all_at(&FAULT, place).context("cannot write to its memory")?;
        }
        self.wait_for_end()
    }

    /// Lets it have no more memory than it has, and makes it need more: a page of its program is its own copy once it is written to,
    /// even with what it says already.
    pub(super) fn run_out_of_memory(&self) -> Result<()> {
        let files = [("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max")];
        let places = self.groups.iter().flat_map(|group| files.map(|(usage, limit)| (group.join(usage), group.join(limit))));
        let (usage, limit) = places.into_iter().find(|(usage, _)| usage.exists()).context("it has no control group for memory")?;
        let memory = OpenOptions::new().read(true).write(true).open(self.folder.join("mem")).context("cannot open its memory")?;
        let mut pages = self.program()?.step_by(PAGE);
        process::wait_until("a worker out of memory", LIMIT, || {
            // Refused while it uses more than a moment ago.
            let _ = fs::write(&limit, fs::read(&usage).unwrap_or_default());
            for page in pages.by_ref().take(256) {
                let mut byte = [0];
                // Fails once it is dead.
                let _ = memory.read_exact_at(&mut byte, page).and_then(|()| memory.write_all_at(&byte, page));
            }
            self.has_ended()
        })
    }

    /// Addresses of its program.
    fn program(&self) -> Result<Range<u64>> {
        let maps = fs::read_to_string(self.folder.join("maps")).context("cannot list its memory")?;
        let ranges = maps.lines().filter(|line| line.contains(" r-xp ")).filter_map(|line| {
            let (from, to) = line.split_whitespace().next()?.split_once('-')?;
            Some(u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?)
        });
        ranges.max_by_key(|range| range.end - range.start).context("it has no program in memory")
    }

    fn wait_for_end(&self) -> Result<()> {
        process::wait_until("a worker that ended", LIMIT, || self.has_ended())
    }

    fn has_ended(&self) -> Result<()> {
        let status = fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        ensure!(status.is_empty() || status.contains("State:\tZ"), "it still runs");
        Ok(())
    }
}
