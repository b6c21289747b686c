//! HTTPS clients: the dialer's names, policy and trust under reqwest, which adds nothing of its own: no redirects, no proxies from the
//! environment, no retries. The proxy of the installation is the dialer's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, RequestBuilder, Url};
use rustls::ClientConfig;

use crate::dial::{CONNECT_TIMEOUT, Dialer};
use crate::error::Error;
use crate::proxy::Tunnel;
use crate::trust::{Trust, client_config};

/// A connection that lay idle longer may have been closed at the other end without our knowing.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// What an HTTPS client is for.
#[derive(Clone, Copy, Debug)]
pub struct HttpsOptions<'a> {
    /// Whose signature under the server's certificate counts.
    pub trust: Trust<'a>,
}

/// What becomes of a body that the server says is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bodies {
    /// Asked for, and unpacked.
    Unpacked,
    /// Nobody asks for one; what comes is what is kept there.
    AsTheyAre,
}

/// Makes requests whose host and port were judged before anything is dialed. Clones share connections.
#[derive(Clone)]
pub struct Https(Arc<Shared>);

struct Shared {
    dialer: Dialer,
    tls: ClientConfig,
    bodies: Bodies,
    /// One client a host and port: a resolver is not told the port, and an address in a URL never comes to it.
    clients: Mutex<HashMap<(String, u16), reqwest::Client>>,
}

impl Dialer {
    /// A client that talks https only, over HTTP/1.1: a lost connection then loses one request and no other, and a large upload does
    /// not share a window. It sets no time limit for a whole exchange: callers do, because only they know a poll from a large upload.
    ///
    /// # Errors
    ///
    /// The authorities cannot be used: the PEM bundle is none, or nobody is trusted.
    pub fn https(&self, options: HttpsOptions<'_>) -> Result<Https, Error> {
        self.https_with(options, Bodies::Unpacked)
    }

    pub(crate) fn https_with(&self, options: HttpsOptions<'_>, bodies: Bodies) -> Result<Https, Error> {
        let tls = client_config(options.trust.verifier()?)?;
        Ok(Https(Arc::new(Shared { dialer: self.clone(), tls, bodies, clients: Mutex::default() })))
    }
}

impl Https {
    /// A request to be sent, unless its address is one that must not be dialed.
    ///
    /// # Errors
    ///
    /// The URL is no `https` one of a host ([`Error::NotHttps`]), the host is an address that the policy does not allow, or the HTTP client
    /// cannot be built. A name is looked up and judged only when the request is sent: `reqwest`'s error then hides ours, and
    /// [`diagnose`](crate::diagnose) finds it.
    pub fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Error> {
        let host = url.host_str().filter(|_| url.scheme() == "https");
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
            return Err(Error::NotHttps { url: format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()) });
        };
        let tunnel = self.0.dialer.tunnel(host, port)?;
        Ok(self.client(host, port, tunnel)?.request(method, url))
    }

    fn client(&self, host: &str, port: u16, tunnel: Option<Tunnel>) -> Result<reqwest::Client, Error> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = (host.to_owned(), port);
        if let Some(client) = clients.get(&origin) {
            return Ok(client.clone());
        }
        let client = self.build(port, tunnel).map_err(Error::Http)?;
        clients.insert(origin, client.clone());
        Ok(client)
    }

    fn build(&self, port: u16, tunnel: Option<Tunnel>) -> reqwest::Result<reqwest::Client> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.0.tls.clone())
            .https_only(true)
            .http1_only()
            .gzip(self.0.bodies == Bodies::Unpacked)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(MAX_IDLE)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("dataimporter/", env!("CARGO_PKG_VERSION")));
        let client = match tunnel {
            Some(tunnel) => client.proxy(tunnel.of_client()?).dns_resolver(tunnel.resolver()).connector_layer(tunnel),
            None => {
                let names = CheckedNames { dialer: self.0.dialer.clone(), port };
                client.dns_resolver(Arc::new(names)).connect_timeout(CONNECT_TIMEOUT)
            }
        };
        client.build()
    }
}

/// Resolves for the HTTP client, which then dials exactly these addresses.
struct CheckedNames {
    dialer: Dialer,
    port: u16,
}

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let (dialer, port) = (self.dialer.clone(), self.port);
        Box::pin(async move {
            let addresses = dialer.addresses(name.as_str(), port).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(move |address| SocketAddr::new(address, port)));
            Ok(addresses)
        })
    }
}
