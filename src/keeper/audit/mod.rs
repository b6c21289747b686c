//! The audit of a region: one chain of lines per keeper replica, in the region's own storage, on the disk before the caller gets its
//! answer. It names objects by UID and reasons by a closed list; never a row, a secret, or a person.

mod chain;

pub use chain::{Broken, verify};
pub(crate) use chain::{Event, Link};

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::error::{Error, Result};
use super::storage::Storage;

/// More than any line: where the last one is looked for.
const TAIL: u64 = 64 << 10;

pub(crate) struct Audit {
    replica: String,
    chains: Mutex<HashMap<PathBuf, Arc<Mutex<Chain>>>>,
}

struct Chain {
    file: File,
    last: Link,
}

impl Audit {
    pub(crate) fn new(replica: &str) -> Self {
        Self { replica: replica.to_owned(), chains: Mutex::default() }
    }

    /// Appends one event. When this returns, it is on the disk.
    pub(crate) async fn record(&self, region: &str, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let path = storage.root().join("audit").join(format!("{}.jsonl", self.replica));
        let failed = |source| Error::Audit { region: region.to_owned(), source };
        let chain = self.chain(path).await.map_err(failed)?;
        let mut chain = chain.lock_owned().await;
        tokio::task::spawn_blocking(move || chain.append(event, now)).await.map_err(|e| failed(io::Error::other(e)))?.map_err(failed)
    }

    async fn chain(&self, path: PathBuf) -> io::Result<Arc<Mutex<Chain>>> {
        let mut chains = self.chains.lock().await;
        if let Some(chain) = chains.get(&path) {
            return Ok(chain.clone());
        }
        let chain = Arc::new(Mutex::new(Chain::open(&path)?));
        chains.insert(path, chain.clone());
        Ok(chain)
    }
}

impl Chain {
    /// Goes on behind the last whole line; a line cut off by a crash was never answered and is cut away.
    fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(start + whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let last = match tail[..whole].split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()) {
            Some(line) => Link::of(line).map_err(io::Error::other)?,
            None => Link::default(),
        };
        Ok(Self { file, last })
    }

    fn append(&mut self, event: Event, now: Timestamp) -> io::Result<()> {
        let (line, link) = self.last.next(event, now);
        let before = self.file.stream_position()?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line must not stay in front of the next one.
            self.file.set_len(before)?;
            self.file.seek(SeekFrom::Start(before))?;
            return written;
        }
        self.last = link;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &'static str) -> Event {
        Event::new(name).with("file", "f1")
    }

    #[test]
    fn a_chain_goes_on_after_a_restart_and_after_a_line_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit/keeper-0.jsonl");
        let now = Timestamp::UNIX_EPOCH;
        let mut chain = Chain::open(&path).unwrap();
        chain.append(event("FileBorn"), now).unwrap();
        chain.append(event("FileErased"), now).unwrap();
        drop(chain);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":3,\"half").unwrap();
        let mut chain = Chain::open(&path).unwrap();
        chain.append(event("KeyBorn"), now).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(verify(&text), Ok(3));
    }
}
