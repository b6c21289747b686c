//! Stands between a source and its server: counts what the server sends, and can hang up in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Wire;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    carried: Arc<AtomicU64>,
    cut: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let carried = Arc::new(AtomicU64::new(0));
        let (cut, told) = watch::channel(false);
        let count = carried.clone();
        tokio::spawn(async move {
            let mut gone = told.clone();
            loop {
                let client = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The test that made this proxy has dropped it.
                    changed = gone.changed() => if changed.is_err() { return } else { continue },
                };
                let (Ok((client, _)), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server)).await) else { continue };
                tokio::spawn(carry(client, server, count.clone(), told.clone()));
            }
        });
        Self { port, carried, cut }
    }
}

/// Takes no more from the server than the client takes.
async fn carry(mut client: TcpStream, mut server: TcpStream, count: Arc<AtomicU64>, mut told: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let forth = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut piece).await {
            if to_client.write_all(&piece[..read]).await.is_err() {
                return;
            }
            count.fetch_add(read as u64, Ordering::SeqCst);
        }
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        _ = async { tokio::join!(forth, back) } => {}
        _ = told.wait_for(|cut| *cut) => {}
    }
}

impl Wire for Proxy {
    fn carried(&self) -> u64 {
        self.carried.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.cut.send_replace(true);
    }

    fn end_early(&self) {
        self.cut();
    }

    fn replace(&self) -> bool {
        false
    }
}

/// The way to a file that its server lets us replace.
pub(crate) struct Replaceable {
    proxy: Proxy,
    replace: Box<dyn Fn() + Send + Sync>,
}

impl Replaceable {
    /// `replace` puts a file of other content in place of this one.
    pub(crate) fn new(proxy: Proxy, replace: impl Fn() + Send + Sync + 'static) -> Self {
        Self { proxy, replace: Box::new(replace) }
    }
}

impl Wire for Replaceable {
    fn carried(&self) -> u64 {
        self.proxy.carried()
    }

    fn cut(&self) {
        self.proxy.cut();
    }

    fn end_early(&self) {
        self.proxy.end_early();
    }

    fn replace(&self) -> bool {
        (self.replace)();
        true
    }
}
