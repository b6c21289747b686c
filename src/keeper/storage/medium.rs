//! What is different between places that keep objects. The rest of the storage is the same for all of them: deadlines, readers that are
//! ended, absence that is proved.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, PutPayload};

use super::log::{Log, LogObject};
use crate::keeper::base::error::{Error, Result};

/// A place that keeps the objects of one region. Each call may block its thread or hang: [`super::Storage`] makes it in the region's lane and
/// waits no longer than a deadline. `objects` is what [`Medium::objects`] gave for this step.
#[async_trait]
pub(crate) trait Medium: Send + Sync {
    /// What an error of the objects means here.
    fn failed(&self, doing: &'static str, source: object_store::Error) -> Error;

    /// The objects, if the place is there.
    async fn objects(&self) -> Result<Arc<dyn ObjectStore>>;

    /// Whether files leave enough room for the audit.
    fn has_room(&self) -> Result<()>;

    /// In bytes, of an object that comes in several.
    fn part(&self) -> usize;

    /// Begins an object that comes in parts. What is there of it until it is complete can be found by `begun`.
    async fn begin(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> Result<Box<dyn MultipartUpload>>;

    /// Gives an object that was begun and is complete its name: a reader finds all of it under that, or nothing.
    async fn place(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> object_store::Result<()>;

    /// Removes what is left of one that was begun and does not come.
    async fn discard(&self, objects: &dyn ObjectStore, begun: &ObjectPath) -> Result<()>;

    /// Writes a small object at once.
    async fn put(&self, objects: &dyn ObjectStore, path: &ObjectPath, content: PutPayload) -> object_store::Result<()>;

    async fn delete(&self, objects: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()>;

    /// Proves by the probe, which was just written, what a place of this kind must do and not every one does.
    async fn prove(&self, objects: &dyn ObjectStore, probe: &ObjectPath) -> object_store::Result<()>;

    /// Removes what was begun below `folder` and never became an object. Answers how much there was.
    async fn clear(&self, folder: &ObjectPath) -> Result<usize>;

    /// Removes `folder` and the one above it if they are empty, where there are folders at all.
    async fn tidy(&self, folder: &ObjectPath);

    /// Makes an object that grows, with its first content, unless there is one of that name: then nothing is changed. It is kept for good
    /// when this returns.
    async fn create_log(&self, objects: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>>;

    /// Goes on with one behind its first `whole` bytes, if it is still as it was listed.
    async fn go_on_with_log(&self, objects: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>>;
}
