//! Files of an SFTP server (version 3 of the protocol), known by their lengths and times of modification.

mod login;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{File, StatusCode};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use self::session::Session;
use crate::dial::Dialer;
use crate::error::Error;
use crate::files::{ChangeError, Entries, Entry, EntryKind, FileBytes, FileError, FileState, RemoteFiles, Removed, Renamed, Span};

/// How long the next piece of a file may take while it is waited for, and any other answer.
const ANSWER: Duration = Duration::from_secs(60);

/// As much as a server gives in one answer.
const PIECE: usize = 256 << 10;

/// Where a server is, and who we are there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SftpParams {
    /// Name or address.
    pub host: String,
    /// Mostly 22.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// Fingerprints of the keys that the server may show, as `SHA256:` and 43 characters of Base64.
    pub host_keys: Vec<String>,
    /// Where paths begin. Absent: where the server puts who logs in.
    pub directory: Option<String>,
}

/// What proves who we are.
#[derive(Clone, Debug)]
pub enum SftpLogin {
    /// Sent to the server, which has proved itself by then.
    Password(SecretString),
    /// A private key, which stays here.
    Key {
        /// As `ssh-keygen` or PuTTY write it, or in PEM.
        key: SecretString,
        /// What the key is encrypted with, if it is.
        passphrase: Option<SecretString>,
        /// OpenSSH certificate for the key, as in `id_ed25519-cert.pub`.
        certificate: Option<SecretString>,
    },
}

/// Files below one folder of a server. They share a connection, which is opened when it is needed, and anew when it broke.
pub struct SftpFiles {
    dialer: Dialer,
    params: SftpParams,
    login: SftpLogin,
    session: Mutex<Option<Arc<Session>>>,
}

impl Dialer {
    /// Nothing is dialed yet.
    pub fn sftp(&self, params: &SftpParams, login: &SftpLogin) -> SftpFiles {
        SftpFiles { dialer: self.clone(), params: params.clone(), login: login.clone(), session: Mutex::default() }
    }
}

impl SftpFiles {
    /// Whether the server lets us in, and has the folder.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, shows another key, or does not take the credential; or the folder is not there.
    pub async fn verify(&self) -> Result<(), Error> {
        let session = self.session().await?;
        let folder = self.params.directory.as_deref().unwrap_or(".");
        let found = self.answered(session.sftp.metadata(folder)).await?;
        match found {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(self.protocol(format!("sftp.directory {folder:?} is no folder there"))),
            Err(error) => match self.file_error(folder, error).await {
                FileError::Failed(error) => Err(error),
                _ => Err(self.protocol(format!("there is no sftp.directory {folder:?}: correct it"))),
            },
        }
    }

    /// The connection, or a new one in place of one that has ended.
    async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut shared = self.session.lock().await;
        if let Some(session) = shared.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::open(&self.dialer, &self.params, &self.login).await?);
        *shared = Some(session.clone());
        Ok(session)
    }

    fn target(&self) -> String {
        format!("{}:{}", self.params.host, self.params.port)
    }

    fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::SftpProtocol { target: self.target(), reason: reason.into() }
    }

    fn path(&self, path: &str) -> String {
        match &self.params.directory {
            Some(directory) => format!("{}/{path}", directory.trim_end_matches('/')),
            None => path.to_owned(),
        }
    }

    /// An answer within its time; a connection without one is not used again.
    async fn answered<T>(&self, answer: impl Future<Output = T>) -> Result<T, Error> {
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.session.lock().await.take();
                Err(Error::TimedOut { target: self.target(), after: ANSWER })
            }
        }
    }

    async fn file_error(&self, path: &str, error: SftpError) -> FileError {
        let target = self.target();
        let SftpError::Status(status) = error else {
            self.session.lock().await.take();
            return Error::Unreachable { target, source: std::io::Error::other(error) }.into();
        };
        match status.status_code {
            StatusCode::NoSuchFile => FileError::NotFound(format!("{target} has no file {path:?}")),
            StatusCode::PermissionDenied => Error::SftpDenied { target, path: path.to_owned() }.into(),
            // Its own words may hold anything.
            code => self.protocol(format!("it answers {path:?} with {code}")).into(),
        }
    }
}

#[async_trait]
impl RemoteFiles for SftpFiles {
    async fn look(&self, path: &str) -> Result<FileState, FileError> {
        let path = self.path(path);
        let session = self.session().await?;
        let found = match self.answered(session.sftp.metadata(path.as_str())).await? {
            Ok(found) => found,
            Err(error) => return Err(self.file_error(&path, error).await),
        };
        if found.is_dir() {
            return Err(FileError::Path(format!("{path:?} is a folder and not a file")));
        }
        Ok(FileState { length: found.size, version: found.mtime.map(|time| time.to_string()) })
    }

