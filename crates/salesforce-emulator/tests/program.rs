//! The program itself: its first line, and what it refuses to start with.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salesforce-emulator"));
    command.env_remove("EMULATOR_CLIENT_ID").env_remove("EMULATOR_CLIENT_SECRET").env_remove("EMULATOR_PASSWORD").env("RUST_LOG", "warn");
    command
}

fn first_line(child: &mut Child) -> serde_json::Value {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn its_first_line_says_where_it_is_and_how_to_log_in() {
    let mut child = program()
        .args(["--insecure-http", "--public-url", "https://crm.demo.svc/", "--client-id", "me"])
        .env("EMULATOR_CLIENT_SECRET", "from the environment")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = first_line(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line, serde_json::json!({"url": "https://crm.demo.svc", "clientId": "me", "clientSecret": "from the environment"}));
}

#[tokio::test]
async fn an_authority_of_its_own_is_named_and_vouches_for_the_address() {
    let mut child = program().arg("--own-authority").stdout(Stdio::piped()).spawn().unwrap();
    let line = first_line(&mut child);
    let get = async |client: reqwest::ClientBuilder| client.no_proxy().build().unwrap().get(line["url"].as_str().unwrap()).send().await;
    let authority = reqwest::Certificate::from_pem(line["authority"].as_str().unwrap().as_bytes()).unwrap();
    let (trusting, control) =
        (get(reqwest::Client::builder().add_root_certificate(authority)).await, get(reqwest::Client::builder()).await);
    child.kill().unwrap();
    child.wait().unwrap();
    trusting.unwrap();
    assert!(control.is_err(), "control: everybody trusts it");
}

#[test]
fn it_ends_with_its_standard_input_when_asked_to() {
    let mut child = program().args(["--insecure-http", "--stop-with-stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    first_line(&mut child);
    assert!(child.try_wait().unwrap().is_none(), "it does not wait for the end of its input");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_signal_ends_it_while_its_standard_input_goes_on() {
    let mut child = program().args(["--insecure-http", "--stop-with-stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    first_line(&mut child);
    let input = child.stdin.take();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    drop(input);
}

#[test]
fn plain_http_needs_the_flag_and_loopback() {
    for (arguments, reason) in [
        (&["--listen", "127.0.0.1:0"][..], "--own-authority or --insecure-http on a loopback address"),
        (&["--listen", "0.0.0.0:0", "--insecure-http"], "loopback addresses only"),
        (&["--listen", "0.0.0.0:0", "--own-authority"], "loopback addresses only"),
        (&["--insecure-http", "--schema", "/nonexistent"], "cannot be read"),
    ] {
        let done = program().args(arguments).output().unwrap();
        assert!(!done.status.success());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(reason), "{said}");
    }
}
