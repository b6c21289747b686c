//! The calls of Bulk 2.0 ingest, one method each.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;

use super::job::{JobId, JobInfo, NewJob};
use super::results::{ResultKind, ResultReader};
use super::upload::{Meter, Uploaded};
use crate::client::{Call, Client, LARGE, READ};
use crate::error::Error;
use crate::retry::Repeat;
use crate::session::Session;

/// How long nothing may move in an upload, and how long its answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An org takes 15,000 batches a day and forgets jobs after a week.
const MOST_JOBS: usize = 105_000;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
pub(crate) const CREATE: &str = "create a bulk job";
const UPLOAD: Call = Call { name: "upload to the bulk job", repeat: Repeat::OnlyUnsent, timeout: None, ..READ };
const CLOSE: Call = Call { name: "close the bulk job", repeat: Repeat::OnlyUnsent, timeout: MINUTE, ..READ };
const ABORT: Call = Call { name: "abort the bulk job", repeat: Repeat::Harmless, timeout: MINUTE, ..READ };
const DELETE: Call = Call { name: "delete the bulk job", repeat: Repeat::Harmless, timeout: MINUTE, ..READ };

impl Client {
    /// Makes a job, state `Open`. Harmless to repeat: a job whose answer was lost stays inert.
    pub async fn create_job(&self, job: &NewJob) -> Result<JobInfo, Error> {
        let body = job.body();
        self.json(READ.named(CREATE), |client, session| {
            Ok(client.request(Method::POST, client.resource(session, &["jobs", "ingest"]))?.json(&body))
        })
        .await
    }

    /// Sends the one CSV of a job, of at most 150 MB once Salesforce has encoded it in base64 (Salesforce: Bulk API 2.0, "Upload Job Data",
    /// which advises at most 100 MB). Never repeated once a byte may have reached Salesforce: a second upload spoils the job, so after a
    /// lost answer (`Delivery::Unknown`) abort the job and make a new one. `body` is asked for a fresh stream when no connection came about
    /// or the session had to be renewed. Given up when nothing moves for 120 seconds.
    pub async fn upload<S, E>(&self, job: &JobId, body: impl Fn() -> S + Send + Sync) -> Result<Uploaded, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let body = &body;
        let attempt = |session: Session| {
            async move {
                let meter = Meter::new();
                let request = |client: &Self, session: &Session| {
                    let url = client.resource(session, &["jobs", "ingest", job.as_str(), "batches"]);
                    let body = reqwest::Body::wrap_stream(meter.watch(body()));
                    Ok(client.request(Method::PUT, url)?.header(CONTENT_TYPE, "text/csv").body(body))
                };
                tokio::select! {
                    answer = self.exchange(UPLOAD, &session, &request) => answer.map(|_| meter.read()),
                    () = meter.standstill(PATIENCE) => {
                        Err(Error::stalled(UPLOAD.name, session.instance_url.host_str().unwrap_or_default(), PATIENCE))
                    }
                }
            }
            .boxed()
        };
        self.tries(UPLOAD, attempt).await
    }

    /// Closes a job: the commit point. Never repeated once it may have reached Salesforce: read the job first, and close again only
    /// while it is `Open` and what was uploaded is on record.
    ///
    /// # Errors
    ///
    /// By [`Error::delivery`](crate::Error::delivery): `Unsent` is surely not closed, `Unknown` may be.
    pub async fn close_job(&self, job: &JobId) -> Result<JobInfo, Error> {
        self.set_state(CLOSE, job, "UploadComplete").await
    }

    /// Stops a job; what it has written stays written. Harmless to repeat. A job that is already over is answered as it is, so look
    /// at the state: rows may have been processed before the abort won.
    pub async fn abort_job(&self, job: &JobId) -> Result<JobInfo, Error> {
        match self.set_state(ABORT, job, "Aborted").await {
            Err(error) if error.status() == Some(400) => {
                let info = self.job(job).await?;
                if info.state.is_terminal() { Ok(info) } else { Err(error) }
            }
            answer => answer,
        }
    }

    /// Reads a job with its counters. Harmless to repeat.
    pub async fn job(&self, job: &JobId) -> Result<JobInfo, Error> {
        self.get_json(READ.named("read the bulk job"), &["jobs", "ingest", job.as_str()], &[]).await
    }

    /// Removes a job and its data; allowed once it is closed. Harmless to repeat: a job that is gone counts as removed.
    pub async fn delete_job(&self, job: &JobId) -> Result<(), Error> {
        let answer = self
            .response(DELETE, |client, session| client.request(Method::DELETE, client.resource(session, &["jobs", "ingest", job.as_str()])))
            .await;
        match answer {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// All ingest jobs the org remembers, in no order, for the janitor of orphans. Harmless to repeat.
    ///
    /// # Errors
    ///
    /// The list cannot be read, or is longer than an org's can be.
    pub async fn jobs(&self) -> Result<Vec<JobInfo>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            done: bool,
            records: Vec<JobInfo>,
            #[serde(default)]
            next_records_url: Option<String>,
        }
        let call = READ.named("list the bulk jobs").at_most(LARGE);
        let mut page: Page = self.get_json(call, &["jobs", "ingest"], &[("jobType", "V2Ingest")]).await?;
        let mut jobs = std::mem::take(&mut page.records);
        while let (false, Some(next)) = (page.done, page.next_records_url.take()) {
            page = self.get_next(call, &next).await?;
            jobs.append(&mut page.records);
            if jobs.len() > MOST_JOBS {
                return Err(Error::unreadable(call.name, format_args!("there are more than {MOST_JOBS} of them")));
            }
        }
        Ok(jobs)
    }

    /// Reads one of the three result sets of a job that is over. Harmless to repeat, for 7 days; a reader that breaks off is replaced
    /// by a new one from the first row, because the order of rows is not promised.
    ///
    /// # Errors
    ///
    /// The set cannot be had: the job is not over, or its results are gone. What the set itself lacks is told while its rows are read.
    pub async fn results(&self, job: &JobId, kind: ResultKind) -> Result<ResultReader, Error> {
        let call = Call { timeout: None, ..READ.named("read the results of the bulk job") };
        let response = self
            .response(call, |client, session| {
                let url = client.resource(session, &["jobs", "ingest", job.as_str(), kind.path()]);
                Ok(client.request(Method::GET, url)?.header(reqwest::header::ACCEPT, "text/csv"))
            })
            .await?;
        ResultReader::open(kind, response).await
    }

    async fn set_state(&self, call: Call, job: &JobId, state: &str) -> Result<JobInfo, Error> {
        self.json(call, |client, session| {
            let url = client.resource(session, &["jobs", "ingest", job.as_str()]);
            Ok(client.request(Method::PATCH, url)?.json(&json!({ "state": state })))
        })
        .await
    }
}
