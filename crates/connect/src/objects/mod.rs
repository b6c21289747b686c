//! Stores of objects. The library signs requests and reads answers; what it sends goes through the one HTTPS client, and what it knows of
//! credentials is what it is given: it asks neither the environment nor the metadata of a machine.

mod azure;
mod gcs;
mod lasting;
mod refusal;
mod s3;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use reqwest::Url;

pub use self::azure::{AuthorityRefusal, AzureIdentity, AzureKey, AzureParams};
pub use self::gcs::GcsParams;
pub use self::refusal::ObjectsRefusal;
pub use self::s3::{RoleRefusal, S3Credential, S3Key, S3Params, S3Refusal, S3Role, S3Store};
use self::transport::{Failure, NO_LIST, Transport};
use crate::error::Error;
use crate::files::{ChangeError, Entries, Entry, EntryKind, FileBytes, FileError, FileState, RemoteFiles, Removed, Renamed, Span};

/// A name that nobody gives to an object: whether there is one is not what is asked.
const NOBODYS: &str = "dataimporter-asks-who-it-is";

/// A bucket or container whose objects are read, known by their lengths and ETags.
pub struct ObjectFiles {
    store: Arc<dyn ObjectStore>,
    lists: Arc<dyn PaginatedListStore>,
    transport: Transport,
    /// What it is, and its name.
    place: String,
    /// Where objects are deleted one by one, with what allows it in the query. Absent: the library deletes them.
    container: Option<Url>,
}

/// The host and the port of an endpoint, which has nothing else.
fn endpoint(endpoint: &str) -> Result<String, Error> {
    let url = Url::parse(endpoint).ok().filter(|url| {
        url.scheme() == "https" && url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    });
    match url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?))) {
        Some((host, port)) => Ok(format!("{host}:{port}")),
        None => Err(Error::NotHttps { url: "the endpoint".to_owned() }),
    }
}

impl ObjectFiles {
    fn new(store: impl ObjectStore + PaginatedListStore, transport: Transport, place: String) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), lists: store, transport, place, container: None }
    }

    fn deleting_at(self, container: Url) -> Self {
        Self { container: Some(container), ..self }
    }

    async fn delete(&self, path: &Path, container: &Url) -> Result<Removed, Error> {
        let mut url = container.clone();
        url.path_segments_mut().map_err(|()| self.transport.protocol("its address is none"))?.extend(path.as_ref().split('/'));
        self.transport.delete(url).await
    }

    /// Whether the server knows us, asked with the least that a credential can be for: one that may do nothing but read objects passes, and
    /// a bucket that is not there is found.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, does not know the credential or the bucket, or is no such store.
    pub async fn verify(&self) -> Result<(), Error> {
        match self.look(NOBODYS).await {
            Ok(_) | Err(FileError::NotFound(_) | FileError::Changed { .. } | FileError::NoParts(_) | FileError::Path(_)) => Ok(()),
            // Who is denied was known.
            Err(FileError::Failed(error)) if self.transport.dialect.is_denied(&error) => Ok(()),
            Err(FileError::Failed(error)) => Err(error),
        }
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<object_store::GetResult, FileError> {
        let path = path(key)?;
        self.store.get_opts(&path, options).await.map_err(|error| file_error(&self.place, &self.transport, key, error))
    }
}

#[async_trait]
impl RemoteFiles for ObjectFiles {
    /// Told with the first byte: unlike a HEAD, a refused GET says why. A server that tells no strong ETag is refused: nobody could say
    /// later whether the object is still the same.
    async fn look(&self, key: &str) -> Result<FileState, FileError> {
        let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let found = match self.get(key, first).await {
            // There is no first byte; servers say so in many ways.
            Err(FileError::Failed(error)) if self.transport.dialect.may_be_empty(&error) => {
                let found = self.get(key, GetOptions { head: true, ..GetOptions::default() }).await?;
                if found.meta.size == 0 { Ok(found) } else { Err(FileError::Failed(error)) }
            }
            found => found,
        }?;
        match found.meta.e_tag {
            Some(etag) if !etag.starts_with("W/") => Ok(FileState { length: Some(found.meta.size), version: Some(etag) }),
            _ => Err(self.transport.protocol("it tells no ETag of an object that could be asked for again").into()),
        }
    }

    async fn open(&self, key: &str, Span { from, until }: Span, state: &FileState) -> Result<FileBytes, FileError> {
        let FileState { length: Some(length), version: Some(etag) } = state else {
            return Err(FileError::Changed { path: key.to_owned() });
        };
        let until = until.map_or(*length, |until| until.min(*length));
        if from >= until {
            return Ok(stream::empty().boxed());
        }
        let range = (from > 0 || until < *length).then_some(GetRange::Bounded(from..until));
        let options = GetOptions { range, if_match: Some(etag.clone()), ..GetOptions::default() };
        let found = self.get(key, options).await?;
        // A server may not know the condition, or answer from where it is not kept.
        if found.meta.e_tag.as_ref() != Some(etag) || found.meta.size != *length {
            return Err(FileError::Changed { path: key.to_owned() });
        }
        let (place, transport, key) = (self.place.clone(), self.transport.clone(), key.to_owned());
        Ok(found.into_stream().map(move |piece| piece.map_err(|error| file_error(&place, &transport, &key, error))).boxed())
    }

