//! TLS for the two listeners; that a path is made of names, and that a call is carried out. Knows no route.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use runtime::listen::{Held, Limits, Listener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::keeper::base::error::Result;

/// Files that the keeper needs for itself: the API server, the volumes, orgs and databases, and connections that are being closed.
const OWN_FILES: usize = 256;
/// A pool of a client ends first, so that none sends on a connection that ends at this moment.
const WORKERS_IDLE: Duration = Duration::from_secs(100);
const PEOPLE_IDLE: Duration = Duration::from_secs(30);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Speaks {
    /// HTTP/2, or HTTP/1.1 to a client that asks for it.
    Either,
    /// A file that is refused before all of it came is a stream that breaks in HTTP/2, and `curl` does not show why; HTTP/1.1 waits for a
    /// word before it sends.
    Http1,
}

/// What the listeners of workers and of people hold at most, within the files that this process may open.
pub(crate) fn limits(open_files: usize) -> (Limits, Limits) {
    let free = open_files.saturating_sub(OWN_FILES).max(48);
    let workers = Limits { connections: (free / 3 * 2).min(1024), of_one: 256, idle: WORKERS_IDLE };
    // A load balancer may show all people under one address.
    let people = Limits { connections: (free / 3).min(512), of_one: 256, idle: PEOPLE_IDLE };
    (workers, people)
}

/// Raises the number of files that this process may open as far as it may, and answers with it.
pub(crate) fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(error = %error, "the number of files that may be open could not be raised");
        }
    }
    let now = getrlimit(Resource::Nofile).current;
    now.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
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
/// file must be cleared away. What is held for the call is held until the last byte of its answer.
pub(crate) async fn to_its_end<T: Send + Unpin + 'static>(request: Request, next: Next, held: T) -> Response {
    let call = tokio::spawn(async move { next.run(request).await.map(|body| Body::new(Held::new(body, held))) });
    call.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Letters, digits, dashes and single dots, as the API server has it; an empty part stands before the first slash.
fn is_name(part: &str) -> bool {
    let allowed = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    allowed && part.len() <= 253 && !part.starts_with('.') && !part.contains("..")
}

/// Serves until told to stop, then lets what is under way finish.
pub(crate) async fn serve(listener: Listener, tls: Arc<ServerConfig>, app: Router, stop: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    listener.serve(move |stream: TcpStream| acceptor.accept(stream), app.layer(from_fn(only_names)), stop).await;
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

    #[test]
    fn connections_fit_the_files_that_may_be_open() {
        for open_files in [0, 256, 1024, 20_000, usize::MAX] {
            let (workers, people) = limits(open_files);
            assert!(workers.connections >= 16 && people.connections >= 16, "{open_files}");
            assert!(open_files < 1024 || workers.connections + people.connections + OWN_FILES <= open_files, "{open_files}");
        }
        assert_eq!(limits(20_000).0.connections, 1024);
    }
}
