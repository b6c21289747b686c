//! What workers report, written into the run's status: each write looks at the live run again and names the version it saw, so that two
//! attempts can never both be believed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::ImportRun;
use api::identity::has_uid;
use api::import_run::{Interruption, Outcome, PutAway, ResultFile, Warning};
use api::keeper::{ChunkWrite, Control, FileReport, OutcomeReport, Progress, WrittenFile};
use axum::Json;
use axum::extract::{Path, State};
use domain::lease::{Admitted, Refusal};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;

use super::{Answer, Kept, RunUid, Workers};
use crate::keeper::admission::caller::{About, RunKey, tenant_uid};
use crate::keeper::admission::cursors::{seal_cursor, seal_file};
use crate::keeper::admission::{Call, Rejection};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, kube};
use crate::keeper::base::run_status::Ours;
use crate::keeper::files::records::{FileRecord, IMPORT_RUN, State as FileState};

/// Progress is written at most this often for each run; what comes in between is overtaken by the next.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Somebody else's write between our read and ours is looked at again this often.
const TRIES: usize = 8;
/// Result files that are ended at the same time, however many a worker names: those that a run has.
const FILES_AT_ONCE: usize = 3;

pub(super) async fn chunk(
    State(workers): Kept,
    call: Call,
    Path((uid, number)): Path<(String, i64)>,
    Json(write): Json<ChunkWrite>,
) -> Answer<Control> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: write.attempt }, "chunk").await?;
    let outcome = workers.write_chunk(&admitted, number, write).await;
    workers.admission.judged(&RunKey::of(&admitted), "chunk", outcome).await.map(|run| Json(control(&run)))
}

pub(super) async fn progress(State(workers): Kept, call: Call, Path(uid): RunUid, Json(progress): Json<Progress>) -> Answer<Control> {
    let key = workers.admission.admit_progress(&call, &uid, progress.attempt).await?;
    let outcome = if let Some(message) = &progress.interrupted {
        let message = api::text::cut(message, Interruption::MESSAGE_LIMIT);
        let change = |ours: &mut Ours| {
            // An attempt says it once: however often it repeats itself, there is one write.
            if ours.interruption.as_ref().is_none_or(|known| known.attempt != progress.attempt) {
                ours.rows = Some(progress.rows);
                ours.interruption = Some(Interruption { attempt: progress.attempt, message: message.clone() });
            }
            Ok(())
        };
        workers.write_run(&key, change).await
    } else if workers.progress_due(&uid) {
        let change = |ours: &mut Ours| {
            ours.rows = Some(progress.rows);
            Ok(())
        };
        workers.write_run(&key, change).await
    } else {
        workers.live_run(&key).await
    };
    workers.admission.judged(&key, "progress", outcome).await.map(|run| Json(control(&run)))
}

pub(super) async fn outcome(
    State(workers): Kept,
    call: Call,
    Path(uid): RunUid,
    Json(report): Json<OutcomeReport>,
) -> Result<StatusCode, Rejection> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: report.attempt }, "outcome").await?;
    let outcome = workers.write_outcome(&admitted, &report).await;
    workers.admission.judged(&RunKey::of(&admitted), "outcome", outcome).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn file(
    State(workers): Kept,
    call: Call,
    Path(uid): RunUid,
    Json(report): Json<FileReport>,
) -> Result<StatusCode, Rejection> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: report.attempt }, "file report").await?;
    let outcome = workers.write_file_report(&admitted, &report).await;
    workers.admission.judged(&RunKey::of(&admitted), "file report", outcome).await.map(|()| StatusCode::NO_CONTENT)
}

/// What our part of the status becomes. Absent when it is that already.
fn changed(run: &ImportRun, change: impl Fn(&mut Ours) -> Result<(), Rejection>) -> Result<Option<Ours>, Rejection> {
    let before = Ours::of(&run.status.clone().unwrap_or_default());
    let mut after = before.clone();
    change(&mut after)?;
    Ok((after != before).then_some(after))
}

/// The run, if the caller's attempt is its current one.
fn current(key: &RunKey, run: ImportRun) -> Result<ImportRun, Refusal> {
    if !has_uid(&run.metadata, &key.uid) {
        return Err(Refusal::Run);
    }
    let current = run.status.as_ref().and_then(|s| s.current_attempt());
    let holds = current.is_some_and(|a| a.number == key.attempt && a.pod_uid.as_deref() == Some(key.pod_uid.as_str()));
    if holds { Ok(run) } else { Err(Refusal::StaleAttempt) }
}

