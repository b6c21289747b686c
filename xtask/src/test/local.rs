//! The first step of the README, `cargo xtask demo --local`, as a person takes it: what it says is true, what it says to do next works,
//! it can say that something is not true, and nothing is left behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// Exit code of `dataimporter run` when some rows failed.
const ROWS_FAILED: i32 = 4;
const SECTION: &str = "## Your own CSV in five minutes";

pub(super) fn check() -> Result<()> {
    let mut stays = Staying::start()?;
    println!("local: the demo stays at {}", stays.url);
    the_report_is_true(&stays)?;
    println!("local: its figures are those of its files ... ok");
    what_comes_next_works(&stays)?;
    println!("local: what it says to do next, and the README's CSV of one's own ... ok");
    another_beside_it()?;
    println!("local: another one beside it ... ok");
    a_figure_that_differs_is_told()?;
    println!("local: a figure that differs is told ... ok");
    what_belongs_to_a_cluster_is_refused()?;
    println!("local: options of a cluster are refused ... ok");
    stays.ends_with_everything()?;
    println!("local: nothing is left behind ... ok");
    Ok(())
}

fn demo() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo", "--local"]).stdin(Stdio::null());
    Ok(command)
}

/// A demo that was told to stay, and what it said until then.
struct Staying {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    url: String,
    /// Where its files are.
    folder: PathBuf,
}

