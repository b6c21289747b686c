//! The ingest endpoints: create, upload, close, abort, look, list, results, delete.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, StatusCode};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Deserialize;
use serde_json::{Value, json};

use super::csv::Dialect;
use super::job::{Job, JobState, Operation, Spec};
use super::{multipart, process, results};
use crate::call::Call;
use crate::config::SecondPut;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};

/// Rows of the job list in one answer.
const LIST_PAGE: usize = 1_000;
/// Ended jobs are forgotten after seven days.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
const MULTIPART_LIMIT: usize = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    object: Option<String>,
    operation: Option<String>,
    external_id_field_name: Option<String>,
    content_type: Option<String>,
    line_ending: Option<String>,
    column_delimiter: Option<String>,
    assignment_rule_id: Option<String>,
}

pub(super) async fn dispatch(org: &Arc<Org>, call: Call) -> Result<Reply, ApiError> {
    let path = call.folded();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let id = call.path.first().cloned().unwrap_or_default();
    match (&call.method, path.as_slice()) {
        (&Method::POST, []) => create(org, call).await,
        (&Method::GET, []) => list(org, &call),
        (_, []) => Err(ApiError::method_not_allowed(&call.method, "GET, POST")),
        (&Method::PUT, [_, "batches"]) => upload(org, &job(org, &id)?, call).await,
        (_, [_, "batches"]) => Err(ApiError::method_not_allowed(&call.method, "PUT")),
        (&Method::PATCH, [_]) => patch(org, &job(org, &id)?, call).await,
        (&Method::GET, [_]) => {
            let job = job(org, &id)?;
            let answer = job.long();
            job.poll();
            Ok(reply::ok(&answer))
        }
        (&Method::DELETE, [_]) => delete(org, job(org, &id)?.as_ref()),
        (_, [_]) => Err(ApiError::method_not_allowed(&call.method, "GET, PATCH, DELETE")),
        (&Method::GET, [_, "successfulresults"]) => results::results(org, &job(org, &id)?, results::Set::Successful),
        (&Method::GET, [_, "failedresults"]) => results::results(org, &job(org, &id)?, results::Set::Failed),
        (&Method::GET, [_, "unprocessedrecords"]) => results::results(org, &job(org, &id)?, results::Set::Unprocessed),
        _ => Err(ApiError::not_found()),
    }
}

/// A job that exists and is not older than seven days after its end.
fn job(org: &Org, id: &str) -> Result<Arc<Job>, ApiError> {
    let job = org.jobs.get(id).ok_or_else(ApiError::not_found)?;
    let progress = job.progress();
    let too_old = progress.state.is_terminal() && org.now() - progress.modified > KEPT_MS;
    drop(progress);
    if too_old { Err(ApiError::not_found()) } else { Ok(job) }
}

async fn create(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let status = StatusCode::from_u16(org.config.behaviour.ingest_create_status).unwrap_or(StatusCode::OK);
    let content_type = call.header("content-type").unwrap_or_default().to_owned();
    if !content_type.starts_with("multipart/form-data") {
        let create: Create = call.json().await?;
        let job = add(org, spec(org, &create)?, &call.version);
        return Ok(reply::json(status, &job.short()));
    }
    let body = call.bytes().await?;
    let parts = multipart::parts(&content_type, &body)
        .ok_or_else(|| ApiError::bulk("ClientInputError", "The multipart request could not be read"))?;
    let create: Create = serde_json::from_slice(&parts.job).map_err(ApiError::json_parser)?;
    if parts.content.len() > MULTIPART_LIMIT {
        return Err(ApiError::bulk("ClientInputError", format!("Multipart data exceeds the limit of {MULTIPART_LIMIT} characters")));
    }
    let job = add(org, spec(org, &create)?, &call.version);
    {
        let mut progress = job.progress();
        progress.uploads = 1;
        progress.upload = parts.content;
        progress.state = JobState::UploadComplete;
    }
    tokio::spawn(process::run(org.clone(), job.clone()));
    Ok(reply::json(status, &job.short()))
}

