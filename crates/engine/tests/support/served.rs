//! Servers that have a folder of files, as a job reads it.

#[path = "../../../connect/tests/support/nginx.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod nginx;
#[path = "../../../connect/tests/support/openssh.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod openssh;

use std::path::PathBuf;
use std::sync::Arc;

use connect::{AddressPolicy, Dialer, HttpsLogin, RemoteFiles, SftpLogin};
use engine::source::blob::RemoteBlob;
use engine::source::{FileSource, Said};

use super::authority::Authority;
pub(crate) use nginx::Nginx;
pub(crate) use openssh::OpenSsh;

/// A server whose files lie in a folder here.
pub(crate) trait Served: Send + Sync {
    fn port(&self) -> u16;

    /// Where a file lies that the server has under this name.
    fn file(&self, name: &str) -> PathBuf;

    /// Whether it can tell which files there are.
    fn has_lists(&self) -> bool {
        true
    }

    /// The file on the way through a port.
    fn files(&self, port: u16) -> Arc<dyn RemoteFiles>;

    fn source(&self, name: &str, port: u16, said: Said) -> FileSource {
        FileSource::new(RemoteBlob::new(self.files(port), name.to_owned()), said)
    }

    /// The file for somebody with another password.
    fn wrong(&self, name: &str) -> FileSource;
}

pub(crate) fn https() -> Nginx {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    Nginx::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem())
}

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

impl Served for Nginx {
    fn has_lists(&self) -> bool {
        false
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn file(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    fn files(&self, port: u16) -> Arc<dyn RemoteFiles> {
        Arc::new(dialer().https_files(&self.params("basic", port), &Self::basic()).expect("a client"))
    }

    fn wrong(&self, name: &str) -> FileSource {
        let login = HttpsLogin::Basic { user: "reader".into(), password: "another".into() };
        let files = dialer().https_files(&self.params("basic", self.port), &login).expect("a client");
        FileSource::new(RemoteBlob::new(Arc::new(files), name.to_owned()), Said::default())
    }
}

impl Served for OpenSsh {
    fn port(&self) -> u16 {
        self.port
    }

    fn file(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    fn files(&self, port: u16) -> Arc<dyn RemoteFiles> {
        Arc::new(dialer().sftp(&self.params("ed25519", port), &Self::password()))
    }

    fn wrong(&self, name: &str) -> FileSource {
        let files = dialer().sftp(&self.params("ed25519", self.port), &SftpLogin::Password("another".into()));
        FileSource::new(RemoteBlob::new(Arc::new(files), name.to_owned()), Said::default())
    }
}
