//! The dialer: names, policy and TCP in one place, so that nothing is dialed that was not checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::error::Error;
use crate::names::{Names, SystemNames};
use crate::policy::AddressPolicy;
use crate::proxy::{Proxy, Tunnel, Way};

/// How long one address may take to answer.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// So many addresses of a name are tried: a name with thousands must not make us a scanner.
const MOST_ADDRESSES: usize = 8;

/// Opens connections. Clones share the cache of names.
#[derive(Clone)]
pub struct Dialer {
    policy: AddressPolicy,
    names: Arc<dyn Names>,
    proxy: Option<Proxy>,
}

impl Dialer {
    /// Finds names the machine's way.
    pub fn new(policy: AddressPolicy) -> Self {
        Self::with_names(policy, Arc::new(SystemNames::default()))
    }

    /// Finds names another way: [`FixedNames`](crate::FixedNames) in tests, which need no DNS.
    pub fn with_names(policy: AddressPolicy, names: Arc<dyn Names>) -> Self {
        Self { policy, names, proxy: None }
    }

    /// The same names under another policy: one tenant's next to another's.
    pub fn with_policy(&self, policy: AddressPolicy) -> Self {
        Self { policy, names: Arc::clone(&self.names), proxy: self.proxy.clone() }
    }

    /// Reaches public hosts through this proxy, and directly only what the policy lists.
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// The way through the proxy, if the target is reached by one. Of a target that is not, an address written as such must be one that may
    /// be dialed; what a name leads to is found out later.
    pub(crate) fn tunnel(&self, host: &str, port: u16) -> Result<Option<Tunnel>, Error> {
        if let Some(proxy) = &self.proxy
            && let Way::Proxied { host } = proxy.way(&self.policy, host, port)?
        {
            let (proxy, policy, names) = (proxy.clone(), self.policy.clone(), Arc::clone(&self.names));
            return Ok(Some(Tunnel { proxy, policy, names, host, port }));
        }
        literal(host).map_or(Ok(()), |address| self.check(host, address, port))?;
        Ok(None)
    }

    fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Error> {
        match self.proxy {
            Some(_) => self.policy.check_past_proxy(host, address, port),
            None => self.policy.check(host, address, port),
        }
    }

    /// The addresses of a host that may be dialed on a port, all of them checked before any is dialed: one that is not allowed spoils the
    /// name, because a name server that mixes it in among good ones means no good.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<IpAddr>, Error> {
        let mut addresses = match literal(host) {
            Some(address) => vec![address],
            None => self.names.addresses(host).await?,
        };
        if addresses.is_empty() {
            return Err(Error::NoAddress { host: host.to_owned(), reason: "the name exists but has no address".to_owned() });
        }
        for &address in &addresses {
            self.check(host, address, port)?;
        }
        addresses.truncate(MOST_ADDRESSES);
        Ok(addresses)
    }

    /// Opens a TCP connection to the first address that answers, or one through the proxy.
    pub(crate) async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        if let Some(tunnel) = self.tunnel(host, port)? {
            tunnel.check().await?;
            return tunnel.open().await;
        }
        first(host, self.addresses(host, port).await?, port).await
    }
}

/// A TCP connection to the first address that answers.
pub(crate) async fn first(host: &str, addresses: Vec<IpAddr>, port: u16) -> Result<TcpStream, Error> {
    let target = || format!("{host}:{port}");
    let mut last = Error::TimedOut { target: target(), after: CONNECT_TIMEOUT };
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, open(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = Error::Unreachable { target: target(), source },
            Err(_) => last = Error::TimedOut { target: target(), after: CONNECT_TIMEOUT },
        }
    }
    Err(last)
}

/// Keepalive, so that a peer that vanished in the middle of a long read is noticed at all.
async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// An address written as such, with or without the brackets of a URL.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::FixedNames;

    fn dialer(addresses: &[&str]) -> Dialer {
        let names = FixedNames::default().with("db.example", addresses.iter().map(|a| a.parse().unwrap()));
        Dialer::with_names(AddressPolicy::public_on(443), Arc::new(names))
    }

    #[tokio::test]
    async fn one_forbidden_address_among_good_ones_spoils_the_name() {
        assert_eq!(dialer(&["13.108.0.1"]).addresses("db.example", 443).await.unwrap().len(), 1);
        let mixed = dialer(&["13.108.0.1", "169.254.169.254"]).addresses("db.example", 443).await;
        assert!(matches!(mixed, Err(Error::AddressRefused { address, .. }) if address.to_string() == "169.254.169.254"));
    }

    #[tokio::test]
    async fn an_address_in_place_of_a_name_is_checked_all_the_same() {
        for host in ["127.0.0.1", "::1", "[::1]", "10.0.0.1"] {
            assert!(matches!(dialer(&[]).addresses(host, 443).await, Err(Error::AddressRefused { .. })), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_with_many_addresses_is_not_dialed_at_all_of_them() {
        let many: Vec<String> = (1..200).map(|last| format!("13.108.0.{last}")).collect();
        let found = dialer(&many.iter().map(String::as_str).collect::<Vec<_>>()).addresses("db.example", 443).await.unwrap();
        assert_eq!(found.len(), MOST_ADDRESSES);
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_names_its_target() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = Dialer::new(AddressPolicy::unrestricted()).tcp("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.to_string(), format!("127.0.0.1:{port} cannot be reached"));
        assert!(error.is_transient());
    }
}
