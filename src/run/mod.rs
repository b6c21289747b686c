//! `dataimporter run`: one import from manifests and a file, without a cluster. The engine and the protocol are the worker's.

mod args;
mod output;
mod results;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::connection::{CredentialKey, System};
use api::import_job::{FileSource, SourceKind, SqlSource};
use api::import_run::RunReason;
use connect::{AddressPolicy, Dialer};
use engine::Memory;
use engine::import::Import;
use engine::load::{Ending, NoJournal, StopSignal};
use engine::results::Escape;
use engine::source::Source;
use engine::source::blob::{Loaded, LocalBlob, PutAway, UploadBlob};
use futures::StreamExt;
use tokio_util::io::ReaderStream;

pub use self::args::Args;
use self::results::FolderSink;
use crate::manifests::{Job, Manifests, org};
use crate::sources::{self, Terms};
use crate::terminal;

/// Size of one read from the file.
const READ: usize = 256 << 10;

/// What the exit code says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Exit {
    /// Every row that was sent is in Salesforce.
    Completed = 0,
    /// The command line or a manifest is wrong; nothing was read or sent.
    Usage = 2,
    /// The run failed or was stopped; the summary says what was loaded.
    Failed = 3,
    /// Completed, but some rows failed.
    FailedRows = 4,
}

impl Exit {
    fn of(ending: &Ending) -> Self {
        match (ending.reason.is_success(), ending.rows.failed) {
            (true, 0) => Self::Completed,
            (true, _) => Self::FailedRows,
            (false, _) => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

pub async fn run(args: Args) -> ExitCode {
    let (import, put_away) = match prepare(&args).await {
        Ok(prepared) => prepared,
        Err(error) => {
            terminal::error_line(format_args!("dataimporter run: {}", terminal::without_number(&format!("{error:#}"))));
            return Exit::Usage.into();
        }
    };
    let stop_signal = import.stop_signal.clone();
    let stopping = tokio::spawn(stop_on_signal(stop_signal));
    let mut ending = import.run().await;
    if let Some(put_away) = put_away.filter(|_| domain::bookmark::moves(ending.reason)) {
        let loaded = Loaded { origin: &ending.origin, has_failed_rows: ending.rows.failed > 0, again: false };
        let fate = put_away.put_away(loaded).await;
        ending.message.push_str(if ending.message.is_empty() { "" } else { "; " });
        ending.message.push_str(&fate.message);
    }
    stopping.abort();
    output::finish_progress();
    match output::print(args.output, &ending) {
        Ok(()) => Exit::of(&ending).into(),
        Err(error) => {
            terminal::error_line(format_args!("dataimporter run: {error:#}"));
            Exit::Failed.into()
        }
    }
}

async fn prepare(args: &Args) -> anyhow::Result<(Import, Option<PutAway>)> {
    let manifests = Manifests::read(&args.manifests)?;
    let job = manifests.job(args.job.as_deref())?;
    if let Err(error) = job.spec.source.zone() {
        bail!("job {}: source.{error}", job.name);
    }
    if matches!(job.spec.source.kind(), Some(SourceKind::File(file)) if file.moves_into_its_own_path()) {
        bail!("job {}: {}", job.name, FileSource::OWN_PATH);
    }
    let dialer = Dialer::new(AddressPolicy::unrestricted());
    let target = org::client(&manifests, job, &dialer)?;
    let (source, put_away) = source(args, &manifests, job, &dialer).await?;
    let keeps_results = job.spec.results.as_ref().is_none_or(|results| results.none.is_none());
    let results = if keeps_results {
        let folder = args.results_dir.clone().unwrap_or_else(|| format!("{}-results", job.name).into());
        let sink = FolderSink::create(&folder).with_context(|| format!("the results folder {} cannot be made", folder.display()))?;
        let escape = if args.results_for_reimport || !job.spec.escapes_formulas() { Escape::Nothing } else { Escape::Formulas };
        Some((Box::new(sink) as Box<dyn engine::results::ResultsSink>, escape))
    } else {
        None
    };
    let quiet = args.quiet;
    let import = Import {
        time_left: time_left(job),
        spec: job.spec.clone(),
        target,
        source: Some(source),
        cursors: Vec::new(),
        journal: Arc::new(NoJournal),
        chunks: Default::default(),
        results,
        memory: Memory::default(),
        stop_signal: StopSignal::default(),
        watch: Box::new(move |ledger| {
            if !quiet {
                output::show_progress(ledger);
            }
        }),
    };
    Ok((import, put_away))
}

fn time_left(job: &Job) -> Duration {
    Duration::from_secs(job.spec.deadline_seconds().unsigned_abs())
}

/// What the job reads, and what deals with its file once that is loaded.
async fn source(args: &Args, manifests: &Manifests, job: &Job, dialer: &Dialer) -> anyhow::Result<(Box<dyn Source>, Option<PutAway>)> {
    match (job.spec.source.kind(), &args.file) {
        (Some(SourceKind::Upload(_)), Some(path)) => {
            let unreadable = || format!("the file {} cannot be read", path.display());
            let file = tokio::fs::File::open(path).await.with_context(unreadable)?;
            let metadata = file.metadata().await.with_context(unreadable)?;
            // What a kernel makes up has no length.
            if metadata.is_file() && metadata.len() > 0 {
                return Ok((sources::upload(&job.spec, LocalBlob::new(file.into_std().await), Memory::default()), None));
            }
            let bytes = UploadBlob::new(ReaderStream::with_capacity(file, READ).boxed());
            Ok((sources::upload(&job.spec, bytes, Memory::default()), None))
        }
        (Some(SourceKind::Upload(upload)), None) => {
            bail!("job {} reads the upload {}: say which file stands for it with --file", job.name, upload.name)
        }
        (Some(SourceKind::Sql(_)), Some(_)) => bail!("job {} reads a database: --file does not belong to it", job.name),
        (Some(SourceKind::File(_)), Some(_)) => bail!("job {} reads a file through a Connection: --file does not belong to it", job.name),
        (Some(SourceKind::Sql(SqlSource { connection_ref, .. }) | SourceKind::File(FileSource { connection_ref, .. })), None) => {
            let name = connection_ref.name.as_str();
            let connection = manifests.connection(job, name)?;
            let Some(system) = connection.system() else { bail!("Connection {name} needs {}", System::KEYS.join(" or ")) };
            let keys = connection.login().map(|login| login.keys).unwrap_or_default();
            let entry = |key: &CredentialKey| Ok((key.name.to_owned(), manifests.secret(job, name, connection, key.name)?));
            let entries = keys.iter().map(entry).collect::<anyhow::Result<_>>()?;
            // Nothing is kept of a run without a cluster: each one reads from where the job begins.
            let terms = Terms { bookmark: &[], time_left: time_left(job), memory: Memory::default() };
            let put_away = sources::put_away(dialer, name, system, &entries, &job.spec)?;
            Ok((sources::connected(dialer, name, system, &entries, &job.spec, &terms)?, put_away))
        }
        (None, _) => bail!("job {}: source needs {}", job.name, SourceKind::KEYS.join(" or ")),
    }
}

/// The first Ctrl-C stops in order, the second at once.
async fn stop_on_signal(stop_signal: StopSignal) -> io::Result<()> {
    tokio::signal::ctrl_c().await?;
    terminal::error_line("\nstopping: no new chunk is sent, committed ones are waited for; press Ctrl-C again to leave at once");
    stop_signal.stop(RunReason::Cancelled, "stopped from the keyboard");
    tokio::signal::ctrl_c().await?;
    std::process::exit(Exit::Failed as i32);
}
