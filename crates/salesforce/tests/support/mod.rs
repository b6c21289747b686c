//! A server that plays a script: one step a request, and a request too many fails the test.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use connect::{AddressPolicy, Dialer, Https, HttpsOptions, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The authority of every server here, and how they speak TLS.
static TLS: LazyLock<(String, Arc<ServerConfig>)> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    (authority.pem(), Arc::new(config))
});

/// A client that trusts these servers.
pub(crate) fn http() -> Https {
    let policy = AddressPolicy::closed().open_network("127.0.0.1/32", &[]).unwrap();
    Dialer::new(policy).https(HttpsOptions { trust: Trust::Only(&TLS.0) }).unwrap()
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The whole request is read and answered.
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: String },
    /// The whole request is read, then the connection closes without a word: was it carried out?
    Vanish,
    /// The answer's head promises more than comes.
    BreakOff(String),
    /// A successful answer whose body is this, as often as the client takes it, up to 256 MiB.
    Endless { headers: &'static str, part: Vec<u8> },
}

pub(crate) fn answer(status: u16, body: impl Into<String>) -> Step {
    Step::Answer { status, headers: Vec::new(), body: body.into() }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET /services/data`
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

pub(crate) struct Script {
    pub(crate) port: u16,
    steps: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    pub(crate) async fn play(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Self {
            port: listener.local_addr().unwrap().port(),
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            seen: Arc::default(),
        };
        let (steps, seen) = (Arc::clone(&script.steps), Arc::clone(&script.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (steps, seen) = (Arc::clone(&steps), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = TlsAcceptor::from(TLS.1.clone()).accept(stream).await {
                        serve(stream, steps, seen).await;
                    }
                });
            }
        });
        script
    }

    /// Checks that the script was played to its end and no further, and tells the requests.
    pub(crate) fn finish(self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap().clone();
        let left = self.steps.lock().unwrap().len();
        assert_eq!(left, 0, "steps nobody asked for; requests: {:?}", seen.iter().map(|s| &s.line).collect::<Vec<_>>());
        let beyond = seen.iter().find(|request| request.line.starts_with("UNEXPECTED"));
        assert!(beyond.is_none(), "a request beyond the script: {beyond:?}");
        seen
    }
}

async fn serve(stream: TlsStream<TcpStream>, steps: Arc<Mutex<VecDeque<Step>>>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_request(&mut stream).await {
        let step = steps.lock().unwrap().pop_front();
        if step.is_none() {
            request.line = format!("UNEXPECTED {}", request.line);
        }
        seen.lock().unwrap().push(request);
        match step {
            Some(Step::Answer { status, headers, body }) => {
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            Some(Step::BreakOff(body)) => {
                let text = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}", body.len() + 100);
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                return;
            }
            Some(Step::Endless { headers, part }) => {
                stream.write_all(format!("HTTP/1.1 200 X\r\n{headers}\r\n").as_bytes()).await.unwrap();
                for _ in 0..(256 << 20) / part.len() {
                    if stream.write_all(&part).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Some(Step::Vanish) | None => return,
        }
    }
}

async fn read_request(stream: &mut BufReader<TlsStream<TcpStream>>) -> Option<Seen> {
    let first = read_line(stream).await?;
    let line = first.rsplit_once(' ').map_or(first.as_str(), |(line, _)| line).to_owned();
    let (mut authorization, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let header = read_line(stream).await?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = value == "chunked",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    while chunked {
        let size = usize::from_str_radix(&read_line(stream).await?, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await.ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some(Seen { line, authorization, body: String::from_utf8(body).unwrap() })
}

async fn read_line(stream: &mut BufReader<TlsStream<TcpStream>>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
