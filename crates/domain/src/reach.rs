//! Where the systems of a tenant may be: public addresses on the port of their kind, and private ones as the Region lists them. One place
//! for the three that have to agree: the network's policies, the worker's dialer, and the keeper's, whose verification tells a person.

use api::Region;
use api::region::PrivateEndpoint;

/// What is dialed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum System {
    Salesforce,
    Postgres,
}

impl System {
    /// The port that public addresses are dialed on. Another one needs an entry in the Region's `privateEndpoints`, whatever the address.
    pub const fn public_port(self) -> u16 {
        match self {
            Self::Salesforce => 443,
            Self::Postgres => 5432,
        }
    }
}

/// The private endpoints of a region that name this tenant.
pub fn endpoints_of(region: &Region, tenant: &str) -> Vec<PrivateEndpoint> {
    region.spec.private_endpoints.iter().filter(|endpoint| endpoint.tenants.iter().any(|name| name == tenant)).cloned().collect()
}
