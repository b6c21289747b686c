//! Rings of a Region itself, one for each use: made when they are first needed, wrapped by the root key as tenants' keys are.

use std::collections::BTreeMap;

use api::{Region, Uid};
use envelope::{KeyRing, Kid, RingError, Scope, TenantRing};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::custody::Custodies;
use super::wrapper;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, RECORD, Records, sealed};

/// What a ring of a Region is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// Lines of its audit are authenticated under it.
    Audit,
    /// Credentials that lie in Git are sealed to it.
    Sealing,
}

impl Use {
    const ALL: [Self; 2] = [Self::Audit, Self::Sealing];

    fn secret_name(self, region: &Region) -> Result<String> {
        let prefix = match self {
            Self::Audit => "region-keys",
            Self::Sealing => "seal-keys",
        };
        Ok(format!("{prefix}-{}", Uid::of(region)?))
    }
}

#[derive(Clone)]
pub(crate) struct RegionRings {
    records: Records,
    custodies: Custodies,
    installation: String,
}

/// A ring as it is stored, and where.
pub(super) struct Kept {
    secret: Secret,
    pub(super) ring: TenantRing,
}

impl RegionRings {
    pub(crate) fn new(records: Records, custodies: Custodies, installation: &str) -> Self {
        Self { records, custodies, installation: installation.to_owned() }
    }

    /// The ring for a use, made if there is none.
    pub(super) async fn ensure(&self, purpose: Use, region: &Region, now: Timestamp) -> Result<Kept> {
        loop {
            if let Some(kept) = self.get(purpose, region).await? {
                return Ok(kept);
            }
            let custody = self.custodies.of(region, now).await?;
            let made = wrapper::begin(custody.as_ref(), &self.scope(region)?, now).await.map_err(failed(region))?;
            let labels = BTreeMap::from([(api::names::REGION_LABEL.to_owned(), region.name_any())]);
            let data = BTreeMap::from([(RECORD.to_owned(), ByteString(made.to_json()))]);
            // Another keeper may have been first: then its ring is ours.
            self.records
                .create(&self.records.draft(&purpose.secret_name(region)?, Kind::RegionKeys, labels, BTreeMap::new(), data))
                .await?;
        }
    }

    async fn get(&self, purpose: Use, region: &Region) -> Result<Option<Kept>> {
        let Some(secret) = self.records.get(&purpose.secret_name(region)?).await? else { return Ok(None) };
        let ring = TenantRing::from_json(sealed(&secret)?, wrapper::provider_of(region)?).map_err(failed(region))?;
        Ok(Some(Kept { secret, ring }))
    }

    pub(super) async fn unlock(&self, region: &Region, ring: &TenantRing, now: Timestamp) -> Result<KeyRing> {
        let custody = self.custodies.of(region, now).await?;
        wrapper::unlock(custody.as_ref(), &self.scope(region)?, ring).await.map_err(failed(region))
    }

    /// Puts a new key into a ring, where it waits.
    pub(super) async fn create_key(&self, region: &Region, ring: &mut TenantRing, now: Timestamp) -> Result<()> {
        let custody = self.custodies.of(region, now).await?;
        let (kid, wrapped) = wrapper::new_key(custody.as_ref(), &self.scope(region)?).await.map_err(failed(region))?;
        ring.create(kid, wrapped, now).map_err(failed(region))
    }

    /// Writes a ring that was changed. A conflict when somebody else changed it since it was read.
    pub(super) async fn write(&self, kept: &mut Kept) -> Result<()> {
        kept.secret.data = Some(BTreeMap::from([(RECORD.to_owned(), ByteString(kept.ring.to_json()))]));
        kept.secret = self.records.replace(&kept.secret).await?;
        Ok(())
    }

    /// How many keys of a Region's own rings are wrapped under each root key.
    pub(crate) async fn wrapped_under(&self, region: &Region) -> Result<BTreeMap<Kid, u64>> {
        let mut counts = BTreeMap::new();
        for purpose in Use::ALL {
            let Some(kept) = self.get(purpose, region).await? else { continue };
            for (kid, count) in wrapper::wrapped_under(&kept.ring) {
                *counts.entry(kid).or_default() += count;
            }
        }
        Ok(counts)
    }

    /// Wraps them under the root key that wraps now.
    pub(crate) async fn rewrap(&self, region: &Region, now: Timestamp) -> Result<()> {
        for purpose in Use::ALL {
            let Some(mut kept) = self.get(purpose, region).await? else { continue };
            let custody = self.custodies.of(region, now).await?;
            if wrapper::rewrap(custody.as_ref(), &self.scope(region)?, &mut kept.ring).await.map_err(failed(region))? > 0 {
                self.write(&mut kept).await?;
            }
        }
        Ok(())
    }

    /// The Region's UID stands where a tenant's does.
    fn scope(&self, region: &Region) -> Result<Scope> {
        let tenant_uid = Uid::of(region)?.into();
        Ok(Scope { region: region.name_any(), installation_uid: self.installation.clone(), tenant_uid })
    }
}

pub(super) fn failed(region: &Region) -> impl Fn(RingError) -> Error {
    let name = region.name_any();
    move |source| Error::Ring { tenant: format!("(region {name} itself)"), source }
}