fn control(run: &ImportRun) -> Control {
    Control { cancel: run.spec.cancelled() || run.metadata.deletion_timestamp.is_some() }
}

/// One lock for each run that is being written.
#[derive(Default)]
pub(crate) struct RunLocks(std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl RunLocks {
    fn of(&self, run_uid: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut run_locks = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Nobody writes the others now.
        run_locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        run_locks.entry(run_uid.to_owned()).or_default().clone()
    }
}

impl Workers {
    async fn write_chunk(&self, admitted: &Admitted, number: i64, write: ChunkWrite) -> Result<ImportRun, Rejection> {
        let keys = self.leases.keys_of(admitted).await?;
        let mut chunk = write.chunk;
        chunk.number = number;
        chunk.sealed_cursor = match &write.cursor {
            Some(cursor) => Some(seal_cursor(admitted, &keys, number, &cursor.last_key)?),
            None => None,
        };
        let change = |ours: &mut Ours| {
            let before = ours.chunks.clone().unwrap_or_default();
            let mut chunk = chunk.clone();
            // A step that brings no cursor keeps the one that is there.
            let known = before.listed.iter().find(|c| c.number == chunk.number);
            chunk.sealed_cursor = chunk.sealed_cursor.or_else(|| known.and_then(|c| c.sealed_cursor.clone()));
            let chunks = domain::chunk::accept(&before, chunk)?;
            // A worker that dies before its next report has said of these rows nothing else.
            let counted = domain::chunk::counted(&chunks);
            if ours.rows.map_or(0, |known| known.read) < counted.read {
                ours.rows = Some(counted);
            }
            ours.chunks = Some(chunks);
            Ok(())
        };
        self.write_run(&RunKey::of(admitted), change).await
    }

    async fn write_outcome(&self, admitted: &Admitted, report: &OutcomeReport) -> Result<(), Rejection> {
        let now = self.cluster.now()?;
        let ends: Vec<_> = report.results.iter().map(|written| self.end_file(admitted, written, now)).collect();
        let ended: Vec<Option<ResultFile>> = stream::iter(ends).buffered(FILES_AT_ONCE).try_collect().await?;
        let results: Vec<ResultFile> = ended.into_iter().flatten().collect();
        let loaded = report.loaded.as_ref().filter(|_| report.reason.is_success());
        let sealed_file = match loaded {
            Some(file) => Some(seal_file(admitted, &self.leases.keys_of(admitted).await?, file)?),
            None => None,
        };
        let after_success = loaded.map(|_| PutAway::Pending);
        let change = |ours: &mut Ours| {
            ours.rows = Some(report.rows);
            for result in &results {
                ours.results.retain(|known| known.name != result.name);
                ours.results.push(result.clone());
            }
            // A repetition of the same report keeps its first time.
            let known = ours.outcome.as_ref().filter(|o| o.attempt == report.attempt);
            let at = known.map_or(Time(now), |o| o.at.clone());
            let message = api::text::cut(&report.message, Outcome::MESSAGE_LIMIT);
            let warnings = report.warnings.iter().take(Warning::MOST).map(Warning::within_limits).collect();
            let file = report.file.as_deref().map(|file| api::text::cut(file, Outcome::FILE_LIMIT));
            let files_left = report.files_left.filter(|left| *left > 0);
            // Sealed anew it would be another text each time; and what became of the file is not unsaid.
            let after_success = known.and_then(|o| o.after_success).or(after_success);
            let sealed_file = known.map_or_else(|| sealed_file.clone(), |o| o.sealed_file.clone());
            let (attempt, reason) = (report.attempt, report.reason);
            ours.outcome = Some(Outcome { attempt, reason, message, at, warnings, file, files_left, after_success, sealed_file });
            Ok(())
        };
        // The line comes first: once the outcome stands in the status the run is over, and its worker may not come again for the line.
        let event = Event::new("OutcomeReported")
            .with("tenant", tenant_uid(admitted).as_str())
            .with("run", admitted.run_uid().as_str())
            .with("attempt", report.attempt);
        self.audit.line(admitted.region(), event.with("reason", report.reason.to_string())).await?;
        // Before the run is over, or its next one could begin where this one did.
        if domain::bookmark::moves(report.reason) && !report.bookmark.is_empty() {
            self.leases.keep_bookmark(admitted, &report.began, &report.bookmark).await?;
        }
        self.write_run(&RunKey::of(admitted), change).await.map(drop)
    }

    /// The run is over with it.
    async fn write_file_report(&self, admitted: &Admitted, report: &FileReport) -> Result<(), Rejection> {
        let change = |ours: &mut Ours| {
            // A repetition finds nothing pending.
            if let Some(outcome) = ours.outcome.as_mut().filter(|outcome| outcome.is_pending()) {
                outcome.message = outcome.message_and(&report.message);
                outcome.after_success = Some(if report.done { PutAway::Done } else { PutAway::Kept });
                outcome.sealed_file = None;
                outcome.attempt = report.attempt;
            }
            Ok(())
        };
        let event = Event::new("LoadedFileReported")
            .with("tenant", tenant_uid(admitted).as_str())
            .with("run", admitted.run_uid().as_str())
            .with("attempt", report.attempt);
        self.audit.line(admitted.region(), event.with("done", report.done.to_string())).await?;
        self.write_run(&RunKey::of(admitted), change).await.map(drop)
    }

    /// Changes our part of a run's status if the attempt is still the current one. Somebody else's write in between means: look again,
    /// judge again, write again.
    async fn write_run(&self, key: &RunKey, change: impl Fn(&mut Ours) -> Result<(), Rejection>) -> Result<ImportRun, Rejection> {
        let runs: Api<ImportRun> = Api::namespaced(self.cluster.client.clone(), &key.namespace);
        // Chunks of a run are on their way at once: one after the other, they do not come in each other's way. Each looks once it has its
        // turn: by what its call was admitted with, it would write in vain whenever another chunk went before it.
        let lock = self.run_locks.of(&key.uid);
        let _lock = lock.lock().await;
        let mut conflict = None;
        for _ in 0..TRIES {
            let run = self.live_run(key).await?;
            let Some(after) = changed(&run, &change)? else { return Ok(run) };
            let at = ObjectKey::namespaced(&key.namespace, &key.name);
            match self.cluster.writer.apply_status(&runs, &at, run.resource_version().as_deref(), &after).await {
                Ok(run) => return Ok(run),
                Err(error) if error.is_conflict() => conflict = Some(error),
                Err(error) => return Err(Error::from(error).into()),
            }
        }
        Err(conflict.map_or(Refusal::Run.into(), |error| Error::from(error).into()))
    }

    /// The run as it is now, if the caller's attempt is still the current one.
    async fn live_run(&self, key: &RunKey) -> Result<ImportRun, Rejection> {
        let runs: Api<ImportRun> = Api::namespaced(self.cluster.client.clone(), &key.namespace);
        let run = runs.get_opt(&key.name).await.map_err(kube("read the ImportRun"))?.ok_or(Refusal::Run)?;
        Ok(current(key, run)?)
    }

    fn progress_due(&self, uid: &str) -> bool {
        let mut written = self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        written.retain(|_, at| at.elapsed() < PROGRESS_INTERVAL);
        let due = !written.contains_key(uid);
        if due {
            written.insert(uid.to_owned(), Instant::now());
        }
        due
    }

    /// A written result file gets its last moment from the end of the run. Absent when it is not whole, or had its time already.
    async fn end_file(&self, admitted: &Admitted, written: &WrittenFile, now: jiff::Timestamp) -> Result<Option<ResultFile>, Rejection> {
        let Some((record, secret)) = self.files.records.find(&written.file).await? else { return Ok(None) };
        if record.kind != IMPORT_RUN || record.owner_uid != *admitted.run_uid() || record.file_name != written.name {
            return Err(Refusal::File.into());
        }
        if record.state != FileState::Complete {
            return Ok(None);
        }
        let ended = record.ended.unwrap_or(now);
        // What the job said when the run began, unless the tenant says less by now.
        let rule =
            domain::retention::effective(&domain::retention::tenant_rule(&admitted.tenant().spec), Some(&admitted.snapshot().results));
        let expires = domain::retention::stored_result_expiry(record.not_after, Some(ended), &rule);
        let ended_record = FileRecord { ended: Some(ended), not_after: expires, ..record.clone() };
        if expires < record.not_after {
            let keys = self.leases.keys_of(admitted).await?;
            self.files.seal_shorter(&keys, (&record, &secret), &ended_record).await?;
        } else if ended_record != record {
            self.files.records.update(secret, &ended_record).await?;
        }
        Ok(Some(ResultFile {
            name: written.name.clone(),
            file: written.file.clone(),
            rows: written.rows,
            bytes: written.bytes,
            expires_at: Some(Time(expires)),
            erased_at: None,
        }))
    }
}
