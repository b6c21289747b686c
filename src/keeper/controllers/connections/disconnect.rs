//! The end of a Connection: runs stop, tokens are revoked, the record is destroyed, and only then the object may go. Bounded: what
//! cannot be revoked in ten minutes is reported and let go, because a namespace must not hang on somebody else's outage.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::Conditions;
use api::identity::has_uid;
use api::reasons::connection as reasons;
use api::snapshot::Snapshot;
use api::{Connection, ConnectionStatus, ImportRun, NamespaceName, Tenant, Uid, names};
use domain::connection::REVOKE_LIMIT;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::controllers::Controllers;

/// Runs have this long to finish what is committed; then their tokens are revoked under them.
const RUNS_LIMIT: SignedDuration = SignedDuration::from_mins(2);
const POLL: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(15);

pub(super) async fn disconnect(controllers: &Controllers, connection: &Connection) -> Result<Next> {
    let outcome = step(controllers, connection).await;
    if let Err(error) = &outcome
        && error.refusal().is_some()
    {
        let message = format!("it is tried again: {}", error.chain());
        pending(controllers, connection, controllers.cluster.now()?, error.reason(), &message).await?;
    }
    outcome
}

async fn step(controllers: &Controllers, connection: &Connection) -> Result<Next> {
    if !connection.finalizers().iter().any(|f| f == names::CONNECTION_REVOKE_FINALIZER) {
        return Ok(Next::Idle);
    }
    let now = controllers.cluster.now()?;
    let began = connection.metadata.deletion_timestamp.as_ref().map_or(now, |at| at.0);
    let Stopping { running, refused } = stop_runs(controllers, connection).await?;
    if running > 0 && now.duration_since(began) < RUNS_LIMIT {
        let why = refused.map(|refused| format!(", until {}; {refused}", began + RUNS_LIMIT)).unwrap_or_default();
        pending(controllers, connection, now, reasons::DISCONNECTING, &format!("waiting for runs to stop: {running}{why}")).await?;
        return Ok(Next::After(POLL));
    }
    match end(controllers, connection).await {
        Ok(End::Revoked(revoked)) => {
            let note = format!("{revoked} access tokens were revoked and the stored credential was destroyed; {}", left_to_do(connection));
            controllers.cluster.events.normal(connection, reasons::REVOKED_LOCALLY, &note).await;
        }
        Ok(End::NothingStored) => controllers.cluster.events.normal(connection, reasons::REVOKED_LOCALLY, "nothing was stored").await,
        Ok(End::Unopened(error)) => give_up(controllers, connection, &error, "its keys are gone").await?,
        // An attempt takes its time: how late it is by now counts.
        Err(error) if controllers.cluster.now()? < began + REVOKE_LIMIT => {
            let until = began + REVOKE_LIMIT;
            let message = format!("tokens could not be revoked yet, which is tried until {until}: {}", error.chain());
            pending(controllers, connection, now, reasons::REVOCATION_PENDING, &message).await?;
            return Ok(Next::After(RETRY));
        }
        Err(error) => give_up(controllers, connection, &error, "tried for ten minutes").await?,
    }
    super::set_finalizers(controllers, connection, &[]).await?;
    Ok(Next::Idle)
}

/// Destroys what is stored and says plainly what could not be done: the object goes, and nobody must believe its tokens dead.
async fn give_up(controllers: &Controllers, connection: &Connection, error: &Error, why: &str) -> Result<()> {
    let why = format!("{why}: {}", error.chain());
    tracing::error!(namespace = connection.namespace(), connection = connection.name_any(), why, "tokens could not be revoked");
    if let Some(region) = tenant(controllers, connection).await?.and_then(|tenant| controllers.cluster.region(&tenant.spec.region).ok()) {
        let event = Event::new("RevocationFailed").with("connection", Uid::of(connection)?.as_str()).with("reason", error.reason());
        // Storage that is away must not hold the Connection for ever.
        if let Err(error) = controllers.audit.line(&region, event).await {
            tracing::error!(region = region.name_any(), error = error.chain(), "a failed revocation could not be audited");
        }
    }
    controllers.vault.forget(connection).await?;
    let note = format!(
        "access tokens could not be revoked ({why}) and may live until their session ends, at most a day; the stored credential was \
         destroyed. {}",
        left_to_do(connection)
    );
    controllers.cluster.events.warning(connection, reasons::REVOCATION_FAILED, &note).await;
    Ok(())
}

/// What only a person can do at the other end.
fn left_to_do(connection: &Connection) -> &'static str {
    connection.spec.system().map_or("what was shown to the other end stays valid until you change it there", |system| {
        system.kind().profile().left_after_disconnect
    })
}

/// The unfinished runs that use a Connection.
#[derive(Default)]
struct Stopping {
    running: usize,
    /// What the API server said if it does not let one be cancelled: that one ends with its tokens.
    refused: Option<String>,
}

