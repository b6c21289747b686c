//! A MariaDB server as a job reads it.

#[path = "../../../connect/tests/support/mariadb.rs"]
mod mariadb;

use std::time::Duration;

use connect::{AddressPolicy, Dialer};
use engine::source::Zoneless;
use engine::source::mysql::MySqlSource;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

pub(crate) struct Server {
    pub(crate) server: mariadb::MariaDb,
    ca: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &ca).expect("a certificate");
        Self { server: mariadb::MariaDb::start(&leaf.pem(), &key.serialize_pem()), ca: ca.pem() }
    }

    pub(crate) fn source(&self, query: &str, order_by: &[&str]) -> MySqlSource {
        let query = serde_json::json!({"connectionRef": {"name": "db"}, "query": query, "orderBy": order_by});
        MySqlSource {
            dialer: Dialer::new(AddressPolicy::unrestricted()),
            params: self.server.params(&self.ca),
            password: mariadb::PASSWORD.into(),
            query: serde_json::from_value(query).expect("a query of a job"),
            since: None,
            zoneless: Zoneless::default(),
            time_left: Duration::from_secs(3_600),
        }
    }
}
