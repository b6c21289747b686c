//! What reads a source and what other people read it with, in turns.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::child::{Measured, measured};
use super::figures::Series;
use crate::progress::Progress;
use crate::{process, workspace};

/// A server that ends with it.
pub(super) struct Server(Child);

impl Server {
    /// Comes back once it listens on the port.
    pub(super) fn start(command: &[String], log: &Path, port: u16) -> Result<Self> {
        let (program, arguments) = command.split_first().context("a command has a program")?;
        let log = std::fs::File::create(log)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let server = Self(command.spawn().with_context(|| format!("cannot start {program}"))?);
        process::wait_until("a server", Duration::from_secs(120), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).context("nobody listens yet")
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder for servers, which is removed with what they left.
pub(super) fn in_a_place<T>(name: &str, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let place = std::env::temp_dir().join(format!("dataimporter-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let done = work(&place);
    std::fs::remove_dir_all(&place)?;
    done
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What runs in turns: a name, and a command that is made anew for each round. One that begins with `a source` is ours, and says how many
/// rows it read.
pub(super) type Runner<'a> = (&'static str, Box<dyn Fn() -> Command + 'a>);

/// A command line.
pub(super) fn shell<'a>(script: String) -> Box<dyn Fn() -> Command + 'a> {
    Box::new(move || {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        shell
    })
}

/// Wall times in seconds and peaks of memory in MiB, by the numbers of the runners.
pub(super) fn in_turns(progress: &Progress, folder: &Path, runners: &[Runner<'_>], rows: u64, rounds: u16) -> Result<[Vec<Series>; 2]> {
    let (mut walls, mut peaks) = (Vec::new(), Vec::new());
    walls.resize_with(runners.len(), Series::default);
    peaks.resize_with(runners.len(), Series::default);
    for round in 1..=rounds {
        progress.say(&format!("sources: round {round} of {rounds}"));
        for (number, (name, command)) in runners.iter().enumerate() {
            let Measured { seconds, peak_mib, stdout, .. } = measured(&mut command(), &folder.join("sources.log"), &[0])?;
            ensure!(!name.starts_with("a source") || stdout.starts_with(&format!("{rows} rows")), "{name} said {stdout}");
            walls[number].push(seconds);
            peaks[number].push(peak_mib);
        }
    }
    Ok([walls, peaks])
}

pub(super) fn version(program: &str, arguments: &[&str]) -> Result<String> {
    let said = Command::new(program).args(arguments).output()?;
    let said = [said.stdout, said.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
}

/// The bench `read` of crate engine, which cargo names.
pub(super) fn program(progress: &Progress) -> Result<PathBuf> {
    let mut build = process::cargo();
    build.current_dir(workspace::root()).args([
        "bench",
        "--locked",
        "-p",
        "engine",
        "--bench",
        "read",
        "--no-run",
        "--message-format=json",
    ]);
    let said = progress.during("building what reads", String::new, || process::output(&mut build))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages
        .filter(|message| message["target"]["name"] == "read")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next().context("cargo names no program")
}
