//! The listener: TLS or plain, HTTP/1.1 or 2, and connections that end without an answer when a fault says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};
use tower_http::decompression::RequestDecompression;

use crate::app::{DropConnection, Wait};

/// The service's error is no answer at all: the connection just ends.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on demand")]
struct Dropped;

/// Serves until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, app: Router) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        let (app, acceptor) = (app.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => connection(socket, app).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(socket) => connection(socket, app).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                },
            }
        });
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(socket: S, app: Router) {
    let service = service_fn(move |request: Request<Incoming>| answer(app.clone(), request));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
    // Uploads are large: wide windows keep a single stream at the speed of the wire.
    server.http2().timer(TokioTimer::new()).initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20);
    if let Err(error) = server.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Bodies sent with `Content-Encoding: gzip` arrive unpacked.
async fn answer(app: Router, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let inner = tower::service_fn(move |request: Request<_>| {
        let mut app = app.clone();
        async move { app.call(Request::map(request, Body::new)).await }
    });
    let answer: Result<Response<_>, Infallible> = match RequestDecompression::new(inner).oneshot(request).await {
        Ok(answer) => Ok(answer.map(Body::new)),
        Err(never) => match never {},
    };
    let Ok(answer) = answer;
    if let Some(Wait(pause)) = answer.extensions().get() {
        tokio::time::sleep(*pause).await;
    }
    if answer.extensions().get::<DropConnection>().is_some() { Err(Dropped) } else { Ok(answer) }
}
