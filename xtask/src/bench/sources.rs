//! P7: reading a file of a server, rows and all, against the programs that only fetch it. Named only: its SFTP server needs root.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::child::{Measured, measured};
use super::data::{self, Header};
use super::figures::Series;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::progress::Progress;
use crate::served::{self, Layout};
use crate::{certificate, packages, process, workspace};

const TOKEN: &str = "a-token-of-a-benchmark";

/// A server that ends with it.
struct Server {
    process: Child,
    layout: Layout,
}

impl Server {
    fn start(layout: Layout, port: u16) -> Result<Self> {
        let (program, arguments) = layout.command.split_first().context("a command has a program")?;
        let log = std::fs::File::create(layout.files.with_extension("log"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let server = Self { process, layout };
        process::wait_until("a server of files", Duration::from_secs(30), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).context("nobody listens yet")
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What runs in turns: a name, and a command that is made anew for each round.
type Runner<'a> = (&'static str, Box<dyn Fn() -> Command + 'a>);

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::OPENSSH, packages::NGINX, packages::OPENSSL, packages::CURL])?;
    let place = std::env::temp_dir().join(format!("dataimporter-sources-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let chapter = compare(progress, folder, &place, rows, rounds.unwrap_or(7));
    std::fs::remove_dir_all(&place)?;
    chapter
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let (port, secure_port) = (free_port()?, free_port()?);
    let (layout, host_key) = served::openssh(&place.join("sftp"), "unused", "127.0.0.1", port)?;
    let sftp = Server::start(layout, port)?;
    let tls = certificate::of_server("sources", "127.0.0.1", place)?;
    let https = Server::start(served::nginx(&place.join("https"), TOKEN, &tls, "127.0.0.1", secure_port)?, secure_port)?;
    for server in [&sftp, &https] {
        std::fs::copy(&file, server.layout.files.join("a.csv"))?;
    }
    let packed = https.layout.files.join("a.csv.gz");
    let pack = format!("gzip -c '{}' > '{}'", file.display(), packed.display());
    progress.during("packing it", String::new, || process::output(Command::new("sh").args(["-c", &pack])))?;

    let (key, authority) = (place.join("sftp/user_key"), certificate::authority());
    let ours = |where_: &'static str, path: &'static str| {
        let (program, key, authority, host_key) = (&program, &key, &authority, &host_key);
        Box::new(move || {
            let mut read = Command::new(program);
            read.args([where_, path]).env("READ_USER", served::USER).env("READ_PORT", port.to_string()).env("READ_HOST_KEY", host_key);
            read.env("READ_KEY", key).env("READ_CA", authority).env("READ_SECRET", TOKEN);
            read.env("READ_URL", format!("https://127.0.0.1:{secure_port}/out"));
            read
        })
    };
    let shell = |script: String| {
        Box::new(move || {
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]);
            shell
        })
    };
    let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let fetch = format!("exec sftp -q -P {port} -i '{}' {options} {}@127.0.0.1:a.csv /dev/null", key.display(), served::USER);
    let curl = |name: &str| {
        let authority = authority.display();
        format!(
            "curl --silent --fail --noproxy '*' --cacert '{authority}' -H 'Authorization: Bearer {TOKEN}' \
             https://127.0.0.1:{secure_port}/out/{name}"
        )
    };
    let runners: [Runner<'_>; 6] = [
        ("sftp", shell(fetch)),
        ("a source, SFTP", ours("sftp", "a.csv")),
        ("curl", shell(format!("exec {} -o /dev/null", curl("a.csv")))),
        ("a source, HTTPS", ours("https", "a.csv")),
        ("curl | gzip -dc", shell(format!("{} | gzip -dc > /dev/null", curl("a.csv.gz")))),
        ("a source, HTTPS and gzip", ours("https", "a.csv.gz")),
    ];
    let mut walls: [Series; 6] = Default::default();
    let mut peaks: [Series; 6] = Default::default();
    for round in 1..=rounds {
        progress.say(&format!("sources: round {round} of {rounds}"));
        for (number, (name, command)) in runners.iter().enumerate() {
            let Measured { seconds, peak_mib, stdout, .. } = measured(&mut command(), &folder.join("sources.log"), &[0])?;
            anyhow::ensure!(!name.starts_with("a source") || stdout.starts_with(&format!("{rows} rows")), "{name} said {stdout}");
            walls[number].push(seconds);
            peaks[number].push(peak_mib);
        }
    }
    let figures = runners.iter().zip(&walls).map(|((name, _), wall)| Figure::of(name, "s", wall));
    let memory = [1, 3, 5].map(|number| Figure::of(&format!("{}, VmHWM", runners[number].0), "MiB", &peaks[number]));
    Ok(Chapter {
        scenario: "sources".to_owned(),
        about: format!("a CSV file of {rows} rows from a server on the same machine: wall time of a process from its start to its end"),
        figures: figures.chain(memory).collect(),
        goals: vec![
            Goal::new("P7", "sftp ÷ a source, SFTP", Bound::AtLeast(1.5), walls[0].over(&walls[1]), "×"),
            Goal::new("P7", "a source, HTTPS and gzip ÷ curl | gzip -dc", Bound::AtMost(1.0), walls[5].over(&walls[4]), "×"),
        ],
        notes: vec![
            "a source makes rows of what it reads; the others throw the bytes away".to_owned(),
            version("ssh", &["-V"])?,
            version("curl", &["--version"])?,
            version("gzip", &["--version"])?,
        ],
    })
}

fn version(program: &str, arguments: &[&str]) -> Result<String> {
    let said = Command::new(program).args(arguments).output()?;
    let said = [said.stdout, said.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
}

/// The bench `read` of crate engine, which cargo names.
fn program(progress: &Progress) -> Result<PathBuf> {
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
