//! The Salesforce side of a benchmark: one emulator that checks and counts rows and keeps none, and what `curl` has to say to it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::child::{self, measured};
use crate::emulator::Emulator;
use crate::process;

const JOBS: &str = "/services/data/v66.0/jobs/ingest";
/// Far more than Salesforce's 100 MB, so that clients that send everything as one job can take part.
const UPLOAD_LIMIT: &str = "2000000000";

/// How often `curl` asks whether its job is done.
const POLL: Duration = Duration::from_millis(20);

/// A running emulator, and what a benchmark asks of it.
pub(super) struct Org {
    emulator: Emulator,
}

/// An import by `curl`.
pub(super) struct Loaded {
    pub(super) seconds: f64,
    /// Of those calls that carry rows.
    pub(super) processor_seconds: f64,
}

/// What the emulators of one benchmark are started with.
pub(super) struct OrgSetup {
    program: PathBuf,
    folder: PathBuf,
}

impl OrgSetup {
    pub(super) fn new(program: &Path, folder: &Path) -> Self {
        Self { program: program.to_owned(), folder: folder.to_owned() }
    }

    pub(super) fn start(&self) -> Result<Org> {
        let arguments = ["--drain", "--enable-admin", "--upload-limit", UPLOAD_LIMIT];
        Ok(Org { emulator: Emulator::start(&self.program, &self.folder, &arguments)? })
    }
}

impl Deref for Org {
    type Target = Emulator;

    fn deref(&self) -> &Emulator {
        &self.emulator
    }
}

impl Org {
    /// Processor time that the server has used so far.
    pub(super) fn processor_seconds(&self) -> Result<f64> {
        child::processor_seconds(self.process())
    }

    /// Accounts that were inserted, by the server's own count.
    pub(super) fn accounts(&self) -> Result<u64> {
        let counts = self.ask("/emulator/objects", &[])?;
        counts["Account"].as_u64().with_context(|| format!("the emulator counts {counts}"))
    }

    /// A job that waits for its data.
    pub(super) fn new_job(&self) -> Result<String> {
        let job = json!({"object": "Account", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}).to_string();
        let answer = self.ask(JOBS, &["--header", &self.bearer(), "--json", &job])?;
        answer["id"].as_str().map(str::to_owned).with_context(|| format!("the emulator answered {answer}"))
    }

    /// `curl -T`: the same bytes over the same TLS into the same buffers of the same process as any client's.
    pub(super) fn put(&self, job: &str, file: &Path) -> Command {
        let mut command = self.curl();
        command
            .args(["--fail-with-body", "--http1.1", "--header", &self.bearer(), "--header", "Content-Type: text/csv", "--upload-file"])
            .arg(file)
            .arg(format!("{}{JOBS}/{job}/batches", self.url()));
        command
    }

    /// The least that a whole import is: the bytes as one job, closed and waited for, its results read to their end and thrown away.
    pub(super) fn load(&self, file: &Path, rows: u64, log: &Path) -> Result<Loaded> {
        let began = Instant::now();
        let job = self.new_job()?;
        let mut processor_seconds = measured(&mut self.put(&job, file), log, &[0])?.processor_seconds;
        let path = format!("{JOBS}/{job}");
        let bearer = self.bearer();
        self.ask(&path, &["--request", "PATCH", "--header", &bearer, "--json", r#"{"state":"UploadComplete"}"#])?;
        let info = loop {
            let info = self.ask(&path, &["--header", &bearer])?;
            match info["state"].as_str() {
                Some("JobComplete") => break info,
                Some("UploadComplete" | "InProgress") => std::thread::sleep(POLL),
                _ => bail!("the job did not complete: {info}"),
            }
        };
        ensure!(info["numberRecordsProcessed"] == rows && info["numberRecordsFailed"] == 0, "{rows} rows were sent: {info}");
        for set in ["successfulResults", "failedResults"] {
            let mut read = self.curl();
            read.args(["--fail-with-body", "--http1.1", "--header", &bearer, "--output", "/dev/null", "--write-out", "%{size_download}"]);
            let read = measured(read.arg(format!("{}{path}/{set}", self.url())), log, &[0])?;
            processor_seconds += read.processor_seconds;
            let bytes: u64 = read.stdout.trim().parse().with_context(|| format!("curl said {}", read.stdout))?;
            ensure!(set == "failedResults" || bytes > rows, "{set} of {rows} rows are {bytes} bytes");
        }
        Ok(Loaded { seconds: began.elapsed().as_secs_f64(), processor_seconds })
    }

    /// Ends a job that has data and was never closed, and with it what the server keeps of it.
    pub(super) fn forget(&self, job: &str) -> Result<()> {
        let path = format!("{JOBS}/{job}");
        self.ask(&path, &["--request", "PATCH", "--header", &self.bearer(), "--json", r#"{"state":"Aborted"}"#])?;
        let url = format!("{}{path}", self.url());
        process::output(self.curl().args(["--fail-with-body", "--request", "DELETE", "--header", &self.bearer(), &url])).map(drop)
    }
}
