//! The Connection controller: takes secrets in, shows them to the systems they are for, says what came of it, and ends what ends.
//! observe → decide (crates/domain) → act → report.

mod awaited;
mod disconnect;
mod hints;
mod turn;
mod verify;

use std::time::Duration;

use api::conditions::Conditions;
use api::connection::{AfterIntake, Verification};
use api::reasons::connection as reasons;
use api::{Connection, ConnectionStatus, NamespaceName, Uid, conditions, names};
use domain::connection::{Consent, Decision, Observed, Seen, Source, Wanted, decide};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use serde_json::json;

use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::controllers::Controllers;
use crate::keeper::vault::TenantKeys;
use crate::keeper::vault::credentials::Stored;
use crate::keeper::vault::source::{Found, Read, Removal};

pub(crate) use awaited::run as ask_after_sources;

/// Called by the work queue for one Connection.
pub(crate) async fn reconcile(controllers: &Controllers, namespace: &str, name: &str) -> Result<Next> {
    // Read live: a change just written must not be decided on twice.
    let Some(connection) = controllers.cluster.connection(namespace, name).await? else {
        controllers.awaited().forget(namespace, name);
        return Ok(Next::Idle);
    };
    if connection.metadata.deletion_timestamp.is_some() {
        controllers.awaited().forget(namespace, name);
        return disconnect::disconnect(controllers, &connection).await;
    }
    let outcome = look(controllers, namespace, &connection).await;
    if let Err(error) = &outcome {
        report_error(controllers, namespace, name, error).await;
    }
    outcome
}

async fn look(controllers: &Controllers, namespace: &str, connection: &Connection) -> Result<Next> {
    let mut report = Report::of(controllers, connection)?;
    let mut seen = None;
    match ensure_finalizer(controllers, connection).await {
        Ok(()) => match controllers.cluster.tenant_of(namespace).await? {
            None => report.wait(reasons::NAMESPACE_NOT_HELD, "no Tenant lists this namespace, or it holds another one of that name"),
            Some(tenant) => match controllers.vault.keys_of(tenant).await {
                Ok(keys) => seen = work(controllers, &keys, connection, &mut report).await?,
                Err(error @ (Error::Unbound(_) | Error::NoRegion(_))) => report.wait(error.reason(), &error.chain()),
                Err(error) => return Err(error),
            },
        },
        Err(error) => {
            let Some(said) = error.refusal() else { return Err(error) };
            let finalizer = names::CONNECTION_REVOKE_FINALIZER;
            let message = format!("nothing is stored without finalizer {finalizer}, and the API server refuses it: {said}");
            report.stall(reasons::FINALIZER_REFUSED, &message);
        }
    }
    let next = report.next;
    let ready = report.write(controllers, connection).await?;
    let (name, now) = (connection.name_any(), controllers.cluster.now()?);
    match (seen.filter(|_| !ready), connection.spec.credentials.source()) {
        (Some(seen), Some(source)) => controllers.awaited().expect(namespace, Wanted { name, source, seen }, now),
        _ => controllers.awaited().forget(namespace, &name),
    }
    Ok(Next::After(next))
}

/// What stopped a look stands on the object, too: the user who waits for it reads why. What was accepted stays so over a hiccup.
async fn report_error(controllers: &Controllers, namespace: &str, name: &str, error: &Error) {
    if error.is_conflict() || matches!(error, Error::Disconnecting(_)) {
        return;
    }
    // Read again: an attempt may have been written down meanwhile.
    let Ok(Some(connection)) = controllers.cluster.connection(namespace, name).await else { return };
    let status = connection.status.clone().unwrap_or_default();
    let accepted =
        status.observed_generation == connection.metadata.generation && conditions::is_true(&status.conditions, conditions::READY);
    if connection.metadata.deletion_timestamp.is_some() || (accepted && error.refusal().is_none()) {
        return;
    }
    let Ok(mut report) = Report::of(controllers, &connection) else { return };
    report.shown = true;
    report.change(|c| c.keep(conditions::PLAINTEXT_SOURCE));
    report.wait(error.reason(), &error.chain());
    if let Err(error) = report.write(controllers, &connection).await {
        tracing::warn!(namespace, connection = name, error = error.chain(), "what is in a Connection's way could not be told");
    }
}

