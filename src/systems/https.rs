//! Files at an HTTPS server.

use std::time::Duration;

use api::connection::{ConnectionMetadata, Https, HttpsAuthKind, HttpsBearer};
use api::import_job::SqlSource;
use async_trait::async_trait;
use connect::{Dialer, HttpsFiles, HttpsFilesParams, HttpsLogin};
use engine::source::blob::RemoteBlob;
use engine::source::{FileSource, Said, Source};

use super::{Driver, DriverError, Entries};

#[async_trait]
impl Driver for Https {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        files(self, dialer, entries)?.verify().await?;
        let user = match self.auth.kind() {
            Some(HttpsAuthKind::Basic(basic)) => Some(basic.user.clone()),
            Some(HttpsAuthKind::Bearer(_) | HttpsAuthKind::Header(_)) | None => None,
        };
        Ok(ConnectionMetadata { system: Some("HTTPS".to_owned()), user, org_id: None, instance_url: None })
    }

    fn query(&self, _: &Dialer, _: &Entries, _: &SqlSource, _: Duration) -> Result<Option<Box<dyn Source>>, DriverError> {
        Ok(None)
    }

    fn file(&self, dialer: &Dialer, entries: &Entries, path: &str, said: Said) -> Result<Option<Box<dyn Source>>, DriverError> {
        let blob = RemoteBlob::new(files(self, dialer, entries)?, path.to_owned());
        Ok(Some(Box::new(FileSource::new(blob, said))))
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
