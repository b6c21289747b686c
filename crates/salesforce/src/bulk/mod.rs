//! Bulk API 2.0 ingest: one job carries one CSV and is processed only once it is closed.
//!
//! This module makes single calls and says what each may be repeated for; the order of calls that makes a load exactly-once lives with
//! the loader.

mod ingest;
mod job;
mod record;
mod results;
mod upload;

pub(crate) use ingest::CREATE;

pub use job::{JobId, JobInfo, JobState, NewJob, NotAJobId, Operation};
pub use record::Record;
pub use results::{ResultKind, ResultReader, ResultRow};
pub use upload::Uploaded;
