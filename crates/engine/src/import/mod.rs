//! The story of a row, from its source to its result: read → steps → map → load → results. The worker and `dataimporter run` tell it
//! with the same words, so that what a person tries on a laptop is what happens in the cluster; tests and benchmarks do so, too. Where
//! credentials, journal and result files come from is each caller's own business.

mod feed;
mod org;
mod preflight;
mod target;

use std::sync::Arc;
use std::time::Duration;

use api::import_job::{Guards, ImportJobSpec, SalesforceTarget, SourceKind, StepKind};
use api::import_run::{Chunks, Rows, RunReason, Warning};
use futures::future::LocalBoxFuture;
use salesforce::Client;

pub use self::feed::{Destination, feed};
pub use self::preflight::{Preflight, Unasked, preflight};
use crate::Memory;
use crate::finding::PreflightFinding;
use crate::load::{
    BulkLane, ChunkLimits, Ending, Journal, Ledger, LoadPorts, LoadSettings, Loader, Reread, Restart, SalesforceBulk, StopSignal,
};
use crate::pipeline::Pipeline;
use crate::results::{Escape, ResultsSink};
use crate::row::Record;
use crate::source::blob::BlobError;
use crate::source::{self, ReadError, Replay, Source, Start};
use crate::used;

/// What one import is made of.
pub struct Import {
    /// The job's spec, as the run's snapshot or the file of `dataimporter run` has it.
    pub spec: ImportJobSpec,
    /// The client of the org that rows are sent to.
    pub target: Client,
    /// `None`: nothing more is read; what earlier attempts committed is brought to its end.
    pub source: Option<Box<dyn Source>>,
    /// Where each chunk of earlier attempts ended, by its number.
    pub cursors: Vec<(i64, Vec<String>)>,
    /// Where each chunk's state is written before the step that it tells of.
    pub journal: Arc<dyn Journal>,
    /// What earlier attempts left in the journal.
    pub chunks: Chunks,
    /// `None`: no result files.
    pub results: Option<(Box<dyn ResultsSink>, Escape)>,
    /// What this process may use; how many rows are sent at a time is a part of it.
    pub memory: Memory,
    /// How long the run may still take.
    pub time_left: Duration,
    /// Ends the import early when it is raised, by the caller or by a part of the import.
    pub stop_signal: StopSignal,
    /// Told once loading begins.
    pub watch: Box<dyn FnOnce(Arc<Ledger>) + Send>,
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
            origin: Vec::new(),
            file: None,
            files_left: 0,
            bookmark: Vec::new(),
            fenced: false,
        }
    }
}

