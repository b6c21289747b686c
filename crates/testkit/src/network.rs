//! A network of a test's own: a worker dials a keeper at a private address only, and never at loopback.

use std::process::Command;

use anyhow::Result;

/// The private address that is there besides loopback.
pub const ADDRESS: &str = "10.99.0.1";
const INSIDE: &str = "DATAIMPORTER_TEST_NETWORK";

/// Runs the test `name` of this program once more, in a network of its own that has loopback and [`ADDRESS`].
pub fn in_own_network(name: &str, story: impl Future<Output = Result<()>>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(story).unwrap_or_else(|error| panic!("{error:#}"));
    }
    let script = format!("ip link set lo up && ip address add {ADDRESS}/32 dev lo && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "sh", "-c", &script]).arg(std::env::current_exe().expect("this program"));
    let output = command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().expect("unshare starts");
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
}
