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
use crate::keeper::base::earlier::earlier;
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

/// How the names of their Secrets begin; the Region's UID follows.
pub(super) const AUDIT: &str = "region-keys";
pub(super) const SEALING: &str = "seal-keys";

impl Use {
    const ALL: [Self; 2] = [Self::Audit, Self::Sealing];

    fn secret_name(self, region_uid: &Uid) -> String {
        let prefix = match self {
            Self::Audit => AUDIT,
            Self::Sealing => SEALING,
        };
        format!("{prefix}-{region_uid}")
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

    /// The ring for a use; if there is none, that of the Region of before a restore, or a new one.
    pub(super) async fn ensure(&self, purpose: Use, region: &Region, now: Timestamp) -> Result<Kept> {
        loop {
            if let Some(kept) = self.get(purpose, region).await? {
                return Ok(kept);
            }
            let custody = self.custodies.of(region, now).await?;
            let made = match self.earlier(purpose, region, custody.as_ref()).await? {
                Some(ring) => ring,
                None => wrapper::begin(custody.as_ref(), &self.scope(region)?, now).await.map_err(failed(region))?,
            };
            let labels = BTreeMap::from([(api::names::REGION_LABEL.to_owned(), region.name_any())]);
            let data = BTreeMap::from([(RECORD.to_owned(), ByteString(made.to_json()))]);
            // Another keeper may have been first: then its ring is ours.
            self.records
                .create(&self.records.draft(&purpose.secret_name(&Uid::of(region)?), Kind::RegionKeys, labels, BTreeMap::new(), data))
                .await?;
        }
    }

    /// Makes those that are not there yet.
    pub(super) async fn ensure_all(&self, region: &Region, now: Timestamp) -> Result<()> {
        for purpose in Use::ALL {
            self.ensure(purpose, region, now).await?;
        }
        Ok(())
    }

    async fn earlier(&self, purpose: Use, region: &Region, custody: &dyn wrapper::KeyWrapper) -> Result<Option<TenantRing>> {
        let Some(uid) = earlier(&region.metadata).ok().flatten() else { return Ok(None) };
        let Some(secret) = self.records.get_of_region(&purpose.secret_name(&uid), &region.name_any()).await? else { return Ok(None) };
        let mut ring = TenantRing::from_json(sealed(&secret)?, wrapper::provider_of(region)?).map_err(failed(region))?;
        let (before, now) = (self.scope_of(&uid, region), self.scope(region)?);
        wrapper::hand_over(custody, &before, &now, &mut ring).await.map_err(failed(region))?;
        tracing::info!(region = region.name_any(), earlier = %uid, "keys of a Region of before a restore are taken over");
        Ok(Some(ring))
    }

    async fn get(&self, purpose: Use, region: &Region) -> Result<Option<Kept>> {
        let Some(secret) = self.records.get(&purpose.secret_name(&Uid::of(region)?)).await? else { return Ok(None) };
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
        Ok(self.scope_of(&Uid::of(region)?, region))
    }

    fn scope_of(&self, region_uid: &Uid, region: &Region) -> Scope {
        Scope { region: region.name_any(), installation_uid: self.installation.clone(), tenant_uid: region_uid.to_string() }
    }
}

pub(super) fn failed(region: &Region) -> impl Fn(RingError) -> Error {
    let name = region.name_any();
    move |source| Error::Ring { tenant: format!("(region {name} itself)"), source }
}