impl Import {
    /// Tells the whole story. Whatever happens is in the ending. Boxed, so that an import is compiled here and not in every program that
    /// runs one.
    pub fn run(self) -> LocalBoxFuture<'static, Ending> {
        Box::pin(self.whole())
    }

    async fn whole(mut self) -> Ending {
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
        let source = self.source.as_deref();
        Ending {
            origin: source.map(Source::origin).unwrap_or_default(),
            file: source.and_then(Source::name),
            files_left: source.map_or(0, Source::left),
            ..ending
        }
    }

    async fn attempt(&mut self) -> Result<Ending, Refusal> {
        let target = self
            .spec
            .target
            .salesforce()
            .cloned()
            .ok_or_else(|| Refusal::new(RunReason::PreflightFailed, "target: the job has no Salesforce target"))?;
        let restart = Restart::of(&self.chunks, self.reread());
        if !restart.reads || self.stop_signal.is_raised() {
            return self.bring_to_its_end(&target).await;
        }
        let (mut rows, mut pipeline) = match self.begin(&target, restart.behind).await {
            Ok(begun) => begun,
            // Another attempt may do better.
            Err(refusal) if refusal.reason.is_resumable() && !self.stop_signal.is_raised() => return Err(refusal),
            Err(Refusal { reason, message }) => {
                self.stop_signal.stop(reason, message);
                if self.chunks.total > 0 {
                    return self.bring_to_its_end(&target).await;
                }
                // The part that raised it first knows better.
                let (reason, message) = self.stop_signal.reason().unwrap_or((RunReason::Internal, String::new()));
                return Err(Refusal { reason, message });
            }
        };
        let input = rows.header().cells().clone();
        let limits = self.memory.chunks(rows.holds_file());
        let mut loader = self.loader(&target, limits, input, pipeline.fields().clone(), pipeline.key());
        feed(&mut *rows, &mut pipeline, &mut loader, &self.stop_signal).await;
        let mut warnings = [rows.warnings(), pipeline.warnings()].concat();
        warnings.truncate(Warning::MOST);
        let bookmark = match rows.watermark() {
            Some(watermark) => vec![watermark],
            None => self.source.as_ref().map(|source| source.reached()).unwrap_or_default(),
        };
        let ending = loader.finish().await.map_err(not_ended)?;
        let reason = match ending.reason {
            RunReason::Completed if ending.rows.read == 0 && self.reads_only_new() => RunReason::NothingNew,
            reason => reason,
        };
        Ok(Ending { reason, warnings, bookmark, ..ending })
    }

    /// Everything that comes before the first row.
    async fn begin(&self, target: &SalesforceTarget, behind: Option<i64>) -> Result<(Box<dyn source::Rows>, Pipeline), Refusal> {
        let describe = org::describe(&self.target, target).await?;
        org::within_budget(&self.target, self.api_budget_percent())?;
        let rows = self.open(behind).await?;
        let parents = org::parents(&self.target, &self.spec, &describe).await?;
        let pipeline = Pipeline::compile(&self.spec, rows.header(), &describe, &parents).map_err(findings)?;
        Ok((rows, pipeline))
    }

    /// `behind`: the chunk that reading goes on behind.
    async fn open(&self, behind: Option<i64>) -> Result<Box<dyn source::Rows>, Refusal> {
        let Some(source) = &self.source else { return Err(ReadError::from(BlobError::Spent).into()) };
        let start = self.start(behind)?;
        Ok(source.open(&start, &used::columns(&self.spec)).await?)
    }

    fn start(&self, behind: Option<i64>) -> Result<Start, Refusal> {
        let Some(chunk) = behind else {
            // Each chunk of a source that is read from its start keeps the same: what it was when it was first opened.
            let origin = self.cursors.last().filter(|_| self.reread() == Reread::FromStart).map(|(_, origin)| origin.clone());
            return Ok(origin.map_or(Start::First, |origin| Start::Again { origin }));
        };
        let (_, key) = self.cursors.iter().find(|(number, _)| *number == chunk).ok_or_else(|| {
            let text = format!("the journal has no cursor for chunk {chunk}: compare the result with the org and start a new run");
            Refusal::new(RunReason::NeedsDecision, text)
        })?;
        let remembers = self.spec.steps.iter().any(|step| matches!(step.kind(), Some(StepKind::Dedupe(_))));
        Ok(Start::Behind { key: key.clone(), replay: if remembers { Replay::Seen } else { Replay::None } })
    }

    fn reads_only_new(&self) -> bool {
        matches!(self.spec.source.kind(), Some(SourceKind::Sql(query)) if query.watermark.is_some())
    }

    /// Without a source nothing is read, whatever is said here.
    fn reread(&self) -> Reread {
        self.source.as_ref().map_or(Reread::FromStart, |source| source.reread())
    }

    /// Nothing more can be read, or may be; what was committed is still waited for and counted.
    async fn bring_to_its_end(&mut self, target: &SalesforceTarget) -> Result<Ending, Refusal> {
        self.results = None;
        let loader = self.loader(target, self.memory.chunks(false), Record::new(), Record::new(), None);
        loader.finish().await.map_err(not_ended)
    }

    fn loader(
        &mut self,
        target: &SalesforceTarget,
        limits: ChunkLimits,
        input: Record,
        columns: Record,
        key_column: Option<usize>,
    ) -> Loader {
        let settings = LoadSettings {
            input,
            columns,
            key_column,
            limits,
            results: self.results.take(),
            reread: self.reread(),
            origin: self.source.as_ref().map(|source| source.origin()).unwrap_or_default(),
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

fn findings(findings: Vec<PreflightFinding>) -> Refusal {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Refusal::new(RunReason::PreflightFailed, lines.join("; "))
}

fn not_ended(error: std::io::Error) -> Refusal {
    Refusal::new(RunReason::Internal, format!("loading did not end: {error}"))
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self { reason: error.reason(), message: connect::explain(&error) }
    }
}
