//! A bucket as a job reads it.

#[path = "../../../connect/tests/support/minio.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod minio;

use connect::{AddressPolicy, Dialer};
use engine::source::blob::RemoteBlob;
use engine::source::{FileSource, Said};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

pub(crate) struct Server(pub(crate) minio::Minio);

impl Server {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &ca).expect("a certificate");
        Self(minio::Minio::start(&leaf.pem(), &key.serialize_pem(), &ca.pem()).await)
    }

    /// The object, on the way through a port.
    pub(crate) fn source(&self, key: &str, port: u16) -> FileSource {
        let mut params = self.0.params();
        params.endpoint = Some(format!("https://127.0.0.1:{port}"));
        let bucket = Dialer::new(AddressPolicy::unrestricted()).s3(&params, &minio::Minio::key()).expect("a client");
        FileSource::new(RemoteBlob::new(bucket, key.to_owned()), Said::default())
    }
}
