//! Where the systems of a tenant may be: public addresses on the port of their kind, and private ones as the Region lists them. One place
//! for the three that have to agree: the network's policies, the worker's dialer, and the keeper's, whose verification tells a person.

use api::Region;
use api::connection::SystemKind;
use api::region::PrivateEndpoint;

/// Which workers may reach the public addresses of a system.
pub struct Opening {
    /// Name of the network policy that opens its port.
    pub policy: String,
    /// Label of the workers that it opens it to. `None`: to all of them.
    pub label: Option<String>,
}

/// Every worker loads into an org, whose port is open to all of them; another system's is open to those that read from it.
pub fn opening(system: SystemKind) -> Opening {
    // Names in a cluster are lowercase.
    let key = system.key().to_ascii_lowercase();
    if system.profile().public_port == SystemKind::Salesforce.profile().public_port {
        Opening { policy: "public-https".to_owned(), label: None }
    } else {
        Opening { policy: format!("public-{key}"), label: Some(format!("dataimporter.io/egress-{key}")) }
    }
}

/// One system of each opening.
pub fn openings() -> impl Iterator<Item = (SystemKind, Opening)> {
    let first_of = |at: usize, port: u16| SystemKind::ALL[..at].iter().all(|earlier| earlier.profile().public_port != port);
    let systems = SystemKind::ALL.iter().copied().enumerate();
    systems.filter(move |(at, system)| first_of(*at, system.profile().public_port)).map(|(_, system)| (system, opening(system)))
}

/// The private endpoints of a region that name this tenant.
pub fn endpoints_of(region: &Region, tenant: &str) -> Vec<PrivateEndpoint> {
    region.spec.private_endpoints.iter().filter(|endpoint| endpoint.tenants.iter().any(|name| name == tenant)).cloned().collect()
}
