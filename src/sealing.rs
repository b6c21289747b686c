//! What a sealed credential is bound to, for whoever seals it and for the keeper that opens it.

use api::Connection;
use domain::connection::required_keys;
use envelope::sealed::Destination;
use kube::ResourceExt;

pub(crate) fn destination(region: &str, installation: &str, tenant: &str, namespace: &str, connection: &Connection) -> Destination {
    Destination {
        region: region.to_owned(),
        installation_uid: installation.to_owned(),
        tenant: tenant.to_owned(),
        namespace: namespace.to_owned(),
        connection: connection.name_any(),
        endpoint_digest: connection.spec.endpoint_digest(),
        entries: required_keys(&connection.spec).into_iter().map(str::to_owned).collect(),
    }
}
