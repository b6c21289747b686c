//! Sources of rows, made of what a job and its Connection say.

use api::connection::Postgres;
use api::import_job::{ImportJobSpec, SqlSource};
use bytes::Bytes;
use connect::Dialer;
use engine::source::blob::UploadBlob;
use engine::source::postgres::PostgresSource;
use engine::source::{FileSource, Source};
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::reach::postgres_params;

/// The bytes of an upload, from its start, as the job says that they are read.
pub(crate) fn upload(spec: &ImportJobSpec, bytes: BoxStream<'static, std::io::Result<Bytes>>) -> Box<dyn Source> {
    Box::new(FileSource::new(UploadBlob::new(bytes), spec.source.upload().cloned()))
}

pub(crate) fn postgres(dialer: Dialer, connection: &Postgres, password: SecretString, query: SqlSource) -> Box<dyn Source> {
    Box::new(PostgresSource { dialer, params: postgres_params(connection), password, query })
}
