//! Queries at a real MariaDB.

use async_trait::async_trait;

use super::mysql_support::Server;
use super::proxy::Proxy;
use super::{Implementation, Kind, Made};

pub(crate) struct MySql(Server);

impl MySql {
    pub(crate) fn start() -> Self {
        Self(Server::start())
    }

    async fn made(&self, query: &str, order_by: &[&str]) -> Made {
        let mut source = self.0.source(query, order_by);
        let proxy = Proxy::before(source.params.port).await;
        source.params.port = proxy.port;
        Made { source: Box::new(source), wire: Box::new(proxy) }
    }
}

#[async_trait]
impl Implementation for MySql {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    async fn server(&self) -> Option<String> {
        Some(self.0.server.run("SELECT VERSION()"))
    }

    fn kind(&self) -> Kind {
        Kind::Database
    }

    async fn numbers(&self, count: u64, width: usize, order_by: &[&str]) -> Made {
        let from = if count == 0 { "seq_1_to_1 WHERE FALSE".to_owned() } else { format!("seq_1_to_{count}") };
        self.made(&format!("SELECT seq AS id, REPEAT('x', {width}) AS text FROM {from}"), order_by).await
    }

    async fn written(&self, query: &str, order_by: &[&str]) -> Made {
        self.made(query, order_by).await
    }
}
