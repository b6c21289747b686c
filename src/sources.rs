//! Sources of rows, made of what a job and its Connection say.

use std::time::Duration;

use api::connection::System;
use api::import_job::{ImportJobSpec, SqlSource};
use bytes::Bytes;
use connect::Dialer;
use engine::source::blob::UploadBlob;
use engine::source::mysql::MySqlSource;
use engine::source::postgres::PostgresSource;
use engine::source::{FileSource, Source};
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::reach::{mysql_params, postgres_params};

/// The bytes of an upload, from its start, as the job says that they are read.
pub(crate) fn upload(spec: &ImportJobSpec, bytes: BoxStream<'static, std::io::Result<Bytes>>) -> Box<dyn Source> {
    Box::new(FileSource::new(UploadBlob::new(bytes), spec.source.upload().cloned()))
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
        System::Salesforce(_) => None,
    }
}
