//! Result files in a folder of this machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use engine::results::{FileKind, ResultsSink, SinkError};
use tokio::task::spawn_blocking;

pub(super) struct FolderSink {
    folder: PathBuf,
    files: [Arc<File>; 3],
}

impl FolderSink {
    /// Makes the folder and three empty files that only their owner may read.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let [succeeded, failed, unprocessed] = FileKind::ALL.map(|kind| create(&folder.join(kind.name())));
        Ok(Self { folder: folder.to_owned(), files: [succeeded?, failed?, unprocessed?] })
    }
}

fn create(path: &Path) -> io::Result<Arc<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(Arc::new(options.open(path)?))
}

#[async_trait]
impl ResultsSink for FolderSink {
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        let file = self.files[file as usize].clone();
        // A thread that may wait for the disk writes the bytes from where they are.
        let written = spawn_blocking(move || (&*file).write_all(&bytes)).await;
        Ok(written.map_err(io::Error::other)??)
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        Ok(FileKind::ALL.into_iter().map(|kind| (kind, self.folder.join(kind.name()).display().to_string())).collect())
    }
}
