//! CSV files in buckets and containers of real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::source::Said;

use super::everywhere::Place;
use super::files::lines;
use super::proxy::{Proxy, Replaceable};
use super::stores_support::{Store, azure, gcs, s3};
use super::{Implementation, Kind, Made};

pub(crate) struct Bucket {
    name: &'static str,
    words: &'static str,
    store: Arc<dyn Store>,
    made: AtomicU64,
}

impl Bucket {
    pub(crate) async fn all() -> Vec<Self> {
        let bucket = |name, words, store| Self { name, words, store, made: AtomicU64::new(0) };
        vec![
            bucket("S3", "MinIO as xtask/minio/go.mod has it", Arc::new(s3().await) as Arc<dyn Store>),
            bucket("GCS", "fake-gcs-server as xtask/fake-gcs-server/go.mod has it", Arc::new(gcs())),
            bucket("Azure", "Azurite as xtask/azurite/package.json has it", Arc::new(azure())),
        ]
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place::store(self.name, &*self.store)
    }

    async fn made(&self, content: Vec<u8>) -> Made {
        let key = format!("in/file {}.csv", self.made.fetch_add(1, Ordering::SeqCst));
        self.store.put(&key, content);
        let proxy = Proxy::before(self.store.port()).await;
        let source = self.store.source(&key, proxy.port, Said::default());
        let store = self.store.clone();
        let wire = Replaceable::new(proxy, move || store.put(&key, b"id,text\n9,other\n".to_vec()));
        Made { source: Box::new(source), wire: Box::new(wire) }
    }
}

#[async_trait]
impl Implementation for Bucket {
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
        self.made(lines(count, width).collect::<Vec<_>>().concat()).await
    }

    async fn written(&self, text: &str, _: &[&str]) -> Made {
        self.made(text.as_bytes().to_vec()).await
    }
}