/// Answers what was seen of the Secret, if a change of it is waited for.
async fn work(controllers: &Controllers, keys: &TenantKeys, connection: &Connection, report: &mut Report) -> Result<Option<Seen>> {
    let namespace = NamespaceName::of(connection)?;
    let stored = controllers.vault.stored(connection).await?;
    let Read { source, secret, seen } = controllers.vault.read_source(keys, connection, stored.as_ref()).await?;
    let Some(named) = connection.spec.credentials.source() else {
        unknown_system(report);
        return Ok(None);
    };
    let secret_name = named.name.clone();
    let keeps = connection.spec.credentials.secret_ref().is_some_and(|r| r.after_intake == AfterIntake::Keep);
    let (there, consent) = match &source {
        Source::Found { consent, .. } => (true, consent.clone()),
        Source::Missing | Source::Forbidden | Source::Sealed(_) => (false, Consent::default()),
    };
    report.plaintext = there.then(|| secret_name.clone()).filter(|_| keeps);
    let name = connection.name_any();
    let observed = Observed { name: &name, spec: &connection.spec, source, stored: stored.as_ref().map(|s| s.credential.clone()) };
    let ledger = connection.status.as_ref().and_then(|s| s.credential_version).unwrap_or_default();
    let decision = decide(&observed, ledger);
    let known = connection.status.as_ref().is_some_and(|s| s.observed_generation.is_some());
    if connection.spec.suspended() && known && !matches!(decision, Decision::ConsentMissing { withdrawn: true }) {
        report.rest(connection, stored.as_ref());
        return Ok(None);
    }
    let (stored, removal) = match decision {
        Decision::UnknownSystem => {
            unknown_system(report);
            return Ok(None);
        }
        Decision::WaitForRole => {
            report.stall(reasons::SOURCE_FORBIDDEN, &hints::role_hint(&namespace, connection));
            return Ok(Some(seen));
        }
        Decision::WaitForSource => {
            let keys = domain::connection::required_keys(&connection.spec).join(", ");
            let with = if keys.is_empty() { keys } else { format!(" with {keys}") };
            let message = format!("{named} is not there: create it{with}");
            report.wait(reasons::SOURCE_MISSING, &message);
            return Ok(Some(seen));
        }
        Decision::ConsentMissing { withdrawn } => {
            let mut message = hints::consent_hint(&namespace, connection, &named, consent);
            if let Err(error) = withdraw(controllers, keys, connection, withdrawn).await {
                message.push_str(&format!(". Access tokens issued before could not be revoked yet: {}", error.chain()));
            }
            report.stall(reasons::CONSENT_MISSING, &message);
            return Ok(Some(seen));
        }
        Decision::KeysMissing(keys) => {
            report.stall(reasons::KEYS_MISSING, &format!("Secret {secret_name} lacks {}", keys.join(", ")));
            return Ok(Some(seen));
        }
        Decision::SourceManaged(tool) => {
            let message =
                format!("Secret {secret_name} is managed by {tool}, which would bring it back: use afterIntake Keep, or create it by hand");
            report.stall(reasons::SOURCE_MANAGED, &message);
            return Ok(Some(seen));
        }
        Decision::SealRefused(refusal) => {
            let (reason, message) = hints::seal_hint(&namespace, connection, &keys.tenant.name_any(), &keys.region.name_any(), refusal);
            report.endpoint_of(stored.as_ref());
            report.stall(reason, &message);
            return Ok(None);
        }
        Decision::NeedsReauthentication => {
            let message = format!(
                "what is stored was given for another endpoint or by another Secret or ServiceAccount, so it is not used: bring {named} with its consent to this endpoint, or point the Connection back"
            );
            report.endpoint_of(stored.as_ref());
            report.stall(reasons::NEEDS_REAUTHENTICATION, &message);
            return Ok(Some(seen));
        }
        Decision::Store { version, delete_source } => {
            store(controllers, keys, connection, secret.as_ref(), version, stored).await?;
            let removal = controllers.vault.remove_source(connection, secret, delete_source).await?;
            (controllers.vault.stored(connection).await?, removal)
        }
        Decision::Keep { delete_source } => (stored, controllers.vault.remove_source(connection, secret, delete_source).await?),
    };
    // What is sealed in the Connection changes with it only: nobody is asked after it.
    let seen = Some(seen).filter(|_| connection.spec.credentials.sealed().is_none());
    let Some(stored) = stored else { return Ok(seen) };
    report.stored(&stored, connection);
    match removal {
        Removal::Done => {}
        Removal::Changed => report.come_back(report.now),
        // A Connection whose Secret should be gone is not ready while everybody who may read Secrets there has the credential.
        Removal::Refused(said) => {
            report.plaintext = Some(secret_name.clone());
            report.stall(reasons::SOURCE_NOT_DELETED, &hints::deletion_hint(&namespace, connection, &secret_name, &said));
            return Ok(match seen {
                Some(Seen::There(version)) => Some(Seen::Undeletable(version)),
                seen => seen,
            });
        }
    }
    verify::verify(controllers, keys, connection, &stored, report).await?;
    Ok(seen)
}

/// The author of the Connection knows a system, or a way to log in, that this version does not: nobody was asked, so nobody accepted us.
fn unknown_system(report: &mut Report) {
    report.stall(reasons::UNKNOWN_SYSTEM, "the spec names no system, or no way to log in to it, that this version of the keeper knows: name one that it knows, or upgrade Dataimporter");
}

