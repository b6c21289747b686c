//! Files at an HTTPS server.

use std::sync::Arc;

use api::connection::{ConnectionMetadata, Https, HttpsAuthKind, HttpsBearer};
use async_trait::async_trait;
use connect::{Dialer, HttpsFiles, HttpsFilesParams, HttpsLogin, RemoteFiles};

use super::{DriverError, Entries, FileServer};

#[async_trait]
impl FileServer for Https {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        files(self, dialer, entries)?.verify().await?;
        let user = match self.auth.kind() {
            Some(HttpsAuthKind::Basic(basic)) => Some(basic.user.clone()),
            Some(HttpsAuthKind::Bearer(_) | HttpsAuthKind::Header(_)) | None => None,
        };
        Ok(ConnectionMetadata { system: Some("HTTPS".to_owned()), user, org_id: None, instance_url: None })
    }

    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError> {
        Ok(Arc::new(files(self, dialer, entries)?))
    }
}

fn files(https: &Https, dialer: &Dialer, entries: &Entries) -> Result<HttpsFiles, DriverError> {
    let params = HttpsFilesParams {
        url: https.url.clone(),
        redirects: https.redirects.clone(),
        ca_bundle: https.tls.as_ref().and_then(|tls| tls.ca_bundle.clone()),
    };
    let login = match https.auth.kind().ok_or(DriverError::Login)? {
        HttpsAuthKind::Basic(basic) => HttpsLogin::Basic { user: basic.user.clone(), password: entries.text(Https::PASSWORD)? },
        HttpsAuthKind::Bearer(HttpsBearer {}) => HttpsLogin::Bearer(entries.text(Https::TOKEN)?),
        HttpsAuthKind::Header(header) => HttpsLogin::Header { name: header.name.clone(), value: entries.text(Https::VALUE)? },
    };
    Ok(dialer.https_files(&params, &login)?)
}
