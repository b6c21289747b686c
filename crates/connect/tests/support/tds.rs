//! A server of TDS that says what it is told to say: behind TLS inside of TDS, or behind TLS that came first. Microsoft's own cannot be had here.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use connect::SqlServerParams;
use rcgen::{Certificate, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) const PASSWORD: &str = "correct horse";

/// What a server is like.
#[derive(Clone)]
pub(crate) struct Manner {
    /// TLS comes first.
    pub(crate) strict: bool,
    /// What its first answer says of encryption: 1 is on, 2 is that there is none.
    pub(crate) encryption: u8,
    /// What follows upon the login.
    pub(crate) login: Vec<u8>,
    /// What follows upon each statement, the last one for ever. Pieces are sent one by one.
    pub(crate) answers: Vec<Vec<u8>>,
    /// Once all is answered, this is sent again and again.
    pub(crate) endless: Vec<u8>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { strict: false, encryption: 1, login: let_in(), answers: vec![done()], endless: Vec::new() }
    }
}

/// Serves until the test ends.
pub(crate) struct Server {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub(crate) async fn start(certificate: &Certificate, key: &KeyPair, manner: Manner) -> Self {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate");
        if manner.strict {
            config.alpn_protocols = vec![b"tds/8.0".to_vec()];
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up is not this server's business.
                tokio::spawn(serve(stream, acceptor.clone(), manner.clone(), ears.clone()));
            }
        });
        Self { port, heard }
    }

    /// All that came, without its encryption.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("what was heard").clone()
    }

    pub(crate) fn params(&self, ca: &str) -> SqlServerParams {
        SqlServerParams {
            host: "127.0.0.1".into(),
            port: self.port,
            database: "warehouse".into(),
            user: "reader".into(),
            ca_bundle: Some(ca.to_owned()),
            server_name: None,
            strict_encryption: false,
        }
    }
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, manner: Manner, ears: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    if manner.strict {
        let mut stream = acceptor.accept(stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"tds/8.0"[..]));
        message(&mut stream, &ears).await?;
        stream.write_all(&packets(4, &greeting(2))).await?;
        return talk(stream, manner, ears).await;
    }
    message(&mut stream, &ears).await?;
    stream.write_all(&packets(4, &greeting(manner.encryption))).await?;
    if manner.encryption != 1 {
        return talk(stream, manner, ears).await;
    }
    let mut stream = acceptor.accept(Packed { stream, packs: true, said: Vec::new(), left: 0, head: Vec::new() }).await?;
    stream.get_mut().0.packs = false;
    talk(stream, manner, ears).await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, manner: Manner, ears: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    message(&mut stream, &ears).await?;
    stream.write_all(&packets(4, &manner.login)).await?;
    stream.flush().await?;
    for turn in 0.. {
        message(&mut stream, &ears).await?;
        let answer = &manner.answers[turn.min(manner.answers.len() - 1)];
        let last = turn + 1 >= manner.answers.len();
        if last && !manner.endless.is_empty() {
            stream.write_all(&begun(answer)).await?;
            loop {
                stream.write_all(&begun(&manner.endless)).await?;
            }
        }
        stream.write_all(&packets(4, answer)).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// The next message of the client.
async fn message<S: AsyncRead + Unpin>(stream: &mut S, ears: &Mutex<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]])) - 8];
        stream.read_exact(&mut body).await?;
        ears.lock().expect("what is heard").extend_from_slice(&body);
        if head[1] & 1 == 1 {
            return Ok(());
        }
    }
}

/// A message in packets.
pub(crate) fn packets(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packets = begun_as(kind, body);
    // The last packet says that it is.
    let mut at = 0;
    loop {
        let next = at + usize::from(u16::from_be_bytes([packets[at + 2], packets[at + 3]]));
        if next == packets.len() {
            packets[at + 1] = 1;
            return packets;
        }
        at = next;
    }
}

/// The same without an end.
fn begun(body: &[u8]) -> Vec<u8> {
    begun_as(4, body)
}

fn begun_as(kind: u8, body: &[u8]) -> Vec<u8> {
    body.chunks(4088)
        .flat_map(|part| {
            let [high, low] = (part.len() as u16 + 8).to_be_bytes();
            [&[kind, 0, high, low, 0, 0, 1, 0][..], part].concat()
        })
        .collect()
}

