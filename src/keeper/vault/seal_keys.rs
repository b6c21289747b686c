//! Keys that credentials in Git are sealed to: one published at a time, those before it opening until their time has come.

use std::sync::Arc;

use api::connection::SealedCredential;
use api::seal_key::PublishedSealKey;
use api::{Connection, NamespaceName, Region};
use domain::connection::SealRefusal;
use envelope::sealed::{SealError, Sealed};
use envelope::{KidError, Observed, Policy, RingError, Step};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::TenantKeys;
use super::credentials::Entries;
use super::region_rings::{RegionRings, Use, failed};
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::Result;
use crate::sealing;

pub(crate) struct SealKeys {
    cluster: Arc<Cluster>,
    rings: RegionRings,
}

impl SealKeys {
    pub(super) fn new(cluster: Arc<Cluster>, rings: RegionRings) -> Self {
        Self { cluster, rings }
    }

    /// Carries out what is due in the life of a Region's keys, and answers with the one to publish, and whether something waits until every keeper
    /// knows of what was done.
    pub(crate) async fn tend(&self, region: &Region, now: Timestamp) -> Result<(PublishedSealKey, bool)> {
        let failed = failed(region);
        loop {
            let mut kept = self.rings.ensure(Use::Sealing, region, now).await?;
            let ring = self.rings.unlock(region, &kept.ring, now).await?;
            // No record is under such a key: what was sealed to it and taken in is a record under the tenant's.
            let Some(step) = kept.ring.decide(&Policy::SEALED, &Observed::default(), now).into_iter().next() else {
                let public = ring.seal_key().map_err(&failed)?.public().clone();
                let created = kept.ring.active().map_or(now, |entry| entry.created());
                let published = PublishedSealKey {
                    region: region.name_any(),
                    installation: self.cluster.installation.clone(),
                    kid: public.kid.to_string(),
                    public_key: public.to_base64(),
                    opens_until: Time(created + Policy::SEALED.serves + Policy::SEALED.settles),
                };
                return Ok((published, kept.ring.spreading(&Policy::SEALED, now)));
            };
            match step {
                Step::Create => self.rings.create_key(region, &mut kept.ring, now).await?,
                Step::Promote(kid) => kept.ring.promote(kid, now).map_err(&failed)?,
                Step::Settle(kid) => kept.ring.settle(kid, now).map_err(&failed)?,
                Step::Destroy(kid) => kept.ring.destroy(kid, now).map_err(&failed)?,
                // Nothing to seal again, see above.
                Step::Reseal(_) => {}
            }
            match self.rings.write(&mut kept).await {
                Ok(()) => tracing::info!(region = region.name_any(), step = ?step, "seal key"),
                // Another keeper took a step: what is due is decided anew.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens a sealed credential as that of this Connection with its endpoint as it is now. It is intake, as reading a Secret is: the audit's line is that of
    /// what is stored.
    pub(super) async fn open(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        sealed: &SealedCredential,
        now: Timestamp,
    ) -> Result<std::result::Result<Entries, SealRefusal>> {
        let region = &keys.region;
        let kept = self.rings.ensure(Use::Sealing, region, now).await?;
        let ring = self.rings.unlock(region, &kept.ring, now).await?;
        // A text that is no id is none that was ever published.
        let key = match sealed.kid.parse().map(|kid| ring.seal_key_of(kid)) {
            Ok(Ok(key)) => key,
            Err(KidError) | Ok(Err(RingError::UnknownKey(_) | RingError::DestroyedKey(_))) => return Ok(Err(SealRefusal::UnknownKey)),
            Ok(Err(error)) => return Err(failed(region)(error)),
        };
        let namespace = NamespaceName::of(connection)?;
        let destination =
            sealing::destination(&region.name_any(), &self.cluster.installation, &keys.tenant.name_any(), namespace.as_str(), connection);
        let sealed = Sealed { kid: sealed.kid.clone(), enc: sealed.enc.clone(), ciphertext: sealed.ciphertext.clone() };
        let opened = key.open(&destination, &sealed);
        Ok(opened.map(Entries::of_sealed).map_err(|_: SealError| SealRefusal::NotForHere))
    }
}
