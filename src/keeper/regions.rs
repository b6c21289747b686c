//! Region conditions that only the keeper can speak to: whether its storage works, and who holds its root key.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{Conditions, KEY_CUSTODY, STORAGE_READY};
use api::{Region, RegionStatus, Tenant, names};
use envelope::Observed;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use super::custody::Custody;
use super::error::Result;
use super::state::Keeper;

const INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn reconcile(keeper: &Keeper, name: &str) -> Result<Next> {
    let Ok(region) = keeper.region(name) else { return Ok(Next::Idle) };
    let now = keeper.now()?;
    let custody = custody(keeper, &region, now).await;
    let storage = match keeper.storage(&region) {
        Ok(storage) => storage.probe().await,
        Err(error) => Err(error),
    };
    let previous = region.status.clone().unwrap_or_default();
    let mut conditions = Conditions::from(&previous.conditions, region.metadata.generation, now);
    conditions = match &storage {
        Ok(()) => conditions.with_true(STORAGE_READY, "Writable", "an object was written, read and deleted"),
        Err(error) => conditions.with_false(STORAGE_READY, error.reason(), &error.chain()),
    };
    conditions = match &custody {
        Ok(()) => Custody::of(&region).tell(conditions),
        Err(error) => conditions.with_false(KEY_CUSTODY, error.reason(), &error.chain()),
    };
    write(keeper, &region, &previous, conditions.build()).await?;
    for error in [storage.err(), custody.err()].into_iter().flatten() {
        tracing::warn!(region = name, reason = error.reason(), error = error.chain(), "region is not in order");
    }
    Ok(Next::After(INTERVAL))
}

/// Opens the root key, carries out what is due in its life, and wraps tenant keys again where they need it.
async fn custody(keeper: &Keeper, region: &Region, now: Timestamp) -> Result<()> {
    keeper.custodies.of(region, now).await?;
    let tenants: Vec<Arc<Tenant>> = keeper.tenants.all().into_iter().filter(|t| t.spec.region == region.name_any()).collect();
    let requested = requested(region.annotations());
    let observed = Observed {
        replicas: [(keeper.identity.clone(), u64::MAX)].into(),
        records: keeper.rings.wrapped_under(&tenants).await?,
        requested,
    };
    if keeper.custodies.rotate(region, &observed, now).await? {
        for tenant in &tenants {
            if keeper.region_of(tenant).is_ok() {
                let count = keeper.rings.rewrap(tenant, region, now).await?;
                if count > 0 {
                    tracing::info!(tenant = tenant.name_any(), count, "tenant keys wrapped again");
                }
            }
        }
    }
    Ok(())
}

/// The time in the annotation that asks for new keys.
pub(crate) fn requested(annotations: &std::collections::BTreeMap<String, String>) -> Option<Timestamp> {
    annotations.get(names::ROTATE_KEYS_ANNOTATION)?.parse().ok()
}

async fn write(keeper: &Keeper, region: &Region, previous: &RegionStatus, conditions: Vec<Condition>) -> Result<()> {
    let ours = |c: &&Condition| [STORAGE_READY, KEY_CUSTODY].contains(&c.type_.as_str());
    if previous.conditions.iter().filter(ours).eq(conditions.iter()) {
        return Ok(());
    }
    let api: Api<Region> = Api::all(keeper.client.clone());
    keeper.writer.apply_status(&api, &ObjectKey::of(region), None, &json!({"conditions": conditions})).await?;
    Ok(())
}
