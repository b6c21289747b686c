//! A container of Azure Blob Storage: who we are to it, and its blobs as files.

use std::sync::Arc;

use api::connection::{AzureAuthKind, AzureBlob, ConnectionMetadata};
use async_trait::async_trait;
use connect::{AzureIdentity, AzureKey, AzureParams, Dialer, ObjectFiles, RemoteFiles};

use super::{DriverError, Entries, FileServer};

#[async_trait]
impl FileServer for AzureBlob {
    /// Asks for nothing that a credential which may only read objects would be refused for. Whether it may read those of a job, the job finds
    /// out.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        objects(self, dialer, entries)?.verify().await?;
        Ok(ConnectionMetadata {
            system: Some(format!("Azure Blob Storage container {}", self.container)),
            user: match self.auth.kind() {
                Some(AzureAuthKind::WorkloadIdentity(identity)) => Some(identity.client_id.clone()),
                Some(AzureAuthKind::AccountKey(_) | AzureAuthKind::Sas(_)) | None => None,
            },
            org_id: None,
            instance_url: None,
        })
    }

    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError> {
        Ok(Arc::new(objects(self, dialer, entries)?))
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
        AzureAuthKind::WorkloadIdentity(identity) => AzureKey::Identity(AzureIdentity {
            authority: identity.authority().to_owned(),
            tenant_id: identity.tenant_id.clone(),
            client_id: identity.client_id.clone(),
            tokens: entries.identity()?,
        }),
    };
    Ok(dialer.azure(&params, &key)?)
}
