//! Query jobs: the rows are found once, the CSV is written page by page as it is asked for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::csv::{self, Dialect};
use super::ingest::{decode_locator, encode_locator};
use super::job::{JobState, instant, version_number};
use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::schema::FieldType;
use crate::soql::{self, Answer, Column, FieldPath, Kind, Plan};
use crate::store::Store;

const DEFAULT_PAGE: usize = 250_000;
/// Rows written while the store is held for reading.
const SLICE: usize = 2_000;
const RESULT_PAGES: usize = 5;

struct Progress {
    state: JobState,
    modified: i64,
    rows: Arc<Vec<u32>>,
}

pub(crate) struct QueryJob {
    id: String,
    operation: &'static str,
    object_name: String,
    version: String,
    dialect: Dialect,
    plan: Arc<Plan>,
    created: i64,
    user_id: String,
    polls: AtomicU32,
    progress: Mutex<Progress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    operation: Option<String>,
    query: Option<String>,
    content_type: Option<String>,
    column_delimiter: Option<String>,
    line_ending: Option<String>,
}

#[derive(Deserialize)]
struct Patch {
    state: Option<String>,
}

pub(super) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let folded = call.folded();
    let path: Vec<&str> = folded.iter().map(String::as_str).collect();
    match (&call.method, path.as_slice()) {
        (&Method::POST, []) => create(org, call).await,
        (&Method::GET, []) => Ok(reply::ok(&json!({"done": true, "records": list(org), "nextRecordsUrl": null}))),
        (_, []) => Err(ApiError::method_not_allowed(&call.method, "GET, POST")),
        (&Method::GET, [_]) => {
            let job = find(org, &call)?;
            advance(org, &job);
            Ok(reply::ok(&job.long()))
        }
        (&Method::PATCH, [_]) => {
            let job = find(org, &call)?;
            let patch: Patch = call.json().await?;
            abort(org, &job, patch.state.as_deref())
        }
        (&Method::DELETE, [_]) => delete(org, find(org, &call)?.as_ref()),
        (&Method::GET, [_, "results"]) => results(org, &find(org, &call)?, &call),
        (&Method::GET, [_, "resultpages"]) => result_pages(find(org, &call)?.as_ref(), &call),
        _ => Err(ApiError::not_found()),
    }
}

fn find(org: &Org, call: &Call) -> Result<Arc<QueryJob>, ApiError> {
    let id = call.path.first().and_then(|id| crate::store::id::canonical(id)).ok_or_else(ApiError::not_found)?;
    org.jobs.query.lock().expect("no holder panicked").get(&id).cloned().ok_or_else(ApiError::not_found)
}

async fn create(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let create: Create = call.json().await?;
    let invalid = |message: &str| ApiError::bulk("InvalidJob", message);
    let operation = match create.operation.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("query") => "query",
        Some("queryall") => "queryAll",
        _ => return Err(invalid("The operation must be query or queryAll")),
    };
    if create.content_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("CSV")) {
        return Err(invalid("Only the content type CSV is supported"));
    }
    let dialect = Dialect::parse(create.column_delimiter.as_deref(), create.line_ending.as_deref());
    let dialect = dialect.ok_or_else(|| invalid("Unknown column delimiter or line ending"))?;
    let text = create.query.as_deref().ok_or_else(|| invalid("The query is missing"))?;
    let mut plan = soql::plan(&org.schema, text, org.now())?;
    if let Some(refusal) = plan.bulk_refusal() {
        return Err(ApiError::bulk("InvalidBatch", refusal));
    }
    if operation == "queryAll" {
        plan.include_deleted();
    }
    let job = Arc::new(QueryJob {
        id: org.jobs.next_id(),
        operation,
        object_name: org.schema.objects[plan.object].name.clone(),
        version: call.version,
        dialect,
        plan: Arc::new(plan),
        created: org.now(),
        user_id: org.user_id.clone(),
        polls: AtomicU32::new(0),
        progress: Mutex::new(Progress { state: JobState::UploadComplete, modified: org.now(), rows: Arc::default() }),
    });
    org.jobs.query.lock().expect("no holder panicked").insert(job.id.clone(), job.clone());
    Ok(reply::ok(&job.short()))
}

/// Each look moves the job on: first to InProgress, and when it was seen there often enough, to the end.
fn advance(org: &Org, job: &QueryJob) {
    let mut progress = job.progress();
    let seen = job.polls.fetch_add(1, Ordering::Relaxed);
    match progress.state {
        JobState::UploadComplete if org.config.min_polls > 0 => progress.state = JobState::InProgress,
        JobState::UploadComplete | JobState::InProgress if seen >= org.config.min_polls => {
            if let Answer::Rows(rows) = soql::run(&org.store(), &job.plan) {
                progress.rows = Arc::new(rows);
            }
            progress.state = JobState::JobComplete;
        }
        _ => return,
    }
    progress.modified = org.now();
}

fn abort(org: &Org, job: &QueryJob, state: Option<&str>) -> Result<Reply, ApiError> {
    let mut progress = job.progress();
    if state != Some("Aborted") || progress.state.is_terminal() {
        return Err(ApiError::bulk(
            "InvalidJobState",
            format!("A query job in state {} can only be aborted while it runs", progress.state.name()),
        ));
    }
    progress.state = JobState::Aborted;
    progress.modified = org.now();
    drop(progress);
    Ok(reply::ok(&job.short()))
}