/// PRELOGIN: version 16.0.4131, and what it says of encryption.
fn greeting(encryption: u8) -> Vec<u8> {
    [&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF][..], &[16, 0, 0x10, 0x23, 0, 0], &[encryption]].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn b_varchar(text: &str) -> Vec<u8> {
    [&[text.encode_utf16().count() as u8][..], &utf16(text)].concat()
}

fn token(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u16).to_le_bytes(), body].concat()
}

/// LOGINACK, of TDS 7.4.
pub(crate) fn let_in() -> Vec<u8> {
    let body = [&[1, 0x74, 0, 0, 4][..], &b_varchar("Microsoft SQL Server"), &[16, 0, 0x10, 0x23]].concat();
    [token(0xAD, &body), done()].concat()
}

/// DONE, the last one.
pub(crate) fn done() -> Vec<u8> {
    [&[0xFD, 0, 0, 0, 0][..], &[0; 8]].concat()
}

/// DONE, and more comes.
pub(crate) fn done_and_more() -> Vec<u8> {
    [&[0xFD, 1, 0, 0, 0][..], &[0; 8]].concat()
}

/// An error, and the end.
pub(crate) fn error(number: u32, words: &str) -> Vec<u8> {
    [said(0xAA, number, words), [&[0xFD, 2, 0, 0, 0][..], &[0; 8]].concat()].concat()
}

/// What a server says besides.
pub(crate) fn information(words: &str) -> Vec<u8> {
    said(0xAB, 5_701, words)
}

fn said(kind: u8, number: u32, words: &str) -> Vec<u8> {
    let length = (words.encode_utf16().count() as u16).to_le_bytes();
    let body =
        [&number.to_le_bytes()[..], &[1, 16], &length, &utf16(words), &b_varchar("db"), &b_varchar(""), &1_u32.to_le_bytes()].concat();
    token(kind, &body)
}

/// Lets in, and has the login go to another server.
pub(crate) fn sent_on(host: &str, port: u16) -> Vec<u8> {
    let name = utf16(host);
    let route = [&[0][..], &port.to_le_bytes(), &(host.encode_utf16().count() as u16).to_le_bytes(), &name].concat();
    let body = [&[20][..], &(route.len() as u16).to_le_bytes(), &route, &[0, 0]].concat();
    [token(0xE3, &body), let_in()].concat()
}

/// COLMETADATA: names with the bytes of their types.
pub(crate) fn columns(columns: &[(&str, &[u8])]) -> Vec<u8> {
    let each = columns.iter().flat_map(|(name, kind)| [&[0, 0, 0, 0, 1, 0][..], kind, &b_varchar(name)].concat());
    [&[0x81][..], &(columns.len() as u16).to_le_bytes(), &each.collect::<Vec<_>>()].concat()
}

/// ROW: the bytes of its values.
pub(crate) fn row(values: &[&[u8]]) -> Vec<u8> {
    [&[0xD1][..], &values.concat()].concat()
}

/// `int` that may be NULL.
pub(crate) const INT: &[u8] = &[0x26, 4];
/// `nvarchar(4000)` of the usual collation.
pub(crate) const NVARCHAR: &[u8] = &[0xE7, 0x40, 0x1F, 0x09, 0x04, 0xD0, 0, 0x34];
/// `nvarchar(max)`.
pub(crate) const NVARCHAR_MAX: &[u8] = &[0xE7, 0xFF, 0xFF, 0x09, 0x04, 0xD0, 0, 0x34];

pub(crate) fn int(number: i32) -> Vec<u8> {
    [&[4][..], &number.to_le_bytes()].concat()
}

pub(crate) fn nvarchar(text: &str) -> Vec<u8> {
    let text = utf16(text);
    [&(text.len() as u16).to_le_bytes()[..], &text].concat()
}

/// TLS inside of TDS, from the server's side.
struct Packed {
    stream: TcpStream,
    packs: bool,
    said: Vec<u8>,
    left: usize,
    head: Vec<u8>,
}

impl AsyncRead for Packed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.packs {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        while this.left == 0 {
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut one))?;
            if one.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.head.push(byte[0]);
            if this.head.len() == 8 {
                assert_eq!(this.head[0], 0x12, "the handshake is packed");
                this.left = usize::from(u16::from_be_bytes([this.head[2], this.head[3]])) - 8;
                this.head.clear();
            }
        }
        let room = this.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Packed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.packs {
            self.said.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.said.is_empty() {
            // A flight is short, and there is room for it.
            let packets = packets(0x12, &this.said);
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &packets))?;
            assert_eq!(written, packets.len());
            this.said.clear();
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
