//! An object that grows where nothing can be appended: it is written anew with what is added, if it is still as it was left here. It stays
//! small, so that a line costs little, and what follows is another object.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::log::{Log, LogObject, changed};

/// From here on another object is begun: some two hundred lines of the audit.
const FULL: usize = 64 << 10;

/// One that is larger was not written here: it is not taken into memory. A line is shorter than a MiB.
const LARGEST: u64 = (FULL + (1 << 20)) as u64;

pub(super) struct Rewritten {
    objects: Arc<dyn ObjectStore>,
    path: ObjectPath,
    content: Vec<u8>,
    version: UpdateVersion,
}

pub(super) async fn create(objects: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Rewritten> {
    let put = objects.put_opts(path, PutPayload::from(content.clone()), PutOptions::from(PutMode::Create)).await?;
    Ok(Rewritten { objects, path: path.clone(), content: content.into(), version: put.into() })
}

pub(super) async fn go_on(objects: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Rewritten> {
    if log.size > LARGEST {
        return Err(io::Error::other(format!(
            "{} has {} bytes, more than is ever written to one: somebody else wrote it; move it away, and another chain is begun",
            log.path, log.size
        )));
    }
    let found = objects.get(&log.path).await?;
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let mut content = Vec::from(found.bytes().await?);
    if content.len() as u64 != log.size {
        return Err(changed());
    }
    content.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
    Ok(Rewritten { objects, path: log.path.clone(), content, version })
}

#[async_trait]
impl Log for Rewritten {
    async fn append(&mut self, more: Bytes) -> io::Result<()> {
        let mut content = self.content.clone();
        content.extend_from_slice(&more);
        let options = PutOptions::from(PutMode::Update(self.version.clone()));
        let put = self.objects.put_opts(&self.path, PutPayload::from(content.clone()), options).await?;
        (self.content, self.version) = (content, put.into());
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.content.len() >= FULL
    }
}
