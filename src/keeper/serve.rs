//! TLS for the two listeners: handshake, HTTP/1.1 and HTTP/2, the caller's address as an extension; that a path is made of names, and that
//! a call is carried out. Knows no route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::error::Result;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// What is under way at the end has this long.
const DRAIN: Duration = Duration::from_secs(25);

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub IpAddr);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Speaks {
    /// HTTP/2, or HTTP/1.1 to whoever asks for it.
    Either,
    /// A file that is refused before all of it came is a stream that breaks in HTTP/2, and `curl` does not show why; HTTP/1.1 waits for a
    /// word before it sends.
    Http1,
}

pub(crate) fn tls_config(leaf: Arc<dyn ResolvesServerCert>, speaks: Speaks) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(leaf);
    let protocols: &[&[u8]] = if speaks == Speaks::Http1 { &[b"http/1.1"] } else { &[b"h2", b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Parts of a path become names of objects, and the client that asks the API server for them takes a name as it is: `..%2F` would lead
/// elsewhere with our rights, and what no object can be called is an error instead of an absence.
async fn only_names(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.split('/').all(is_name) { next.run(request).await } else { StatusCode::NOT_FOUND.into_response() }
}

/// Carries a call out even if its caller hangs up: a token that Salesforce gave must be written down or nobody can revoke it, and half a
/// file must be cleared away.
async fn to_its_end(request: Request, next: Next) -> Response {
    tokio::spawn(next.run(request)).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Letters, digits, dashes and single dots, as the API server has it; an empty part stands before the first slash.
fn is_name(part: &str) -> bool {
    let allowed = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    allowed && part.len() <= 253 && !part.starts_with('.') && !part.contains("..")
}

/// Serves until told to stop, then lets what is under way finish.
pub(crate) async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, app: Router, stop: CancellationToken) {
    let app = app.layer(from_fn(to_its_end)).layer(from_fn(only_names));
    let acceptor = TlsAcceptor::from(tls);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (acceptor, app, watcher) = (acceptor.clone(), app.clone(), graceful.watcher());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, acceptor, app, watcher).await {
                        tracing::debug!(%peer, error, "connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, or the connection is gone already: neither ends the listener.
                tracing::warn!(error = %error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> std::result::Result<(), String> {
    let _ = stream.set_nodelay(true);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| "no handshake in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let service = app.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
        request.map(axum::body::Body::new)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(20)));
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    watcher.watch(served).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_names_passes_and_nothing_else_does() {
        let passes = |path: &str| path.split('/').all(is_name);
        for good in [
            "/v1/runs/0cd22c6d-9a3e-4a0d-9e8d-6e8d5f0a8a3f/chunks/12",
            "/v1/namespaces/acme/importruns/airports-once-1/results/failed-2.csv",
            "/v1/namespaces/acme/uploads/my.file",
        ] {
            assert!(passes(good), "{good}");
        }
        for bad in ["/v1/runs/..%2fsecrets", "/v1/runs/%01", "/v1/uploads/a/../b", "/v1/runs/a%3Fwatch=1", "/v1/runs/.a", "/v1/runs/a b"] {
            assert!(!passes(bad), "{bad}");
        }
        assert!(!passes(&format!("/v1/runs/{}", "a".repeat(254))));
    }
}
