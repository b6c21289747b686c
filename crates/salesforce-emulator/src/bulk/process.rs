//! From UploadComplete to the end: header, batches of 10,000 rows, one outcome a row.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::columns::{self, Column};
use super::csv::{self, Record};
use super::job::{Job, JobState, Operation, Outcome, Progress, RowResult};
use crate::org::Org;
use crate::schema::Source;
use crate::store::{Cell, Draft, ParentRef, RowError, Store, WriteOptions, value};

const HEADER_LIMIT: usize = 32_000;
const RECORD_LIMIT: usize = 400_000;
const FIELD_COUNT_LIMIT: usize = 5_000;
/// Rows written in one go; others get their turn in between, as triggers see 200 rows at a time.
const SLICE: usize = 200;

/// The text of a row the service could not parse is not public; this is ours.
pub(crate) const CSV_ERROR: &str = "CLIENT_INPUT_ERROR";

/// What the header says about every row.
struct Plan {
    columns: Vec<Column>,
    /// The column with the row's id (update, delete) or key (upsert).
    key_column: Option<usize>,
    first_row: usize,
}

/// Up to 10,000 parsed rows; the records are reused from batch to batch.
#[derive(Default)]
struct Batch {
    rows: Vec<(u32, Record)>,
    used: usize,
    end: usize,
}

pub(crate) async fn run(org: Arc<Org>, job: Arc<Job>) {
    let data = start(&org, &job);
    if data.is_empty() {
        job.wait_for_polls(org.config.min_polls, org.config.poll_patience).await;
        return finish(&org, &job, JobState::JobComplete, None);
    }
    let checked = {
        let (org, job, data) = (org.clone(), job.clone(), data.clone());
        tokio::task::spawn_blocking(move || plan(&org, &job, &data)).await
    };
    let plan = match checked {
        Ok(Ok(plan)) => Arc::new(plan),
        Ok(Err(message)) => {
            job.wait_for_polls(org.config.min_polls, org.config.poll_patience).await;
            return finish(&org, &job, JobState::Failed, Some(message));
        }
        Err(_) => return finish(&org, &job, JobState::Failed, Some("Unknown : Unexpected error".to_owned())),
    };
    {
        let mut progress = job.progress();
        progress.columns = plan.columns.len();
        progress.id_column = plan.key_column;
        progress.tried_to = plan.first_row;
    }
    match batches(&org, &job, &plan, &data).await {
        Ok(()) => finish(&org, &job, JobState::JobComplete, None),
        Err(message) => finish(&org, &job, JobState::Failed, Some(message)),
    }
}

fn start(org: &Org, job: &Job) -> Bytes {
    let mut progress = job.progress();
    if progress.state == JobState::UploadComplete {
        progress.state = JobState::InProgress;
    }
    progress.started = org.now();
    progress.upload.clone()
}

fn finish(org: &Org, job: &Job, state: JobState, error: Option<String>) {
    let mut progress = job.progress();
    if progress.state == JobState::InProgress {
        progress.state = state;
        progress.error = error;
        progress.modified = org.now();
    }
    progress.finished = org.now();
}

async fn batches(org: &Arc<Org>, job: &Arc<Job>, plan: &Arc<Plan>, data: &Bytes) -> Result<(), String> {
    let (mut at, mut batch) = (plan.first_row, Batch::default());
    loop {
        let next = {
            let (data, dialect, rows) = (data.clone(), job.spec.dialect, org.config.behaviour.batch_rows);
            tokio::task::spawn_blocking(move || parse(&data, at, dialect, rows, batch)).await
        };
        batch = next.map_err(|_| "Unknown : Unexpected error".to_owned())?;
        let is_last = batch.end >= data.len();
        if is_last {
            job.wait_for_polls(org.config.min_polls, org.config.poll_patience).await;
        }
        let held = job.batch.lock().await;
        if job.progress().state != JobState::InProgress {
            return Ok(());
        }
        if batch.used > 0 {
            admit(org, job, batch.used)?;
            at = batch.end;
            let (org, job, plan) = (org.clone(), job.clone(), plan.clone());
            let written = tokio::task::spawn_blocking(move || {
                apply(&org, &job, &plan, &batch);
                batch
            });
            batch = written.await.map_err(|_| "Unknown : Unexpected error".to_owned())?;
        }
        drop(held);
        if is_last {
            return Ok(());
        }
    }
}

