//! A file of a volume that grows by appending, on the disk before the answer. Every function blocks.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::log::{Log, changed};

pub(super) struct Appended {
    file: Arc<File>,
    length: u64,
}

/// Makes a file at `path` below `mount`. Should it be half written when the machine stops, somebody goes on with what is whole of it.
pub(super) fn create(mount: &Path, path: &Path, content: &[u8]) -> io::Result<Appended> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    // A keeper that lists it meanwhile may go on with it while it is empty.
    alone(&file, || add(&file, 0, content))?;
    // The names of the file and of the folders that hold it, any of which may be new.
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(mount)) {
        File::open(folder)?.sync_all()?;
    }
    Ok(Appended { file: Arc::new(file), length: content.len() as u64 })
}

pub(super) fn go_on(path: &Path, listed: u64, whole: u64) -> io::Result<Appended> {
    let file = OpenOptions::new().write(true).open(path)?;
    alone(&file, || {
        // What looked like half a line may be what somebody else was writing.
        if file.metadata()?.len() != listed {
            return Err(changed());
        }
        if whole < listed { file.set_len(whole) } else { Ok(()) }
    })?;
    Ok(Appended { file: Arc::new(file), length: whole })
}

#[async_trait]
impl Log for Appended {
    async fn append(&mut self, more: Bytes) -> io::Result<()> {
        let (file, length, added) = (self.file.clone(), self.length, more.len() as u64);
        let append = move || alone(&file, || add(&file, length, &more));
        tokio::task::spawn_blocking(append).await.map_err(io::Error::other)??;
        self.length += added;
        Ok(())
    }

    /// A file takes as much as the volume has.
    fn is_full(&self) -> bool {
        false
    }
}

fn add(file: &File, length: u64, more: &[u8]) -> io::Result<()> {
    let there = file.metadata()?;
    if there.len() != length || there.nlink() == 0 {
        return Err(changed());
    }
    let written = file.write_all_at(more, length).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line must not stay in front of the next one.
        file.set_len(length)?;
    }
    written
}

/// With nobody else at it between the look and the write. On a volume that knows no locks the look is all there is.
fn alone<T>(file: &File, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match file.lock() {
        Ok(()) => {
            let done = work();
            let unlocked = file.unlock();
            done.and_then(|done| unlocked.map(|()| done))
        }
        Err(error) if knows_no_locks(&error) => work(),
        Err(error) => Err(error),
    }
}

/// What NFS answers without its lock service, and file systems in user space that have no locks.
fn knows_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error())
}
