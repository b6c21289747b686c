//! `dataimporter worker`: one attempt of one run, in a pod that has no disk, no Kubernetes API and one token. Everything it may
//! have comes from the keeper, in memory; everything it leaves behind goes there, sealed.
//!
//! Exit codes, as the operator reads them: 0 the outcome is reported; 75 another attempt may go on (interrupted, replaced, or the keeper
//! could not be reached or said to wait for long); anything else is a crash.

mod identity;
mod journal;
mod keeper;
mod loaded;
mod progress;
mod reached;
mod results;
mod session;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use api::connection::{Salesforce, SystemKind};
use api::import_run::{Outcome, RunReason};
use api::keeper::{Lease, OutcomeReport, Progress, SecretText, SourceCredential, WrittenFile};
use api::names;
use connect::{Dialer, HttpsOptions, Trust};
use domain::retention::writes_results;
use engine::Memory;
use engine::import::Import;
use engine::load::{Ending, StopSignal};
use engine::results::{Escape, ResultsSink};
use engine::source::blob::{Loaded, PutAway};
use runtime::logs;
use rustix::process::{Resource, Rlimit, setrlimit};
use salesforce::{Client, SessionCache};

use self::keeper::{CallError, Keeper};
use self::reached::Reached;
use crate::sources::{self, Terms};
use crate::systems::reach::{self, address_policy};

/// Another attempt may go on: `EX_TEMPFAIL` of sysexits.h.
const TRY_AGAIN: u8 = 75;

/// How long the keeper may take for the reason that an attempt leaves the run to another.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Base URL of the keeper.
    #[arg(long, env = "KEEPER_URL")]
    keeper_url: url::Url,
    /// PEM of the certificate authority that alone may sign the keeper's certificate.
    #[arg(long, env = "KEEPER_CA", hide_env_values = true)]
    keeper_ca: String,
    /// UID of the ImportRun.
    #[arg(long, env = "RUN_UID")]
    run_uid: String,
    /// Number of this attempt.
    #[arg(long, env = "ATTEMPT")]
    attempt: i32,
    /// Input bytes of one chunk. Without it a part of the memory of the container, and at least 4 MiB.
    #[arg(long, env = "CHUNK_BYTES")]
    chunk_bytes: Option<u64>,
    /// File with the token that says which pod this is; read anew for every call.
    #[arg(long, env = "TOKEN_PATH", default_value = names::WORKER_TOKEN_PATH)]
    token_path: PathBuf,
}

