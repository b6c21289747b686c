//! CSV files in a bucket of a real MinIO.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::files::lines;
use super::proxy::Proxy;
use super::s3_support::Server;
use super::{Implementation, Kind, Made, Wire};

pub(crate) struct S3 {
    server: Arc<Server>,
    made: AtomicU64,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        Self { server: Arc::new(Server::start().await), made: AtomicU64::new(0) }
    }

    async fn made(&self, content: Vec<u8>) -> Made {
        let key = format!("in/file {}.csv", self.made.fetch_add(1, Ordering::SeqCst));
        self.server.0.put(&key, content).await;
        let proxy = Proxy::before(self.server.0.port).await;
        let source = self.server.source(&key, proxy.port);
        Made { source: Box::new(source), wire: Box::new(Bucket { server: self.server.clone(), key, proxy }) }
    }
}

#[async_trait]
impl Implementation for S3 {
    fn name(&self) -> &'static str {
        "S3"
    }

    async fn server(&self) -> Option<String> {
        Some("MinIO as xtask/minio/go.mod has it".to_owned())
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

struct Bucket {
    server: Arc<Server>,
    key: String,
    proxy: Proxy,
}

impl Wire for Bucket {
    fn carried(&self) -> u64 {
        self.proxy.carried()
    }

    fn cut(&self) {
        self.proxy.cut();
    }

    fn end_early(&self) {
        self.proxy.cut();
    }

    fn replace(&self) -> bool {
        let put = self.server.0.put(&self.key, "id,text\n9,other\n");
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put));
        true
    }
}
