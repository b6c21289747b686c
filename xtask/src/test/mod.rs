//! `cargo xtask test [LEVEL …]`: every level, or those named. A level whose tools are missing installs them or fails; none
//! is skipped without a word.

mod boundaries;
mod chart;
mod checkov;
mod cluster;
mod code;
mod dependencies;
mod files;
mod lanes;
mod local;
mod manifests;
mod newcomers;
mod release;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::progress::Progress;
use crate::{cluster as real_cluster, docs, packages, pinned, process, programs, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Levels to run; when none is named all of them but `memory`, `s3`, `checkov` and `release`
    #[arg(value_enum)]
    levels: Vec<Level>,
    #[command(flatten)]
    choice: cluster::Choice,
    /// For this command itself: one level of several, which says nothing of levels at its end
    #[arg(long, hide = true)]
    beside: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Level {
    /// Formatting, lints, licences and sources of dependencies, the generated reference, links of the documents
    Lint,
    /// Which crate may depend on what, and that it uses what it depends on
    Boundaries,
    /// What the compiler asks of a person who adds a system, a source, a format and so on
    Newcomers,
    /// Unit, property, contract and API-server tests of every crate
    Code,
    /// Tests of the cluster's own Go programs
    Go,
    /// The Helm chart: lint, schema, rendered objects, its suites, its alerts
    Chart,
    /// Other people's Salesforce clients against the emulator
    Clients,
    /// Other people's CSV files through the real program
    Files,
    /// The demo without a cluster, and what it says to do next
    Local,
    /// The demo and attacks on a real cluster
    Cluster,
    /// Only when it is named: the operator with as many and as large objects as there may be, within the chart's memory (several minutes)
    Memory,
    /// Only when it is named: what reads and keeps objects of S3 against a real MinIO, which is built the first time (four to ten minutes)
    S3,
    /// Only when it is named: checkov's policies against the rendered chart (half a minute, and its installation once)
    Checkov,
    /// Only when it is named: what `cargo xtask release` makes, for every platform, compiled without optimization (a quarter of an hour, two minutes after that)
    Release,
}

impl Level {
    /// Whether it uses the programs of the test cluster.
    fn needs_cluster(self) -> bool {
        match self {
            Self::Code | Self::Go | Self::Chart | Self::Cluster | Self::Memory | Self::S3 | Self::Checkov | Self::Release => true,
            Self::Lint | Self::Boundaries | Self::Newcomers | Self::Clients | Self::Files | Self::Local => false,
        }
    }
}

/// What runs when no level is named.
const ALL: [Level; 10] = [
    Level::Lint,
    Level::Boundaries,
    Level::Newcomers,
    Level::Code,
    Level::Go,
    Level::Chart,
    Level::Clients,
    Level::Files,
    Level::Local,
    Level::Cluster,
];

/// What a level did.
struct Outcome {
    level: Level,
    took: Duration,
    result: Result<()>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let levels = if arguments.levels.is_empty() { ALL.to_vec() } else { arguments.levels };
    let progress = Progress::begin();
    let wanted = [
        packages::POSTGRESQL,
        packages::PGBOUNCER,
        packages::MARIADB,
        packages::NGINX,
        packages::TINYPROXY,
        packages::OPENSSH,
        packages::OPENSSL,
        packages::CURL,
        packages::CMAKE,
        packages::PYTHON_VENV,
    ];
    let of_the_chart = if levels.contains(&Level::Chart) { &[packages::PROMETHEUS, packages::LUA][..] } else { &[] };
    let of_the_cluster = if levels.contains(&Level::Cluster) { &[packages::GIT, packages::FCGIWRAP][..] } else { &[] };
    packages::install(&progress, &[&wanted, of_the_chart, of_the_cluster].concat())?;
    if levels.iter().any(|level| level.needs_cluster()) {
        // Now, because only one at a time may install packages.
        real_cluster::install(&progress)?;
    }
    let outcomes = lanes::run(&progress, &levels, &|level| attempt(&progress, level, &arguments.choice));
    let failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    if !arguments.beside {
        show(&outcomes, progress.elapsed());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn attempt(progress: &Progress, level: Level, choice: &cluster::Choice) -> Outcome {
    progress.say(&format!("level {level:?}"));
    let began = Instant::now();
    let result = match level {
        Level::Lint => lint(),
        Level::Boundaries => boundaries::check().and_then(|()| manifests::check()),
        Level::Newcomers => newcomers::check(),
        Level::Code => code::check(progress),
        Level::Go => go(progress),
        Level::Chart => chart::check(progress),
        Level::Clients => clients(),
        Level::Files => files::check(progress),
        Level::Local => local::check(),
        Level::Cluster => cluster::check(choice),
        Level::Memory => memory(progress),
        Level::S3 => s3(progress),
        Level::Checkov => checkov::check(progress),
        Level::Release => release::check(progress),
    };
    if let Err(error) = &result {
        eprintln!("level {level:?} failed: {error:#}");
    }
    Outcome { level, took: began.elapsed(), result }
}

fn show(outcomes: &[Outcome], took: Duration) {
    println!("\n{:.0} s in all; some levels ran beside others\nLevels", took.as_secs_f32());
    for outcome in outcomes {
        let word = if outcome.result.is_ok() { "passed" } else { "FAILED" };
        println!("  {:<12}{word}  {:8.1} s", format!("{:?}", outcome.level), outcome.took.as_secs_f32());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    println!("levels: {} passed, {failed} failed", outcomes.len() - failed);
}

fn cargo(arguments: &[&str]) -> Result<()> {
    shown(process::cargo().args(arguments).current_dir(workspace::root()))
}

/// Runs a program whose output belongs to the person or to CI.
fn shown(command: &mut Command) -> Result<()> {
    let name = format!("{} {:?}", command.get_program().to_string_lossy(), command.get_args().collect::<Vec<_>>());
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    cargo(&["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    dependencies::check(&["Cargo.toml", "fuzz/Cargo.toml"])?;
    docs::check()
}

/// A test of its own name, because it takes as long as all others together.
fn memory(progress: &Progress) -> Result<()> {
    real_cluster::build(progress)?;
    cargo(&["test", "--locked", "-p", "dataimporter", "--test", "operator_controllers", "--", "--ignored", "--nocapture", "memory::"])
}

/// Tests of their own names, because building their server takes long.
fn s3(progress: &Progress) -> Result<()> {
    pinned::minio(progress)?;
    pinned::clouds(progress)?;
    cargo(&["test", "--locked", "-p", "connect", "--test", "s3", "--test", "clouds", "--", "--ignored"])?;
    cargo(&["test", "--locked", "-p", "engine", "--test", "conformance", "--", "--include-ignored"])?;
    real_cluster::build(progress)?;
    cargo(&["test", "--locked", "-p", "dataimporter", "--lib", "--test", "keeper", "--test", "run", "--", "--ignored", "--nocapture"])
}

fn go(progress: &Progress) -> Result<()> {
    real_cluster::build(progress)?;
    shown(real_cluster::go().arg("test").args(real_cluster::FLAGS).args(["./netpol/...", "./pki/..."]))
}

/// Builds the programs, as the demo does.
fn build_programs() -> Result<()> {
    cargo(&[&["build", "--quiet", "--locked"], &programs::CHOICE[..]].concat())
}

fn clients() -> Result<()> {
    // First, because it waits for registries: another level may compile meanwhile.
    process::output(Command::new("crates/salesforce-emulator/clients/install.sh").current_dir(workspace::root()))?;
    build_programs()?;
    let mut script = Command::new("crates/salesforce-emulator/clients/run.sh");
    shown(script.arg(workspace::built("debug").join("salesforce-emulator")).current_dir(workspace::root()))
}
