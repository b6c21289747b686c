//! A process of ours that crashes leaves its memory nowhere: the kernel writes no core dump of it, even where dumps are allowed. A worker
//! leaves nothing on a disk in any other way.

use std::cell::Cell;
use std::net::TcpListener;
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

    let keeper = keeper();
    // It is at work when it asks for its lease.
    assert!(!crash(worker(folder.path(), &keeper), |_| keeper.accept().is_ok()).core_dumped());
}

/// Not even where a container can: its node gives it a file for last words.
#[test]
fn a_worker_cannot_write_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper();
    let largest_file = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        limits.lines().find_map(|line| line.strip_prefix("Max file size")).unwrap().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_ne!(largest_file(std::process::id()), "0 0", "control: other processes may");
    let limit = Cell::new(String::new());
    crash(worker(folder.path(), &keeper), |child| {
        let at_work = keeper.accept().is_ok();
        if at_work {
            limit.set(largest_file(child.id()));
        }
        at_work
    });
    assert_eq!(limit.take(), "0 0");
}

/// Accepts and says nothing.
fn keeper() -> TcpListener {
    let keeper = TcpListener::bind("127.0.0.1:0").unwrap();
    keeper.set_nonblocking(true).unwrap();
    keeper
}

fn worker(folder: &Path, keeper: &TcpListener) -> Child {
    let token = folder.join("token");
    std::fs::write(&token, "token").unwrap();
    let ca = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emulator/demo-ca.crt")).unwrap();
    let mut worker = dumpable(folder, env!("CARGO_BIN_EXE_dataimporter"));
    worker.arg("worker").env("KEEPER_URL", format!("https://{}", keeper.local_addr().unwrap())).env("KEEPER_CA", ca);
    worker.env("RUN_UID", "r").env("ATTEMPT", "1").env("TOKEN_PATH", token).env("RUST_LOG", "off");
    worker.spawn().unwrap()
}
