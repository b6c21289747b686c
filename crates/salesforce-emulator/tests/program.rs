//! The program itself: its first line, and what it refuses to start with.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salesforce-emulator"));
    command.env_remove("EMULATOR_CLIENT_ID").env_remove("EMULATOR_CLIENT_SECRET").env_remove("EMULATOR_PASSWORD").env("RUST_LOG", "warn");
    command
}

#[test]
fn its_first_line_says_where_it_is_and_how_to_log_in() {
    let mut child = program()
        .args(["--insecure-http", "--public-url", "https://crm.demo.svc/", "--client-id", "me"])
        .env("EMULATOR_CLIENT_SECRET", "from the environment")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line, serde_json::json!({"url": "https://crm.demo.svc", "clientId": "me", "clientSecret": "from the environment"}));
}

#[test]
fn plain_http_needs_the_flag_and_loopback() {
    for (arguments, reason) in [
        (&["--listen", "127.0.0.1:0"][..], "--insecure-http on a loopback address"),
        (&["--listen", "0.0.0.0:0", "--insecure-http"], "loopback addresses only"),
        (&["--insecure-http", "--schema", "/nonexistent"], "cannot be read"),
    ] {
        let done = program().args(arguments).output().unwrap();
        assert!(!done.status.success());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(reason), "{said}");
    }
}
