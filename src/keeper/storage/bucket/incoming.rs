//! A file on its way into a bucket. One that fits into a part is written at once. A larger one comes in parts of an upload of S3, which
//! stay, unseen and paid for, until somebody completes or aborts the upload: so a mark with the upload's id is kept before the first part
//! is sent, and a keeper that was killed finds at its next start what to abort.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::{FutureExt, try_join};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, PutResult, UploadPart};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{Objects, unfit};

/// In bytes; what is larger is not taken into memory.
const LARGEST_MARK: u64 = 16 << 10;

/// What is to be aborted if nobody completes it.
#[derive(Debug, Deserialize, Serialize)]
struct Mark {
    path: String,
    upload_id: String,
}

#[derive(Debug)]
pub(super) struct IncomingObject {
    upload: Arc<Upload>,
    /// The first part, until a second one shows that there are several.
    first: Option<PutPayload>,
    parts: usize,
}

#[derive(Debug)]
struct Upload {
    objects: Arc<Objects>,
    path: ObjectPath,
    mark: ObjectPath,
    /// Its id at the server, once its mark is kept.
    id: OnceCell<String>,
    sent: Mutex<Vec<(usize, PartId)>>,
}

impl IncomingObject {
    pub(super) fn new(objects: Arc<Objects>, path: ObjectPath, mark: ObjectPath) -> Self {
        let upload = Upload { objects, path, mark, id: OnceCell::new(), sent: Mutex::default() };
        Self { upload: Arc::new(upload), first: None, parts: 0 }
    }
}

impl Upload {
    async fn id(&self) -> object_store::Result<&String> {
        self.id
            .get_or_try_init(|| async {
                let upload_id = self.objects.create_multipart(&self.path).await?;
                let mark = Mark { path: self.path.to_string(), upload_id };
                let content = serde_json::to_vec(&mark).map_err(generic)?;
                let put = self.objects.put(&self.mark, content.into()).await?;
                unfit::without_versions(put.version.as_deref())?;
                Ok(mark.upload_id)
            })
            .await
    }

    async fn send(&self, number: usize, content: PutPayload) -> object_store::Result<()> {
        let part = self.objects.put_part(&self.path, self.id().await?, number, content).await?;
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push((number, part));
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for IncomingObject {
    fn put_part(&mut self, content: PutPayload) -> UploadPart {
        let (number, upload) = (self.parts, self.upload.clone());
        self.parts += 1;
        if number == 0 {
            self.first = Some(content);
            return async { Ok(()) }.boxed();
        }
        match self.first.take() {
            Some(first) => async move { try_join(upload.send(0, first), upload.send(number, content)).await.map(drop) }.boxed(),
            None => async move { upload.send(number, content).await }.boxed(),
        }
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let Upload { objects, path, mark, id, sent } = self.upload.as_ref();
        let Some(id) = id.get() else {
            let put = objects.put(path, self.first.take().unwrap_or_default()).await?;
            unfit::without_versions(put.version.as_deref())?;
            return Ok(put);
        };
        let mut sent = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
        sent.sort_by_key(|(number, _)| *number);
        let completed = objects.complete_multipart(path, id, sent.into_iter().map(|(_, part)| part).collect()).await?;
        unfit::without_versions(completed.version.as_deref())?;
        // A mark that stays names an upload that is no more: a start that clears it finds nothing to abort.
        let _ = objects.delete(mark).await;
        Ok(completed)
    }

    /// Nothing is there of one that was never begun. The mark stays until [`discard`] has done the same again.
    async fn abort(&mut self) -> object_store::Result<()> {
        let Upload { objects, path, id, .. } = self.upload.as_ref();
        match id.get() {
            Some(id) => aborted(objects.abort_multipart(path, id).await),
            None => Ok(()),
        }
    }
}

/// Aborts what a mark names, and then removes the mark. Answers whether there was one.
pub(super) async fn discard(objects: &Objects, mark: &ObjectPath) -> object_store::Result<bool> {
    let content = match objects.get(mark).await {
        Ok(found) if found.meta.size > LARGEST_MARK => {
            return Err(generic(std::io::Error::other(format!("{mark} is no mark of ours: delete it"))));
        }
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let Mark { path, upload_id } = serde_json::from_slice(&content).map_err(generic)?;
    let path = ObjectPath::parse(path).map_err(generic)?;
    aborted(objects.abort_multipart(&path, &upload_id).await)?;
    objects.delete(mark).await?;
    Ok(true)
}

/// One that is not there was completed or aborted before.
fn aborted(outcome: object_store::Result<()>) -> object_store::Result<()> {
    match outcome {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: Box::new(error) }
}
