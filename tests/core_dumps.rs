//! A process of ours that crashes leaves its memory nowhere: the kernel writes no core dump of it, even where dumps are allowed.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Starts a program in a folder it may write to, with core dumps of any size allowed.
fn start(folder: &Path, program: &str, arguments: &[&str]) -> Child {
    Command::new("sh")
        .args(["-c", r#"ulimit -c unlimited && exec "$@""#, "sh", program])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Ends it with a signal that makes a core dump unless told otherwise.
fn crash(mut child: Child) -> ExitStatus {
    assert!(Command::new("kill").args(["-QUIT", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(3), "{status}");
    status
}

#[test]
fn a_worker_that_crashes_leaves_no_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    let other = start(folder.path(), "sleep", &["60"]);
    // Until the shell has become the program, the signal would end the shell.
    while std::fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap().trim() != "sleep" {
        std::thread::yield_now();
    }
    assert!(crash(other).core_dumped(), "control: another program leaves one here (ulimit -Hc, /proc/sys/kernel/core_pattern)");

    let keeper = TcpListener::bind("127.0.0.1:0").unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let ca = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emulator/demo-ca.crt")).unwrap();
    let url = format!("https://{}", keeper.local_addr().unwrap());
    let arguments =
        ["worker", "--keeper-url", &url, "--keeper-ca", &ca, "--run-uid", "r", "--attempt", "1", "--token-path", token.to_str().unwrap()];
    let worker = start(folder.path(), env!("CARGO_BIN_EXE_dataimporter"), &arguments);
    let _connection = keeper.accept().unwrap(); // it is up and asks for its lease
    assert!(!crash(worker).core_dumped());
}
