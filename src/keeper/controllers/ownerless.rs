//! Records of Connections that went without us: somebody took our finalizer off, or a keeper died between storing one and seeing that
//! another keeper had disconnected it. The credential is destroyed, the tokens are revoked first. What an ImportJob has read up to goes here, too,
//! once the job is gone: jobs have no finalizer. So do the keys of a Tenant that went without us, after all that they open. Left alone is what
//! a Tenant takes over that a restore made anew. Apart from the sweep of files, which must not wait for somebody else's org.

use std::sync::Arc;
use std::time::Duration;

use api::identity::has_uid;
use api::reasons::tenant as reasons;
use api::{Connection, ImportJob, Region, Tenant, Uid, names};
use domain::connection::REVOKE_LIMIT;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;
use tokio_util::sync::CancellationToken;

use super::Controllers;
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::earlier::claimed;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, TENANT_UID_LABEL, label};
use crate::keeper::vault::TenantKeys;

const INTERVAL: Duration = Duration::from_secs(60);
/// Orgs asked at once.
const AT_ONCE: usize = 8;

pub(crate) async fn run(controllers: Arc<Controllers>, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&controllers).await {
            tracing::error!(error = error.chain(), reason = error.reason(), "ownerless records could not be listed; tried again in 60 s");
        }
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// One look at everything.
pub(crate) async fn round(controllers: &Controllers) -> Result<()> {
    let mut records = Vec::new();
    for kind in [Kind::Credential, Kind::Tokens, Kind::Bookmark] {
        records.extend(controllers.vault.listed(kind, None).await?.into_iter().map(|record| (kind, record.metadata)));
    }
    let rings = controllers.vault.listed(Kind::KeyRing, None).await?;
    // Listed after the records: one that was made meanwhile belongs to an object that is listed.
    let (connections, jobs, tenants) = tokio::try_join!(
        controllers.cluster.uids::<Connection>(),
        controllers.cluster.uids::<ImportJob>(),
        controllers.cluster.metadata::<Tenant>()
    )?;
    let claimed = claimed(&tenants);
    let of_claimed = |record: &ObjectMeta| label(record, TENANT_UID_LABEL).is_some_and(|uid| claimed.contains(uid));
    end_rings(controllers, rings, &records, &tenants, of_claimed).await;
    let mut ownerless = Vec::new();
    for (kind, record) in records.into_iter().filter(|(_, record)| !of_claimed(record)) {
        let bound = Bound::of(&record)?;
        let living = if kind == Kind::Bookmark { &jobs } else { &connections };
        if !living.contains(bound.uid.as_str()) {
            ownerless.push((kind, record, bound));
        }
    }
    futures::stream::iter(&ownerless).for_each_concurrent(AT_ONCE, |(kind, record, bound)| end(controllers, *kind, record, bound)).await;
    Ok(())
}

/// Destroys the keys of Tenants that are gone and have no record left that they open.
async fn end_rings(
    controllers: &Controllers,
    rings: Vec<PartialObjectMeta<Secret>>,
    records: &[(Kind, ObjectMeta)],
    tenants: &[ObjectMeta],
    of_claimed: impl Fn(&ObjectMeta) -> bool,
) {
    for ring in rings.iter().filter(|ring| !of_claimed(&ring.metadata)) {
        let Some(uid) = label(&ring.metadata, TENANT_UID_LABEL).and_then(Uid::new) else { continue };
        let is_needed = tenants.iter().any(|tenant| has_uid(tenant, &uid))
            || records.iter().any(|(_, record)| label(record, TENANT_UID_LABEL) == Some(uid.as_str()));
        if is_needed {
            continue;
        }
        let region = label(&ring.metadata, names::REGION_LABEL).and_then(|name| controllers.cluster.region(name).ok());
        let event = Event::new("KeysOrphanDestroyed").with("tenant", uid.as_str());
        tracing::warn!(tenant_uid = %uid, "the keys of a Tenant that is gone are destroyed");
        told(controllers, region.as_deref(), event).await;
        if let Err(error) = controllers.vault.rings.destroy(&uid).await {
            tracing::error!(tenant_uid = %uid, error = error.chain(), "keys of a Tenant that is gone are left; tried again in 60 s");
        }
    }
}

