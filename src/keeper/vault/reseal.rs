//! Seals records again under the key that seals now, so that an old key can go. Runs beside everything else: a record is replaced only
//! if nobody changed it since it was read.

use std::collections::BTreeMap;

use api::{Region, Tenant};
use envelope::{Header, Kid, Purpose, Scope};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};

use super::Vault;
use super::credentials::{Entries, SOURCE_DIGEST};
use super::opening::{Opening, Ring};
use super::rings::failed;
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, label, sealed};

impl Vault {
    /// Seals again what is under `stale` keys. Answers how many records were.
    pub(crate) async fn reseal(&self, tenant: &Tenant, region: &Region, stale: &[Kid]) -> Result<usize> {
        let ring = self.rings.of(tenant, region, self.cluster.now()?).await?;
        let scope = self.rings.scope(tenant, region)?;
        let mut count = 0;
        for kind in Kind::SEALED {
            for listed in self.records.list(kind, Some(&scope.tenant_uid)).await? {
                let kid = label(listed.meta(), KEY_ID_LABEL).and_then(|k| k.parse::<Kid>().ok());
                if !kid.is_some_and(|kid| stale.contains(&kid)) {
                    continue;
                }
                let Some(secret) = self.records.get(&listed.name_any()).await? else { continue };
                let uid = Bound::of(&secret.metadata)?.uid;
                let event = Event::new("RecordOpened")
                    .with("tenant", scope.tenant_uid.as_str())
                    .with("record", kind.label())
                    .with("object", uid.as_str())
                    .with("for", "Resealing");
                let opening = self.opening(region, &uid, event).await?;
                let fresh = one(kind, &ring, scope.clone(), secret, &opening).map_err(|e| name(e, tenant))?;
                match self.records.replace(&fresh).await {
                    Ok(_) => count += 1,
                    // Written meanwhile, and so under the new key already; the next round sees.
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        tracing::info!(tenant = tenant.name_any(), count, "records sealed again");
        Ok(count)
    }
}

fn name(error: RingOr, tenant: &Tenant) -> Error {
    match error {
        RingOr::Ring(source) => failed(tenant)(source),
        RingOr::Other(error) => error,
    }
}

enum RingOr {
    Ring(envelope::RingError),
    Other(Error),
}

impl From<envelope::RingError> for RingOr {
    fn from(error: envelope::RingError) -> Self {
        Self::Ring(error)
    }
}

impl From<Error> for RingOr {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What records of a kind are sealed as.
pub(super) fn purpose_of(kind: Kind) -> Purpose {
    match kind {
        Kind::File => Purpose::FileKey,
        Kind::Bookmark => Purpose::Cursor,
        _ => Purpose::Credential,
    }
}

/// Of a credential, the digest of its source: it is keyed, too, and its key goes with the rest.
pub(super) fn source_digest(
    kind: Kind,
    ring: &Ring,
    scope: Scope,
    bound: &Bound,
    plaintext: &[u8],
) -> std::result::Result<Option<String>, envelope::RingError> {
    let Some(entries) = Entries::from_json(plaintext).filter(|_| kind == Kind::Credential) else { return Ok(None) };
    let unbound = Bound { endpoint_digest: String::new(), fields: Default::default(), ..bound.clone() };
    ring.source_digest(&unbound.context(scope), entries.as_map()).map(Some)
}

fn one(kind: Kind, ring: &Ring, scope: Scope, mut secret: Secret, opening: &Opening) -> std::result::Result<Secret, RingOr> {
    let purpose = purpose_of(kind);
    let bound = Bound::of(&secret.metadata)?;
    let context = bound.context(scope.clone());
    let (record, plaintext) = ring.reseal(opening, purpose, &context, sealed(&secret)?, &mut rand::rng())?;
    if let Some(digest) = source_digest(kind, ring, scope, &bound, &plaintext)? {
        secret.metadata.annotations.get_or_insert_default().insert(SOURCE_DIGEST.into(), digest);
    }
    let kid = Header::parse(&record).map_err(envelope::RingError::from)?.kid;
    secret.metadata.labels.get_or_insert_default().insert(KEY_ID_LABEL.into(), kid.to_string());
    secret.data = Some(BTreeMap::from([(RECORD.to_owned(), ByteString(record))]));
    Ok(secret)
}