/// Destroys what was stored with a consent that its owner took back, and revokes what came of it; tried again until it is done.
async fn withdraw(controllers: &Controllers, keys: &TenantKeys, connection: &Connection, withdrawn: bool) -> Result<()> {
    let uid = Uid::of(connection)?;
    if withdrawn {
        controllers.audit.line(&keys.region, Event::new("ConsentWithdrawn").with("connection", uid.as_str())).await?;
        // First: a session that is being issued asks for it last.
        controllers.vault.destroy_credential(connection).await?;
    }
    if (withdrawn || controllers.vault.stored(connection).await?.is_none()) && controllers.vault.tokens(connection).await?.is_some() {
        let revoked = controllers.vault.interrupt_sessions(keys, connection).await?;
        let note = format!(
            "the owner of what it is taken from took the consent back: {revoked} access tokens were revoked, what was stored is destroyed"
        );
        controllers.cluster.events.warning(connection, reasons::CONSENT_WITHDRAWN, &note).await;
    }
    Ok(())
}

async fn store(
    controllers: &Controllers,
    keys: &TenantKeys,
    connection: &Connection,
    secret: Option<&Found>,
    version: i64,
    previous: Option<Stored>,
) -> Result<()> {
    let Some(found) = secret else { return Ok(()) };
    let uid = Uid::of(connection)?;
    controllers
        .audit
        .line(
            &keys.region,
            Event::new("CredentialStored")
                .with("tenant", keys.scope.tenant_uid.as_str())
                .with("connection", uid.as_str())
                .with("version", version),
        )
        .await?;
    let key_id = controllers.vault.store(keys, connection, found, version, previous).await?;
    // Another keeper may have disconnected it since we looked, and would not see what we stored after it.
    if !controllers.cluster.lives(connection).await? {
        controllers.vault.destroy_credential(connection).await?;
        return Err(Error::Disconnecting(connection.name_any()));
    }
    tracing::info!(namespace = connection.namespace(), connection = connection.name_any(), version, key_id, "credential stored");
    controllers
        .cluster
        .events
        .normal(connection, reasons::CREDENTIAL_STORED, &format!("version {version} of the credential is stored encrypted"))
        .await;
    Ok(())
}

async fn ensure_finalizer(controllers: &Controllers, connection: &Connection) -> Result<()> {
    if connection.finalizers().iter().any(|f| f == names::CONNECTION_REVOKE_FINALIZER) {
        return Ok(());
    }
    set_finalizers(controllers, connection, &[names::CONNECTION_REVOKE_FINALIZER]).await
}

pub(super) async fn set_finalizers(controllers: &Controllers, connection: &Connection, finalizers: &[&str]) -> Result<()> {
    let api: Api<Connection> = Api::namespaced(controllers.cluster.client.clone(), NamespaceName::of(connection)?.as_str());
    let mut metadata = json!({"uid": Uid::of(connection)?});
    if !finalizers.is_empty() {
        metadata["finalizers"] = json!(finalizers);
    }
    controllers.cluster.writer.apply_fields(&api, &ObjectKey::of(connection), json!({"metadata": metadata})).await?;
    Ok(())
}

/// The status as it will be.
pub(super) struct Report {
    now: Timestamp,
    status: ConnectionStatus,
    conditions: Option<Conditions>,
    plaintext: Option<String>,
    /// The credential came as far as its verification.
    shown: bool,
    /// When to look again.
    next: Duration,
}

impl Report {
    fn of(controllers: &Controllers, connection: &Connection) -> Result<Self> {
        let now = controllers.cluster.now()?;
        let previous = connection.status.clone().unwrap_or_default();
        let mut status = previous.clone();
        status.observed_generation = connection.metadata.generation;
        let conditions = Conditions::from(&previous.conditions, connection.metadata.generation, now);
        let next = domain::connection::SOURCE_INTERVAL.unsigned_abs();
        Ok(Self { now, status, conditions: Some(conditions), plaintext: None, shown: false, next })
    }

    fn change(&mut self, f: impl FnOnce(Conditions) -> Conditions) {
        self.conditions = self.conditions.take().map(f);
    }

    fn wait(&mut self, reason: &str, message: &str) {
        self.change(|c| c.waiting(reason, message));
    }

    fn stall(&mut self, reason: &str, message: &str) {
        self.change(|c| c.stalled(reason, message));
    }

    /// What was found last time still holds.
    fn keep_verdict(&mut self) {
        self.change(|c| c.keep(conditions::READY).keep(conditions::RECONCILING).keep(conditions::STALLED));
    }

