//! Which way a target is dialed, decided by its name and port alone: the proxy finds the addresses of what goes through it, so what can be
//! judged is the name, an address written as such, and the port.

use std::net::IpAddr;

use url::Host;

use super::{Proxy, authority};
use crate::error::Error;
use crate::policy::AddressPolicy;

/// Names that mean something in a cluster or on a machine and nowhere else.
const AT_HOME: [&str; 4] = [".svc", ".cluster.local", ".local", ".localhost"];

/// How a target is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// Dialed by ourselves, at addresses that we find and judge.
    Direct,
    /// Through the proxy, which is asked for this host: a name, or a public address without brackets.
    Proxied { host: String },
}

/// What a person wrote as a host, as the proxy would read it, too: `127.1` and `0x7f000001` are addresses to whoever resolves names.
enum Place {
    Address(IpAddr),
    Name(String),
}

fn place(host: &str) -> Option<Place> {
    // Bytes in disguise (`%2e`) are none of a name.
    if host.contains('%') {
        return None;
    }
    if let Some(address) = crate::dial::literal(host) {
        return Some(Place::Address(address));
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match Host::parse(&name).ok()? {
        Host::Ipv4(address) => Some(Place::Address(address.into())),
        Host::Ipv6(address) => Some(Place::Address(address.into())),
        Host::Domain(read) => Some(Place::Name(read)),
    }
}

fn is_at_home(name: &str) -> bool {
    !name.contains('.') || AT_HOME.iter().any(|suffix| name.ends_with(suffix))
}

impl Proxy {
    /// The way to a target under a policy. What the Region lists as a private endpoint by its name or address, what is written as a name of
    /// the cluster and what `noProxy` names goes directly, and never through the proxy.
    ///
    /// # Errors
    ///
    /// The address is one that must not be dialed ([`Error::AddressRefused`]), the port is not the one for public addresses
    /// ([`Error::PortRefused`], [`Error::ProxiedPortRefused`]), or the host is none ([`Error::HostRefused`]).
    pub(crate) fn way(&self, policy: &AddressPolicy, host: &str, port: u16) -> Result<Way, Error> {
        let refused = || Error::HostRefused { host: host.to_owned() };
        match place(host).ok_or_else(refused)? {
            Place::Address(address) => {
                let written = address.to_canonical().to_string();
                if policy.opens(host, address, port) || self.0.exempt.contains(&written, port) {
                    return Ok(Way::Direct);
                }
                policy.check(host, address, port)?;
                Ok(Way::Proxied { host: written })
            }
            Place::Name(name) => {
                if policy.opens_host(&name, port) || is_at_home(&name) || self.0.exempt.contains(&name, port) {
                    return Ok(Way::Direct);
                }
                match policy.public_port() {
                    Some(public) if public != port => Err(Error::ProxiedPortRefused { target: authority(host, port), port, public }),
                    _ => Ok(Way::Proxied { host: name }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProxyParams;
    use super::*;

    fn way(no_proxy: &[&str], policy: &AddressPolicy, host: &str, port: u16) -> Result<Way, Error> {
        let no_proxy = no_proxy.iter().map(|entry| (*entry).to_owned()).collect();
        let proxy = Proxy::new(&ProxyParams { url: "http://proxy.corp:3128".into(), no_proxy, login: None }).unwrap();
        proxy.way(policy, host, port)
    }

    fn proxied(host: &str) -> Way {
        Way::Proxied { host: host.into() }
    }

    #[test]
    fn a_public_host_goes_through_the_proxy_on_its_port_and_on_no_other() {
        let policy = AddressPolicy::public_on(443);
        for (host, asked) in [
            ("acme.my.salesforce.com", "acme.my.salesforce.com"),
            ("ACME.my.salesforce.com.", "acme.my.salesforce.com"),
            ("13.108.0.1", "13.108.0.1"),
            ("[2606:4700::1]", "2606:4700::1"),
            ("::ffff:13.108.0.1", "13.108.0.1"),
        ] {
            assert_eq!(way(&[], &policy, host, 443).unwrap(), proxied(asked));
        }
        let error = way(&[], &policy, "acme.my.salesforce.com", 22).unwrap_err();
        assert_eq!(error.reason(), "PortRefused");
        assert!(error.to_string().contains("egress.proxy.noProxy") && error.to_string().contains("privateEndpoints"), "{error}");
        assert_eq!(way(&[], &policy, "13.108.0.1", 22).unwrap_err().reason(), "PortRefused");
    }

    #[test]
    fn an_address_that_is_not_public_never_reaches_the_proxy_however_it_is_written() {
        let policy = AddressPolicy::public_on(443);
        for host in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a01:203",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "10.1",
        ] {
            assert_eq!(way(&[], &policy, host, 443).unwrap_err().reason(), "AddressRefused", "{host}");
        }
        for host in [
            "",
            "a b.example",
            "a\r\nHost: x.example",
            "169%2e254.169.254",
            "a%2eexample.com",
            "user@db.example",
            "db.example/x",
            "db.example:443",
            "1.2.3.4.5",
        ] {
            assert!(matches!(way(&[], &policy, host, 443), Err(Error::HostRefused { .. })), "{host:?}");
        }
    }

    #[test]
    fn what_the_region_lists_goes_directly() {
        let policy = AddressPolicy::public_on(5432).open_service("demo", "postgres", &[5432]).open_network("10.1.2.0/24", &[5432]).unwrap();
        for host in ["postgres.demo", "postgres.demo.svc", "Postgres.demo.svc.cluster.local", "10.1.2.3", "::ffff:10.1.2.3"] {
            assert_eq!(way(&[], &policy, host, 5432).unwrap(), Way::Direct, "{host}");
        }
    }

    #[test]
    fn a_name_of_the_cluster_is_no_name_for_the_proxy() {
        let policy = AddressPolicy::public_on(443);
        for host in ["localhost", "kubernetes", "db.demo.svc", "db.demo.svc.cluster.local", "printer.local", "x.localhost"] {
            assert_eq!(way(&[], &policy, host, 443).unwrap(), Way::Direct, "{host}");
        }
        assert_eq!(way(&[], &policy, "svc.example", 443).unwrap(), proxied("svc.example"));
    }

    #[test]
    fn what_no_proxy_names_goes_directly_on_the_port_that_it_names() {
        let policy = AddressPolicy::public_on(443);
        assert_eq!(way(&[".corp.example"], &policy, "store.corp.example", 443).unwrap(), Way::Direct);
        assert_eq!(way(&["store.corp.example:8443"], &policy, "store.corp.example", 443).unwrap(), proxied("store.corp.example"));
        assert_eq!(way(&["10.0.0.0/8"], &policy, "10.1.2.3", 443).unwrap(), Way::Direct);
        assert_eq!(way(&["*"], &policy, "acme.my.salesforce.com", 443).unwrap(), Way::Direct);
    }

    #[test]
    fn a_person_who_reaches_everything_reaches_it_through_the_proxy() {
        assert_eq!(way(&[], &AddressPolicy::unrestricted(), "127.0.0.1", 8443).unwrap(), proxied("127.0.0.1"));
        assert_eq!(way(&[], &AddressPolicy::unrestricted(), "db.example", 6432).unwrap(), proxied("db.example"));
    }
}
