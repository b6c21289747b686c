//! What reads a source and what other people read it with, in turns.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::child::measured;
use super::used::Used;
use crate::progress::Progress;
use crate::{process, workspace};

/// A server that ends with it.
struct Server(Child);

impl Server {
    fn start(command: &[String], log: &Path, port: u16) -> Result<Self> {
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

/// A server with what a source reads there.
pub(super) struct Origin {
    _server: Server,
    pub(super) port: u16,
    /// As the program that reads calls it.
    kind: &'static str,
    /// Where it is and who may read it, for that program.
    environment: Vec<(&'static str, String)>,
    fill: Fill,
}

/// Puts the rows of a file where a source reads them, in place of those that are there.
pub(super) type Fill = Box<dyn Fn(&Path) -> Result<()>>;

impl Origin {
    /// Comes back once the server listens on the port.
    pub(super) fn start(
        kind: &'static str,
        command: &[String],
        log: &Path,
        port: u16,
        environment: Vec<(&'static str, String)>,
        fill: Fill,
    ) -> Result<Self> {
        Ok(Self { _server: Server::start(command, log, port)?, port, kind, environment, fill })
    }

    pub(super) fn fill(&self, progress: &Progress, file: &Path) -> Result<()> {
        progress.during(&format!("filling {}", self.kind), String::new, || (self.fill)(file))
    }

    /// The program that reads, on its way to this file or query.
    pub(super) fn source<'a>(&'a self, program: &'a Path, what: &'a str) -> Box<dyn Fn() -> Command + 'a> {
        Box::new(move || {
            let mut read = Command::new(program);
            read.args([self.kind, what]).envs(self.environment.iter().cloned());
            read
        })
    }
}

/// The program that reads, on its way to a file of the disk.
pub(super) fn source_of_a_file<'a>(program: &'a Path, file: &'a Path) -> Box<dyn Fn() -> Command + 'a> {
    on_the_disk("file", program, file)
}

/// The same with little memory, of which a file that is larger than 16 MiB is read in parts.
pub(super) fn source_of_parts<'a>(program: &'a Path, file: &'a Path) -> Box<dyn Fn() -> Command + 'a> {
    on_the_disk("parts", program, file)
}

fn on_the_disk<'a>(place: &'a str, program: &'a Path, file: &'a Path) -> Box<dyn Fn() -> Command + 'a> {
    Box::new(move || {
        let mut read = Command::new(program);
        read.arg(place).arg(file);
        read
    })
}

/// What runs in turns: a name, and a command that is made anew for each round. One that begins with `a source` is ours, and says how many
/// rows it read.
pub(super) type Runner<'a> = (&'static str, Box<dyn Fn() -> Command + 'a>);

/// A filling by a command line of the client that comes with the server.
pub(super) fn filled_by(command: impl Fn(&Path) -> String + 'static) -> Fill {
    Box::new(move |file| process::output(Command::new("sh").args(["-c", &command(file)])).map(drop).context("cannot fill a server"))
}

/// A command line.
pub(super) fn shell<'a>(script: String) -> Box<dyn Fn() -> Command + 'a> {
    Box::new(move || {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        shell
    })
}

/// What each runner took, by its number. Processor time and memory are those of a runner's first process.
pub(super) fn in_turns(progress: &Progress, folder: &Path, runners: &[Runner<'_>], rows: u64, rounds: u16) -> Result<Vec<Used>> {
    let mut used = vec![Used::default(); runners.len()];
    for round in 1..=rounds {
        progress.say(&format!("round {round} of {rounds}"));
        for ((name, command), used) in runners.iter().zip(&mut used) {
            let ran = measured(&mut command(), &folder.join("sources.log"), &[0])?;
            ensure!(!name.starts_with("a source") || ran.stdout.starts_with(&format!("{rows} rows")), "{name} said {}", ran.stdout);
            used.push(&ran);
        }
    }
    Ok(used)
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
