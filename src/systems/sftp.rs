//! Files of an SFTP server.

use std::sync::Arc;

use api::connection::{ConnectionMetadata, Sftp, SftpAuthKind};
use async_trait::async_trait;
use connect::{Dialer, RemoteFiles, SftpFiles, SftpLogin, SftpParams};

use super::{DriverError, Entries, FileServer};

#[async_trait]
impl FileServer for Sftp {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        files(self, dialer, entries)?.verify().await?;
        Ok(ConnectionMetadata { system: Some("SFTP".to_owned()), user: Some(self.user.clone()), org_id: None, instance_url: None })
    }

    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError> {
        Ok(Arc::new(files(self, dialer, entries)?))
    }
}

fn files(sftp: &Sftp, dialer: &Dialer, entries: &Entries) -> Result<SftpFiles, DriverError> {
    let params = SftpParams {
        host: sftp.host.clone(),
        port: sftp.port(),
        user: sftp.user.clone(),
        host_keys: sftp.host_keys.clone(),
        directory: sftp.directory.clone(),
    };
    let key =
        |passphrase, certificate| Ok::<_, DriverError>(SftpLogin::Key { key: entries.text(Sftp::PRIVATE_KEY)?, passphrase, certificate });
    let login = match sftp.auth.kind().ok_or(DriverError::Login)? {
        SftpAuthKind::Password(_) => SftpLogin::Password(entries.text(Sftp::PASSWORD)?),
        SftpAuthKind::PrivateKey(_) => key(None, None)?,
        SftpAuthKind::EncryptedPrivateKey(_) => key(Some(entries.text(Sftp::PASSPHRASE)?), None)?,
        SftpAuthKind::Certificate(_) => key(None, Some(entries.text(Sftp::CERTIFICATE)?))?,
    };
    Ok(dialer.sftp(&params, &login))
}
