//! Region conditions that only the keeper can speak to: whether its storage works, who holds its root key, whether the time is certain,
//! and whether everything that had its time is gone.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{AUDIT_BROKEN, CLOCK_SKEW, Conditions, KEY_CUSTODY, OVERDUE, REBOUND, ROTATION_REFUSED, STORAGE_READY};
use api::reasons::region as reasons;
use api::region::RootKeyKind;
use api::{Region, RegionStatus, Tenant};
use envelope::{Observed, Policy};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use super::Controllers;
use super::rebind::{self, Rebinding};
use super::rotation::{self, Refusal};
use crate::keeper::audit::{self, Event};
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::published;
use crate::keeper::vault::custody::{self, RootRotated};

const INTERVAL: Duration = Duration::from_secs(60);
/// While something is not in order.
const SOON: Duration = Duration::from_secs(5);
/// What is written here, always all of it.
const OURS: [&str; 7] = [STORAGE_READY, KEY_CUSTODY, CLOCK_SKEW, OVERDUE, ROTATION_REFUSED, REBOUND, AUDIT_BROKEN];

pub(crate) async fn reconcile(controllers: &Controllers, name: &str) -> Result<Next> {
    let Ok(region) = controllers.cluster.region(name) else {
        published::no_seal_key(&controllers.cluster, name).await?;
        return Ok(Next::Idle);
    };
    let now = controllers.cluster.now()?;
    let (requested, unreadable) = match rotation::requested(region.annotations()) {
        Ok(requested) => (requested, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let mut custody = custody(controllers, &region, requested, now).await;
    if let Ok(known) = &mut custody {
        match publish_seal_key(controllers, &region, now).await {
            Ok(waits) => known.waits |= waits,
            Err(error) => custody = Err(error),
        }
    }
    let storage = storage(controllers, &region).await;
    let previous = region.status.clone().unwrap_or_default();
    let mut conditions = Conditions::from(&previous.conditions, region.metadata.generation, now);
    conditions = match &storage {
        Ok(()) => conditions.with_true(STORAGE_READY, reasons::WRITABLE, "an object was written, read and deleted"),
        Err(error) => conditions.with_false(STORAGE_READY, error.reason(), &error.chain()),
    };
    conditions = match &custody {
        Ok(_) => custody::set_conditions(&region, conditions),
        Err(error) => conditions.with_false(KEY_CUSTODY, error.reason(), &error.chain()),
    };
    let refusal = match (requested, region.spec.root_key.kind()) {
        (Some(_), Some(RootKeyKind::File(_))) => Some(Refusal::of_file()),
        (None, _) | (Some(_), Some(RootKeyKind::Secret) | None) => {
            unreadable.or_else(|| rotation::refusal(requested, custody.as_ref().ok()?.request, now))
        }
    };
    conditions = about_time(controllers, name, conditions);
    if let Some(refusal) = &refusal {
        conditions = refusal.set_condition(conditions);
    }
    // Last: what was there to be taken over is by now.
    let rebinding = if custody.is_ok() { rebind::region(controllers, &region).await } else { Rebinding::NotSeen };
    conditions = rebinding.set_condition(conditions);
    if let Some(message) = audit::broken(&region) {
        conditions = conditions.with_true(AUDIT_BROKEN, reasons::CHAIN_BROKEN, &message);
    }
    write(controllers, &region, &previous, conditions.build()).await?;
    let in_order = storage.is_ok() && custody.is_ok();
    let waits = custody.as_ref().is_ok_and(|known| known.waits);
    for error in [storage.err(), custody.err()].into_iter().flatten() {
        tracing::warn!(region = name, reason = error.reason(), error = error.chain(), "region is not in order");
    }
    let next = if in_order { INTERVAL } else { SOON };
    let next = rebinding.again_after().map_or(next, |again| next.min(again));
    let next = if waits { next.min(Policy::ROOT.spreads.unsigned_abs()) } else { next };
    Ok(Next::After(refusal.map_or(next, |refusal| refusal.again_after(now, next))))
}

/// Whether files can be stored and lines written.
async fn storage(controllers: &Controllers, region: &Region) -> Result<()> {
    let probed = controllers.files.storages.of(region)?.probe().await;
    // Tried whatever the probe says: a volume without room for files has some for lines.
    if controllers.audit.closed(region).is_none() {
        return probed;
    }
    let resumed = controllers.audit.line(region, Event::new("AuditResumed")).await;
    match probed {
        // That no line fits either is what closes the region.
        Err(Error::Full { .. }) if resumed.is_err() => resumed,
        probed => probed.and(resumed),
    }
}

/// What stands only while it is so.
fn about_time(controllers: &Controllers, region: &str, mut conditions: Conditions) -> Conditions {
    let (skew, too_far) = controllers.cluster.clock.skew();
    if too_far {
        let (seconds, way) = (skew.as_secs().unsigned_abs(), if skew.is_negative() { "behind" } else { "ahead of" });
        let message = format!(
            "the keeper's machine is {seconds} s {way} the API server's clock: set the wrong one right; until then nothing is served, and what has had its time by the API server's clock is erased"
        );
        conditions = conditions.with_true(CLOCK_SKEW, reasons::CLOCKS_DIFFER, &message);
    }
    let overdue = controllers.files.overdue(region);
    if overdue > 0 {
        let files =
            if overdue == 1 { "1 file has had its time and is".to_owned() } else { format!("{overdue} files have had their time and are") };
        let message = format!("{files} still there; erasing is tried again every 15 s, the keeper's log says what is in the way");
        conditions = conditions.with_true(OVERDUE, reasons::NOT_ERASED, &message);
    }
    conditions
}

/// Opens the root key, carries out what is due in its life, and wraps tenant keys again where they need it. Answers with what became of
/// the request for a new one.
async fn custody(controllers: &Controllers, region: &Region, requested: Option<Timestamp>, now: Timestamp) -> Result<RootRotated> {
    controllers.vault.custodies.of(region, now).await?;
    let tenants: Vec<Arc<Tenant>> = controllers.cluster.tenants.all().into_iter().filter(|t| t.spec.region == region.name_any()).collect();
    let mut wrapped = controllers.vault.rings.wrapped_under(&tenants, region).await?;
    for (kid, count) in controllers.vault.region_rings.wrapped_under(region).await? {
        *wrapped.entry(kid).or_default() += count;
    }
    let observed = Observed { records: wrapped, requested };
    let rotated = controllers.vault.custodies.rotate(region, &observed, now).await?;
    if rotated.rewrap {
        controllers.vault.region_rings.rewrap(region, now).await?;
        for tenant in &tenants {
            if controllers.cluster.region_of(tenant).is_ok() {
                let count = controllers.vault.rings.rewrap(tenant, region, now).await?;
                if count > 0 {
                    tracing::info!(tenant = tenant.name_any(), count, "tenant keys wrapped again");
                }
            }
        }
    }
    // After what was due: a ring without a key that wraps has one by now.
    controllers.vault.custodies.health(region, now).await?;
    Ok(rotated)
}

/// Looks after the keys that credentials in Git are sealed to. Answers whether something waits until every keeper knows of what was done.
async fn publish_seal_key(controllers: &Controllers, region: &Region, now: Timestamp) -> Result<bool> {
    let (key, waits) = controllers.vault.seal_keys.tend(region, now).await?;
    published::seal_key(&controllers.cluster, &key).await?;
    Ok(waits)
}

async fn write(controllers: &Controllers, region: &Region, previous: &RegionStatus, conditions: Vec<Condition>) -> Result<()> {
    let ours = |c: &&Condition| OURS.contains(&c.type_.as_str());
    if previous.conditions.iter().filter(ours).eq(conditions.iter()) {
        return Ok(());
    }
    let api: Api<Region> = Api::all(controllers.cluster.client.clone());
    controllers.cluster.writer.apply_status(&api, &ObjectKey::of(region), None, &json!({"conditions": conditions})).await?;
    Ok(())
}
