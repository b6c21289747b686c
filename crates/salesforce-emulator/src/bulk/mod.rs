//! Bulk API 2.0: ingest jobs and query jobs below `/services/data/vXX.X/jobs`.

pub(crate) mod columns;
pub(crate) mod csv;
mod ingest;
pub(crate) mod job;
mod multipart;
mod process;
mod query;
mod results;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use job::Job;
use query::QueryJob;

use crate::call::Call;
use crate::org::{Org, serial_id};
use crate::reply::{ApiError, Reply};

/// Every job of the organisation that was not deleted.
#[derive(Default)]
pub(crate) struct Jobs {
    ingest: Mutex<HashMap<String, Arc<Job>>>,
    query: Mutex<HashMap<String, Arc<QueryJob>>>,
    next: AtomicU64,
}

impl Jobs {
    fn next_id(&self) -> String {
        serial_id("750", self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Ingest jobs in the order they were made.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        let mut jobs: Vec<Arc<Job>> = self.ingest.lock().expect("no holder panicked").values().cloned().collect();
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        jobs
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Job>> {
        let id = crate::store::id::canonical(id)?;
        self.ingest.lock().expect("no holder panicked").get(&id).cloned()
    }
}

/// `call.path` starts behind `jobs`.
pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let kind = call.path.first().map(|segment| segment.to_ascii_lowercase()).unwrap_or_default();
    if !call.path.is_empty() {
        call.path.remove(0);
    }
    match kind.as_str() {
        "ingest" => ingest::dispatch(org, call).await,
        "query" => query::dispatch(org, call).await,
        _ => Err(ApiError::not_found()),
    }
}
