//! One import from its source to its last result: what `dataimporter run` and the worker have in common, so that what a person tries on
//! a laptop is what happens in the cluster. Where credentials, journal and result files come from is each caller's own business.

mod source;
mod target;

use std::sync::Arc;
use std::time::Duration;

use api::import_job::{Guards, ImportJobSpec, SalesforceTarget};
use api::import_run::{Chunks, Rows, RunReason};
use csv::ByteRecord;
use engine::load::{
    BulkLane, ChunkLimits, Ending, InputRow, Journal, Ledger, LoadPorts, LoadSettings, Loader, Restart, SalesforceBulk, StopSignal,
};
use engine::pipeline::{Outcome, Pipeline};
use engine::results::{Escape, ResultsSink};
use engine::row::Batch;
use salesforce::{Client, Describe};

pub(crate) use self::source::{Database, Input};
use self::source::{OpenError, OpenInput, open};

/// What one import is made of.
pub(crate) struct Import {
    pub(crate) spec: ImportJobSpec,
    pub(crate) target: Client,
    pub(crate) input: Input,
    pub(crate) journal: Arc<dyn Journal>,
    /// What earlier attempts left in the journal.
    pub(crate) chunks: Chunks,
    /// `None`: no result files.
    pub(crate) results: Option<(Box<dyn ResultsSink>, Escape)>,
    pub(crate) limits: ChunkLimits,
    /// How long the run may still take.
    pub(crate) time_left: Duration,
    pub(crate) stop_signal: StopSignal,
    /// Told once loading begins.
    pub(crate) watch: Box<dyn FnOnce(Arc<Ledger>) + Send>,
}

/// Why an import ended before its first row.
struct Refusal {
    reason: RunReason,
    message: String,
}

impl Refusal {
    fn new(reason: RunReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, message } = refusal;
        Self {
            reason,
            message,
            rows: Rows::default(),
            results: Vec::new(),
            failed_rows: Vec::new(),
            unmatched: 0,
            warnings: Vec::new(),
            fenced: false,
        }
    }
}

impl Import {
    pub(crate) async fn run(self) -> Ending {
        let stop_signal = self.stop_signal.clone();
        let deadline = tokio::spawn({
            let (stop_signal, left) = (stop_signal.clone(), self.time_left);
            async move {
                tokio::time::sleep(left).await;
                stop_signal.stop_now(RunReason::Deadline, "the deadline has passed (guards.deadlineSeconds)");
            }
        });
        let ending = self.attempt().await.unwrap_or_else(Ending::from);
        deadline.abort();
        ending
    }

    async fn attempt(mut self) -> Result<Ending, Refusal> {
        let target = self
            .spec
            .target
            .salesforce
            .clone()
            .ok_or_else(|| Refusal::new(RunReason::PreflightFailed, "target: the job has no Salesforce target"))?;
        let reread = self.input.reread();
        let restart = Restart::of(&self.chunks, reread);
        if !restart.reads || self.stop_signal.is_raised() {
            return self.bring_to_its_end(&target).await;
        }
        let (mut opened, mut pipeline) = match self.begin(&target, restart.behind).await {
            Ok(begun) => begun,
            // Another attempt may do better.
            Err(refusal) if refusal.reason.is_resumable() && !self.stop_signal.is_raised() => return Err(refusal),
            Err(Refusal { reason, message }) => {
                self.stop_signal.stop(reason, message);
                if self.chunks.total > 0 {
                    return self.bring_to_its_end(&target).await;
                }
                // What stopped the run first is the reason that people see.
                let (reason, message) = self.stop_signal.reason().unwrap_or((RunReason::Internal, String::new()));
                return Err(Refusal { reason, message });
            }
        };
        let input = opened.source.header().cells().clone();
        let mut loader = self.loader(&target, input, pipeline.fields().clone(), pipeline.key());
        let read = feed(&mut loader, &mut opened, &mut pipeline, &self.stop_signal).await;
        let ending = match read {
            Ok(()) => loader.finish().await,
            Err(error) => Err(error),
        };
        ending.map(|ending| Ending { warnings: pipeline.warnings(), ..ending }).map_err(memory_failed)
    }

    /// Everything that comes before the first row.
    async fn begin(&self, target: &SalesforceTarget, behind: Option<i64>) -> Result<(OpenInput, Pipeline), Refusal> {
        let describe = self.describe(target).await?;
        let opened = open(&self.input, &self.spec, behind).await.map_err(Refusal::from)?;
        let parents = self.parents(&describe).await?;
        let pipeline = Pipeline::compile(&self.spec, opened.source.header(), &describe, &parents).map_err(findings)?;
        Ok((opened, pipeline))
    }

