//! Serving HTTP to anybody who connects. Everything that a caller can hold without having shown who it is has a number and an end:
//! connections (in all and of one address), the time for a handshake, a first request, a header, the time without any call.

mod bodies;
mod seats;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub use bodies::{Held, MinRate, MinRateBody};
pub use seats::{Busy, Seat};
use seats::{Full, Seats};

use crate::metrics::Metrics;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);
const HEADER_WITHIN: Duration = Duration::from_secs(20);
/// A connection that was told to end has this long.
const FAREWELL: Duration = Duration::from_secs(5);
/// What is under way at the end has this long.
const DRAIN: Duration = Duration::from_secs(25);
const HEADER_BYTES: usize = 64 << 10;
const HEADERS: usize = 64;
const STREAMS: u32 = 8;
/// What a caller may send before anybody reads it.
const WINDOW: u32 = 128 << 10;

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What a listener holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of all addresses together.
    pub connections: usize,
    /// Connections of one address.
    pub of_one: usize,
    /// A connection without a call ends after so long.
    pub idle: Duration,
}

/// A socket that listens, and its name in metrics and logs.
pub struct Listener {
    /// Value of the label `listener` in metrics and of the field `listener` in logs.
    pub name: &'static str,
    /// The socket, bound already.
    pub socket: TcpListener,
    /// How many connections there may be, and how long one may rest.
    pub limits: Limits,
    /// Where connections, and those that were refused or ended, are counted.
    pub metrics: Metrics,
}

/// What all connections of a listener share.
struct Shared<F> {
    name: &'static str,
    idle: Duration,
    metrics: Metrics,
    secure: F,
    app: Router,
    stop: CancellationToken,
}

impl Listener {
    /// Serves until told to stop, then lets what is under way finish. Calls carry [`Peer`] and the [`Seat`] of their connection.
    pub async fn serve<F, Fut, Io>(self, secure: F, app: Router, stop: CancellationToken)
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<Io>> + Send + 'static,
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { name, socket, limits, metrics } = self;
        let seats = Seats::new(limits.connections, limits.of_one);
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared { name, idle: limits.idle, metrics, secure, app, stop: stop.clone() });
        while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
            match accepted {
                Ok((stream, peer)) => match seats.take(peer.ip()) {
                    Ok((seat, _)) => {
                        shared.metrics.connections(name, seats.taken());
                        tasks.spawn(shared.clone().connection(stream, peer, Arc::new(seat)));
                    }
                    Err(full) => shared.metrics.connection_ended(name, if full == Full::Address { "address" } else { "full" }),
                },
                Err(error) => {
                    // Out of file descriptors, or the connection is gone already: neither ends the listener.
                    tracing::warn!(listener = name, error = %error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        tasks.close();
        let _ = tokio::time::timeout(DRAIN, tasks.wait()).await;
    }
}

impl<F, Fut, Io> Shared<F>
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::io::Result<Io>> + Send + 'static,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
        let ended = tokio::select! {
            ended = self.serve(stream, peer, seat.clone()) => ended,
            () = seat.given_away() => Some("displaced"),
        };
        if let Some(reason) = ended {
            tracing::debug!(listener = self.name, %peer, reason, "connection ended");
            self.metrics.connection_ended(self.name, reason);
        }
    }

    /// Answers with the reason if we end the connection.
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) -> Option<&'static str> {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE_WITHIN, (self.secure)(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Some("handshake"),
            Err(_) => return Some("handshakeTimeout"),
        };
        let (calls, under_way) = watch::channel(0_usize);
        let (app, calls) = (self.app.clone(), Arc::new(calls));
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, call) = (app.clone(), UnderWay::begin(&calls));
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
            request.extensions_mut().insert(seat.clone());
            async move {
                let answer = app.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
                Ok::<_, Infallible>(answer.map(|body| Body::new(Held::new(body, call))))
            }
        });
        let builder = builder();
        let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (farewell, reason) = tokio::select! {
            _ = served.as_mut() => return None,
            reason = quiet(under_way, self.idle) => (FAREWELL, Some(reason)),
            () = self.stop.cancelled() => (DRAIN, None),
        };
        served.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(farewell, served).await;
        reason
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).max_buf_size(HEADER_BYTES).max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    builder
}

/// Resolves when no call came in time, or none was under way for too long.
async fn quiet(mut under_way: watch::Receiver<usize>, idle: Duration) -> &'static str {
    let (mut patience, mut reason) = (FIRST_CALL_WITHIN, "noCall");
    loop {
        if tokio::time::timeout(patience, under_way.wait_for(|calls| *calls > 0)).await.is_err() {
            return reason;
        }
        if under_way.wait_for(|calls| *calls == 0).await.is_err() {
            // The connection is over, and says so itself.
            std::future::pending::<()>().await;
        }
        (patience, reason) = (idle, "idle");
    }
}

/// A call from its header to the last byte of its answer.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn begin(calls: &Arc<watch::Sender<usize>>) -> Self {
        calls.send_modify(|calls| *calls += 1);
        Self(calls.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}
