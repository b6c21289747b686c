//! A process of ours that crashes leaves its memory nowhere: the kernel writes no core dump of it, even where dumps are allowed.

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

    let keeper = TcpListener::bind("127.0.0.1:0").unwrap();
    keeper.set_nonblocking(true).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let ca = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emulator/demo-ca.crt")).unwrap();
    let mut worker = dumpable(folder.path(), env!("CARGO_BIN_EXE_dataimporter"));
    worker.arg("worker").env("KEEPER_URL", format!("https://{}", keeper.local_addr().unwrap())).env("KEEPER_CA", ca);
    worker.env("RUN_UID", "r").env("ATTEMPT", "1").env("TOKEN_PATH", token).env("RUST_LOG", "off");
    // It is at work when it asks for its lease.
    assert!(!crash(worker.spawn().unwrap(), |_| keeper.accept().is_ok()).core_dumped());
}