    /// What may be known before anything is sent: whether the object is there, and whether the org has calls left for us.
    async fn describe(&self, target: &SalesforceTarget) -> Result<Describe, Refusal> {
        let describe = self.target.describe(&target.object).await.map_err(|error| target::refusal(&target.object, &error))?;
        match self.target.usage() {
            Some(usage) if usage.exceeds(self.api_budget_percent()) => {
                let text = format!(
                    "{} of the org's {} API calls of the day are used, more than the budget of {} %",
                    usage.used,
                    usage.max,
                    self.api_budget_percent()
                );
                Err(Refusal::new(RunReason::QuotaExceeded, text))
            }
            _ => Ok(describe),
        }
    }

    /// One call for each object that the job looks for parents in. One that this user may not see stays unchecked.
    async fn parents(&self, describe: &Describe) -> Result<Vec<Describe>, Refusal> {
        let mut parents = Vec::new();
        for object in engine::pipeline::parents(&self.spec, describe) {
            match self.target.describe(&object).await {
                Ok(parent) => parents.push(parent),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(target::refusal(&object, &error)),
            }
        }
        Ok(parents)
    }

    /// Nothing more can be read, or may be; what was committed is still waited for and counted.
    async fn bring_to_its_end(mut self, target: &SalesforceTarget) -> Result<Ending, Refusal> {
        self.results = None;
        let loader = self.loader(target, ByteRecord::new(), ByteRecord::new(), None);
        loader.finish().await.map_err(memory_failed)
    }

    fn loader(&mut self, target: &SalesforceTarget, input: ByteRecord, columns: ByteRecord, key_column: Option<usize>) -> Loader {
        let settings = LoadSettings {
            input,
            columns,
            key_column,
            limits: self.limits,
            results: self.results.take(),
            reread: self.input.reread(),
            max_failed_percent: self.spec.guards.as_ref().and_then(|guards| guards.max_failed_percent),
            api_budget_percent: self.api_budget_percent(),
            random: Arc::new(rand::random::<f64>),
        };
        let bulk = SalesforceBulk::new(self.target.clone(), target::new_job(target));
        let ports = LoadPorts { lane: Arc::new(BulkLane::new(bulk)), journal: self.journal.clone(), stop_signal: self.stop_signal.clone() };
        let loader = Loader::start(settings, ports, &self.chunks);
        let watch = std::mem::replace(&mut self.watch, Box::new(|_| ()));
        watch(loader.ledger());
        loader
    }

    fn api_budget_percent(&self) -> u8 {
        let asked = self.spec.guards.as_ref().and_then(|guards| guards.api_budget_percent);
        u8::try_from(asked.unwrap_or(Guards::DEFAULT_API_BUDGET_PERCENT)).unwrap_or(100)
    }
}

/// Reads, maps and hands over rows until the source ends or the run is being stopped.
async fn feed(loader: &mut Loader, input: &mut OpenInput, pipeline: &mut Pipeline, stop_signal: &StopSignal) -> std::io::Result<()> {
    let mut batch = Batch::new();
    let mut mapped = ByteRecord::new();
    loop {
        let more = tokio::select! {
            biased;
            () = stop_signal.raised() => return Ok(()),
            more = input.source.next(&mut batch) => more,
        };
        match more {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                match input.refusal() {
                    // The same would come again.
                    Some(refusal) => stop_signal.stop(RunReason::SourceFailed, refusal.to_string()),
                    None => stop_signal.stop(error.reason(), connect::explain(&error)),
                }
                return Ok(());
            }
        }
        for row in batch.rows() {
            if row.seen {
                // Of an earlier attempt: only what later rows are compared with is of interest.
                if row.fault.is_none() {
                    pipeline.process(row.number, &row.cells, &mut mapped);
                }
                continue;
            }
            let input = InputRow { cells: &row.cells, key: &row.key, refused: &row.refused };
            match &row.fault {
                _ if row.skipped => loader.skipped(input),
                Some(error) => loader.rejected(input, &error.told())?,
                None => match pipeline.process(row.number, &row.cells, &mut mapped) {
                    Outcome::Mapped => loader.send(input, &mapped)?,
                    Outcome::Filtered => loader.filtered(input),
                    Outcome::Deduplicated => loader.deduplicated(input),
                    Outcome::Failed(error) => loader.rejected(input, &error.told())?,
                },
            }
            if loader.is_full() {
                loader.note_read();
                loader.dispatch().await?;
                if stop_signal.is_raised() {
                    return Ok(());
                }
            }
        }
        loader.note_read();
    }
}

fn findings(findings: Vec<engine::finding::PreflightFinding>) -> Refusal {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Refusal::new(RunReason::PreflightFailed, lines.join("; "))
}

fn memory_failed(error: std::io::Error) -> Refusal {
    Refusal::new(RunReason::Internal, format!("rows could not be kept in memory: {error}"))
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        Self { reason: error.reason(), message: connect::explain(&error) }
    }
}