pub async fn run(args: Args) -> ExitCode {
    logs::init();
    // A container has one file on its node that it can write to: the one for its last words. We have none, whatever runs in our place.
    if let Err(error) = setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::error!(%error, "the worker cannot be kept from writing files");
        return ExitCode::FAILURE;
    }
    match attempt(args).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "the attempt failed");
            match error.downcast_ref::<CallError>() {
                Some(error) if error.is_resumable() => ExitCode::from(TRY_AGAIN),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn attempt(args: Args) -> anyhow::Result<ExitCode> {
    let keeper = Arc::new(Keeper::new(&args)?);
    let stop_signal = StopSignal::default();
    let stopping = tokio::spawn(interrupt_on_signal(stop_signal.clone()));
    tracing::info!(run = args.run_uid, attempt = args.attempt, "the worker asks the keeper for its lease");
    let lease = match keeper.lease().await {
        // What earlier attempts committed is brought to its end, counted and reported.
        Err(over @ CallError::Over(..)) => {
            tracing::warn!(reason = %over, "the run cannot go on");
            over.stop_run(&stop_signal);
            keeper.lease_to_end().await
        }
        other => other,
    };
    let lease = lease.context("the keeper gives no lease")?;
    let memory = Memory::of(memory_limit()).with_chunks_of(args.chunk_bytes);
    let (run, attempt, chunks) = (lease.snapshot.run.uid.as_str(), keeper.attempt(), lease.chunks.total);
    if lease.loaded.is_some() {
        tracing::info!(run, attempt, "the keeper gave the lease, an earlier attempt has loaded everything");
        return loaded::put_away_later(&keeper, lease, &stop_signal).await;
    }
    tracing::info!(run, attempt, chunks, "the keeper gave the lease, the import begins behind what earlier attempts wrote down");
    let began = lease.bookmark.clone();
    let (import, put_away) = prepare(&keeper, lease, stop_signal.clone(), memory)?;
    let ending = import.run().await;
    let rows = &ending.rows;
    tracing::info!(reason = %ending.reason, read = rows.read, succeeded = rows.succeeded, failed = rows.failed, "the import ended");
    stopping.abort();
    report(&keeper, ending, began, put_away).await
}

/// Tells the keeper how the attempt ended, unless another one goes on. `began`: what the job had read up to before.
async fn report(keeper: &Keeper, ending: Ending, began: Vec<SecretText>, put_away: Option<PutAway>) -> anyhow::Result<ExitCode> {
    if ending.fenced || ending.reason == RunReason::Interrupted {
        tracing::warn!(reason = %ending.message, "left to another attempt");
        if !ending.fenced {
            report_interruption(keeper, ending).await;
        }
        return Ok(ExitCode::from(TRY_AGAIN));
    }
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let results = ending.results.into_iter().map(|file| WrittenFile {
        name: file.kind.name().to_owned(),
        file: file.location,
        rows: count(file.rows),
        bytes: count(file.bytes),
    });
    let put_away = put_away.filter(|_| domain::bookmark::moves(ending.reason));
    let has_failed_rows = ending.rows.failed > 0;
    let report = OutcomeReport {
        attempt: keeper.attempt(),
        reason: ending.reason,
        message: api::text::cut(&ending.message, Outcome::MESSAGE_LIMIT),
        rows: ending.rows,
        results: results.collect(),
        warnings: ending.warnings,
        file: ending.file,
        files_left: Some(count(ending.files_left)).filter(|left| *left > 0),
        bookmark: ending.bookmark.into_iter().map(SecretText::new).collect(),
        began,
        loaded: put_away.is_some().then(|| ending.origin.iter().map(|text| SecretText::new(text.as_str())).collect()),
    };
    keeper.outcome(&report).await.context("the keeper does not take the outcome")?;
    if let Some(put_away) = put_away {
        loaded::put_away(keeper, &put_away, Loaded { origin: &ending.origin, has_failed_rows, again: false }).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells people, through the run's status, what stood in the way. The next attempt does not depend on it, so it is not waited for long.
async fn report_interruption(keeper: &Keeper, ending: Ending) {
    let progress = Progress { attempt: keeper.attempt(), rows: ending.rows, interrupted: Some(ending.message) };
    let told = tokio::time::timeout(LAST_WORDS, keeper.progress(&progress)).await;
    if !matches!(told, Ok(Ok(_))) {
        tracing::info!("the keeper could not be told why");
    }
}

/// Makes an import of what the lease holds, and what deals with its file once it is loaded, if the job asks for that.
fn prepare(keeper: &Arc<Keeper>, lease: Lease, stop_signal: StopSignal, memory: Memory) -> anyhow::Result<(Import, Option<PutAway>)> {
    let Lease { snapshot, source, target, chunks, cursors, bookmark, loaded: _, now, private_endpoints, proxy } = lease;
    let proxy = proxy.as_ref().map(reach::proxy).transpose()?;
    let dialer = Dialer::new(address_policy(SystemKind::Salesforce, &private_endpoints)).through(proxy.clone());
    let spec = snapshot.job_spec.clone();
    let escape = if spec.escapes_formulas() { Escape::Formulas } else { Escape::Nothing };

    let name =
        spec.target.salesforce().map(|t| t.connection_ref.name.clone()).ok_or_else(|| anyhow!("the job has no Salesforce target"))?;
    let org = snapshot.connections.get(&name).and_then(|known| known.spec.system()?.org());
    let bundle = org.and_then(Salesforce::ca_bundle);
    let http = dialer.https(HttpsOptions { trust: Trust::SystemAnd(bundle) }).context("TLS to Salesforce")?;
    let issuer = session::FromKeeper::new(keeper.clone(), name, target.as_ref(), stop_signal.clone());
    let sessions = match &target {
        Some(target) => SessionCache::starting_with(issuer, session::session(target)?),
        None => SessionCache::new(issuer),
    };

    let time_left = Duration::try_from(snapshot.deadline.duration_since(now)).unwrap_or_default();
    let (source, put_away) = match source {
        None => (None, None),
        Some(SourceCredential::Upload(grant)) => {
            (Some(sources::upload(&spec, upload::KeptUpload::new(keeper.clone(), grant, stop_signal.clone()), memory)), None)
        }
        Some(SourceCredential::Entries(entries)) => {
            let bookmark: Vec<String> = bookmark.iter().map(|part| part.expose().to_owned()).collect();
            let terms = Terms { bookmark: &bookmark, time_left, memory };
            let tokens = identity::FromKeeper::new(keeper.clone(), stop_signal.clone());
            let reached = Reached::of(&snapshot, &private_endpoints, proxy, entries, tokens)?;
            (Some(reached.source(&spec, &terms)?), reached.put_away(&spec)?)
        }
    };
    let opened = |cursor: api::keeper::ChunkCursor| (cursor.chunk, cursor.last_key.iter().map(|part| part.expose().to_owned()).collect());
    let results = writes_results(&snapshot.results).then(|| {
        let sink: Box<dyn ResultsSink> = Box::new(results::SealedFiles::new(keeper.clone()));
        (sink, escape)
    });
    let watched = (keeper.clone(), stop_signal.clone());
    let import = Import {
        spec,
        target: Client::new(http, Arc::new(sessions)),
        source,
        cursors: cursors.into_iter().map(opened).collect(),
        journal: Arc::new(journal::AtKeeper::new(keeper.clone())),
        chunks,
        results,
        memory,
        time_left,
        stop_signal,
        watch: Box::new(move |ledger| progress::report(watched.0, watched.1, ledger)),
    };
    Ok((import, put_away))
}

/// What this container may use, in bytes; from either version of control groups.
fn memory_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
        // Without a limit, the older version answers with a number near the end of the range.
        .filter(|limit| *limit < 1 << 50)
}

/// A drained node gives us time to finish the step that is being written ahead.
async fn interrupt_on_signal(stop_signal: StopSignal) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    terminate.recv().await;
    stop_signal.interrupt("the pod was asked to end");
}