/// Allowances and injected retries come before a batch; either may end the job with its rest unprocessed.
fn admit(org: &Org, job: &Job, rows: usize) -> Result<(), String> {
    let retries = org.faults().batch_retries(&job.spec.object_name);
    let most = org.config.behaviour.batch_retries;
    job.progress().retries += retries.min(most);
    if retries >= most && retries > 0 {
        return Err("TooManyLockFailure : Too many lock failures. Batch will not be retried.".to_owned());
    }
    let limits = &org.config.limits;
    let records = org.bulk_records.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
    let batches = org.bulk_batches.fetch_add(1, Ordering::Relaxed) + 1;
    if records > limits.daily_bulk_records || batches > limits.daily_bulk_batches {
        return Err("ExceededQuota : The daily limit of bulk records or batches is exceeded".to_owned());
    }
    Ok(())
}

fn plan(org: &Org, job: &Job, data: &[u8]) -> Result<Plan, String> {
    let spec = &job.spec;
    if std::str::from_utf8(data).is_err() {
        return Err("ClientInputError : The data is not valid UTF-8".to_owned());
    }
    if !spec.dialect.line_endings_match(data) {
        let name = spec.dialect.line_ending_name();
        return Err(format!("ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {name}"));
    }
    let mut header = Record::default();
    let first_row = csv::read(data, 0, spec.dialect, &mut header);
    if header.fault.is_some() || spec.dialect.is_blank(&data[..first_row]) || first_row > HEADER_LIMIT || header.len() > FIELD_COUNT_LIMIT {
        return Err("InvalidBatch : The header row is missing, too long or not valid CSV".to_owned());
    }
    let names: Vec<String> = (0..header.len()).map(|i| String::from_utf8_lossy(header.cell(i)).into_owned()).collect();
    let object = &org.schema.objects[spec.object];
    if spec.operation.deletes() && (names.len() != 1 || !names[0].eq_ignore_ascii_case("Id")) {
        return Err(format!("InvalidBatch : The '{}' batch must contain only ids", spec.operation.name()));
    }
    let mut found: Vec<Column> = Vec::with_capacity(names.len());
    for name in &names {
        let column = columns::resolve(&org.schema, object, name).ok_or_else(|| no_such_field(name))?;
        if found.contains(&column) {
            return Err(format!("InvalidBatch : Field name is given twice : {name}"));
        }
        found.push(column);
    }
    let key = match (&spec.key, spec.operation) {
        (Some((field, name)), _) => Some((*field, name.as_str())),
        (None, Operation::Insert) => None,
        (None, _) => object.field("Id").map(|field| (field, "Id")),
    };
    let key_column = match key {
        None => None,
        Some((field, name)) => {
            let at = found.iter().position(|column| *column == Column::Field(field));
            // Rows without an id are new rows, so an upsert by id may do without the column.
            let is_needed = spec.operation != Operation::Upsert || object.fields[field].source != Source::Id;
            if at.is_none() && is_needed {
                return Err(no_such_field(name));
            }
            at
        }
    };
    Ok(Plan { columns: found, key_column, first_row })
}

fn no_such_field(name: &str) -> String {
    format!("InvalidBatch : Field name not found : {name}")
}

fn parse(data: &[u8], mut at: usize, dialect: csv::Dialect, rows: usize, mut batch: Batch) -> Batch {
    batch.used = 0;
    while at < data.len() && batch.used < rows {
        if batch.used == batch.rows.len() {
            batch.rows.push((0, Record::default()));
        }
        let (start, record) = &mut batch.rows[batch.used];
        let from = at;
        *start = from as u32;
        at = csv::read(data, from, dialect, record);
        if !dialect.is_blank(&data[from..at]) {
            batch.used += 1;
        }
    }
    batch.end = at;
    batch
}

fn apply(org: &Org, job: &Job, plan: &Plan, batch: &Batch) {
    let begun = std::time::Instant::now();
    let faulty = org.faults().has_row_faults();
    let mut keys = HashSet::new();
    let options = WriteOptions { now: org.now(), allow_duplicates: false };
    for slice in batch.rows[..batch.used].chunks(SLICE) {
        let mut store = org.store_mut();
        let mut results = Vec::with_capacity(slice.len());
        for (start, record) in slice {
            let injected = if faulty { org.faults().row_fault(&job.spec.object_name) } else { None };
            let result = match injected {
                Some(error) => Err(error),
                None => row(&mut store, job, plan, record, &mut keys, options)
                    .map_err(|error| worded(&store, job.spec.object, plan, record, error)),
            };
            results.push((*start, result));
        }
        drop(store);
        record_results(&mut job.progress(), results);
    }
    let mut progress = job.progress();
    progress.tried_to = batch.end;
    progress.modified = org.now();
    progress.busy_ms += i64::try_from(begun.elapsed().as_millis()).unwrap_or(0);
}

fn record_results(progress: &mut Progress, results: Vec<(u32, Result<Outcome, RowError>)>) {
    for (start, result) in results {
        let outcome = result.unwrap_or_else(|error| {
            progress.errors.push(error.cell());
            progress.failed += 1;
            Outcome::Failed((progress.errors.len() - 1) as u32)
        });
        progress.rows.push(RowResult { start, outcome });
    }
}