    async fn open(&self, path: &str, Span { from, until }: Span, state: &FileState) -> Result<FileBytes, FileError> {
        // A file that is opened may be another one than was looked at; the handle stays at the one that it was opened for.
        let full = self.path(path);
        let session = self.session().await?;
        let mut file = match self.answered(session.sftp.open(full.as_str())).await? {
            Ok(file) => file,
            Err(error) => return Err(self.file_error(&full, error).await),
        };
        let found = match self.answered(file.metadata()).await? {
            Ok(found) => found,
            Err(error) => return Err(self.file_error(&full, error).await),
        };
        let now = FileState { length: found.size, version: found.mtime.map(|time| time.to_string()) };
        if now != *state {
            return Err(FileError::Changed { path: full });
        }
        file.seek(std::io::SeekFrom::Start(from)).await.map_err(|error| self.broken(error))?;
        let target = self.target();
        let wanted = file.take(until.map_or(u64::MAX, |until| until.saturating_sub(from)));
        // The session is held as long as its file is read.
        let reading = (ReaderStream::with_capacity(wanted, PIECE), session, target);
        Ok(stream::try_unfold(reading, |(mut pieces, session, target)| async move {
            let piece = match tokio::time::timeout(ANSWER, pieces.next()).await {
                Err(_) => return Err(Error::TimedOut { target, after: ANSWER }.into()),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(source))) => return Err(FileError::Failed(Error::Unreachable { target, source })),
            };
            Ok(Some((piece, (pieces, session, target))))
        })
        .boxed())
    }

    async fn list<'a>(&'a self, folder: &'a str, _: &'a str) -> Result<Entries<'a>, FileError> {
        let listed = if folder.is_empty() { self.params.directory.clone().unwrap_or_else(|| ".".to_owned()) } else { self.path(folder) };
        let session = self.session().await?;
        let lists = self.answered(session.lists(&self.target())).await??;
        let handle = match self.answered(lists.opendir(listed.as_str())).await? {
            Ok(opened) => opened.handle,
            Err(error) => return Err(self.folder_error(&listed, error).await),
        };
        let reading = Some((lists, session, listed, handle));
        let names = stream::try_unfold(reading, move |reading| async move {
            let Some((lists, session, listed, handle)) = reading else { return Ok(None) };
            let names = match self.answered(lists.readdir(handle.as_str())).await? {
                Ok(names) => names.files,
                Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => return Ok(None),
                Err(error) => return Err(self.folder_error(&listed, error).await),
            };
            let mut entries = Vec::with_capacity(names.len());
            for file in names {
                entries.extend(self.entry(&lists, &listed, file).await?.map(Ok));
            }
            Ok(Some((stream::iter(entries), Some((lists, session, listed, handle)))))
        });
        Ok(names.try_flatten().boxed())
    }

    /// Looks for the other file first: a server may write over it.
    async fn rename(&self, path: &str, to: &str) -> Result<Renamed, ChangeError> {
        match self.look(to).await {
            Err(FileError::NotFound(_)) => {}
            Err(FileError::Path(_)) | Ok(_) => return Err(ChangeError::Taken { path: to.to_owned() }),
            Err(error) => return Err(error.into()),
        }
        let session = self.session().await?;
        let (from, target) = (self.path(path), self.path(to));
        let refused = match self.answered(session.sftp.rename(from.as_str(), target.as_str())).await? {
            Ok(()) => return Ok(Renamed::Moved),
            Err(error) => error,
        };
        if !is_missing(&refused) {
            return Err(self.file_error(&from, refused).await.into());
        }
        // Either of them is not there.
        self.look(path).await?;
        self.make_folders(&session, to).await?;
        match self.answered(session.sftp.rename(from.as_str(), target.as_str())).await? {
            Ok(()) => Ok(Renamed::Moved),
            Err(error) => Err(self.file_error(&from, error).await.into()),
        }
    }

    async fn remove(&self, path: &str) -> Result<Removed, ChangeError> {
        let path = self.path(path);
        let session = self.session().await?;
        match self.answered(session.sftp.remove_file(path.as_str())).await? {
            Ok(()) => Ok(Removed::Deleted),
            Err(error) if is_missing(&error) => Ok(Removed::Absent),
            Err(error) => Err(self.file_error(&path, error).await.into()),
        }
    }

    fn shows_unfinished(&self) -> bool {
        true
    }
}

fn is_missing(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

impl SftpFiles {
    /// What a name stands for. `None`: for nothing that could be read, such as a link that leads nowhere.
    async fn entry(&self, lists: &RawSftpSession, folder: &str, file: File) -> Result<Option<Entry>, FileError> {
        let File { filename: name, mut attrs, .. } = file;
        if name.contains('/') || matches!(name.as_str(), "." | "..") {
            return Ok(None);
        }
        // A list speaks of links and not of what they lead to, and need not speak of anything.
        if attrs.is_symlink() || attrs.permissions.is_none() || attrs.mtime.is_none() || attrs.size.is_none() {
            match self.answered(lists.stat(format!("{folder}/{name}"))).await? {
                Ok(found) => attrs = found.attrs,
                Err(SftpError::Status(_)) => return Ok(None),
                Err(error) => return Err(self.folder_error(folder, error).await),
            }
        }
        let is_file = attrs.is_regular() || attrs.permissions.is_none();
        Ok(match (attrs.mtime, attrs.size) {
            _ if attrs.is_dir() => Some(Entry { name, kind: EntryKind::Folder }),
            (Some(modified), Some(length)) if is_file => {
                Some(Entry { name, kind: EntryKind::File { modified: i64::from(modified), length } })
            }
            _ => None,
        })
    }

    /// Those that the path has and the server has not; the folder that paths begin in is there.
    async fn make_folders(&self, session: &Session, path: &str) -> Result<(), FileError> {
        for (end, _) in path.match_indices('/') {
            let folder = self.path(&path[..end]);
            if self.answered(session.sftp.metadata(folder.as_str())).await?.is_ok() {
                continue;
            }
            let made = self.answered(session.sftp.create_dir(folder.as_str())).await?;
            // Another run may have made it at the same moment.
            if let Err(error) = made
                && self.answered(session.sftp.metadata(folder.as_str())).await?.is_err()
            {
                return Err(self.file_error(&folder, error).await);
            }
        }
        Ok(())
    }

    async fn folder_error(&self, folder: &str, error: SftpError) -> FileError {
        match self.file_error(folder, error).await {
            FileError::NotFound(_) => FileError::NotFound(format!("{} has no folder {folder:?}", self.target())),
            error => error,
        }
    }

    fn broken(&self, source: std::io::Error) -> Error {
        Error::Unreachable { target: self.target(), source }
    }
}
