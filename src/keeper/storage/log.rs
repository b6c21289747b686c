//! Objects that grow at their end, as the audit does. What was added is kept for good when that is said, and of two who believe that they
//! are alone only one adds.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Medium, Storage};
use crate::keeper::base::error::Result;
use crate::keeper::base::lane::DEADLINE;

/// An object that somebody goes on with.
#[async_trait]
pub(crate) trait Log: Send {
    /// Adds to the end; kept for good when this returns. Refused if the object is not as it was left here. After an error nobody knows
    /// whether it was added: the log is opened anew and looked at.
    async fn append(&mut self, more: Bytes) -> io::Result<()>;

    /// Whether what follows is to be another object. It depends on nothing but what lies there, so that two who go on with the same object
    /// agree on it.
    fn is_full(&self) -> bool;
}

/// An object that grows, as it was listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LogObject {
    pub(crate) path: ObjectPath,
    /// In bytes.
    pub(crate) size: u64,
}

/// What grows in a region's place. Each call may hang: for steps.
#[derive(Clone)]
pub(crate) struct Logs {
    medium: Arc<dyn Medium>,
}

impl Storage {
    /// A step on what grows.
    pub(crate) async fn on_logs<T, F>(&self, doing: &'static str, work: impl FnOnce(Logs) -> F + Send + 'static) -> Result<io::Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
    {
        let work = work(Logs { medium: self.medium.clone() }).boxed();
        self.lane.step(DEADLINE, work).await.map_err(self.hung(doing))
    }
}

impl Logs {
    async fn objects(&self) -> io::Result<Arc<dyn ObjectStore>> {
        self.medium.objects().await.map_err(io::Error::other)
    }

    /// All objects below a folder, in no order.
    pub(crate) async fn list(&self, folder: &'static str) -> io::Result<Vec<LogObject>> {
        let found: Vec<_> = self.objects().await?.list(Some(&ObjectPath::from(folder))).try_collect().await?;
        Ok(found.into_iter().map(|meta| LogObject { path: meta.location, size: meta.size }).collect())
    }

    /// So many bytes of an object from `start` on, or fewer if it ends before.
    pub(crate) async fn read(&self, path: &ObjectPath, start: u64, length: u64) -> io::Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(start..start + length)), ..GetOptions::default() };
        Ok(self.objects().await?.get_opts(path, options).await?.bytes().await?)
    }

    /// Makes an object with its first content, unless there is one of that name: then nothing is changed.
    pub(crate) async fn create(&self, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>> {
        self.medium.create_log(self.objects().await?, path, content).await
    }

    /// Goes on behind the first `whole` bytes of an object, if it is still as it was listed. What is behind them was never whole, and goes.
    pub(crate) async fn go_on(&self, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>> {
        self.medium.go_on_with_log(self.objects().await?, log, whole).await
    }
}

/// Somebody else goes on with the same.
pub(super) fn changed() -> io::Error {
    io::Error::other("somebody else changed the chain")
}

#[cfg(test)]
impl Logs {
    pub(crate) fn of(storage: &Storage) -> Self {
        Self { medium: storage.medium.clone() }
    }

    /// The place as anybody else has it who may write there.
    pub(crate) async fn store(&self) -> Arc<dyn ObjectStore> {
        self.objects().await.unwrap()
    }
}
