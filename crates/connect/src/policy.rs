//! Which addresses may be dialed.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::AddressKind;
use crate::error::Error;

/// Public addresses on one port, and what somebody with the right to has listed besides.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    /// `None`: everything goes.
    reach: Option<Arc<Reach>>,
}

#[derive(Clone, Debug, Default)]
struct Reach {
    /// The port that public addresses are dialed on, if they are at all.
    public: Option<u16>,
    openings: Vec<Opening>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Opening {
    target: Destination,
    /// Empty: every port.
    ports: Vec<u16>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Destination {
    Network(IpNet),
    Host(String),
}

/// The text is not a network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a network: write it like 10.1.2.0/24 or 10.1.2.3/32")]
pub struct NotANetwork(String);

impl AddressPolicy {
    /// Public addresses, on this port only.
    pub fn public_on(port: u16) -> Self {
        Self { reach: Some(Arc::new(Reach { public: Some(port), openings: Vec::new() })) }
    }

    /// Nothing but what is opened.
    pub fn closed() -> Self {
        Self { reach: Some(Arc::default()) }
    }

    /// Everything: for a person's own machine, where that person already reaches what it reaches.
    pub fn unrestricted() -> Self {
        Self { reach: None }
    }

    /// Also allows a network, whatever kind it is. No ports mean every port.
    ///
    /// # Errors
    ///
    /// The text is neither a network in CIDR notation (`10.1.2.0/24`) nor a single address.
    pub fn open_network(self, cidr: &str, ports: &[u16]) -> Result<Self, NotANetwork> {
        let network =
            cidr.parse::<IpNet>().or_else(|_| cidr.parse::<IpAddr>().map(IpNet::from)).map_err(|_| NotANetwork(cidr.to_owned()))?;
        Ok(self.open(Destination::Network(network.trunc()), ports))
    }

    /// Also allows the public and private addresses of a host by that very name. Never loopback or link-local ones: a name says nothing
    /// about where it points tomorrow. No ports mean every port.
    pub fn open_host(self, host: &str, ports: &[u16]) -> Self {
        self.open(Destination::Host(folded(host)), ports)
    }

    /// Also allows a Service of this cluster, under each of the names it is usually called by.
    pub fn open_service(self, namespace: &str, name: &str, ports: &[u16]) -> Self {
        ["", ".svc", ".svc.cluster.local"]
            .into_iter()
            .fold(self, |policy, suffix| policy.open_host(&format!("{name}.{namespace}{suffix}"), ports))
    }

    /// Whether somebody has listed this address with this port, or a host of this name that may be at it.
    pub(crate) fn opens(&self, host: &str, address: IpAddr, port: u16) -> bool {
        let kind = AddressKind::of(address);
        self.openings().any(|opening| opening.allows(host, address, kind, port))
    }

    /// Whether somebody has listed a host of this name with this port.
    pub(crate) fn opens_host(&self, host: &str, port: u16) -> bool {
        self.openings().any(|opening| opening.has(port) && matches!(&opening.target, Destination::Host(listed) if *listed == folded(host)))
    }

    fn openings(&self) -> impl Iterator<Item = &Opening> {
        self.reach.iter().flat_map(|reach| &reach.openings)
    }

    /// The one port of public addresses, unless every port is open.
    pub(crate) fn public_port(&self) -> Option<u16> {
        self.reach.as_ref().and_then(|reach| reach.public)
    }

    /// [`check`](Self::check) where public addresses are a proxy's to dial: only those go directly that somebody has listed.
    pub(crate) fn check_past_proxy(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Error> {
        if self.reach.is_some() && AddressKind::of(address) == AddressKind::Public && !self.opens(host, address, port) {
            return Err(Error::PastProxy { target: format!("{host}:{port}"), address, port });
        }
        self.check(host, address, port)
    }

    fn open(mut self, target: Destination, ports: &[u16]) -> Self {
        if let Some(reach) = &mut self.reach {
            Arc::make_mut(reach).openings.push(Opening { target, ports: ports.to_vec() });
        }
        self
    }

    /// Whether `host`, which is at `address`, may be dialed on `port`.
    ///
    /// # Errors
    ///
    /// [`Error::PortRefused`]: the address is public and the port another than that for public addresses. [`Error::AddressRefused`]:
    /// nothing allows the address. Both say what to list where.
    pub fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Error> {
        let Some(reach) = &self.reach else { return Ok(()) };
        if self.opens(host, address, port) {
            return Ok(());
        }
        let target = format!("{host}:{port}");
        let kind = AddressKind::of(address);
        match (kind, reach.public) {
            (AddressKind::Public, Some(public)) if public == port => Ok(()),
            (AddressKind::Public, Some(public)) => Err(Error::PortRefused { target, address, port, public }),
            _ => Err(Error::AddressRefused { target, address, kind, port }),
        }
    }
}

impl Opening {
    fn allows(&self, host: &str, address: IpAddr, kind: AddressKind, port: u16) -> bool {
        let target_fits = match &self.target {
            Destination::Network(network) => network.contains(&address.to_canonical()),
            Destination::Host(listed) => matches!(kind, AddressKind::Private | AddressKind::Public) && *listed == folded(host),
        };
        self.has(port) && target_fits
    }

    fn has(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }
}

fn folded(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &AddressPolicy, host: &str, address: &str, port: u16) -> bool {
        policy.check(host, address.parse().unwrap(), port).is_ok()
    }

    #[test]
    fn only_one_port_of_the_internet_is_open_by_default() {
        let policy = AddressPolicy::public_on(443);
        assert!(allows(&policy, "acme.my.salesforce.com", "13.108.0.1", 443));
        assert!(!allows(&policy, "acme.my.salesforce.com", "13.108.0.1", 22));
        assert!(!allows(&AddressPolicy::closed(), "acme.my.salesforce.com", "13.108.0.1", 443));
        for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"] {
            assert!(!allows(&policy, "db", address, 5432), "{address}");
        }
    }

    #[test]
    fn a_listed_network_opens_its_addresses_and_ports_and_no_others() {
        let policy = AddressPolicy::public_on(5432).open_network("10.1.2.0/24", &[5432]).unwrap();
        assert!(allows(&policy, "db", "10.1.2.3", 5432));
        assert!(allows(&policy, "db", "::ffff:10.1.2.3", 5432));
        assert!(!allows(&policy, "db", "10.1.2.3", 22));
        assert!(!allows(&policy, "db", "10.1.3.3", 5432));
    }

    #[test]
    fn a_public_address_may_be_listed_with_another_port() {
        let policy = AddressPolicy::public_on(5432).open_network("13.108.0.1/32", &[6432]).unwrap();
        assert!(allows(&policy, "db", "13.108.0.1", 6432) && allows(&policy, "db", "13.108.0.1", 5432));
        assert!(!allows(&policy, "db", "13.108.0.2", 6432));
        let error = policy.check("db.example", "13.108.0.2".parse().unwrap(), 6432).unwrap_err();
        assert_eq!(
            error.to_string(),
            "db.example:6432 is at 13.108.0.2, and public addresses are dialed on port 5432 only: serve it there, or have the Region's \
             privateEndpoints list 13.108.0.2/32 with port 6432"
        );
        assert_eq!(error.reason(), "PortRefused");
    }

    #[test]
    fn a_listed_host_opens_private_addresses_under_its_own_name_only() {
        let policy = AddressPolicy::public_on(5432).open_host("Salesforce-Emulator.demo.svc.", &[]);
        assert!(allows(&policy, "salesforce-emulator.demo.svc", "10.96.0.7", 8443));
        assert!(!allows(&policy, "other.demo.svc", "10.96.0.7", 8443));
        assert!(!allows(&policy, "salesforce-emulator.demo.svc", "169.254.169.254", 8443));
        assert!(!allows(&policy, "salesforce-emulator.demo.svc", "127.0.0.1", 8443));
    }

    #[test]
    fn a_service_is_known_by_its_cluster_names_and_not_by_a_look_alike() {
        let policy = AddressPolicy::public_on(5432).open_service("demo", "postgres", &[5432]);
        for host in ["postgres.demo", "postgres.demo.svc", "postgres.demo.svc.cluster.local"] {
            assert!(allows(&policy, host, "10.96.0.7", 5432), "{host}");
        }
        assert!(!allows(&policy, "postgres.demo.svc.evil.example", "10.96.0.7", 5432));
        assert!(!allows(&policy, "postgres", "10.96.0.7", 5432));
    }

    #[test]
    fn a_refusal_names_the_target_the_address_and_the_way_out() {
        let error = AddressPolicy::public_on(5432).check("db.internal", "10.0.0.5".parse().unwrap(), 5432).unwrap_err();
        assert_eq!(
            error.to_string(),
            "db.internal:5432 is at 10.0.0.5, a private address: it may be dialed only when the Region's privateEndpoints list it with port 5432"
        );
    }

    #[test]
    fn past_a_proxy_only_what_is_listed_is_dialed_public_or_not() {
        let policy = AddressPolicy::public_on(443).open_network("13.108.0.0/24", &[443]).unwrap().open_host("db.demo.svc", &[443]);
        let past = |host: &str, address: &str, port| policy.check_past_proxy(host, address.parse().unwrap(), port);
        assert!(past("crm.example", "13.108.0.1", 443).is_ok() && past("db.demo.svc", "10.96.0.7", 443).is_ok());
        let error = past("crm.example", "13.108.1.1", 443).unwrap_err();
        assert_eq!(error.reason(), "AddressRefused");
        assert!(error.to_string().contains("13.108.1.1/32 with port 443") && error.to_string().contains("egress.proxy.noProxy"), "{error}");
        assert!(past("crm.example", "13.108.0.1", 22).is_err() && past("crm.example", "10.0.0.1", 443).is_err());
        assert!(AddressPolicy::unrestricted().check_past_proxy("crm.example", "13.108.1.1".parse().unwrap(), 22).is_ok());
    }

    #[test]
    fn a_single_address_is_a_network_and_nonsense_is_none() {
        assert!(AddressPolicy::public_on(5432).open_network("10.1.2.3", &[]).is_ok());
        assert!(AddressPolicy::public_on(5432).open_network("10.1.2.3/33", &[]).is_err());
    }
}