fn row(
    store: &mut Store,
    job: &Job,
    plan: &Plan,
    record: &Record,
    keys: &mut HashSet<String>,
    options: WriteOptions,
) -> Result<Outcome, RowError> {
    check_shape(plan, record)?;
    let object = job.spec.object;
    let key = plan.key_column.map(|column| text(record, column)).unwrap_or_default();
    match job.spec.operation {
        Operation::Delete | Operation::HardDelete => {
            let hard = job.spec.operation == Operation::HardDelete;
            store.delete(object, present(key, "Id")?, options.now, hard).map(Outcome::Changed)
        }
        Operation::Insert => {
            let draft = draft(store, object, plan, record)?;
            store.insert(object, draft, options).map(|saved| Outcome::Created(saved.number))
        }
        Operation::Update => {
            let id = present(key, "Id")?;
            let draft = draft(store, object, plan, record)?;
            store.update(object, id, draft, options).map(|saved| Outcome::Changed(saved.number))
        }
        Operation::Upsert => {
            let key = value::trimmed(key);
            let (field, name) = job.spec.key.as_ref().map_or((0, "Id"), |(field, name)| (*field, name.as_str()));
            let folds = !store.schema.objects[object].fields[field].case_sensitive;
            let folded = if folds { key.to_lowercase() } else { key.to_owned() };
            if !key.is_empty() && !keys.insert(folded) {
                return Err(RowError::on("DUPLICATE_EXTERNAL_ID", format!("Duplicate external id specified: {key}"), name));
            }
            let draft = draft(store, object, plan, record)?;
            let saved = store.upsert(object, field, Some(key), draft, options)?;
            Ok(if saved.created { Outcome::Created(saved.number) } else { Outcome::Changed(saved.number) })
        }
    }
}

/// What a cell cannot be read as is told with its column, where the record APIs tell the field's label.
fn worded(store: &Store, object: usize, plan: &Plan, record: &Record, error: RowError) -> RowError {
    if error.code != value::WRONG_TYPE {
        return error;
    }
    let spec = &store.schema.objects[object];
    let field = error.fields.first().and_then(|name| spec.field(name));
    let column = field.and_then(|field| plan.columns.iter().position(|column| *column == Column::Field(field)));
    let (Some(field), Some(column)) = (field, column) else { return error };
    let (cell, kind) = (text(record, column), spec.fields[field].kind.soap_name());
    let message = format!("Failed to deserialize field at col {column}. Due to, '{cell}' is not a valid value for the type {kind}");
    RowError { code: "INVALID_FIELD", message, ..error }
}

fn check_shape(plan: &Plan, record: &Record) -> Result<(), RowError> {
    if let Some(fault) = record.fault {
        return Err(RowError::new(CSV_ERROR, format!("Failed to parse CSV: {fault}")));
    }
    if record.len() != plan.columns.len() {
        let message = format!("The row has {} columns, the header has {}", record.len(), plan.columns.len());
        return Err(RowError::new(CSV_ERROR, message));
    }
    let length: usize = (0..record.len()).map(|column| record.cell(column).len()).sum();
    if length > RECORD_LIMIT {
        return Err(RowError::new(CSV_ERROR, format!("The record is longer than {RECORD_LIMIT} characters")));
    }
    Ok(())
}

fn present<'a>(key: &'a str, name: &str) -> Result<&'a str, RowError> {
    if key.is_empty() { Err(RowError::on("MISSING_ARGUMENT", format!("{name} not specified"), name)) } else { Ok(key) }
}

fn text(record: &Record, column: usize) -> &str {
    std::str::from_utf8(record.cell(column)).unwrap_or_default()
}

/// Empty cells are left out, `#N/A` is null, everything else is a value. A parent's key cannot be null: it finds a row.
fn draft<'a>(store: &Store, object: usize, plan: &Plan, record: &'a Record) -> Result<Draft<'a>, RowError> {
    let spec = &store.schema.objects[object];
    let mut draft = Draft { cells: Vec::with_capacity(plan.columns.len()), parents: Vec::new() };
    for (number, column) in plan.columns.iter().enumerate() {
        let cell = text(record, number);
        if cell.is_empty() {
            continue;
        }
        match *column {
            Column::Field(field) if spec.fields[field].source == Source::Id => {
                if plan.key_column != Some(number) {
                    return Err(RowError::on("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id"));
                }
            }
            Column::Field(field) if cell == "#N/A" => draft.cells.push((field, Cell::Null)),
            Column::Field(field) => draft.cells.push((field, Cell::Text(cell.into()))),
            Column::Parent { field, object, key } => draft.parents.push(ParentRef { field, object, key, value: cell.into() }),
        }
    }
    Ok(draft)
}