fn add(org: &Org, spec: Spec, version: &str) -> Arc<Job> {
    let job = Arc::new(Job::new(org.jobs.next_id(), spec, version.to_owned(), org.user_id.clone(), org.now()));
    org.jobs.ingest.lock().expect("no holder panicked").insert(job.id.clone(), job.clone());
    job
}

fn spec(org: &Org, create: &Create) -> Result<Spec, ApiError> {
    let invalid = |message: String| ApiError::bulk("InvalidJob", message);
    let name = create.object.as_deref().ok_or_else(|| invalid("The object is missing".to_owned()))?;
    let object = org.schema.object(name).ok_or_else(|| invalid(format!("Unable to find object: {name}")))?;
    let operation = create.operation.as_deref().unwrap_or_default();
    let operation = Operation::parse(operation).ok_or_else(|| invalid(format!("Unknown operation: {operation}")))?;
    if create.content_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("CSV")) {
        return Err(invalid("Only the content type CSV is supported".to_owned()));
    }
    let dialect = Dialect::parse(create.column_delimiter.as_deref(), create.line_ending.as_deref())
        .ok_or_else(|| invalid("Unknown column delimiter or line ending".to_owned()))?;
    let schema = &org.schema.objects[object];
    let key = match (operation, create.external_id_field_name.as_deref()) {
        (Operation::Upsert, None | Some("")) => return Err(invalid("External ID was blank".to_owned())),
        (Operation::Upsert, Some(field)) => {
            let usable = schema.field(field).filter(|number| schema.fields[*number].is_key());
            let message = || {
                format!(
                    "Field name provided, {} does not match an External ID, Salesforce Id, or indexed field for {}",
                    field.to_lowercase(),
                    schema.name
                )
            };
            Some((usable.ok_or_else(|| invalid(message()))?, field.to_owned()))
        }
        _ => None,
    };
    Ok(Spec { object, object_name: schema.name.clone(), operation, key, dialect, assignment_rule: create.assignment_rule_id.clone() })
}

/// Reads the body straight into one buffer of its announced size.
async fn upload(org: &Arc<Org>, job: &Arc<Job>, mut call: Call) -> Result<Reply, ApiError> {
    let content_type = call.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if content_type.split(';').next().unwrap_or_default().trim() != "text/csv" {
        let message = format!("Content-Type not supported for bulk data: {content_type}");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
    }
    {
        let mut progress = job.progress();
        if progress.state != JobState::Open {
            return Err(ApiError::bulk("InvalidJobState", format!("Data cannot be added in state {}", progress.state.name())));
        }
        if progress.uploads > 0 && org.config.behaviour.second_put == SecondPut::IsRefused {
            progress.uploads += 1;
            return Err(multiple_contents(job));
        }
    }
    let limit = org.config.behaviour.upload_limit;
    let announced = call.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0usize);
    let mut data: Vec<u8> = Vec::with_capacity(announced.min(limit));
    let mut stream = std::mem::take(&mut call.body).into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::bulk("ClientInputError", "Failed to read request"))?;
        if data.len() + chunk.len() > limit {
            let message = format!("Failed to read request. Exceeded max size limit of {limit}");
            let error = ApiError::bulk("ClientInputError", message);
            return Err(ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, ..error });
        }
        data.extend_from_slice(&chunk);
    }
    let mut progress = job.progress();
    if progress.state != JobState::Open {
        return Err(ApiError::bulk("InvalidJobState", format!("Data cannot be added in state {}", progress.state.name())));
    }
    progress.uploads += 1;
    progress.upload = Bytes::from(data);
    progress.modified = org.now();
    Ok(reply::empty(StatusCode::CREATED))
}

/// The spelling is the service's own.
fn multiple_contents(job: &Job) -> ApiError {
    let text = format!(
        "Found multipe contents for job: <{}>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and \
         make sure you only do 'PUT' once on a given Job.",
        &job.id[..15]
    );
    ApiError::bad("INVALIDJOB", text)
}