    /// Suspended it keeps its last word, unless that was about something else than what it describes now.
    fn rest(&mut self, connection: &Connection, stored: Option<&Stored>) {
        self.shown = true;
        let last = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY));
        let accepted = self.status.endpoint_digest == Some(connection.spec.endpoint_digest())
            && stored.is_some_and(|stored| stored.credential.serves(&connection.spec));
        match last.map(|ready| ready.status.as_str()) {
            Some("False") => self.keep_verdict(),
            Some("True") if accepted => self.keep_verdict(),
            _ => self.stall(
                reasons::SUSPENDED,
                "what it describes now was shown to nobody yet, and is not while it is suspended: set its spec.suspend to false",
            ),
        }
    }

    /// Looks again at that time at the latest.
    fn come_back(&mut self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now)).unwrap_or_default();
        self.next = self.next.min(left.max(Duration::from_secs(1)));
    }

    /// Writes an attempt down before it is made: a keeper that does not survive it waits before the next.
    async fn write_ahead(&self, controllers: &Controllers, connection: &Connection, attempt: &Verification) -> Result<()> {
        let mut status = connection.status.clone().unwrap_or_default();
        if status.observed_generation != connection.metadata.generation {
            status.observed_generation = connection.metadata.generation;
            let conditions = Conditions::from(&status.conditions, connection.metadata.generation, self.now)
                .progressing(reasons::VERIFYING, "the credential is shown to the system");
            status.conditions = self.with_plaintext(conditions, connection).build();
        }
        status.verification = Some(attempt.clone());
        write_status(controllers, connection, &status).await
    }

    fn ready(&mut self, message: &str) {
        self.status.last_verified = Some(Time(self.now));
        self.change(|c| c.ready(reasons::VERIFIED, message));
    }

    fn endpoint_of(&mut self, stored: Option<&Stored>) {
        self.status.endpoint_digest = stored.map(|s| s.credential.endpoint_digest.clone());
    }

    fn stored(&mut self, stored: &Stored, connection: &Connection) {
        self.status.endpoint_digest = Some(connection.spec.endpoint_digest());
        self.status.credential_version = Some(stored.credential.version);
        self.status.key_id = Some(stored.key_id.clone());
    }

    /// Whether the credential lies in the namespace for everybody who may read Secrets there.
    fn with_plaintext(&self, conditions: Conditions, connection: &Connection) -> Conditions {
        let Some(secret) = &self.plaintext else { return conditions };
        let readable = format!("Secret {secret} is still readable in this namespace: whoever may read it has the credential");
        let keeps = connection.spec.credentials.secret_ref().is_some_and(|r| r.after_intake == AfterIntake::Keep);
        match keeps {
            true => {
                conditions.with_true(conditions::PLAINTEXT_SOURCE, reasons::KEPT, &format!("{readable}. afterIntake Delete removes it"))
            }
            false => conditions.with_true(
                conditions::PLAINTEXT_SOURCE,
                reasons::NOT_DELETED,
                &format!("{readable}. Ready says what is in the way"),
            ),
        }
    }

    /// Answers whether it is ready.
    async fn write(mut self, controllers: &Controllers, connection: &Connection) -> Result<bool> {
        let conditions = self.conditions.take().map(|conditions| self.with_plaintext(conditions, connection));
        let mut status = ConnectionStatus { conditions: conditions.map(Conditions::build).unwrap_or_default(), ..self.status };
        if !self.shown {
            // What was refused before says nothing about what comes next.
            status.verification = None;
        }
        let ready = conditions::is_true(&status.conditions, conditions::READY);
        if connection.status.as_ref() != Some(&status) {
            emit_events(controllers, connection, &status).await;
            write_status(controllers, connection, &status).await?;
        }
        Ok(ready)
    }
}

/// All of it but what every keeper says of itself: when the credential was last used.
async fn write_status(controllers: &Controllers, connection: &Connection, status: &ConnectionStatus) -> Result<()> {
    let api: Api<Connection> = Api::namespaced(controllers.cluster.client.clone(), NamespaceName::of(connection)?.as_str());
    let ours = ConnectionStatus { last_used: None, ..status.clone() };
    controllers.cluster.writer.apply_status(&api, &ObjectKey::of(connection), None, &ours).await?;
    Ok(())
}

/// An event when Ready turns or its reason changes.
async fn emit_events(controllers: &Controllers, connection: &Connection, status: &ConnectionStatus) {
    let before = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY));
    let Some(after) = conditions::find(&status.conditions, conditions::READY) else { return };
    if before.is_some_and(|b| b.status == after.status && b.reason == after.reason) {
        return;
    }
    match after.status.as_str() {
        "True" => controllers.cluster.events.normal(connection, &after.reason, &after.message).await,
        _ => controllers.cluster.events.warning(connection, &after.reason, &after.message).await,
    }
}