/// Cancels the unfinished runs that use this Connection.
async fn stop_runs(controllers: &Controllers, connection: &Connection) -> Result<Stopping> {
    let mut stopping = Stopping::default();
    let namespace = NamespaceName::of(connection)?;
    let Some(tenant) = controllers.cluster.holder(namespace.as_str()).await? else { return Ok(stopping) };
    let Some(run_namespace) = tenant.status.as_ref().and_then(|s| s.run_namespace.clone()) else { return Ok(stopping) };
    let runs: Api<ImportRun> = Api::namespaced(controllers.cluster.client.clone(), namespace.as_str());
    let anchors: Api<ConfigMap> = Api::namespaced(controllers.cluster.client.clone(), &run_namespace.name);
    for run in runs.list(&ListParams::default()).await.map_err(kube("list ImportRuns"))? {
        if run.status.as_ref().is_some_and(|s| s.finished_at.is_some()) {
            continue;
        }
        let run_uid = Uid::of(&run)?;
        let anchor = anchors.get_opt(&names::snapshot_configmap(run_uid.as_str())).await.map_err(kube("read a snapshot"))?;
        let snapshot = anchor.and_then(|map| serde_json::from_str::<Snapshot>(map.data?.get(names::SNAPSHOT_KEY)?).ok());
        // Without a snapshot the run has not begun, and will not without this Connection.
        if !snapshot.is_some_and(|s| s.connections.values().any(|c| has_uid(&connection.metadata, &c.uid))) {
            continue;
        }
        stopping.running += 1;
        if !run.spec.cancelled() {
            let cancel = json!({"metadata": {"uid": run_uid}, "spec": {"cancel": true}});
            match controllers.cluster.writer.merge(&runs, &ObjectKey::of(&run), cancel).await.map_err(Error::from) {
                Ok(_) => {}
                Err(error) => match error.refusal() {
                    Some(said) => stopping.refused = Some(format!("ImportRun {} cannot be cancelled: {said}", run.name_any())),
                    None => return Err(error),
                },
            }
        }
    }
    Ok(stopping)
}

/// How far a Connection's end came.
enum End {
    /// So many tokens were alive until now.
    Revoked(usize),
    NothingStored,
    /// Something is stored that no key opens any more: the tenant or its region went first.
    Unopened(Error),
}

/// Revokes and destroys.
async fn end(controllers: &Controllers, connection: &Connection) -> Result<End> {
    let uid = Uid::of(connection)?;
    let tokens = controllers.vault.tokens(connection).await?;
    if tokens.is_none() && controllers.vault.stored(connection).await?.is_none() {
        // A call that is under way must not leave a token behind.
        controllers.vault.forget(connection).await?;
        return Ok(End::NothingStored);
    }
    let keys = match tenant(controllers, connection).await? {
        Some(tenant) => controllers.vault.keys_of(tenant).await,
        None => Err(Error::TenantGone),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(error @ (Error::Unbound(_) | Error::NoRegion(_) | Error::TenantGone)) => return Ok(End::Unopened(error)),
        Err(error) => return Err(error),
    };
    // Needs no credential of ours: one that no longer opens, or is gone already, does not stop it.
    let revoked = controllers.vault.end_sessions_of(&keys, connection).await?;
    let event = Event::new("CredentialDestroyed")
        .with("tenant", keys.scope.tenant_uid.as_str())
        .with("connection", uid.as_str())
        .with("revoked", revoked);
    controllers.audit.line(&keys.region, event).await?;
    controllers.vault.forget(connection).await?;
    Ok(End::Revoked(revoked))
}

/// Whose keys a Connection's records are sealed under. The namespace may be another tenant's by now, or another namespace.
async fn tenant(controllers: &Controllers, connection: &Connection) -> Result<Option<Arc<Tenant>>> {
    if let Some(tokens) = controllers.vault.tokens(connection).await? {
        return Ok(controllers.cluster.tenant_of_record(&tokens.metadata));
    }
    match controllers.vault.stored(connection).await? {
        Some(stored) => Ok(controllers.cluster.tenant_of_record(stored.metadata())),
        None => controllers.cluster.holder(NamespaceName::of(connection)?.as_str()).await,
    }
}

/// Says what the deletion waits for.
async fn pending(controllers: &Controllers, connection: &Connection, now: Timestamp, reason: &str, message: &str) -> Result<()> {
    let previous = connection.status.clone().unwrap_or_default();
    let generation = connection.metadata.generation;
    let conditions = Conditions::from(&previous.conditions, generation, now).progressing(reason, message).build();
    let status = ConnectionStatus { observed_generation: generation, conditions, ..previous.clone() };
    if status == previous {
        return Ok(());
    }
    let api: Api<Connection> = Api::namespaced(controllers.cluster.client.clone(), NamespaceName::of(connection)?.as_str());
    controllers.cluster.writer.apply_status(&api, &ObjectKey::of(connection), None, &status).await?;
    Ok(())
}