impl Staying {
    fn start() -> Result<Self> {
        let mut process = demo()?.arg("--stay").stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stdout.take().context("its standard output is piped")?).lines();
        let mut stays = Self { process, lines, said: Vec::new(), url: String::new(), folder: PathBuf::new() };
        let line = stays.line_with("This Salesforce stays at ")?;
        stays.url = line.split_whitespace().find(|word| word.starts_with("https://")).context("it does not say where")?.to_owned();
        let line = stays.line_with("  cd ")?;
        stays.folder = line.trim().trim_start_matches("cd ").trim_matches('\'').into();
        stays.line_with("cargo xtask demo ")?;
        Ok(stays)
    }

    fn line_with(&mut self, words: &str) -> Result<String> {
        loop {
            let line = self.lines.next().with_context(|| format!("it ended without {words:?}, and said {:#?}", self.said))??;
            self.said.push(line.clone());
            if line.contains(words) {
                return Ok(line);
            }
        }
    }

    fn is_reached(&self) -> bool {
        self.url.trim_start_matches("https://").parse().is_ok_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    }

    /// The signal goes to the demo alone, while Ctrl-C in a terminal goes to the Salesforce, too. It is another one than Ctrl-C's, because
    /// programs that a shell starts in the background do not end by that.
    fn ends_with_everything(&mut self) -> Result<()> {
        ensure!(self.is_reached(), "control: there is no Salesforce at {}", self.url);
        process::output(Command::new("kill").args(["-TERM", &self.process.id().to_string()]))?;
        self.process.wait()?;
        process::wait_until("the Salesforce has ended", PATIENCE, || {
            ensure!(!self.is_reached(), "there still is one at {}", self.url);
            Ok(())
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Drop for Staying {
    fn drop(&mut self) {
        // A check that failed leaves it running otherwise; one that passed has ended it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Each row of the file is in one of the result files, or was filtered, and the report says the same numbers.
fn the_report_is_true(stays: &Staying) -> Result<()> {
    let said = stays.said.join("\n");
    let rows = |file: &str| -> Result<usize> { Ok(fs::read_to_string(stays.folder.join(file))?.lines().count() - 1) };
    let (read, succeeded, failed) = (rows("airports.csv")?, rows("results/succeeded.csv")?, rows("results/failed.csv")?);
    ensure!(read > 28_000 && failed > 5, "{read} rows of which {failed} failed: this is another file");
    for expected in [
        format!("{read} read = {} filtered + 0 deduplicated + {succeeded} succeeded + {failed} failed", read - succeeded - failed),
        format!("in Salesforce {succeeded} records"),
        "all true".to_owned(),
        "failed.csv    ".to_owned(),
        "sf__Error".to_owned(),
        format!("results/failed.csv ({failed} rows)"),
    ] {
        ensure!(said.contains(&expected), "the report does not say {expected:?}:\n{said}");
    }
    Ok(())
}

/// The commands at the end of the report, as they are written there, and then the README's.
fn what_comes_next_works(stays: &Staying) -> Result<()> {
    let commands: Vec<&str> =
        stays.said.iter().map(String::as_str).filter(|line| line.starts_with("  cd ") || line.contains("run -f")).collect();
    let again = shell(&commands.join("\n"), Path::new("/"))?;
    ensure!(said(&again).contains("28,"), "the command of the report says something else:\n{}", said(&again));
    ensure!(again.status.code() == Some(ROWS_FAILED), "the command of the report ended with {}:\n{}", again.status, said(&again));

    let readme = fs::read_to_string(workspace::root().join("README.md"))?;
    let (_, section) = readme.split_once(SECTION).with_context(|| format!("the README has no section {SECTION:?}"))?;
    let script = |after: &str| -> Result<String> {
        let (_, rest) = section.split_once(after).with_context(|| format!("the README does not say {after:?}"))?;
        let (_, rest) = rest.split_once("```sh\n").context("no commands follow")?;
        Ok(rest.split_once("```").context("the commands do not end")?.0.to_owned())
    };
    let files = script("")?;
    let (files, _) = files.split_once("kubectl apply").context("the README's job is not applied")?;
    let files: Vec<&str> = files.lines().filter(|line| !["export ", "cd ", "kubectl "].iter().any(|word| line.starts_with(word))).collect();
    let by_hand = script("Without a cluster")?;
    let own = shell(&format!("{}\n{by_hand}", files.join("\n")), &stays.folder)?;
    for expected in ["3 read", "2 succeeded", "1 failed", "REQUIRED_FIELD_MISSING"] {
        ensure!(said(&own).contains(expected), "the README's own CSV does not show {expected:?}:\n{}", said(&own));
    }
    Ok(())
}

fn another_beside_it() -> Result<()> {
    let output = demo()?.output()?;
    ensure!(output.status.success() && said(&output).contains("all true"), "{}:\n{}", output.status, said(&output));
    ensure!(said(&output).contains("demo-local-2"), "it works in the same folder:\n{}", said(&output));
    Ok(())
}

/// A Salesforce that holds one record more than was loaded, by a `curl` that says so.
fn a_figure_that_differs_is_told() -> Result<()> {
    let folder = workspace::target().join("local");
    fs::create_dir_all(&folder)?;
    let curl = folder.join("curl");
    let real = process::output(Command::new("sh").args(["-c", "command -v curl"]))?;
    fs::write(&curl, format!("#!/bin/sh\n{} \"$@\" | sed 's/\"totalSize\":/\"totalSize\":1/'\n", real.trim()))?;
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path)))?;
    let output = demo()?.env("PATH", path).output()?;
    let told = said(&output).contains("NOT TRUE      records in Salesforce: 1");
    ensure!(told && output.status.code() == Some(1), "it ended with {}:\n{}", output.status, said(&output));
    Ok(())
}

fn what_belongs_to_a_cluster_is_refused() -> Result<()> {
    for options in [&["--context", "mine"][..], &["--optimized"], &["--log-level", "debug"]] {
        let output = demo()?.args(options).output()?;
        let told = said(&output).contains(&format!("'--local' cannot be used with '{}", options[0]));
        ensure!(told && output.status.code() == Some(2), "{options:?} ended with {}:\n{}", output.status, said(&output));
    }
    Ok(())
}

fn shell(script: &str, folder: &Path) -> Result<Output> {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder).stdin(Stdio::null()).output().context("cannot start sh")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n")
}
