//! A process of ours that crashes leaves its memory nowhere: the kernel writes no core dump of it, even where dumps are allowed. A worker
//! leaves nothing on a disk in any other way.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program in a folder it may write to, with core dumps of any size allowed.
fn dumpable(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -c unlimited && exec "$@""#, "sh", program]).current_dir(folder).stdin(Stdio::null());
    command
}

/// Ends it, once it is ready, with a signal that makes a core dump unless told otherwise. Not SIGQUIT, which shells let programs in the
/// background ignore.
fn crash(mut child: Child, ready: impl Fn(&Child) -> bool) -> ExitStatus {
    let began = Instant::now();
    while !ready(&child) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        assert!(began.elapsed() < Duration::from_secs(60), "it is not ready after a minute");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    status
}

#[test]
fn a_worker_that_crashes_leaves_no_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    // Until the shell has become the program, the signal would end the shell.
    let is_itself = |child: &Child| std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() == "sleep";
    let other = crash(dumpable(folder.path(), "sleep").arg("60").spawn().unwrap(), is_itself);
    assert!(other.core_dumped(), "control: another program leaves one here (ulimit -Hc, /proc/sys/kernel/core_pattern)");

    assert!(!crash(worker(folder.path()), |child| largest_file(child.id()) == "0 0").core_dumped());
}

/// Not even where a container can: its node gives it a file for last words.
#[test]
fn a_worker_cannot_write_a_file() {
    let folder = tempfile::tempdir().unwrap();
    assert_ne!(largest_file(std::process::id()), "0 0", "control: other processes may");
    crash(worker(folder.path()), |child| largest_file(child.id()) == "0 0");
}

/// The soft and the hard limit of a process.
fn largest_file(pid: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    limits.lines().find_map(|line| line.strip_prefix("Max file size")).unwrap().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// One that looks for its keeper. It gives up its right on files before anything else, so one that has none is at work.
fn worker(folder: &Path) -> Child {
    let token = folder.join("token");
    std::fs::write(&token, "token").unwrap();
    let ca = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emulator/demo-ca.crt")).unwrap();
    let mut worker = dumpable(folder, env!("CARGO_BIN_EXE_dataimporter"));
    worker.arg("worker").env("KEEPER_URL", "https://127.0.0.1:1").env("KEEPER_CA", ca);
    worker.env("RUN_UID", "r").env("ATTEMPT", "1").env("TOKEN_PATH", token).env("RUST_LOG", "off");
    worker.spawn().unwrap()
}
