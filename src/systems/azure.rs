//! A container of Azure Blob Storage: who we are to it, and its blobs as files.

use std::time::Duration;

use api::connection::{AzureAuthKind, AzureBlob, ConnectionMetadata};
use api::import_job::SqlSource;
use async_trait::async_trait;
use connect::{AzureKey, AzureParams, Dialer, ObjectFiles};
use engine::source::blob::RemoteBlob;
use engine::source::{FileSource, Said, Source};

use super::{Driver, DriverError, Entries};

#[async_trait]
impl Driver for AzureBlob {
    /// Asks for nothing that a credential which may only read objects would be refused for. Whether it may read those of a job, the job finds
    /// out.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        objects(self, dialer, entries)?.verify().await?;
        Ok(ConnectionMetadata {
            system: Some(format!("Azure Blob Storage container {}", self.container)),
            user: None,
            org_id: None,
            instance_url: None,
        })
    }

    fn query(&self, _: &Dialer, _: &Entries, _: &SqlSource, _: Duration) -> Result<Option<Box<dyn Source>>, DriverError> {
        Ok(None)
    }

    fn file(&self, dialer: &Dialer, entries: &Entries, path: &str, said: Said) -> Result<Option<Box<dyn Source>>, DriverError> {
        let blob = RemoteBlob::new(objects(self, dialer, entries)?, path.to_owned());
        Ok(Some(Box::new(FileSource::new(blob, said))))
    }
}

fn objects(azure: &AzureBlob, dialer: &Dialer, entries: &Entries) -> Result<ObjectFiles, DriverError> {
    let params = AzureParams {
        endpoint: azure.endpoint.clone(),
        account: azure.account.clone(),
        container: azure.container.clone(),
        ca_bundle: azure.tls.as_ref().and_then(|tls| tls.ca_bundle.clone()),
    };
    let key = match azure.auth.kind().ok_or(DriverError::Login)? {
        AzureAuthKind::AccountKey(_) => AzureKey::Account(entries.text(AzureBlob::ACCOUNT_KEY)?),
        AzureAuthKind::Sas(_) => AzureKey::Sas(entries.text(AzureBlob::SAS)?),
    };
    Ok(dialer.azure(&params, &key)?)
}
