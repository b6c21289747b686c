//! A file on its way in.

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, WriteMultipart};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Storage, path};
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::lane::{DEADLINE, NotResponding};

/// What is flushed at the end of a file takes a second more for each so many bytes.
const FLUSHED_A_SECOND: u64 = 8 << 20;

/// Unless it is finished, nothing of it stays.
pub(crate) struct Incoming {
    storage: Storage,
    bytes: u64,
    steps: mpsc::Sender<Step>,
    /// Absent once its end is known.
    end: Option<JoinHandle<Result<()>>>,
}

enum Step {
    Write(Bytes),
    Finish,
}

impl Storage {
    /// A file that becomes visible only once it is complete. Refused while files leave too little room for the audit.
    pub(crate) async fn begin(&self, tenant_uid: &str, file_uid: &str) -> Result<Incoming> {
        // The same file may be on its way twice, when its sender lost patience with the first.
        let turn = format!("{file_uid}-{:08x}", rand::random::<u32>());
        let begun = self.begun().join(turn.as_str());
        let file = Passing { begun, path: path(tenant_uid, file_uid) };
        let (steps, todo) = mpsc::channel(2);
        let begin = |this: Self| async move {
            let store = this.medium.objects().await?;
            this.medium.has_room()?;
            let upload = this.medium.begin(store.as_ref(), &file.begun, &file.path).await?;
            let write = WriteMultipart::new_with_chunk_size(upload, this.medium.part());
            Ok(tokio::spawn(file.pass(this, store, write, todo)))
        };
        Ok(Incoming { end: Some(self.step("begin a file", begin).await?), storage: self.clone(), bytes: 0, steps })
    }
}

struct Passing {
    begun: ObjectPath,
    path: ObjectPath,
}

impl Passing {
    /// Lives in the lane of the volume.
    async fn pass(
        self,
        storage: Storage,
        store: Arc<dyn ObjectStore>,
        mut write: WriteMultipart,
        mut todo: mpsc::Receiver<Step>,
    ) -> Result<()> {
        let written = loop {
            match todo.recv().await {
                Some(Step::Write(bytes)) => {
                    if let Err(error) = storage.medium.has_room() {
                        break Err(error);
                    }
                    // Two parts on their way at once keep the volume busy and memory small.
                    if let Err(error) = write.wait_for_capacity(2).await {
                        break Err(storage.failed("write a file")(error));
                    }
                    write.put(bytes);
                }
                Some(Step::Finish) => break Ok(true),
                None => break Ok(false),
            }
        };
        let end = match written {
            Ok(true) => self.place(&storage, store.as_ref(), write).await,
            Ok(false) => self.abort(&storage, store.as_ref(), write).await,
            Err(error) => self.abort(&storage, store.as_ref(), write).await.and(Err(error)),
        };
        storage.medium.tidy(&storage.begun()).await;
        end
    }

    async fn place(&self, storage: &Storage, store: &dyn ObjectStore, write: WriteMultipart) -> Result<()> {
        let finished = write.finish().await.map_err(storage.failed("finish a file"));
        let placed = match finished {
            Ok(_) => storage.medium.place(store, &self.begun, &self.path).await.map_err(storage.failed("put a file in its place")),
            Err(error) => Err(error),
        };
        if placed.is_err() {
            let _ = storage.medium.discard(store, &self.begun).await;
        }
        placed
    }

    async fn abort(&self, storage: &Storage, store: &dyn ObjectStore, write: WriteMultipart) -> Result<()> {
        let aborted = write.abort().await.map_err(storage.failed("abort a file"));
        let discarded = storage.medium.discard(store, &self.begun).await;
        aborted.and(discarded)
    }
}

impl Incoming {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len() as u64;
        match timeout(DEADLINE, self.steps.send(Step::Write(bytes))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.failure().await),
            Err(_) => Err(self.storage.hung("write a file")(NotResponding)),
        }
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        let flushed = DEADLINE + Duration::from_secs(self.bytes / FLUSHED_A_SECOND);
        // Should it have ended already, its end says why.
        let _ = timeout(DEADLINE, self.steps.send(Step::Finish)).await;
        self.end("finish a file", flushed).await
    }

    pub(crate) async fn abort(mut self) -> Result<()> {
        // Nobody sends any more.
        self.steps = mpsc::channel(1).0;
        self.end("abort a file", DEADLINE).await
    }

    /// Why it ended before it was told to.
    async fn failure(&mut self) -> Error {
        match self.end("write a file", DEADLINE).await {
            Err(error) => error,
            Ok(()) => self.storage.hung("write a file")(NotResponding),
        }
    }

    async fn end(&mut self, doing: &'static str, within: Duration) -> Result<()> {
        let Some(end) = self.end.take() else { return Ok(()) };
        match timeout(within, end).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) | Err(_) => Err(self.storage.hung(doing)(NotResponding)),
        }
    }
}
