//! A tenant's keys: made when the tenant is bound, rotated while it lives, destroyed when it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use api::conditions::{Conditions, KEYS_READY, REBOUND, ROTATION_REFUSED, is_true};
use api::identity::is_same;
use api::import_run::Chunks;
use api::reasons::tenant as reasons;
use api::tenant::KeyInfo;
use api::{ImportRun, Tenant, Uid, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use envelope::{Header, Kid, Policy};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use super::Controllers;
use super::rebind::{self, Rebinding};
use super::rotation::{self, Refusal};
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, label};
use crate::keeper::files::sweeper;
use crate::keeper::vault::Rotated;

/// How often the life of the keys is looked at.
const INTERVAL: Duration = Duration::from_secs(600);
/// While records are being sealed again, or the tenant is not bound yet.
const SOON: Duration = Duration::from_secs(5);
/// Revocation may hold an erasure up for this long.
const REVOKE_LIMIT: SignedDuration = domain::connection::REVOKE_LIMIT;

pub(crate) async fn reconcile(controllers: &Controllers, name: &str) -> Result<Next> {
    let tenants: Api<Tenant> = Api::all(controllers.cluster.client.clone());
    let Some(tenant) = tenants.get_opt(name).await.map_err(kube("read the Tenant"))? else { return Ok(Next::Idle) };
    if tenant.metadata.deletion_timestamp.is_some() {
        return erase(controllers, &tenant).await;
    }
    let now = controllers.cluster.now()?;
    let region = match controllers.cluster.region_of(&tenant) {
        Ok(region) => region,
        Err(error) => {
            report(controllers, &tenant, now, &[], Err(&error), None, &Rebinding::NotSeen).await?;
            return Ok(Next::After(SOON));
        }
    };
    // Without its finalizer nothing would be erased, so nothing is begun.
    let before = match set_finalizers(controllers, &tenant, &[names::TENANT_ERASURE_FINALIZER]).await {
        Ok(()) => controllers.vault.rings.ensure(&tenant, &region, now).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = before {
        let keys = tenant.status.as_ref().map(|s| s.keys.clone()).unwrap_or_default();
        report(controllers, &tenant, now, &keys, Err(&error), None, &Rebinding::NotSeen).await?;
        return Err(error);
    }
    let counts = records_under(controllers, &tenant).await?;
    let (requested, unreadable) = match rotation::requested(tenant.annotations()) {
        Ok(requested) => (requested, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let Rotated { stale, done, request, waits } = controllers.vault.rings.rotate(&tenant, &region, counts, requested, now).await?;
    let refusal = unreadable.or_else(|| rotation::refusal(requested, request, now));
    for step in &done {
        controllers
            .audit
            .line(&region, Event::new("KeyRotated").with("tenant", Uid::of(&tenant)?.as_str()).with("step", format!("{step:?}")))
            .await?;
    }
    let resealed = match stale.is_empty() {
        true => 0,
        false => controllers.vault.reseal(&tenant, &region, &stale).await?,
    };
    let view = controllers.vault.rings.ensure(&tenant, &region, now).await?;
    let rebinding = rebind::tenant(controllers, &tenant).await;
    report(controllers, &tenant, now, &view.keys, Ok(()), refusal.as_ref(), &rebinding).await?;
    let usual = refusal.map_or(INTERVAL, |refusal| refusal.again_after(now, INTERVAL));
    // A key that was made waits, and so does the end of one that was retired.
    let usual = if waits { usual.min(Policy::TENANT.spreads.unsigned_abs()) } else { usual };
    let usual = rebinding.again_after().map_or(usual, |again| usual.min(again));
    Ok(Next::After(if resealed > 0 || !done.is_empty() { SOON } else { usual }))
}

/// How many sealed things there are under each of the tenant's keys: records, and the cursors of unfinished runs.
async fn records_under(controllers: &Controllers, tenant: &Tenant) -> Result<BTreeMap<Kid, u64>> {
    let mut counts = BTreeMap::new();
    let uid = Uid::of(tenant)?;
    for kind in Kind::SEALED {
        for record in controllers.vault.listed(kind, Some(uid.as_str())).await? {
            if let Some(kid) = label(record.meta(), KEY_ID_LABEL).and_then(|k| k.parse::<Kid>().ok()) {
                *counts.entry(kid).or_default() += 1;
            }
        }
    }
    for namespace in namespaces(tenant) {
        // One made anew under its name is not the tenant's, nor are its runs.
        if controllers.cluster.holder(&namespace).await?.is_none_or(|holder| !is_same(&holder.metadata, &tenant.metadata)) {
            continue;
        }
        let runs: Api<ImportRun> = Api::namespaced(controllers.cluster.client.clone(), &namespace);
        for run in runs.list(&ListParams::default()).await.map_err(kube("list ImportRuns"))? {
            let status = run.status.unwrap_or_default();
            if status.finished_at.is_none() {
                for kid in cursor_kids(status.chunks.as_ref()) {
                    *counts.entry(kid).or_default() += 1;
                }
            }
        }
    }
    Ok(counts)
}

/// Names of the namespaces that the tenant holds.
fn namespaces(tenant: &Tenant) -> Vec<String> {
    tenant.status.iter().flat_map(|s| &s.namespaces).map(|n| n.name.clone()).collect()
}

fn cursor_kids(chunks: Option<&Chunks>) -> impl Iterator<Item = Kid> + '_ {
    let folded = chunks.iter().filter_map(|c| c.folded.as_ref()?.sealed_cursor.as_ref()).collect::<Vec<_>>();
    let listed = chunks.into_iter().flat_map(|c| &c.listed).filter_map(|c| c.sealed_cursor.as_ref());
    folded.into_iter().chain(listed).filter_map(|sealed| Some(Header::parse(&BASE64.decode(sealed).ok()?).ok()?.kid))
}

async fn report(
    controllers: &Controllers,
    tenant: &Tenant,
    now: Timestamp,
    keys: &[KeyInfo],
    outcome: Result<(), &Error>,
    refusal: Option<&Refusal>,
    rebinding: &Rebinding,
) -> Result<()> {
    let previous = tenant.status.clone().unwrap_or_default();
    let conditions = Conditions::from(&previous.conditions, tenant.metadata.generation, now);
    let conditions = match outcome {
        Ok(()) => conditions.with_true(KEYS_READY, reasons::ACTIVE, "a key of this tenant seals and opens its records"),
        Err(error) => conditions.with_false(KEYS_READY, error.reason(), &error.chain()),
    };
    let conditions = match refusal {
        Some(refusal) => refusal.set_condition(conditions),
        None => conditions,
    };
    let conditions = rebinding.set_condition(conditions).build();
    let ours = |c: &&Condition| [KEYS_READY, ROTATION_REFUSED, REBOUND].contains(&c.type_.as_str());
    let same = previous.keys == keys && previous.conditions.iter().filter(ours).eq(conditions.iter());
    if same { Ok(()) } else { write(controllers, tenant, keys, &conditions).await }
}

async fn write(controllers: &Controllers, tenant: &Tenant, keys: &[KeyInfo], conditions: &[Condition]) -> Result<()> {
    let api: Api<Tenant> = Api::all(controllers.cluster.client.clone());
    let mut status = json!({"conditions": conditions});
    if !keys.is_empty() {
        status["keys"] = json!(keys);
    }
    controllers.cluster.writer.apply_status(&api, &ObjectKey::of(tenant), None, &status).await?;
    Ok(())
}

async fn set_finalizers(controllers: &Controllers, tenant: &Tenant, finalizers: &[&str]) -> Result<()> {
    let has = tenant.finalizers().iter().any(|f| f == names::TENANT_ERASURE_FINALIZER);
    if has != finalizers.is_empty() {
        return Ok(());
    }
    let api: Api<Tenant> = Api::all(controllers.cluster.client.clone());
    let mut metadata = json!({"uid": Uid::of(tenant)?});
    if !finalizers.is_empty() {
        metadata["finalizers"] = json!(finalizers);
    }
    controllers.cluster.writer.apply_fields(&api, &ObjectKey::of(tenant), json!({"metadata": metadata})).await?;
    Ok(())
}

/// Runs are stopped by the operator, whose finalizer comes first. Then: revoke, delete files, destroy keys, verify, audit, gone.
async fn erase(controllers: &Controllers, tenant: &Tenant) -> Result<Next> {
    if !tenant.finalizers().iter().any(|f| f == names::TENANT_ERASURE_FINALIZER) {
        return Ok(Next::Idle);
    }
    if tenant.finalizers().iter().any(|f| f == names::TENANT_RUNS_FINALIZER) {
        return Ok(Next::After(Duration::from_secs(2)));
    }
    // A word about this very tenant: in a manifest or a backup another one's would be left over.
    let uid = Uid::of(tenant)?;
    let released = tenant.annotations().get(names::RELEASE_ANNOTATION).is_some_and(|word| word == uid.as_str());
    match erase_all(controllers, tenant).await {
        Ok(None) => {
            controllers
                .cluster
                .events
                .normal(tenant, reasons::ERASED, "tokens revoked, files deleted, keys destroyed, and each proved")
                .await;
        }
        Ok(Some(unrevoked)) => {
            let note = format!(
                "files deleted, keys destroyed, and each proved; but access tokens could not be revoked and may live until their session ends, at most a day: {unrevoked}"
            );
            controllers.cluster.events.warning(tenant, reasons::ERASED_UNREVOKED, &note).await;
        }
        Err(error) if released => {
            let note = format!("let go unerased, as annotation {} asks: {}", names::RELEASE_ANNOTATION, error.chain());
            controllers.cluster.events.warning(tenant, reasons::RELEASED_UNERASED, &note).await;
        }
        Err(error) => {
            let message =
                format!("{}; it is tried again, or annotate the Tenant with {}={uid} to let go", error.chain(), names::RELEASE_ANNOTATION);
            let previous = tenant.status.clone().unwrap_or_default();
            let conditions = Conditions::from(&previous.conditions, tenant.metadata.generation, controllers.cluster.now()?)
                .with_false(KEYS_READY, reasons::ERASURE_BLOCKED, &message)
                .build();
            if !is_true(&previous.conditions, KEYS_READY) && previous.conditions.iter().any(|c| c.message == message) {
                return Err(error);
            }
            write(controllers, tenant, &previous.keys, &conditions).await?;
            return Err(error);
        }
    }
    set_finalizers(controllers, tenant, &[]).await?;
    Ok(Next::Idle)
}

/// Answers why tokens may be alive, if they may.
async fn erase_all(controllers: &Controllers, tenant: &Tenant) -> Result<Option<String>> {
    let uid = Uid::of(tenant)?;
    let (revoked, unrevoked) = revoke_all(controllers, tenant).await?;
    for file in controllers.files.records.list(Some(uid.as_str())).await? {
        sweeper::erase(&controllers.files, &file).await?;
    }
    for kind in [Kind::Credential, Kind::Tokens, Kind::Bookmark] {
        for record in controllers.vault.listed(kind, Some(uid.as_str())).await? {
            controllers.vault.destroy(record.meta()).await?;
        }
    }
    controllers.vault.rings.destroy(&uid).await?;
    verify_erased(controllers, &uid).await?;
    if let Ok(region) = controllers.cluster.region(&tenant.spec.region) {
        let event = Event::new("TenantErased").with("tenant", uid.as_str()).with("revoked", revoked);
        controllers.audit.line(&region, unrevoked.iter().fold(event, |event, _| event.with("unrevoked", true))).await?;
    }
    Ok(unrevoked)
}

/// Revokes all tokens that were issued for the tenant, those of Connections that are gone among them. Answers how many were alive, and what
/// failed for longer than is waited for.
async fn revoke_all(controllers: &Controllers, tenant: &Tenant) -> Result<(usize, Option<String>)> {
    let now = controllers.cluster.now()?;
    let since = tenant.metadata.deletion_timestamp.as_ref().map_or(SignedDuration::ZERO, |at| now.duration_since(at.0));
    let issued = controllers.vault.listed(Kind::Tokens, Some(Uid::of(tenant)?.as_str())).await?;
    let keys = match controllers.vault.keys_of(std::sync::Arc::new(tenant.clone())).await {
        Ok(keys) => keys,
        // Without keys nothing opens: none were made, they are destroyed already, or the region went first.
        Err(error @ (Error::Unbound(_) | Error::NoRegion(_))) => return Ok((0, (!issued.is_empty()).then(|| error.chain()))),
        Err(error) => return Err(error),
    };
    let (mut revoked, mut unrevoked) = (0, None);
    for record in issued {
        match controllers.vault.end_sessions(&keys, Bound::of(record.meta())?).await {
            Ok(count) => revoked += count,
            Err(error) if since < REVOKE_LIMIT => return Err(error),
            Err(error) => {
                tracing::warn!(record = record.name_any(), error = error.chain(), "tokens could not be revoked");
                unrevoked = Some(error.chain());
            }
        }
    }
    Ok((revoked, unrevoked))
}

async fn verify_erased(controllers: &Controllers, uid: &Uid) -> Result<()> {
    for kind in Kind::SEALED.into_iter().chain([Kind::KeyRing]) {
        if let Some(left) = controllers.vault.listed(kind, Some(uid.as_str())).await?.first() {
            return Err(Error::Record { name: left.name_any(), detail: "it is still there after its deletion" });
        }
    }
    Ok(())
}