fn delete(org: &Org, job: &QueryJob) -> Result<Reply, ApiError> {
    if !job.progress().state.is_terminal() {
        return Err(ApiError::bad("API_ERROR", "Error encountered when deleting the job because the job is not terminated"));
    }
    org.jobs.query.lock().expect("no holder panicked").remove(&job.id);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn list(org: &Org) -> Vec<Value> {
    org.jobs.query.lock().expect("no holder panicked").values().map(|job| job.short()).collect()
}

/// The rows of a finished job, for the version it was made with.
fn finished(job: &QueryJob, call: &Call) -> Result<Arc<Vec<u32>>, ApiError> {
    if job.version != call.version {
        let message = format!("The API version must be {}, the one the job was created with", job.version);
        return Err(ApiError::new(StatusCode::CONFLICT, "API_ERROR", message));
    }
    let progress = job.progress();
    if progress.state != JobState::JobComplete {
        return Err(ApiError::bulk("InvalidJobState", "The results of this job are not available in its current state"));
    }
    Ok(progress.rows.clone())
}

fn page_size(call: &Call) -> usize {
    call.parameter("maxRecords").and_then(|text| text.parse().ok()).filter(|size| *size > 0).unwrap_or(DEFAULT_PAGE)
}

fn results(org: &Arc<Org>, job: &Arc<QueryJob>, call: &Call) -> Result<Reply, ApiError> {
    let rows = finished(job, call)?;
    let start = match call.parameter("locator") {
        None => 0,
        Some(locator) => decode_locator(locator)
            .filter(|start| *start <= rows.len())
            .ok_or_else(|| ApiError::bad("INVALID_QUERY_LOCATOR", "invalid query locator"))?,
    };
    let end = start.saturating_add(page_size(call)).min(rows.len());
    let locator = if end < rows.len() { encode_locator(end) } else { "null".to_owned() };
    let (org, job) = (org.clone(), job.clone());
    let header = Bytes::from(header(&job));
    let slices = (start..end).step_by(SLICE).map(move |from| {
        let to = (from + SLICE).min(end);
        Bytes::from(write_rows(&org.store(), &job, &rows[from..to]))
    });
    let chunks = std::iter::once(header).chain(slices).map(Ok::<_, std::convert::Infallible>);
    let mut reply = reply::typed(StatusCode::OK, "text/csv; charset=UTF-8", Body::from_stream(stream::iter(chunks)));
    let headers = reply.headers_mut();
    headers.insert("sforce-numberofrecords", HeaderValue::from(end - start));
    headers.insert("sforce-locator", HeaderValue::from_str(&locator).expect("locators are ASCII"));
    Ok(reply)
}

/// Up to five pages at a time, so that several can be fetched at once.
fn result_pages(job: &QueryJob, call: &Call) -> Result<Reply, ApiError> {
    let rows = finished(job, call)?;
    let start = call.parameter("locator").and_then(decode_locator).unwrap_or(0);
    let starts: Vec<usize> = (start..rows.len()).step_by(page_size(call)).take(RESULT_PAGES + 1).collect();
    let base = format!("/services/data/v{}/jobs/query/{}", call.version, job.id);
    let pages: Vec<Value> = starts
        .iter()
        .take(RESULT_PAGES)
        .map(|at| json!({"resultUrl": format!("{base}/results?locator={}&maxRecords={}", encode_locator(*at), page_size(call))}))
        .collect();
    let more =
        starts.get(RESULT_PAGES).map(|at| format!("{base}/resultPages?locator={}&maxRecords={}", encode_locator(*at), page_size(call)));
    Ok(reply::ok(&json!({"resultPages": pages, "done": more.is_none(), "nextRecordsUrl": more})))
}

fn columns(job: &QueryJob) -> impl Iterator<Item = &FieldPath> {
    let columns = match &job.plan.kind {
        Kind::Rows(columns) => columns.as_slice(),
        _ => &[],
    };
    columns.iter().filter_map(|column| match column {
        Column::Field(path) => Some(path),
        Column::Children { .. } => None,
    })
}

fn header(job: &QueryJob) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, path) in columns(job).enumerate() {
        if number > 0 {
            out.push(job.dialect.delimiter);
        }
        csv::put_cell(&mut out, path.names.join(".").as_bytes());
    }
    out.extend_from_slice(job.dialect.newline());
    out
}

fn write_rows(store: &Store, job: &QueryJob, rows: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 64);
    for row in rows {
        let view = store.view(job.plan.object, *row);
        for (number, path) in columns(job).enumerate() {
            if number > 0 {
                out.push(job.dialect.delimiter);
            }
            let value = path.value(&view).unwrap_or_default();
            let has_fraction = matches!(path.kind, FieldType::Double | FieldType::Currency | FieldType::Percent);
            if has_fraction && !value.is_empty() && !value.contains(['.', 'e']) {
                csv::put_cell(&mut out, format!("{value}.0").as_bytes());
            } else {
                csv::put_cell(&mut out, value.as_bytes());
            }
        }
        out.extend_from_slice(job.dialect.newline());
    }
    out
}

impl QueryJob {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder panicked")
    }

    fn short(&self) -> Value {
        let progress = self.progress();
        json!({
            "id": self.id, "operation": self.operation, "object": self.object_name, "createdById": self.user_id,
            "createdDate": instant(self.created), "systemModstamp": instant(progress.modified), "state": progress.state.name(),
            "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": version_number(&self.version),
            "lineEnding": self.dialect.line_ending_name(), "columnDelimiter": self.dialect.delimiter_name(),
        })
    }

    fn long(&self) -> Value {
        let mut body = self.short();
        let progress = self.progress();
        body["jobType"] = json!("V2Query");
        body["numberRecordsProcessed"] = json!(progress.rows.len());
        body["retries"] = json!(0);
        body["totalProcessingTime"] = json!(if progress.state.is_terminal() { progress.modified - self.created } else { 0 });
        body["isPkChunkingSupported"] = json!(true);
        body
    }
}
