//! Result files in a folder of this machine.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use engine::results::{FileKind, ResultsSink, SinkError};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

pub(super) struct FolderSink {
    folder: PathBuf,
    files: [File; 3],
}

impl FolderSink {
    /// Makes the folder and three empty files that only their owner may read.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let [succeeded, failed, unprocessed] = FileKind::ALL.map(|kind| create(&folder.join(kind.name())));
        Ok(Self { folder: folder.to_owned(), files: [succeeded?, failed?, unprocessed?] })
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(File::from_std(options.open(path)?))
}

#[async_trait]
impl ResultsSink for FolderSink {
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        Ok(self.files[file as usize].write_all(&bytes).await?)
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        for file in &mut self.files {
            file.flush().await?;
        }
        Ok(FileKind::ALL.into_iter().map(|kind| (kind, self.folder.join(kind.name()).display().to_string())).collect())
    }
}
