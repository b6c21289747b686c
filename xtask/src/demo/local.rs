//! `cargo xtask demo --local`: a first import without a cluster and without root. It is the cluster demo's job and file, by
//! `dataimporter run` into a Salesforce of this machine that lives as long as this command.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::accounting::{self, Accounting};
use super::airports;
use super::report::print_stages;
use crate::emulator::Emulator;
use crate::process::quoted;
use crate::programs::{self, Optimized};
use crate::progress::Progress;
use crate::{packages, workspace};

/// The namespace that the example's job stands in: objects of manifests find each other within theirs.
const NAMESPACE: &str = "acme";
const JOB: &str = "airports";
const DATA: &str = "/services/data/v66.0";
/// Exit codes of `dataimporter run` that tell of a run to its end: all rows loaded, or some failed.
const COMPLETED: [i32; 2] = [0, 4];

/// What `dataimporter run` tells of its run.
#[derive(Deserialize)]
struct Summary {
    reason: String,
    message: String,
    rows: Value,
    results: Vec<ResultFile>,
}

#[derive(Deserialize)]
struct ResultFile {
    path: PathBuf,
    rows: u64,
}

/// Rows of all jobs of the Salesforce side, by its own count.
struct Jobs {
    took: i64,
    refused: i64,
}

/// A folder that no other demo works in at the same time.
struct Folder {
    path: PathBuf,
    _lock: File,
}

pub(super) fn run(stay: bool) -> Result<ExitCode> {
    let progress = Progress::begin();
    let mut stages: Vec<(&'static str, Duration)> = Vec::new();
    let mut stage = |name: &'static str, began: Instant| stages.push((name, began.elapsed()));

    let began = Instant::now();
    packages::install(&progress, &[packages::CURL])?;
    let Folder { path: folder, _lock } = Folder::take()?;
    let programs = programs::build(&progress, &folder, Optimized::No)?;
    link(&programs.dataimporter, &folder.join("dataimporter"))?;
    stage("build", began);

    let began = Instant::now();
    progress.say("starting a Salesforce to try on");
    let mut salesforce = Emulator::start(&programs.emulator, &folder, &[])?;
    write_connection(&salesforce, &folder.join("connection.yaml"))?;
    stage("Salesforce", began);

    let began = Instant::now();
    progress.say("importing the airports");
    let expected = airports::write(&workspace::root().join("examples/airports.csv"), &folder.join("airports.csv"))?;
    let summary = import(&folder)?;
    stage("import", began);

    let accounting = Accounting {
        rows: summary.rows.clone(),
        expected,
        in_salesforce: accounts(&salesforce)?,
        failures: first_lines(&folder.join("results/failed.csv"))?,
    };
    let jobs = Jobs::of(&salesforce)?;
    let mut findings = accounting.findings();
    let refused = airports::refused_by_salesforce(expected);
    findings.extend(accounting::different(&[
        ("rows that Salesforce's jobs took", jobs.took, expected.succeeded() + refused),
        ("rows that Salesforce refused", jobs.refused, refused),
    ]));
    if summary.reason != "CompletedWithFailedRows" {
        findings.push(format!("the run ended {}: {}", summary.reason, summary.message));
    }

    println!("\nAirports, from a CSV file into Accounts");
    accounting.print();
    println!("  its jobs      {} rows taken, {} of them refused, counted there", jobs.took, jobs.refused);
    accounting.print_failures();
    accounting::print_verdict(&findings);
    print_stages(&stages);
    println!("\nResult files, each row with all its columns");
    for file in &summary.results {
        println!("  {} ({} rows)", folder.join(&file.path).display(), file.rows);
    }
    if !findings.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    print_what_next(&folder, stay.then(|| salesforce.url()));
    if stay {
        salesforce.wait()?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Folder {
    fn take() -> Result<Self> {
        let mut number = 1;
        loop {
            let name = if number == 1 { "demo-local".to_owned() } else { format!("demo-local-{number}") };
            let path = workspace::cargo_target().join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            let file = path.join("lock");
            let lock = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(TryLockError::WouldBlock) => number += 1,
                Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", file.display())),
            }
        }
    }
}

/// For the commands that a person repeats by hand.
fn link(program: &Path, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(program, link).with_context(|| format!("cannot link {}", link.display()))
}

fn write_connection(salesforce: &Emulator, file: &Path) -> Result<()> {
    let mut text = "# The way to the Salesforce of `cargo xtask demo --local`, made anew by each.\n".to_owned();
    for manifest in salesforce.manifests(NAMESPACE) {
        text = text + "---\n" + &serde_saphyr::to_string(&manifest)?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The words behind `dataimporter` for the example's job, in the demo's folder.
fn arguments() -> [String; 11] {
    let jobs = workspace::root().join("examples/40-jobs.yaml").to_string_lossy().into_owned();
    ["run", "-f", "connection.yaml", "-f", &jobs, "--job", JOB, "--file", "airports.csv", "--results-dir", "results"].map(str::to_owned)
}

fn import(folder: &Path) -> Result<Summary> {
    let mut command = Command::new(folder.join("dataimporter"));
    let output = command.args(arguments()).args(["--output", "json"]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = output.output().context("cannot start dataimporter")?;
    if !output.status.code().is_some_and(|code| COMPLETED.contains(&code)) {
        bail!("dataimporter run ended with {}: {}", output.status, String::from_utf8_lossy(&output.stdout).trim());
    }
    serde_json::from_slice(&output.stdout).context("the summary of the import cannot be read")
}

/// Accounts of airports that the Salesforce side holds.
fn accounts(salesforce: &Emulator) -> Result<i64> {
    let query = "q=SELECT COUNT() FROM Account WHERE icao__c != null";
    let answer = salesforce.ask(&format!("{DATA}/query"), &["--get", "--data-urlencode", query, "--header", &salesforce.bearer()])?;
    answer["totalSize"].as_i64().with_context(|| format!("the Salesforce side answered {answer}"))
}

impl Jobs {
    fn of(salesforce: &Emulator) -> Result<Self> {
        let path = format!("{DATA}/jobs/ingest");
        let list = salesforce.ask(&path, &["--header", &salesforce.bearer()])?;
        let mut jobs = Self { took: 0, refused: 0 };
        for job in list["records"].as_array().context("the Salesforce side lists no jobs")? {
            let id = job["id"].as_str().context("a job without an id")?;
            let job = salesforce.ask(&format!("{path}/{id}"), &["--header", &salesforce.bearer()])?;
            let number = |name: &str| job[name].as_i64().with_context(|| format!("a job without {name}: {job}"));
            jobs.took += number("numberRecordsProcessed")?;
            jobs.refused += number("numberRecordsFailed")?;
        }
        Ok(jobs)
    }
}

/// Header and first rows of a file.
fn first_lines(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().take(4).map(str::to_owned).collect())
}

fn print_what_next(folder: &Path, stays_at: Option<&str>) {
    println!("\nTry next");
    match stays_at {
        Some(url) => println!("  This Salesforce stays at {url} until Ctrl-C. In another terminal:"),
        None => {
            println!("  cargo xtask demo --local --stay     # the same, and the Salesforce stays until Ctrl-C; then, in another terminal:");
        }
    }
    let words: Vec<String> = arguments().iter().map(|word| quoted(Path::new(word))).collect();
    println!("  cd {}", quoted(folder));
    println!("  ./dataimporter {}", words.join(" "));
    println!("  # a CSV of your own: README, \"Your own CSV in five minutes\"");
    println!("  cargo xtask demo                    # as root: a Kubernetes cluster of this machine, with two tenants in two regions");
}
