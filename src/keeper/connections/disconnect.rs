//! The end of a Connection: runs stop, tokens are revoked, the record is destroyed, and only then the object may go. Bounded: what
//! cannot be revoked in ten minutes is reported and let go, because a namespace must not hang on somebody else's outage.

use std::time::Duration;

use api::conditions::Conditions;
use api::snapshot::Snapshot;
use api::{Connection, ConnectionStatus, ImportRun, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use super::super::audit::Event;
use super::super::credentials;
use super::super::error::{Error, Result, kube};
use super::super::state::{Home, Keeper};

/// Runs have this long to finish what is committed; then their tokens are revoked under them.
const RUNS_LIMIT: SignedDuration = SignedDuration::from_mins(2);
const POLL: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(15);

pub(super) async fn disconnect(keeper: &Keeper, connection: &Connection) -> Result<Next> {
    if !connection.finalizers().iter().any(|f| f == names::CONNECTION_REVOKE_FINALIZER) {
        return Ok(Next::Idle);
    }
    let now = keeper.now()?;
    let since = connection.metadata.deletion_timestamp.as_ref().map_or(SignedDuration::ZERO, |at| now.duration_since(at.0));
    let running = stop_runs(keeper, connection).await?;
    if running > 0 && since < RUNS_LIMIT {
        progress(keeper, connection, now, &format!("waiting for {running} runs to stop")).await?;
        return Ok(Next::After(POLL));
    }
    match end(keeper, connection).await {
        Ok(Some(revoked)) => {
            let note = format!("{revoked} access tokens were revoked and the stored credential was destroyed; {}", left_to_do(connection));
            keeper.events.normal(connection, "RevokedLocally", &note).await;
        }
        Ok(None) => keeper.events.normal(connection, "RevokedLocally", "nothing was stored").await,
        Err(error) if since < domain::connection::REVOKE_LIMIT => {
            progress(keeper, connection, now, &format!("revocation failed and is tried again: {}", error.chain())).await?;
            return Ok(Next::After(RETRY));
        }
        Err(error) => {
            destroy(keeper, connection).await?;
            let note = format!(
                "after ten minutes tokens could not be revoked ({}); the stored credential was destroyed. {}",
                error.chain(),
                left_to_do(connection)
            );
            keeper.events.warning(connection, "RevocationFailed", &note).await;
        }
    }
    super::set_finalizers(keeper, connection, &[]).await?;
    Ok(Next::Idle)
}

/// What only a person can do at the other end.
fn left_to_do(connection: &Connection) -> &'static str {
    match connection.spec.salesforce {
        Some(_) => "the app's own secret or certificate stays valid until you change it in Salesforce Setup",
        None => "the database's password stays valid until you change it there",
    }
}

/// Cancels the unfinished runs that use this Connection. Answers how many there are.
async fn stop_runs(keeper: &Keeper, connection: &Connection) -> Result<usize> {
    let namespace = connection.namespace().unwrap_or_default();
    let Some(tenant) = keeper.holder(&namespace) else { return Ok(0) };
    let Some(run_namespace) = tenant.status.as_ref().and_then(|s| s.run_namespace.clone()) else { return Ok(0) };
    let runs: Api<ImportRun> = Api::namespaced(keeper.client.clone(), &namespace);
    let anchors: Api<ConfigMap> = Api::namespaced(keeper.client.clone(), &run_namespace.name);
    let mut count = 0;
    for run in runs.list(&ListParams::default()).await.map_err(kube("list ImportRuns"))? {
        if run.status.as_ref().is_some_and(|s| s.finished_at.is_some()) {
            continue;
        }
        let anchor = anchors.get_opt(&names::snapshot_configmap(&run.uid().unwrap_or_default())).await.map_err(kube("read a snapshot"))?;
        let snapshot = anchor.and_then(|map| serde_json::from_str::<Snapshot>(map.data?.get(names::SNAPSHOT_KEY)?).ok());
        // Without a snapshot the run has not begun, and will not without this Connection.
        if !snapshot.is_some_and(|s| s.connections.values().any(|c| Some(&c.uid) == connection.uid().as_ref())) {
            continue;
        }
        count += 1;
        if !run.spec.cancelled() {
            keeper.writer.merge(&runs, &ObjectKey::of(&run), json!({"metadata": {"uid": run.uid()}, "spec": {"cancel": true}})).await?;
        }
    }
    Ok(count)
}

/// Revokes and destroys. Absent: nothing was stored, or nothing of it can be opened any more.
async fn end(keeper: &Keeper, connection: &Connection) -> Result<Option<usize>> {
    let home = match keeper.holder(&connection.namespace().unwrap_or_default()) {
        Some(tenant) => match keeper.home(tenant).await {
            Ok(home) => home,
            // The tenant's keys are gone, and with them everything that was sealed.
            Err(Error::Unbound(_) | Error::NoRegion(_)) => return destroy(keeper, connection).await.map(|()| None),
            Err(error) => return Err(error),
        },
        None => return destroy(keeper, connection).await.map(|()| None),
    };
    let revoked = revoke(keeper, &home, connection).await?;
    let event =
        Event::new("CredentialDestroyed").with("connection", connection.uid().unwrap_or_default()).with("revoked", revoked.unwrap_or(0));
    keeper.audit(&home.region, event).await?;
    destroy(keeper, connection).await?;
    Ok(revoked)
}

pub(in crate::keeper) async fn revoke(keeper: &Keeper, home: &Home, connection: &Connection) -> Result<Option<usize>> {
    let Some(stored) = keeper.stored(connection).await? else { return Ok(None) };
    // Revoking a token needs no credential of ours, so one that no longer opens does not stop it.
    let entries = credentials::Entries::new(std::collections::BTreeMap::new());
    match keeper.target(home, connection, &entries, stored.credential.version) {
        Some(target) => keeper.sessions.revoke_all(&target).await.map(Some),
        None => Ok(Some(0)),
    }
}

async fn destroy(keeper: &Keeper, connection: &Connection) -> Result<()> {
    let uid = connection.uid().unwrap_or_default();
    keeper.sessions.forget(&uid).await?;
    keeper.records.delete(&credentials::secret_name(&uid), None).await
}

async fn progress(keeper: &Keeper, connection: &Connection, now: Timestamp, message: &str) -> Result<()> {
    let previous = connection.status.clone().unwrap_or_default();
    let generation = connection.metadata.generation;
    let conditions = Conditions::from(&previous.conditions, generation, now).progressing("Disconnecting", message).build();
    let status = ConnectionStatus { observed_generation: generation, conditions, ..previous.clone() };
    if status == previous {
        return Ok(());
    }
    let api: Api<Connection> = Api::namespaced(keeper.client.clone(), &connection.namespace().unwrap_or_default());
    keeper.writer.apply_status(&api, &ObjectKey::of(connection), None, &status).await?;
    Ok(())
}
