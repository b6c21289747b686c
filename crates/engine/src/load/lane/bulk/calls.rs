//! The calls a chunk makes, as a trait, so that the exactly-once protocol can be driven against a model of an org that loses answers.

use std::convert::Infallible;

use crate::row::Record;
use async_trait::async_trait;
use salesforce::bulk::{JobId, JobInfo, NewJob, ResultKind, ResultRow, Uploaded};
use salesforce::{ApiUsage, Client, Error};

use crate::load::body::Body;

/// Called with the echoed columns and one result.
pub type EachResult<'a> = &'a mut (dyn FnMut(&Record, &ResultRow) + Send);

/// Bulk 2.0 ingest for one object and operation. Retries of harmless calls happen below this.
#[async_trait]
pub trait Bulk: Send + Sync {
    /// Makes a job. Harmless to repeat: one that is never closed does nothing.
    ///
    /// # Errors
    ///
    /// This and all other calls: the last error after the client's own repetitions. Its class says what may help, its delivery whether the
    /// call may have been carried out.
    async fn create(&self) -> Result<JobId, Error>;
    /// Sends a job's data. Once per job.
    async fn upload(&self, job: &JobId, body: &Body) -> Result<Uploaded, Error>;
    /// Commits a job.
    async fn close(&self, job: &JobId) -> Result<(), Error>;
    /// State and counters of a job.
    async fn job(&self, job: &JobId) -> Result<JobInfo, Error>;
    /// Ends a job. One that was not closed does nothing from then on; of one that was, rows may have been written.
    async fn abort(&self, job: &JobId) -> Result<(), Error>;
    /// Reads one result set from its first row; fails unless it has `rows` rows, when given. Returns how many it had.
    async fn results(&self, job: &JobId, kind: ResultKind, rows: Option<u64>, each: EachResult<'_>) -> Result<u64, Error>;
    /// As `results`, of rows that nobody wants to see.
    ///
    /// # Errors
    ///
    /// As `results`.
    async fn count(&self, job: &JobId, kind: ResultKind, rows: Option<u64>) -> Result<u64, Error> {
        self.results(job, kind, rows, &mut |_, _| ()).await
    }
    /// The org's use of API calls as of the newest answer.
    fn usage(&self) -> Option<ApiUsage>;
}

/// A real org.
pub struct SalesforceBulk {
    client: Client,
    job: NewJob,
}

impl SalesforceBulk {
    /// `job`: what each chunk's job looks like.
    pub fn new(client: Client, job: NewJob) -> Self {
        Self { client, job }
    }
}

#[async_trait]
impl Bulk for SalesforceBulk {
    async fn create(&self) -> Result<JobId, Error> {
        Ok(self.client.create_job(&self.job).await?.id)
    }

    async fn upload(&self, job: &JobId, body: &Body) -> Result<Uploaded, Error> {
        self.client.upload(job, || futures::stream::iter(body.pieces().map(Ok::<_, Infallible>))).await
    }

    async fn close(&self, job: &JobId) -> Result<(), Error> {
        self.client.close_job(job).await.map(drop)
    }

    async fn job(&self, job: &JobId) -> Result<JobInfo, Error> {
        self.client.job(job).await
    }

    async fn abort(&self, job: &JobId) -> Result<(), Error> {
        self.client.abort_job(job).await.map(drop)
    }

    async fn results(&self, job: &JobId, kind: ResultKind, rows: Option<u64>, each: EachResult<'_>) -> Result<u64, Error> {
        let mut reader = self.client.results(job, kind).await?;
        if let Some(rows) = rows {
            reader = reader.expecting(rows);
        }
        let columns = reader.columns().clone();
        let mut row = ResultRow::default();
        while reader.next(&mut row).await? {
            each(&columns, &row);
        }
        Ok(reader.rows_read())
    }

    async fn count(&self, job: &JobId, kind: ResultKind, rows: Option<u64>) -> Result<u64, Error> {
        let mut reader = self.client.results(job, kind).await?;
        if let Some(rows) = rows {
            reader = reader.expecting(rows);
        }
        while reader.skip().await? {}
        Ok(reader.rows_read())
    }

    fn usage(&self) -> Option<ApiUsage> {
        self.client.usage()
    }
}
