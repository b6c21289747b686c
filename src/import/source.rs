//! Where rows come from, and how they can be read once more.

use std::io;
use std::sync::Mutex;

use api::connection::Postgres;
use api::import_job::{FormatKind, ImportJobSpec, SqlSource, StepKind, UploadSource};
use api::import_run::RunReason;
use bytes::Bytes;
use connect::{Dialer, PostgresSession};
use engine::load::Reread;
use engine::read::csv::{CsvOptions, CsvSource};
use engine::read::postgres::{PostgresSource, Replay, Start};
use engine::read::{ReadError, Source};
use engine::used;
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::reach::postgres_params;

/// A source, not opened yet.
#[expect(clippy::large_enum_variant, reason = "one exists in a process")]
pub(crate) enum Input {
    /// The bytes of an upload, from its start.
    Upload(Mutex<Option<BoxStream<'static, io::Result<Bytes>>>>),
    Database(Database),
    /// Nothing more is read: what earlier attempts committed is brought to its end.
    NoMore,
}

pub(crate) struct Database {
    pub(crate) dialer: Dialer,
    pub(crate) connection: Postgres,
    pub(crate) password: SecretString,
    pub(crate) query: SqlSource,
    /// Where each chunk of earlier attempts ended.
    pub(crate) cursors: Vec<(i64, Vec<String>)>,
}

impl Input {
    pub(crate) fn upload(stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self::Upload(Mutex::new(Some(stream)))
    }

    pub(super) fn reread(&self) -> Reread {
        match self {
            Self::Upload(_) | Self::NoMore => Reread::FromStart,
            Self::Database(database) if database.query.order_by.is_empty() => Reread::Never,
            Self::Database(_) => Reread::BeyondKey,
        }
    }
}

/// A source being read, with what has to live as long.
pub(crate) struct OpenInput {
    pub(crate) source: Box<dyn Source>,
    session: Option<PostgresSession>,
}

impl OpenInput {
    /// Why we hung up on the database, if we did: the source only sees that the connection ended.
    pub(super) fn refusal(&self) -> Option<connect::Error> {
        self.session.as_ref().and_then(PostgresSession::refusal)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the database cannot be reached")]
    Connect(#[from] connect::Error),
    #[error("the source was opened before, or may not be opened any more")]
    Taken,
    #[error("source.upload.format has no key that this version knows, or more than one")]
    Format,
    #[error("the journal has no cursor for chunk {0}: compare the result with the org and start a new run")]
    NoCursor(i64),
}

impl OpenError {
    pub(super) fn reason(&self) -> RunReason {
        match self {
            Self::Read(error) => error.reason(),
            Self::Format => RunReason::PreflightFailed,
            Self::NoCursor(_) => RunReason::NeedsDecision,
            Self::Connect(_) | Self::Taken => RunReason::SourceFailed,
        }
    }
}

/// `behind`: the chunk that reading goes on behind.
pub(super) async fn open(input: &Input, spec: &ImportJobSpec, behind: Option<i64>) -> Result<OpenInput, OpenError> {
    match input {
        Input::NoMore => Err(OpenError::Taken),
        Input::Upload(stream) => {
            let stream = stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().ok_or(OpenError::Taken)?;
            let FormatKind::Csv(format) = spec.source.upload().and_then(UploadSource::read_as).ok_or(OpenError::Format)?;
            let source = CsvSource::open(stream, CsvOptions::compile(format)?.for_columns(used::columns(spec))).await?;
            Ok(OpenInput { source: Box::new(source), session: None })
        }
        Input::Database(database) => {
            let start = start(database, spec, behind)?;
            let session = database.dialer.postgres(&postgres_params(&database.connection), &database.password).await?;
            let source = PostgresSource::open(&session.client, &database.query, &start).await;
            let source = source.map_err(|error| session.refusal().map_or_else(|| OpenError::Read(error), OpenError::Connect))?;
            Ok(OpenInput { source: Box::new(source.for_columns(&used::columns(spec))), session: Some(session) })
        }
    }
}

fn start(database: &Database, spec: &ImportJobSpec, behind: Option<i64>) -> Result<Start, OpenError> {
    let Some(chunk) = behind else { return Ok(Start::First) };
    let (_, key) = database.cursors.iter().find(|(number, _)| *number == chunk).ok_or(OpenError::NoCursor(chunk))?;
    let remembers = spec.steps.iter().any(|step| matches!(step.kind(), Some(StepKind::Dedupe(_))));
    Ok(Start::Behind { key: key.clone(), replay: if remembers { Replay::Seen } else { Replay::None } })
}
