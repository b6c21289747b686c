//! Callers who hold what they can of the keeper and say nothing, or one byte at a time, while a worker wants its lease.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::{Upload, names};
use http::StatusCode;
use kube::ResourceExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use testkit::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{HOME, World};

const SILENT: usize = 5_000;
const DRIBBLING: usize = 1_000;
/// Addresses of this machine that the callers come from.
const ADDRESSES: u8 = 50;
/// Connections that either listener holds at most.
const MOST: usize = 1_024;
/// Files of one tenant that pass the gateway at the same time.
const AT_ONCE: usize = 8;
/// Longer than anything takes here: a guard against waiting for ever.
const LONG: Duration = Duration::from_secs(120);

fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 2 + (number % usize::from(ADDRESSES)) as u8).into()
}

/// TLS as a client that trusts this keeper speaks it, HTTP/1.1 only.
fn connector(world: &World) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.keeper.ca_pem().as_bytes())?)?;
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn dial(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

async fn secure(tls: &TlsConnector, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    tls.connect(ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into()), stream).await
}

/// Connections without a word: every second one has finished its handshake.
async fn silent(tls: &TlsConnector, to: SocketAddr) -> Result<Vec<TcpStream>> {
    let mut tasks = JoinSet::new();
    let (mut held, mut begun) = (Vec::new(), 0);
    while begun < SILENT || !tasks.is_empty() {
        while begun < SILENT && tasks.len() < 64 {
            let (number, tls) = (begun, tls.clone());
            begun += 1;
            tasks.spawn(async move {
                let stream = dial(address(number), to).await?;
                match number.is_multiple_of(2) {
                    true => Ok::<_, std::io::Error>(stream),
                    false => secure(&tls, stream).await.map(|stream| stream.into_inner().0),
                }
            });
        }
        // One that was hung up on during its handshake holds nothing.
        if let Some(ended) = tasks.join_next().await {
            held.extend(ended?.ok());
        }
    }
    Ok(held)
}

/// How many of them the keeper has not hung up on.
fn open(connections: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| loop {
        match stream.try_read(&mut [0; 4096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    connections.iter().filter(is_open).count()
}

/// Sends the beginning of a request, then a byte a second until it is answered or hung up on. Answers with the status, if there was one.
async fn dribble(mut stream: TlsStream<TcpStream>, head: String) -> Option<u16> {
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    answer.extend(&buffer[..count]);
                    if answer.len() > 12 { break }
                }
            },
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if stream.write_all(b"1\r\nx\r\n").await.is_err() || stream.flush().await.is_err() { break }
            }
        }
    }
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

async fn dribbling(
    world: &World,
    tls: &TlsConnector,
    to: SocketAddr,
    count: usize,
    head: impl Fn(usize) -> String,
) -> Result<JoinSet<Option<u16>>> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let stream = dial(world.keeper.gateway_address.ip(), to).await?;
        // The keeper may hang up on the caller that holds most.
        let Ok(stream) = secure(tls, stream).await else { continue };
        tasks.spawn(dribble(stream, head(number)));
    }
    Ok(tasks)
}

fn request(method: &str, path: &str, token: &str, content_type: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: keeper\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
}

/// The statuses that ended within the time, and how many did not end.
async fn ended(tasks: &mut JoinSet<Option<u16>>, within: Duration) -> (Vec<Option<u16>>, usize) {
    let (began, mut statuses) = (Instant::now(), Vec::new());
    while let Some(left) = within.checked_sub(began.elapsed()) {
        match tokio::time::timeout(left, tasks.join_next()).await {
            Ok(Some(status)) => statuses.push(status.unwrap_or_default()),
            Ok(None) | Err(_) => break,
        }
    }
    (statuses, tasks.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_say_nothing_or_little_do_not_keep_a_worker_from_its_lease() -> Result<()> {
    let world = World::start().await?;
    let upload = world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body("a\n1\n").send().await?.error_for_status()?;
    let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    for number in 0..40 {
        world.put_upload(&format!("slow-{number}")).await?;
    }
    let tls = connector(&world)?;

    let crowd = silent(&tls, world.keeper.worker_address).await?;
    let strangers = request("POST", &format!("/v1/runs/{}/lease", worker.uid), "nonsense", "application/json");
    let mut strangers = dribbling(&world, &tls, world.keeper.worker_address, DRIBBLING / 2, |_| strangers.clone()).await?;
    let (others, began) = (world.files_token(names::FILES_WRITER_ACCOUNT).await?, Instant::now());
    let path = |number: usize| format!("/v1/namespaces/{HOME}/uploads/slow-{}", number % 40);
    let people = |number: usize| request("PUT", &path(number), &others, "text/csv");
    let mut people = dribbling(&world, &tls, world.keeper.gateway_address, DRIBBLING / 2, people).await?;

    let asked = Instant::now();
    let lease = world.http.post(world.workers(&format!("runs/{}/lease", worker.uid))).bearer_auth(&token).json(&json!({"attempt": 1}));
    let lease = tokio::time::timeout(LONG, lease.send()).await.context("a lease")??;
    println!("lease: {} after {:?}, with {} silent connections opened", lease.status(), asked.elapsed(), crowd.len());
    ensure!(lease.status() == StatusCode::OK, "the lease was answered {}", lease.status());

    let left = open(&crowd);
    println!("silent connections that are held: {left} of {SILENT}");
    ensure!(left <= MOST, "{left} silent connections are held");
    // Who shows no token that the API server knows is answered before its body came; nobody waits for more.
    let (answers, waiting) = ended(&mut strangers, Duration::from_secs(20)).await;
    println!("strangers: {} answered or hung up on, {waiting} dribble on", answers.len());
    ensure!(waiting == 0 && answers.iter().flatten().all(|status| *status == 403), "{waiting} strangers dribble on: {answers:?}");
    // Of a tenant's people so many at a time; the others are told, one who dribbles is cut off.
    let (answers, waiting) = ended(&mut people, Duration::from_secs(20)).await;
    println!("people: {} answered, {waiting} dribble on", answers.len());
    ensure!(waiting <= AT_ONCE, "{waiting} bodies of one tenant dribble on");
    ensure!(answers.iter().filter(|status| **status == Some(429)).count() > DRIBBLING / 4, "{answers:?}");
    let (answers, waiting) = ended(&mut people, LONG).await;
    println!("the last bodies ended after {:?}: {answers:?}", began.elapsed());
    ensure!(waiting == 0, "{waiting} bodies dribble on after {:?}", began.elapsed());
    wait_for("the silent ones to be hung up on", LONG, async || Ok((open(&crowd) == 0).then_some(()))).await?;
    let metrics = world.keeper.metrics.render();
    println!("{}", metrics.lines().filter(|l| l.contains("refused") && !l.starts_with('#')).collect::<Vec<_>>().join("\n"));

    // The names are free again, and a good file passes.
    let good = world.http.put(world.gateway("uploads/slow-1")).bearer_auth(&others).body("a\n1\n").send().await?;
    ensure!(good.status() == StatusCode::OK, "a good file was answered {}", good.status());
    Ok(())
}
