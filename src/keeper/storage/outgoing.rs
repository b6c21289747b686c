//! The bytes of a file on their way out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetOptions, GetRange};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Storage, path};
use crate::keeper::base::error::Result;
use crate::keeper::base::lane::{DEADLINE, NotResponding};

/// Parts of a file that wait for a slow reader.
const AHEAD: usize = 2;

pub(crate) type Outgoing = BoxStream<'static, object_store::Result<Bytes>>;

impl Storage {
    /// The bytes of a file, absent if there is none.
    pub(crate) async fn read(&self, tenant_uid: &str, file_uid: &str) -> Result<Option<Outgoing>> {
        self.read_part(tenant_uid, file_uid, None).await
    }

    /// Those of a part, or all of them.
    pub(crate) async fn read_part(&self, tenant_uid: &str, file_uid: &str, part: Option<Range<u64>>) -> Result<Option<Outgoing>> {
        let path = path(tenant_uid, file_uid);
        let end = self.readers.join(self.reading(&path));
        let open = |this: Self| async move {
            let options = GetOptions { range: part.map(GetRange::Bounded), ..GetOptions::default() };
            match this.medium.objects().await?.get_opts(&path, options).await {
                Ok(found) => {
                    let (parts, outgoing) = mpsc::channel(AHEAD);
                    tokio::spawn(pass(found.into_stream(), parts, end));
                    Ok(Some(outgoing))
                }
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(this.failed("read a file")(error)),
            }
        };
        Ok(self.step("read a file", open).await?.map(outgoing))
    }
}

/// What comes of the storage, or an error when nothing does.
fn outgoing(parts: mpsc::Receiver<object_store::Result<Bytes>>) -> Outgoing {
    let hung = || object_store::Error::Generic { store: "storage", source: Box::new(NotResponding) };
    futures::stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match timeout(DEADLINE, parts.recv()).await {
            Ok(part) => part.map(|part| (part, Some(parts))),
            Err(_) => Some((Err(hung()), None)),
        }
    })
    .boxed()
}

/// Carries a file from its storage to its reader, at the reader's pace, and lets go of it when it is erased: a reader that has not had all of
/// it by then gets an error and never a good end.
async fn pass(mut file: Outgoing, parts: mpsc::Sender<object_store::Result<Bytes>>, end: Arc<CancellationToken>) {
    let passing = async {
        while let Some(part) = file.next().await {
            if parts.send(part).await.is_err() {
                break;
            }
        }
    };
    if end.run_until_cancelled(passing).await.is_none() {
        drop(file);
        let erased = object_store::Error::Generic { store: "storage", source: "the file was erased while it was read".into() };
        let _ = parts.send(Err(erased)).await;
    }
}
