//! The three result sets of a finished job, streamed from the upload itself: nothing is kept twice.
//!
//! The order is shuffled on purpose, batch by batch and inside each batch, repeatably for one job id: clients must not
//! read anything into it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::csv::{self, Dialect, Record};
use super::job::{Job, JobState, Operation, Outcome, RowResult};
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::store::id;

const CHUNK: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Successful,
    Failed,
    Unprocessed,
}

pub(crate) fn results(org: &Org, job: &Arc<Job>, set: Set) -> Result<Reply, ApiError> {
    let progress = job.progress();
    let readable = match (progress.state, set) {
        (JobState::JobComplete | JobState::Failed, _) | (JobState::Aborted, Set::Unprocessed) => true,
        (JobState::Aborted, _) => org.config.behaviour.results_on_aborted,
        _ => false,
    };
    if !readable {
        return Err(ApiError::bulk("InvalidJobState", "The results of this job are not available in its current state"));
    }
    let data = progress.upload.clone();
    let order = match set {
        Set::Unprocessed => unprocessed(&data, progress.tried_to, job.spec.dialect),
        _ => tried(&progress.rows, set, org.config.behaviour.batch_rows, shuffle_seed(org, job)),
    };
    drop(progress);
    let mut first = Vec::new();
    // An upload without a byte has no columns to tell.
    if !order.is_empty() || org.config.behaviour.empty_results_have_header && !data.is_empty() {
        header(&data, set, job.spec.dialect, &mut first);
    }
    let rows = Rows { job: job.clone(), data, order, at: 0, set, prefix: org.schema.objects[job.spec.object].prefix.clone() };
    let chunks = std::iter::once(Bytes::from(first)).chain(rows);
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, std::convert::Infallible>)));
    Ok(reply::typed(http::StatusCode::OK, "text/csv; charset=UTF-8", body))
}

fn shuffle_seed(org: &Org, job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    (org.config.seed, &job.id).hash(&mut hasher);
    hasher.finish()
}

/// Numbers of the rows of a set, shuffled.
fn tried(rows: &[RowResult], set: Set, batch: usize, seed: u64) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    let wanted = |row: &RowResult| matches!(row.outcome, Outcome::Failed(_)) == (set == Set::Failed);
    let mut batches: Vec<Vec<u32>> = rows
        .chunks(batch)
        .enumerate()
        .map(|(number, rows)| {
            let first = number * batch;
            let mut picked: Vec<u32> = rows.iter().enumerate().filter(|(_, row)| wanted(row)).map(|(i, _)| (first + i) as u32).collect();
            picked.shuffle(&mut random);
            picked
        })
        .collect();
    batches.shuffle(&mut random);
    batches.concat()
}

/// Where the rows start that were never tried.
fn unprocessed(data: &[u8], from: usize, dialect: Dialect) -> Vec<u32> {
    let mut record = Record::default();
    let (mut at, mut starts) = (from, Vec::new());
    if from == 0 {
        at = csv::read(data, 0, dialect, &mut record);
    }
    while at < data.len() {
        let start = at;
        at = csv::read(data, at, dialect, &mut record);
        if !dialect.is_blank(&data[start..at]) {
            starts.push(start as u32);
        }
    }
    starts
}

/// The two columns of the service are quoted, the client's own names come back as they were.
fn header(data: &[u8], set: Set, dialect: Dialect, out: &mut Vec<u8>) {
    let mut names = Record::default();
    csv::read(data, 0, dialect, &mut names);
    let own: &[&str] = match set {
        Set::Successful => &["sf__Id", "sf__Created"],
        Set::Failed => &["sf__Id", "sf__Error"],
        Set::Unprocessed => &[],
    };
    for name in own {
        csv::put_cell(out, name.as_bytes());
        out.push(dialect.delimiter);
    }
    for number in 0..names.len() {
        if number > 0 {
            out.push(dialect.delimiter);
        }
        out.extend_from_slice(names.cell(number));
    }
    out.extend_from_slice(dialect.newline());
}

struct Rows {
    job: Arc<Job>,
    data: Bytes,
    order: Vec<u32>,
    at: usize,
    set: Set,
    prefix: String,
}

impl Iterator for Rows {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.at == self.order.len() {
            return None;
        }
        let progress = self.job.progress();
        let dialect = self.job.spec.dialect;
        let (mut out, mut record) = (Vec::with_capacity(CHUNK + 4096), Record::default());
        let columns = if progress.columns == 0 { usize::MAX } else { progress.columns };
        while self.at < self.order.len() && out.len() < CHUNK {
            let entry = self.order[self.at];
            self.at += 1;
            let row = (self.set != Set::Unprocessed).then(|| progress.rows[entry as usize]);
            csv::read(&self.data, row.map_or(entry, |row| row.start) as usize, dialect, &mut record);
            if let Some(row) = row {
                let id_of = |number: u32| id::format(&self.prefix, u64::from(number) + 1);
                let (id, second) = match row.outcome {
                    Outcome::Created(number) => (id_of(number), "true"),
                    Outcome::Changed(number) => (id_of(number), "false"),
                    Outcome::Failed(error) => (failed_id(&self.job, &record, progress.id_column), progress.errors[error as usize].as_str()),
                };
                for cell in [id.as_str(), second] {
                    csv::put_cell(&mut out, cell.as_bytes());
                    out.push(dialect.delimiter);
                }
            }
            for number in 0..record.len().min(columns) {
                if number > 0 {
                    out.push(dialect.delimiter);
                }
                csv::put_cell(&mut out, record.cell(number));
            }
            out.extend_from_slice(dialect.newline());
        }
        Some(Bytes::from(out))
    }
}

/// A row that failed to be changed still names the row it was about; a row that failed to be inserted has none.
fn failed_id(job: &Job, record: &Record, id_column: Option<usize>) -> String {
    match (job.spec.operation, id_column) {
        (Operation::Insert | Operation::Upsert, _) | (_, None) => String::new(),
        (_, Some(column)) => String::from_utf8_lossy(record.cell(column)).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_shuffled_and_repeatable_and_loses_nothing() {
        let rows: Vec<RowResult> = (0..100).map(|n| RowResult { start: n, outcome: Outcome::Created(n) }).collect();
        let (one, two) = (tried(&rows, Set::Successful, 10, 7), tried(&rows, Set::Successful, 10, 7));
        assert_eq!(one, two);
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(one, sorted);
        assert!(tried(&rows, Set::Failed, 10, 7).is_empty());
    }
}
