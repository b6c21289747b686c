//! A way through the proxy: CONNECT, and then bytes to and from the target as if it had been dialed.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{Proxy, ProxyRefusal, authority};
use crate::address::AddressKind;
use crate::dial::{self, CONNECT_TIMEOUT};
use crate::error::Error;
use crate::names::Names;
use crate::policy::AddressPolicy;

/// So long may the head of its answer be.
const HEAD_BYTES: usize = 8 << 10;

/// And have so many headers.
const MOST_HEADERS: usize = 64;

/// How long our own name servers may take for a name that the proxy resolves: many installations behind one have none that knows it.
const OWN_NAMES: Duration = Duration::from_secs(2);

/// The way to one target.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub(crate) proxy: Proxy,
    pub(crate) policy: AddressPolicy,
    pub(crate) names: Arc<dyn Names>,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Tunnel {
    /// What our own name servers say of the name, if they know it. The proxy asks others, which may answer otherwise; but a name that leads to
    /// an address of one's own here is not handed to somebody who may reach that address.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        if dial::literal(&self.host).is_some() {
            return Ok(());
        }
        let Ok(Ok(addresses)) = tokio::time::timeout(OWN_NAMES, self.names.addresses(&self.host)).await else { return Ok(()) };
        addresses.into_iter().try_for_each(|address| self.check_address(address))
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Error> {
        let target = authority(&self.host, self.port);
        if AddressKind::of(address) != AddressKind::Public && self.policy.opens(&self.host, address, self.port) {
            return Err(Error::ListedBehindProxy { target, address });
        }
        self.policy.check(&self.host, address, self.port)
    }

    /// Asks the proxy for it.
    pub(crate) async fn open(&self) -> Result<TcpStream, Error> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        opened.unwrap_or(Err(ProxyRefusal::TimedOut { after: CONNECT_TIMEOUT })).map_err(|refusal| self.refused(refusal))
    }

    pub(crate) fn refused(&self, refusal: ProxyRefusal) -> Error {
        Error::ProxyRefused { target: authority(&self.host, self.port), proxy: self.proxy.to_string(), refusal }
    }

    async fn connect(&self) -> Result<TcpStream, ProxyRefusal> {
        let mut stream = self.dial().await?;
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => ProxyRefusal::Closed,
            _ => ProxyRefusal::Unreachable { why: error.to_string() },
        };
        stream.write_all(self.request().as_bytes()).await.map_err(broken)?;
        match answer(&mut stream).await.map_err(broken)?? {
            200..=299 => Ok(stream),
            status => Err(ProxyRefusal::of(status, self.proxy.0.login.is_some())),
        }
    }

    /// Where the proxy is says whoever installs: its address is as good as that of the API server.
    async fn dial(&self) -> Result<TcpStream, ProxyRefusal> {
        let (host, port) = (self.proxy.0.host.as_str(), self.proxy.0.port);
        let unreachable = |error: &Error| ProxyRefusal::Unreachable { why: crate::error::explain(error) };
        let addresses = match dial::literal(host) {
            Some(address) => vec![address],
            None => self.names.addresses(host).await.map_err(|error| unreachable(&error))?,
        };
        dial::first(host, addresses, port).await.map_err(|error| unreachable(&error))
    }

    fn request(&self) -> Zeroizing<String> {
        let target = authority(&self.host, self.port);
        let login = self
            .proxy
            .0
            .login
            .as_ref()
            .map_or_else(Zeroizing::default, |login| Zeroizing::new(format!("Proxy-Authorization: {}\r\n", login.expose_secret())));
        Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", login.as_str()))
    }
}

/// The status of the proxy's answer. Of the stream no byte behind the answer's head is taken: some servers greet first, and their greeting may
/// come along with it.
async fn answer(stream: &mut TcpStream) -> io::Result<Result<u16, ProxyRefusal>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let (before, seen) = (head.len(), stream.peek(&mut piece).await?);
        if seen == 0 {
            return Ok(Err(ProxyRefusal::Closed));
        }
        head.extend_from_slice(&piece[..seen]);
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut response = Response::new(&mut headers);
        let parsed = response.parse(&head);
        let taken = match parsed {
            Ok(Status::Complete(length)) => length - before,
            _ => seen,
        };
        stream.read_exact(&mut piece[..taken]).await?;
        match (parsed, response.code) {
            (Ok(Status::Complete(_)), Some(status)) => return Ok(Ok(status)),
            (Ok(Status::Partial), _) if head.len() < HEAD_BYTES => {}
            (Ok(_), _) => return Ok(Err(ProxyRefusal::NoProxy { what: "its head does not end" })),
            (Err(httparse::Error::TooManyHeaders), _) => {
                return Ok(Err(ProxyRefusal::NoProxy { what: "it has more headers than anybody needs" }));
            }
            (Err(_), _) => return Ok(Err(ProxyRefusal::NoProxy { what: "it does not begin as one of HTTP" })),
        }
    }
}
