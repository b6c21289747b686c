//! `cargo xtask bench [SCENARIO …]`: how fast and how small, as ratios against named peers that ran beside us.
//!
//! The programs are those that users get, built from this checkout; the file is made here. Nothing fails because it is slow:
//! goals and results are printed side by side (docs/developing/bench.md).

mod bulk;
mod child;
mod data;
mod databases;
mod encryption;
mod figures;
mod import;
mod instructions;
mod machine;
mod memory;
mod objects;
mod org;
mod parquet;
mod peers;
mod python;
mod readers;
mod report;
mod runs;
mod source_memory;
mod sources;
mod used;
mod workbook;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use self::data::Header;
use self::machine::Machine;
use self::org::OrgSetup;
use self::report::{Chapter, Report};
use crate::programs::{self, Optimized, Programs};
use crate::progress::Progress;
use crate::{packages, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Scenarios to run; all of them when none is named
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// Rows of the file; goals are meant for a million
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    rows: u64,
    /// Rounds of each scenario, in which everything that is compared runs once; each scenario has its own number when absent
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Another build of `dataimporter`, which takes its turn in `bulk`: is this one slower than that?
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// How the report is printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Scenario {
    /// P1: a load by Bulk API 2.0 against `curl -T` of the same bytes
    Bulk,
    /// P2: the same load by simple-salesforce and jsforce
    Peers,
    /// P3: memory of a load, and of one ten times as large
    Memory,
    /// P4: encrypted file streams against `openssl speed`
    Encryption,
    /// Instructions of a row, which may not become more; only when it is named
    Instructions,
    /// P7: files of an SFTP and an HTTPS server against `sftp` and `curl`; needs root, only when it is named
    Sources,
    /// P7: a table of PostgreSQL and of MariaDB against `psql` and `mariadb`; needs root, only when it is named
    Databases,
    /// P7: an object of a real S3 server against `rclone cat`; only when it is named
    Objects,
    /// P7: a Parquet file against pyarrow; only when it is named
    Parquet,
    /// P7: a workbook of a million rows against openpyxl; takes minutes, only when it is named
    Workbook,
    /// P7: memory of a source of each kind, for 10 MB, 160 MB and 1.6 GB; needs root, only when it is named
    SourceMemory,
    /// P5: runs from their creation to their end, on the cluster of `cargo xtask demo`; only when it is named
    Runs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Scenario {
    /// Whether it has no use for optimized programs and an org of this command.
    fn is_apart(self) -> bool {
        !ALL.contains(&self)
    }

    /// One that is apart.
    fn run(self, progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
        match self {
            Self::Instructions => instructions::run(progress, folder),
            Self::Sources => sources::run(progress, folder, rows, rounds),
            Self::Databases => databases::run(progress, folder, rows, rounds),
            Self::Objects => objects::run(progress, folder, rows, rounds),
            Self::Parquet => parquet::run(progress, folder, rows, rounds),
            Self::Workbook => workbook::run(progress, folder, rows, rounds),
            Self::SourceMemory => source_memory::run(progress, folder, rows, rounds),
            _ => runs::run(progress, folder, rounds),
        }
    }
}

const ALL: [Scenario; 4] = [Scenario::Bulk, Scenario::Peers, Scenario::Memory, Scenario::Encryption];

/// What every scenario works with.
struct Bench {
    progress: Progress,
    folder: PathBuf,
    programs: Programs,
    org: OrgSetup,
    rows: u64,
    rounds: Option<u16>,
    before: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let progress = Progress::begin();
    let folder = workspace::target().join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let scenarios = if arguments.scenarios.is_empty() { ALL.to_vec() } else { arguments.scenarios };
    let (apart, alone): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|scenario| scenario.is_apart());
    let machine = Machine::look();
    if machine.was_busy() {
        progress.say("this machine is busy: the figures will be noisy");
    }
    let mut chapters = Vec::new();
    if !alone.is_empty() {
        packages::install(&progress, &[packages::OPENSSL, packages::CURL, packages::CMAKE, packages::PYTHON_VENV])?;
        let programs = programs::build(&progress, &folder, Optimized::Yes)?;
        let org = OrgSetup::new(&programs.emulator, &folder);
        let (rows, rounds, before) = (arguments.rows, arguments.rounds, arguments.before);
        let bench = Bench { progress, folder: folder.clone(), programs, org, rows, rounds, before };
        for scenario in alone {
            chapters.push(bench.chapter(scenario)?);
        }
    }
    for scenario in apart {
        chapters.push(scenario.run(&progress, &folder, arguments.rows, arguments.rounds)?);
    }
    let report = Report { machine, chapters };
    match arguments.output {
        Output::Text => print!("{}", report.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn chapter(&self, scenario: Scenario) -> Result<Chapter> {
        self.progress.say(&format!("scenario {scenario:?}"));
        match scenario {
            Scenario::Bulk => bulk::run(self),
            Scenario::Peers => peers::run(self),
            Scenario::Memory => memory::run(self),
            Scenario::Encryption => encryption::run(self),
            apart => apart.run(&self.progress, &self.folder, self.rows, self.rounds),
        }
    }

    /// The file with so many rows, read once, so that its first reader does not wait for the disk.
    fn data(&self, rows: u64, header: Header) -> Result<PathBuf> {
        let file = self.progress.during(&format!("the file of {rows} rows"), String::new, || data::file(&self.folder, rows, header))?;
        let read = std::io::copy(&mut std::fs::File::open(&file)?, &mut std::io::sink())?;
        ensure!(read == data::bytes(&file)?, "{} changes while it is read", file.display());
        Ok(file)
    }
}
