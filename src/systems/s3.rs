//! A bucket: who we are to it, and its objects as files.

use std::sync::Arc;

use api::connection::{ConnectionMetadata, S3, S3AuthKind};
use async_trait::async_trait;
use connect::{Dialer, ObjectFiles, RemoteFiles, S3Credential, S3Key, S3Params, S3Role};

use super::{DriverError, Entries, FileServer};

#[async_trait]
impl FileServer for S3 {
    /// Asks for nothing that a key which may only read objects would be refused for. Whether it may read those of a job, the job finds out.
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        bucket(self, dialer, entries)?.verify().await?;
        let user = match self.auth() {
            Some(S3AuthKind::WebIdentity(role)) => Some(role.role_arn.clone()),
            Some(S3AuthKind::AccessKey(_)) | None => None,
        };
        Ok(ConnectionMetadata { system: Some(format!("S3 bucket {}", self.bucket)), user, org_id: None, instance_url: None })
    }

    fn files(&self, dialer: &Dialer, entries: &Entries) -> Result<Arc<dyn RemoteFiles>, DriverError> {
        Ok(Arc::new(bucket(self, dialer, entries)?))
    }
}

fn bucket(s3: &S3, dialer: &Dialer, entries: &Entries) -> Result<ObjectFiles, DriverError> {
    let params = S3Params {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        ca_bundle: s3.tls.as_ref().and_then(|tls| tls.ca_bundle.clone()),
        requester_pays: s3.requester_pays.unwrap_or(false),
    };
    let credential = match s3.auth().ok_or(DriverError::Login)? {
        S3AuthKind::AccessKey(_) => {
            let customer_key = s3.is_under_customer_key().then(|| entries.text(S3::CUSTOMER_KEY)).transpose()?;
            S3Credential::Key(S3Key { id: entries.text(S3::KEY_ID)?, secret: entries.text(S3::SECRET)?, customer_key })
        }
        S3AuthKind::WebIdentity(role) => S3Credential::Role(S3Role { arn: role.role_arn.clone(), tokens: entries.identity()? }),
    };
    Ok(dialer.s3(&params, credential)?)
}
