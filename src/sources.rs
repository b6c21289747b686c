//! Sources of rows, made of what a job and its Connection say.

use std::time::Duration;

use anyhow::{Context, bail};
use api::connection::{Rows, System};
use api::import_job::{Choose, ImportJobSpec, SourceKind, Unchanged};
use connect::Dialer;
use engine::Memory;
use engine::source::blob::{Blob, PutAway, RemoteBlob};
use engine::source::{FileSource, Said, Source, Zoneless};

use crate::systems::{Asked, Entries, Role, role};

/// An upload, or what stands for it, as the job says that it is read.
pub(crate) fn upload(spec: &ImportJobSpec, bytes: impl Blob + 'static, memory: Memory) -> Box<dyn Source> {
    Box::new(FileSource::new(bytes, Said::from(&spec.source)).within(memory).of_one_run())
}

/// What a run brings to its source.
pub(crate) struct Terms<'a> {
    /// What the last run has read up to, for a job that reads only what is new; empty: nothing.
    pub(crate) bookmark: &'a [String],
    /// How long the run may still take.
    pub(crate) time_left: Duration,
    pub(crate) memory: Memory,
}

/// What moves or deletes the file once it is loaded, if the job asks for that.
pub(crate) fn put_away(
    dialer: &Dialer,
    connection: &str,
    system: System<'_>,
    entries: &Entries,
    spec: &ImportJobSpec,
) -> anyhow::Result<Option<PutAway>> {
    let Some(SourceKind::File(file)) = spec.source.kind().filter(|_| spec.source.after_success().is_some()) else { return Ok(None) };
    let (Role::Files(server), Rows::Files { changeable: true }) = (role(system), system.kind().profile().rows) else {
        bail!(
            "Connection {connection} is to {}, where files are only read: leave source.file.afterSuccess out",
            system.kind().profile().name
        )
    };
    let files = server.files(dialer, entries).with_context(|| format!("Connection {connection}"))?;
    Ok(PutAway::new(files, file))
}

/// What the job reads through the Connection of this name.
pub(crate) fn connected(
    dialer: &Dialer,
    connection: &str,
    system: System<'_>,
    entries: &Entries,
    spec: &ImportJobSpec,
    terms: &Terms<'_>,
) -> anyhow::Result<Box<dyn Source>> {
    let of_connection = || format!("Connection {connection}");
    let way_out = match (spec.source.kind(), role(system)) {
        (Some(SourceKind::Sql(query)), Role::Database(database)) => {
            let zoneless = Zoneless::from(&spec.source);
            let asked = Asked { query, bookmark: terms.bookmark, zoneless, time_left: terms.time_left };
            return database.query(dialer, entries, asked).with_context(of_connection);
        }
        (Some(SourceKind::File(file)), Role::Files(server)) => {
            let files = server.files(dialer, entries).with_context(of_connection)?;
            let source = FileSource::new(RemoteBlob::new(files, file.path.clone()), Said::from(&spec.source)).within(terms.memory);
            return Ok(Box::new(match (file.choose, file.unchanged) {
                (Some(Choose::All), _) => source.in_turn(terms.bookmark),
                (_, Some(Unchanged::Skip)) => source.unless(terms.bookmark),
                (Some(Choose::Newest) | None, Some(Unchanged::Read) | None) => source,
            }));
        }
        (Some(SourceKind::Sql(_)), _) => "answers no query: name one to a database in source.sql.connectionRef",
        (Some(SourceKind::File(_)), _) => "has no files: name one to a store of files in source.file.connectionRef",
        (Some(SourceKind::Upload(_)) | None, _) => "is not what this job reads from",
    };
    bail!("Connection {connection} is to {}, which {way_out}", system.kind().profile().name)
}
