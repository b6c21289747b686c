//! What was kept for objects of before a restore becomes that of the objects which stand in their places now. A record is sealed again for
//! the object of the same kind, namespace and name and for the endpoint that it was sealed for: none of these is taken from anywhere but
//! from what it was bound to, so it opens for nobody else than before.

use std::collections::{BTreeMap, BTreeSet};

use api::{Region, Uid};
use envelope::{Kid, SecretRoot, TenantRing};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::ObjectMeta;

use super::reseal::{purpose_of, source_digest};
use super::rings::failed;
use super::{TenantKeys, Vault, bookmarks, credentials, custody, region_rings, rings, wrapper};
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, TENANT_UID_LABEL, sealed};

/// What is there of the Secrets of a Region's own of before a restore.
pub(crate) enum OfEarlierRegion {
    /// This Region holds all that these hold, if there are any.
    Held(Vec<ObjectMeta>),
    /// This Region has made keys of its own.
    OwnKeys,
}

impl Vault {
    /// The keys that a tenant had before a restore; absent when they are gone.
    pub(crate) async fn keys_of_earlier(&self, keys: &TenantKeys, earlier: &Uid) -> Result<Option<TenantKeys>> {
        let found = self.rings.of_earlier(&keys.tenant, &keys.region, earlier, self.cluster.now()?).await?;
        let (tenant, region) = (keys.tenant.clone(), keys.region.clone());
        Ok(found.map(|(ring, scope)| TenantKeys { tenant, region, ring, scope }))
    }

    /// Where the keys of a tenant are, for people.
    pub(crate) fn name_of_ring(&self, tenant_uid: &Uid) -> String {
        self.records.full_name(&rings::secret_name(tenant_uid))
    }

    /// Whether something is kept for an object already.
    pub(crate) async fn has_own(&self, kind: Kind, object: &Uid) -> Result<bool> {
        Ok(self.records.get(&secret_name(kind, object)).await?.is_some())
    }

    /// Seals a record of `earlier` for the object with this UID. What was kept for that one meanwhile stays.
    pub(crate) async fn rebind(
        &self,
        earlier: &TenantKeys,
        keys: &TenantKeys,
        kind: Kind,
        record: &ObjectMeta,
        object: &Uid,
    ) -> Result<()> {
        let Some(secret) = self.records.get(record.name.as_deref().unwrap_or_default()).await? else { return Ok(()) };
        let bound = Bound::of(&secret.metadata)?;
        let event = Event::new("RecordOpened")
            .with("tenant", keys.scope.tenant_uid.as_str())
            .with("record", kind.label())
            .with("object", object.as_str())
            .with("for", "Rebinding")
            .with("earlierTenant", earlier.scope.tenant_uid.as_str())
            .with("earlierObject", bound.uid.as_str());
        let opening = self.opening(&keys.region, &bound.uid, event).await?;
        let failed = failed(&keys.tenant);
        let context = bound.context(earlier.scope.clone());
        let opened = earlier.ring.open(&opening, purpose_of(kind), &context, sealed(&secret)?).map_err(&failed)?;

        let bound = Bound { uid: object.clone(), ..bound };
        let context = bound.context(keys.scope.clone());
        let fresh = keys.ring.seal(purpose_of(kind), opened.version, &context, &opened.plaintext, &mut rand::rng()).map_err(&failed)?;
        let digest = source_digest(kind, &keys.ring, keys.scope.clone(), &bound, &opened.plaintext).map_err(&failed)?;
        let key_id = keys.ring.active().map_err(&failed)?.kid().to_string();
        let labels = BTreeMap::from([(TENANT_UID_LABEL.to_owned(), keys.scope.tenant_uid.clone()), (KEY_ID_LABEL.to_owned(), key_id)]);
        let mut annotations = secret.metadata.annotations.unwrap_or_default();
        annotations.extend(bound.annotations());
        annotations.extend(digest.map(|digest| (credentials::SOURCE_DIGEST.to_owned(), digest)));
        let data = BTreeMap::from([(RECORD.to_owned(), ByteString(fresh))]);
        self.records.create(&self.records.draft(&secret_name(kind, object), kind, labels, annotations, data)).await?;
        Ok(())
    }

    /// What is there of the Region of before. What could be taken over is by then.
    pub(crate) async fn of_earlier_region(&self, region: &Region, earlier: &Uid) -> Result<OfEarlierRegion> {
        let (uid, provider) = (Uid::of(region)?, wrapper::provider_of(region)?);
        let mut held = Vec::new();
        self.region_rings.ensure_all(region, self.cluster.now()?).await?;
        let kept = [(Kind::RootKey, custody::ROOT), (Kind::RegionKeys, region_rings::AUDIT), (Kind::RegionKeys, region_rings::SEALING)];
        for (kind, prefix) in kept {
            let Some(before) = self.records.get_of_region(&format!("{prefix}-{earlier}"), &region.name_any()).await? else { continue };
            // This one's root key is a file.
            let Some(now) = self.records.get(&format!("{prefix}-{uid}")).await? else { continue };
            if !kids(kind, provider, region, &before)?.is_subset(&kids(kind, provider, region, &now)?) {
                return Ok(OfEarlierRegion::OwnKeys);
            }
            held.push(before.metadata);
        }
        Ok(OfEarlierRegion::Held(held))
    }
}

fn secret_name(kind: Kind, object: &Uid) -> String {
    match kind {
        Kind::Bookmark => bookmarks::secret_name(object),
        _ => credentials::secret_name(object),
    }
}

fn kids(kind: Kind, provider: &str, region: &Region, secret: &Secret) -> Result<BTreeSet<Kid>> {
    if kind == Kind::RootKey {
        let root = SecretRoot::parse(sealed(secret)?).map_err(|source| Error::Custody { region: region.name_any(), source })?;
        return Ok(root.ring().entries().map(|entry| entry.kid()).collect());
    }
    let ring = TenantRing::from_json(sealed(secret)?, provider).map_err(region_rings::failed(region))?;
    Ok(ring.entries().map(|entry| entry.kid()).collect())
}
