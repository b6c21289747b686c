//! A bucket of Google Cloud Storage: who we are to it, and its objects as files.

use std::sync::Arc;

use api::connection::{ConnectionMetadata, Gcs};
use async_trait::async_trait;
use connect::{Dialer, GcsParams, ObjectFiles, RemoteFiles};

use super::{DriverError, Entries, FileServer};

#[async_trait]
impl FileServer for Gcs {
    /// Asks for nothing that a credential which may only read objects would be refused for. Whether it may read those of a job, the job finds
    /// out.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        objects(self, dialer, entries)?.verify().await?;
        Ok(ConnectionMetadata {
            system: Some(format!("Google Cloud Storage bucket {}", self.bucket)),
            user: None,
            org_id: None,
            instance_url: None,
        })
    }

    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError> {
        Ok(Arc::new(objects(self, dialer, entries)?))
    }
}

fn objects(gcs: &Gcs, dialer: &Dialer, entries: &Entries) -> Result<ObjectFiles, DriverError> {
    let params = GcsParams {
        endpoint: gcs.endpoint.clone(),
        bucket: gcs.bucket.clone(),
        ca_bundle: gcs.tls.as_ref().and_then(|tls| tls.ca_bundle.clone()),
    };
    Ok(dialer.gcs(&params, &entries.text(Gcs::KEY)?)?)
}
