//! Where the systems of a tenant may be: public addresses on the port of their kind, and private ones as the Region lists them. One place
//! for the three that have to agree: the network's policies, the worker's dialer, and the keeper's, whose verification tells a person.

use api::Region;
use api::connection::{Rows, SystemKind};
use api::region::PrivateEndpoint;

/// Which workers may reach the public addresses of a system.
pub struct Opening {
    /// Name of the network policy that opens its port.
    pub policy: String,
    /// Label of the workers that it opens it to. `None`: to all of them.
    pub label: Option<String>,
}

/// Every worker loads into an org; a database is open to those that read from it.
pub fn opening(system: SystemKind) -> Opening {
    let key = system.key();
    match system.profile().rows {
        Rows::None => Opening { policy: "public-https".to_owned(), label: None },
        Rows::Query => Opening { policy: format!("public-{key}"), label: Some(format!("dataimporter.io/egress-{key}")) },
    }
}

/// The private endpoints of a region that name this tenant.
pub fn endpoints_of(region: &Region, tenant: &str) -> Vec<PrivateEndpoint> {
    region.spec.private_endpoints.iter().filter(|endpoint| endpoint.tenants.iter().any(|name| name == tenant)).cloned().collect()
}
