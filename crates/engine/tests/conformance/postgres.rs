//! Queries at a real PostgreSQL.

use async_trait::async_trait;

use super::proxy::Proxy;
use super::support::Server;
use super::{Implementation, Kind, Made};

pub(crate) struct Postgres(Server);

impl Postgres {
    pub(crate) async fn start() -> Self {
        let server = Server::start();
        server.administrator().await;
        Self(server)
    }

    async fn made(&self, query: &str, order_by: &[&str]) -> Made {
        let mut source = self.0.source(query, order_by);
        let proxy = Proxy::before(source.params.port).await;
        source.params.port = proxy.port;
        Made { source: Box::new(source), wire: Box::new(proxy) }
    }
}

#[async_trait]
impl Implementation for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    async fn server(&self) -> Option<String> {
        let row = self.0.administrator().await.query_one("SHOW server_version", &[]).await.expect("the server's version");
        Some(row.get(0))
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    async fn numbers(&self, count: u64, width: usize, order_by: &[&str]) -> Made {
        self.made(&format!("SELECT n AS id, repeat('x', {width}) AS text FROM generate_series(1, {count}) n"), order_by).await
    }

    async fn written(&self, query: &str, order_by: &[&str]) -> Made {
        self.made(query, order_by).await
    }
}
