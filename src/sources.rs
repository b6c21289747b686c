//! Sources of rows, made of what a job and its Connection say.

use std::time::Duration;

use anyhow::bail;
use api::connection::System;
use api::import_job::{FileSource as FileOfJob, Format, ImportJobSpec, SqlSource};
use bytes::Bytes;
use connect::Dialer;
use engine::source::blob::{S3Blob, UploadBlob};
use engine::source::mysql::MySqlSource;
use engine::source::postgres::PostgresSource;
use engine::source::{FileSource, Source};
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::reach::{mysql_params, postgres_params, s3_key, s3_params};

/// The bytes of an upload, from its start, as the job says that they are read.
pub(crate) fn upload(spec: &ImportJobSpec, bytes: BoxStream<'static, std::io::Result<Bytes>>) -> Box<dyn Source> {
    Box::new(FileSource::new(UploadBlob::new(bytes), format(spec)))
}

/// The rows of a query. `None`: the system answers none. `time_left`: how long the run may still take.
pub(crate) fn query(
    dialer: Dialer,
    system: System<'_>,
    password: SecretString,
    query: SqlSource,
    time_left: Duration,
) -> Option<Box<dyn Source>> {
    match system {
        System::Postgres(postgres) => Some(Box::new(PostgresSource { dialer, params: postgres_params(postgres), password, query })),
        System::MySql(mysql) => Some(Box::new(MySqlSource { dialer, params: mysql_params(mysql), password, query, time_left })),
        System::Salesforce(_) | System::S3(_) => None,
    }
}

/// A file where a Connection leads to, with an entry of its credential for each name.
pub(crate) fn file(
    dialer: &Dialer,
    system: System<'_>,
    entry: impl Fn(&'static str) -> anyhow::Result<SecretString>,
    spec: &ImportJobSpec,
    file: &FileOfJob,
) -> anyhow::Result<Box<dyn Source>> {
    match system {
        System::S3(s3) => {
            let bucket = dialer.s3(&s3_params(s3), &s3_key(entry)?)?;
            Ok(Box::new(FileSource::new(S3Blob::new(bucket, file.path.clone()), format(spec))))
        }
        System::Salesforce(_) | System::Postgres(_) | System::MySql(_) => {
            bail!("Connection {} is to {}, which has no files", file.connection_ref.name, system.kind().profile().name)
        }
    }
}

fn format(spec: &ImportJobSpec) -> Option<Format> {
    spec.source.format().and_then(|(format, _)| format.cloned())
}
