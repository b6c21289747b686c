//! Names to addresses, asked of the DNS servers in `/etc/resolv.conf` with its search domains and `ndots`, and never of the C library:
//! the static binary has none that could be trusted with it.

use std::collections::HashMap;
use std::net::IpAddr;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::OnceCell;

use crate::error::Error;

/// Finds the addresses of a host.
#[async_trait]
pub trait Names: Send + Sync {
    /// All addresses of the host, of IPv4 and IPv6, in the order in which they are dialed. The host is a name and never an address, which
    /// the dialer reads itself.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`]: nobody knows the name, it has no address, or nobody could be asked.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error>;
}

/// The machine's own way of finding names: `/etc/hosts`, then DNS. Answers are kept as long as they say.
#[derive(Default)]
pub(crate) struct SystemNames {
    resolver: OnceCell<TokioResolver>,
}

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let system = async || {
            let (config, options) = hickory_resolver::system_conf::read_system_conf()?;
            resolver(config, options)
        };
        let failed = |error: NetError| Error::NoAddress { host: host.to_owned(), reason: reason(&error) };
        let resolver = self.resolver.get_or_try_init(system).await.map_err(failed)?;
        let found = resolver.lookup_ip(host).await.map_err(failed)?;
        Ok(found.iter().collect())
    }
}

fn resolver(config: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

fn reason(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name; check the spelling and, inside a cluster, the namespace".to_owned()
    } else if error.is_no_records_found() {
        "the name exists but has no address".to_owned()
    } else {
        error.to_string()
    }
}

/// Names that are written down, and no others: for tests.
#[derive(Clone, Debug, Default)]
pub struct FixedNames(HashMap<String, Vec<IpAddr>>);

impl FixedNames {
    /// Adds addresses to those of a host, which is found by exactly this spelling.
    pub fn with(mut self, host: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.0.entry(host.to_owned()).or_default().extend(addresses);
        self
    }
}

#[async_trait]
impl Names for FixedNames {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let unknown = || Error::NoAddress { host: host.to_owned(), reason: "it is not among the fixed names".to_owned() };
        self.0.get(host).cloned().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use tokio::net::UdpSocket;
    use tokio::sync::mpsc;

    /// A DNS server that knows one name and writes down what it is asked.
    async fn server(known: &'static str) -> (u16, mpsc::UnboundedReceiver<String>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (asked, log) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let mut message = Message::from_vec(&packet[..length]).unwrap().into_response();
                let query = message.queries[0].clone();
                let _ = asked.send(query.name().to_string());
                if query.name().to_string() != known {
                    message.metadata.response_code = ResponseCode::NXDomain;
                } else if query.query_type() == RecordType::A {
                    message.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(A::new(10, 96, 0, 7))));
                }
                socket.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        (port, log)
    }

    async fn in_cluster(port: u16) -> SystemNames {
        let text = "search acme.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n";
        let (mut config, options) = hickory_resolver::system_conf::parse_resolv_conf(text).unwrap();
        let mut servers = config.name_servers().to_vec();
        servers.iter_mut().flat_map(|server| &mut server.connections).for_each(|connection| connection.port = port);
        config = ResolverConfig::from_parts(None, config.search().to_vec(), servers);
        let names = SystemNames::default();
        names.resolver.set(resolver(config, options).unwrap()).unwrap();
        names
    }

    #[tokio::test]
    async fn search_domains_and_ndots_of_a_pod_are_honoured() {
        let (port, mut log) = server("postgres.demo.svc.cluster.local.").await;
        let found = in_cluster(port).await.addresses("postgres.demo").await.unwrap();
        assert_eq!(found, ["10.96.0.7".parse::<IpAddr>().unwrap()]);
        let mut asked = Vec::new();
        while let Ok(name) = log.try_recv() {
            asked.push(name);
        }
        asked.dedup();
        assert_eq!(asked, ["postgres.demo.acme.svc.cluster.local.", "postgres.demo.svc.cluster.local."]);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_told_with_a_hint() {
        let (port, _log) = server("other.").await;
        let error = in_cluster(port).await.addresses("postgres.demo").await.unwrap_err();
        assert!(error.to_string().starts_with("no address found for postgres.demo: there is no such name"), "{error}");
    }
}
