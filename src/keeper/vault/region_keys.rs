//! The ring of a Region itself, whose one key the lines of its audit are authenticated under: made at the first line, wrapped by the root
//! key as tenants' keys are, and never on the volume.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use api::{Region, Uid};
use envelope::{AuditKey, Kid, RingError, Scope, TenantRing};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::custody::Custodies;
use super::wrapper;
use crate::keeper::audit::LineKeys;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, RECORD, Records, sealed};

pub(crate) struct RegionKeys {
    records: Records,
    custodies: Custodies,
    installation: String,
    /// By UID of the Region: it is the same for as long as the Region lives.
    opened: Mutex<HashMap<Uid, Arc<AuditKey>>>,
}

impl RegionKeys {
    pub(crate) fn new(records: Records, custodies: Custodies, installation: &str) -> Self {
        Self { records, custodies, installation: installation.to_owned(), opened: Mutex::default() }
    }

    /// The key of a Region's audit.
    async fn audit_key(&self, region: &Region, now: Timestamp) -> Result<Arc<AuditKey>> {
        let uid = Uid::of(region)?;
        if let Some(key) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&uid) {
            return Ok(key.clone());
        }
        let custody = self.custodies.of(region, now).await?;
        let scope = self.scope(region)?;
        let ring = loop {
            if let Some(secret) = self.records.get(&secret_name(region)?).await? {
                break read(region, &secret)?;
            }
            let made = wrapper::begin(custody.as_ref(), &scope, now).await.map_err(failed(region))?;
            let labels = BTreeMap::from([(api::names::REGION_LABEL.to_owned(), region.name_any())]);
            let data = BTreeMap::from([(RECORD.to_owned(), ByteString(made.to_json()))]);
            // Another keeper may have been first: then its ring is ours.
            self.records.create(&self.records.draft(&secret_name(region)?, Kind::RegionKeys, labels, BTreeMap::new(), data)).await?;
        };
        let opened = wrapper::unlock(custody.as_ref(), &scope, &ring).await;
        let key = opened.and_then(|ring| ring.audit_key()).map_err(failed(region))?;
        let key = Arc::new(key);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, key.clone());
        Ok(key)
    }

    /// How many of its keys are wrapped under each root key.
    pub(crate) async fn wrapped_under(&self, region: &Region) -> Result<BTreeMap<Kid, u64>> {
        match self.records.get(&secret_name(region)?).await? {
            Some(secret) => Ok(wrapper::wrapped_under(&read(region, &secret)?).collect()),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Wraps it under the root key that wraps now.
    pub(crate) async fn rewrap(&self, region: &Region, now: Timestamp) -> Result<()> {
        let Some(mut secret) = self.records.get(&secret_name(region)?).await? else { return Ok(()) };
        let mut ring = read(region, &secret)?;
        let custody = self.custodies.of(region, now).await?;
        if wrapper::rewrap(custody.as_ref(), &self.scope(region)?, &mut ring).await.map_err(failed(region))? > 0 {
            secret.data = Some(BTreeMap::from([(RECORD.to_owned(), ByteString(ring.to_json()))]));
            self.records.replace(&secret).await?;
        }
        Ok(())
    }

    /// The Region's UID stands where a tenant's does.
    fn scope(&self, region: &Region) -> Result<Scope> {
        let tenant_uid = Uid::of(region)?.into();
        Ok(Scope { region: region.name_any(), installation_uid: self.installation.clone(), tenant_uid })
    }
}

#[async_trait::async_trait]
impl LineKeys for RegionKeys {
    async fn of(&self, region: &Region, now: Timestamp) -> Result<Arc<AuditKey>> {
        self.audit_key(region, now).await
    }
}

fn secret_name(region: &Region) -> Result<String> {
    Ok(format!("region-keys-{}", Uid::of(region)?))
}

fn read(region: &Region, secret: &Secret) -> Result<TenantRing> {
    TenantRing::from_json(sealed(secret)?, wrapper::provider_of(region)?).map_err(failed(region))
}

fn failed(region: &Region) -> impl Fn(RingError) -> Error {
    let name = region.name_any();
    move |source| Error::Ring { tenant: format!("(audit of {name})"), source }
}