async fn end(controllers: &Controllers, kind: Kind, record: &ObjectMeta, bound: &Bound) {
    let outcome = match kind {
        Kind::Tokens => revoke(controllers, record, bound).await,
        Kind::Bookmark => destroy(controllers, region_of(controllers, record).as_deref(), record, "BookmarkDestroyed", bound).await,
        _ => destroy(controllers, region_of(controllers, record).as_deref(), record, "CredentialOrphanDestroyed", bound).await,
    };
    if let Err(error) = outcome {
        let name = record.name.as_deref().unwrap_or_default();
        tracing::error!(record = name, error = error.chain(), reason = error.reason(), "an ownerless record is left; tried again in 60 s");
    }
}

/// Revokes the tokens of a list whose Connection is gone. The record itself knows where: neither the Connection nor its credential is needed.
async fn revoke(controllers: &Controllers, record: &ObjectMeta, bound: &Bound) -> Result<()> {
    let tenant = controllers.cluster.tenant_of_record(record);
    let keys = match &tenant {
        Some(tenant) => controllers.vault.keys_of(tenant.clone()).await,
        None => Err(Error::TenantGone),
    };
    match keys {
        Ok(keys) => revoke_with(controllers, &keys, record, bound).await,
        Err(error @ (Error::Unbound(_) | Error::NoRegion(_) | Error::TenantGone)) => {
            give_up(controllers, record, bound, tenant.as_deref(), &format!("its keys are gone: {}", error.chain())).await
        }
        Err(error) => Err(error),
    }
}

/// The same with the keys that the list was sealed under.
pub(super) async fn revoke_with(controllers: &Controllers, keys: &TenantKeys, record: &ObjectMeta, bound: &Bound) -> Result<()> {
    match controllers.vault.end_sessions(keys, bound.clone()).await {
        Ok(revoked) => {
            let event = Event::new("OwnerlessRevoked").with("connection", bound.uid.as_str()).with("revoked", revoked);
            controllers.audit.line(&keys.region, event).await?;
            let note = format!("Connection {} went without us: {revoked} access tokens were revoked", title(bound));
            controllers.cluster.events.warning(keys.tenant.as_ref(), reasons::OWNERLESS_REVOKED, &note).await;
            Ok(())
        }
        Err(error) => match controllers.vault.ownerless_since(record).await? {
            Some(since) if controllers.cluster.now()? >= since + REVOKE_LIMIT => {
                give_up(controllers, record, bound, Some(keys.tenant.as_ref()), &format!("tried for ten minutes: {}", error.chain())).await
            }
            _ => Err(error),
        },
    }
}

/// Destroys the list and says plainly that what was on it may be alive.
async fn give_up(controllers: &Controllers, record: &ObjectMeta, bound: &Bound, tenant: Option<&Tenant>, why: &str) -> Result<()> {
    let title = title(bound);
    tracing::error!(connection = title, why, "tokens of a Connection that went without us could not be revoked");
    let region = tenant.and_then(|tenant| controllers.cluster.region(&tenant.spec.region).ok());
    destroy(controllers, region.as_deref(), record, "RevocationFailed", bound).await?;
    if let Some(tenant) = tenant {
        let note = format!(
            "Connection {title} went without us, its access tokens could not be revoked ({why}) and may live until their session ends, at most a day"
        );
        controllers.cluster.events.warning(tenant, reasons::REVOCATION_FAILED, &note).await;
    }
    Ok(())
}

/// A region or its storage that is away does not keep a record of nobody.
pub(super) async fn destroy(
    controllers: &Controllers,
    region: Option<&Region>,
    record: &ObjectMeta,
    event: &'static str,
    bound: &Bound,
) -> Result<()> {
    let name = record.name.clone().unwrap_or_default();
    let object = if bound.kind == "ImportJob" { "job" } else { "connection" };
    tracing::warn!(record = name, object, uid = %bound.uid, event, "a record of an object that is gone is destroyed");
    told(controllers, region, Event::new(event).with(object, bound.uid.as_str()).with("record", name.as_str())).await;
    controllers.vault.destroy(record).await
}

async fn told(controllers: &Controllers, region: Option<&Region>, event: Event) {
    let Some(region) = region else { return };
    if let Err(error) = controllers.audit.line(region, event).await {
        tracing::error!(region = region.name_any(), error = error.chain(), "the end of an ownerless record could not be audited");
    }
}

fn region_of(controllers: &Controllers, record: &ObjectMeta) -> Option<Arc<Region>> {
    controllers.cluster.region(&controllers.cluster.tenant_of_record(record)?.spec.region).ok()
}

fn title(bound: &Bound) -> String {
    format!("{}/{}", bound.namespace, bound.name)
}
