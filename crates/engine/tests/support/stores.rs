//! Buckets and containers as a job reads them: of a MinIO, a fake-gcs-server and an Azurite.

#[path = "../../../connect/tests/support/clouds.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod clouds;
#[path = "../../../connect/tests/support/minio.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod minio;

use std::sync::Arc;

use clouds::{Azure, Gcs};
use connect::{AddressPolicy, AzureKey, Dialer, ObjectFiles, S3Key};
use engine::source::blob::RemoteBlob;
use engine::source::{FileSource, Said};
use minio::Minio;
use secrecy::SecretString;

use super::authority::Authority;

/// A store with one bucket.
pub(crate) trait Store: Send + Sync {
    fn port(&self) -> u16;

    fn put(&self, key: &str, content: Vec<u8>);

    /// The bucket on the way through a port.
    fn files(&self, port: u16) -> ObjectFiles;

    /// The bucket for somebody with another credential.
    fn others(&self) -> ObjectFiles;

    /// Whether it looks at credentials at all.
    fn has_credentials(&self) -> bool {
        true
    }

    fn wrong(&self, key: &str) -> FileSource {
        FileSource::new(RemoteBlob::new(Arc::new(self.others()), key.to_owned()), Said::default())
    }

    fn source(&self, key: &str, port: u16, said: Said) -> FileSource {
        FileSource::new(RemoteBlob::new(Arc::new(self.files(port)), key.to_owned()), said)
    }
}

/// Certificate and key in PEM for 127.0.0.1, and who vouches for them.
fn pem() -> [String; 3] {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    [leaf.certificate.pem(), leaf.key.serialize_pem(), ca.pem()]
}

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

pub(crate) async fn s3() -> impl Store {
    let [certificate, key, ca] = pem();
    Minio::start(&certificate, &key, &ca).await
}

pub(crate) fn gcs() -> impl Store {
    let [certificate, key, ca] = pem();
    (Gcs::start(&certificate, &key, &ca), Gcs::key())
}

pub(crate) fn azure() -> impl Store {
    let [certificate, key, ca] = pem();
    Azure::start(&certificate, &key, &ca)
}

impl Store for Minio {
    fn port(&self) -> u16 {
        self.port
    }

    fn put(&self, key: &str, content: Vec<u8>) {
        let put = self.put(key, content);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put));
    }

    fn files(&self, port: u16) -> ObjectFiles {
        let mut params = self.params();
        params.endpoint = Some(format!("https://127.0.0.1:{port}"));
        dialer().s3(&params, &Self::key()).expect("a client")
    }

    fn others(&self) -> ObjectFiles {
        dialer().s3(&self.params(), &S3Key { secret: "another".into(), ..Self::key() }).expect("a client")
    }
}

impl Store for (Gcs, SecretString) {
    fn port(&self) -> u16 {
        self.0.port()
    }

    fn put(&self, key: &str, content: Vec<u8>) {
        self.0.put(key, content);
    }

    fn files(&self, port: u16) -> ObjectFiles {
        dialer().gcs(&self.0.params(port), &self.1).expect("a client")
    }

    fn others(&self) -> ObjectFiles {
        self.files(self.0.port())
    }

    fn has_credentials(&self) -> bool {
        false
    }
}

impl Store for Azure {
    fn port(&self) -> u16 {
        self.port()
    }

    fn put(&self, key: &str, content: Vec<u8>) {
        self.put(key, content);
    }

    fn files(&self, port: u16) -> ObjectFiles {
        dialer().azure(&self.params(port), &Self::account_key()).expect("a client")
    }

    fn others(&self) -> ObjectFiles {
        dialer().azure(&self.params(self.port()), &AzureKey::Account("YW5vdGhlciBrZXk=".into())).expect("a client")
    }
}
