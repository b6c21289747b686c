//! CSV files of servers that have a folder of them: a real nginx over HTTPS, a real OpenSSH over SFTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use engine::source::Said;

use super::everywhere::Place;
use super::files::lines;
use super::proxy::{Proxy, Replaceable};
use super::served_support::{OpenSsh, Served, https};
use super::{Implementation, Kind, Made};

pub(crate) struct Files {
    name: &'static str,
    server: Arc<dyn Served>,
    words: &'static str,
    made: AtomicU64,
}

impl Files {
    pub(crate) fn https() -> Self {
        Self { name: "HTTPS", server: Arc::new(https()), words: "nginx of the Debian package", made: AtomicU64::new(0) }
    }

    pub(crate) fn sftp() -> Self {
        Self { name: "SFTP", server: Arc::new(OpenSsh::start()), words: "OpenSSH of the Debian package", made: AtomicU64::new(0) }
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place::served(self.name, &*self.server)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.server.file("")
    }

    async fn made(&self, pieces: impl Iterator<Item = bytes::Bytes>) -> Made {
        let name = format!("file {}.csv", self.made.fetch_add(1, Ordering::SeqCst));
        let file = self.server.file(&name);
        fs::write(&file, pieces.collect::<Vec<_>>().concat()).expect("a file of the server");
        let proxy = Proxy::before(self.server.port()).await;
        let source = self.server.source(&name, proxy.port, Said::default());
        Made { source: Box::new(source), wire: Box::new(Replaceable::new(proxy, move || replace(&file))) }
    }
}

#[async_trait]
impl Implementation for Files {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn server(&self) -> Option<String> {
        Some(self.words.to_owned())
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    async fn numbers(&self, count: u64, width: usize, _: &[&str]) -> Made {
        self.made(lines(count, width)).await
    }

    async fn written(&self, text: &str, _: &[&str]) -> Made {
        self.made(std::iter::once(text.to_owned().into())).await
    }
}

/// Some seconds later: SFTP tells no parts of one.
fn replace(file: &Path) {
    fs::write(file, "id,text\n9,other\n").expect("a file of the server");
    let file = fs::File::options().write(true).open(file).expect("the same file");
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).expect("its time");
}