    /// Looks for the other object first: not every server knows the condition that it must not be there.
    async fn rename(&self, key: &str, to: &str) -> Result<Renamed, ChangeError> {
        let (from, target) = (path(key)?, path(to)?);
        match self.look(to).await {
            Err(FileError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(ChangeError::Taken { path: to.to_owned() }),
        }
        let options = CopyOptions::new().with_mode(CopyMode::Create);
        self.store.copy_opts(&from, &target, options).await.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                ChangeError::Taken { path: to.to_owned() }
            }
            error => file_error(&self.place, &self.transport, key, error).into(),
        })?;
        Ok(Renamed::Copied)
    }

    async fn remove(&self, key: &str) -> Result<Removed, ChangeError> {
        let path = path(key)?;
        if let Some(container) = &self.container {
            return Ok(self.delete(&path, container).await?);
        }
        match self.store.delete(&path).await.map_err(|error| file_error(&self.place, &self.transport, key, error)) {
            Ok(()) => Ok(Removed::Deleted),
            Err(FileError::NotFound(_)) => Ok(Removed::Absent),
            Err(error) => Err(error.into()),
        }
    }

    /// A page at a time, and never what lies in folders within the folder: a bucket may have millions of objects elsewhere.
    async fn list<'a>(&'a self, folder: &'a str, start: &'a str) -> Result<Entries<'a>, FileError> {
        let prefix = if folder.is_empty() { start.to_owned() } else { format!("{folder}/{start}") };
        let pages = stream::try_unfold(Some(None), move |page| {
            let prefix = prefix.clone();
            async move {
                let Some(page_token) = page else { return Ok(None) };
                let options = PaginatedListOptions { delimiter: Some("/".into()), page_token, ..PaginatedListOptions::default() };
                let listed = self.lists.list_paginated(Some(&prefix), options).await;
                let listed = listed.map_err(|error| match error {
                    object_store::Error::InvalidPath { .. } => FileError::Path(format!(
                        "{} has a name below {folder:?} with an empty part, . or .. between its slashes, and cannot be listed there: rename \
                         that object, or name one file exactly, without *",
                        self.place
                    )),
                    error => FileError::Failed(match known(error) {
                        Ok(error) => error,
                        // What the library says of an answer that it cannot read would quote it.
                        Err(_) => self.transport.protocol(NO_LIST),
                    }),
                })?;
                Ok::<_, FileError>(Some((listed.result, listed.page_token.map(Some))))
            }
        });
        let names = pages.map_ok(move |page| {
            let folders = page.common_prefixes.into_iter().filter_map(|path| entry(folder, &path, EntryKind::Folder));
            let files = page.objects.into_iter().filter_map(|object| {
                entry(folder, &object.location, EntryKind::File { modified: object.last_modified.timestamp(), length: object.size })
            });
            stream::iter(folders.chain(files).map(Ok::<_, FileError>).collect::<Vec<_>>())
        });
        Ok(names.try_flatten().boxed())
    }
}

/// `None`: it is not in the folder, such as the empty object that consoles put there to stand for the folder itself.
fn entry(folder: &str, path: &Path, kind: EntryKind) -> Option<Entry> {
    let name = match folder {
        "" => path.as_ref(),
        folder => path.as_ref().strip_prefix(folder)?.strip_prefix('/')?,
    };
    (!name.is_empty() && !name.contains('/')).then(|| Entry { name: name.to_owned(), kind })
}

/// The key as the library takes it, which changes none that it takes.
fn path(key: &str) -> Result<Path, FileError> {
    let refused = |reason: &str| FileError::Path(format!("{key:?} cannot be the key of an object that is read: {reason}"));
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key && !key.is_empty() => Ok(path),
        Ok(_) => Err(refused("it is empty, or begins or ends with a slash")),
        Err(_) => Err(refused("it has control characters, or a part between slashes that is empty, . or ..")),
    }
}

fn file_error(place: &str, transport: &Transport, key: &str, error: object_store::Error) -> FileError {
    match error {
        object_store::Error::NotFound { .. } => FileError::NotFound(format!("{place} has no object {key:?}")),
        object_store::Error::Precondition { .. } => FileError::Changed { path: key.to_owned() },
        error => FileError::Failed(failure(transport, error)),
    }
}

/// The cause that the transport knew, or what the library says of an answer.
fn failure(transport: &Transport, error: object_store::Error) -> Error {
    known(error).unwrap_or_else(|innermost| transport.protocol(innermost))
}

/// The cause that the transport knew; without it the innermost words of the library.
fn known(error: object_store::Error) -> Result<Error, String> {
    let (mut known, mut innermost) = (None, String::new());
    for cause in explain::causes(&error) {
        known = known.or_else(|| cause.downcast_ref::<Failure>().map(|failure| Arc::clone(&failure.0)));
        innermost = cause.to_string();
    }
    drop(error);
    known.and_then(Arc::into_inner).ok_or(innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_is_or_not_at_all() {
        for key in ["a.csv", "in/a b+c%20d.csv", "in/Zoë/é.csv", "a?b#c", "a/...", "a\\b"] {
            assert_eq!(path(key).unwrap().as_ref(), key);
        }
        for key in ["", "/", "/a.csv", "a/", "a//b", "../other/a.csv", "a/../b", "a/./b", "a\nb"] {
            assert!(path(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(endpoint("https://minio.example:9000/").unwrap(), "minio.example:9000");
        assert_eq!(endpoint("https://minio.example").unwrap(), "minio.example:443");
        for wrong in ["http://minio.example", "https://u:p@minio.example", "https://minio.example/a", "https://minio.example?a=b", "minio"]
        {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
