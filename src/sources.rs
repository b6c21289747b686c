//! Sources of rows, made of what a job and its Connection say.

use std::time::Duration;

use anyhow::Context;
use api::connection::System;
use api::import_job::{ImportJobSpec, SourceKind};
use bytes::Bytes;
use connect::Dialer;
use engine::source::blob::UploadBlob;
use engine::source::{FileSource, Said, Source};
use futures::stream::BoxStream;

use crate::systems::{Driver, Entries, Role, role};

/// The bytes of an upload, from its start, as the job says that they are read.
pub(crate) fn upload(spec: &ImportJobSpec, bytes: BoxStream<'static, std::io::Result<Bytes>>) -> Box<dyn Source> {
    Box::new(FileSource::new(UploadBlob::new(bytes), Said::from(&spec.source)))
}

/// What the job reads through the Connection of this name. `time_left`: how long the run may still take.
pub(crate) fn connected(
    dialer: &Dialer,
    connection: &str,
    system: System<'_>,
    entries: &Entries,
    spec: &ImportJobSpec,
    time_left: Duration,
) -> anyhow::Result<Box<dyn Source>> {
    let driver: Option<&dyn Driver> = match role(system) {
        Role::Source(driver) => Some(driver),
        Role::Target(_) => None,
    };
    let (source, way_out) = match spec.source.kind() {
        Some(SourceKind::Sql(query)) => (
            driver.map(|driver| driver.query(dialer, entries, query, time_left)),
            "answers no query: name one to a database in source.sql.connectionRef",
        ),
        Some(SourceKind::File(file)) => (
            driver.map(|driver| driver.file(dialer, entries, &file.path, Said::from(&spec.source))),
            "has no files: name one to a store of files in source.file.connectionRef",
        ),
        Some(SourceKind::Upload(_)) | None => (None, "is not what this job reads from"),
    };
    let source = source.transpose().with_context(|| format!("Connection {connection}"))?.flatten();
    source.with_context(|| format!("Connection {connection} is to {}, which {way_out}", system.kind().profile().name))
}
