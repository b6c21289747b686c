//! How the systems of a Connection are dialed: the same for the keeper, which verifies, and for the worker, which loads.

use api::connection::Postgres;
use connect::PostgresParams;

/// A database as its Connection describes it.
pub(crate) fn postgres_params(postgres: &Postgres) -> PostgresParams {
    let tls = postgres.tls.clone().unwrap_or_default();
    PostgresParams {
        host: postgres.host.clone(),
        port: postgres.port(),
        database: postgres.database.clone(),
        user: postgres.user.clone(),
        ca_bundle: tls.ca_bundle,
        server_name: tls.server_name,
        allow_insecure_password: postgres.allows_insecure_password(),
    }
}
