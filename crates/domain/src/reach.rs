//! Where the systems of a tenant may be: public addresses on the port of their kind, and private ones as the Region lists them. One place
//! for the three that have to agree: the network's policies, the worker's dialer, and the keeper's, whose verification tells a person.

use api::Region;
use api::connection::SystemKind;
use api::region::PrivateEndpoint;

use crate::labels::EGRESS_POSTGRES_LABEL;

/// Which workers may reach the public addresses of a system.
pub struct Opening {
    /// Name of the network policy that opens its port.
    pub policy: &'static str,
    /// Label of the workers that it opens it to. `None`: to all of them.
    pub label: Option<&'static str>,
}

/// Every worker loads into an org; a database is open to those that read from it.
pub const fn opening(system: SystemKind) -> Opening {
    match system {
        SystemKind::Salesforce => Opening { policy: "public-https", label: None },
        SystemKind::Postgres => Opening { policy: "public-postgres", label: Some(EGRESS_POSTGRES_LABEL) },
    }
}

/// The private endpoints of a region that name this tenant.
pub fn endpoints_of(region: &Region, tenant: &str) -> Vec<PrivateEndpoint> {
    region.spec.private_endpoints.iter().filter(|endpoint| endpoint.tenants.iter().any(|name| name == tenant)).cloned().collect()
}