#[derive(Deserialize)]
struct Patch {
    state: Option<String>,
}

async fn patch(org: &Arc<Org>, job: &Arc<Job>, mut call: Call) -> Result<Reply, ApiError> {
    let patch: Patch = call.json().await?;
    match patch.state.as_deref() {
        Some("UploadComplete") => close(org, job),
        Some("Aborted") => abort(org, job).await,
        Some(other) => Err(ApiError::bulk("InvalidJobState", format!("The state cannot be set to {other}"))),
        None => Err(ApiError::bulk("InvalidJob", "The state is missing")),
    }
}

/// The commit point: only a job closed here is ever processed.
fn close(org: &Arc<Org>, job: &Arc<Job>) -> Result<Reply, ApiError> {
    {
        let mut progress = job.progress();
        if progress.state != JobState::Open {
            if !org.config.behaviour.second_close_is_refused && progress.state != JobState::Aborted {
                drop(progress);
                return Ok(reply::ok(&job.short()));
            }
            return Err(ApiError::bulk("InvalidJobState", format!("A job in state {} cannot be closed", progress.state.name())));
        }
        if progress.uploads > 1 {
            return Err(multiple_contents(job));
        }
        progress.state = JobState::UploadComplete;
        progress.modified = org.now();
    }
    let answer = job.short();
    tokio::spawn(process::run(org.clone(), job.clone()));
    Ok(reply::ok(&answer))
}

async fn abort(org: &Org, job: &Job) -> Result<Reply, ApiError> {
    let between_batches = job.batch.lock().await;
    {
        let mut progress = job.progress();
        if progress.state.is_terminal() {
            return Err(ApiError::bulk("InvalidJobState", format!("A job in state {} cannot be aborted", progress.state.name())));
        }
        progress.state = JobState::Aborted;
        progress.modified = org.now();
        progress.finished = org.now();
    }
    drop(between_batches);
    Ok(reply::ok(&job.short()))
}

fn delete(org: &Org, job: &Job) -> Result<Reply, ApiError> {
    let state = job.progress().state;
    if matches!(state, JobState::Open | JobState::InProgress) {
        return Err(ApiError::bad("API_ERROR", "Error encountered when deleting the job because the job is not terminated"));
    }
    org.jobs.ingest.lock().expect("no holder panicked").remove(&job.id);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// The list comes in no order anybody may rely on.
fn list(org: &Org, call: &Call) -> Result<Reply, ApiError> {
    let kind = call.parameter("jobType");
    let mut jobs = if kind.is_none_or(|kind| kind.eq_ignore_ascii_case("V2Ingest")) { org.jobs.all() } else { Vec::new() };
    jobs.shuffle(&mut StdRng::seed_from_u64(org.config.seed));
    let start = match call.parameter("queryLocator") {
        None => 0,
        Some(locator) => decode_locator(locator).ok_or_else(|| ApiError::bad("INVALID_QUERY_LOCATOR", "invalid query locator"))?,
    };
    let page: Vec<Value> = jobs.iter().skip(start).take(LIST_PAGE).map(|job| entry(job)).collect();
    let next = start + page.len();
    let done = next >= jobs.len();
    let next_url = (!done).then(|| format!("/services/data/v{}/jobs/ingest?queryLocator={}", call.version, encode_locator(next)));
    Ok(reply::ok(&json!({"done": done, "records": page, "nextRecordsUrl": next_url})))
}

fn entry(job: &Job) -> Value {
    let mut entry = job.short();
    entry["jobType"] = json!("V2Ingest");
    entry
}

/// Locators are positions in base 64, as the service's own look.
pub(super) fn encode_locator(position: usize) -> String {
    BASE64_STANDARD.encode(position.to_string()).trim_end_matches('=').to_owned()
}

pub(super) fn decode_locator(locator: &str) -> Option<usize> {
    let bytes = base64::prelude::BASE64_STANDARD_NO_PAD.decode(locator.trim_end_matches('=')).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}
