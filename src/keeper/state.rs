//! Everything the keeper's parts share, and the reads that several of them need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use api::connection::{Salesforce, SystemKind};
use api::{Connection, Region, Tenant};
use domain::connection::{Awaited, Budget};
use domain::lease::PeerIpCheck;
use domain::reach::endpoints_of;
use envelope::Scope;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use runtime::events::Events;
use runtime::metrics::Metrics;
use runtime::store::{ObjectKey, Store};
use runtime::write::Writer;
use tokio::sync::Notify;

use super::audit::{Audit, Event, Folded};
use super::bound::Bound;
use super::clock::Clock;
use super::credentials::{self, Entries, Stored};
use super::custody::Custodies;
use super::error::{Error, Result, kube};
use super::files::{FileRecord, Files};
use super::key_rings::KeyRings;
use super::opening::{Opening, Ring};
use super::records::{Records, TENANT_UID_LABEL, label};
use super::room::Room;
use super::sessions::{self, Owner, Sessions, Target};
use super::storage::{Storage, Storages};
use super::workers::Turns;
use crate::reach::address_policy;

pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) writer: Writer,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    /// Where we and our Secrets are.
    pub(crate) namespace: String,
    pub(crate) installation: String,
    /// Name of this process among its replicas.
    pub(crate) identity: String,
    pub(crate) clock: Clock,
    pub(crate) records: Records,
    pub(crate) custodies: Custodies,
    pub(crate) rings: KeyRings,
    pub(crate) storages: Storages,
    pub(crate) files: Files,
    pub(crate) room: Room,
    pub(crate) sessions: Sessions,
    pub(crate) dialer: connect::Dialer,
    pub(crate) audit: Audit,
    pub(crate) peer_check: PeerIpCheck,
    pub(crate) regions: Store<Region>,
    pub(crate) tenants: Store<Tenant>,
    /// A tenant's rule changed: files may have had their time.
    pub(crate) due: Arc<Notify>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) turns: Turns,
    pub(crate) refusals: Mutex<Folded>,
    /// Has a Region looked at now.
    pub(crate) wake_region: Box<dyn Fn(String) + Send + Sync>,
    /// Has a Connection looked at now, by namespace and name.
    pub(crate) wake_connection: Box<dyn Fn(String, String) + Send + Sync>,
    /// What is dialed for Connections, by tenant.
    pub(crate) budget: Mutex<Budget<(String, String)>>,
    /// Connections that wait for a change of their Secret.
    pub(crate) awaited: Mutex<Awaited>,
}

/// A tenant's turn to dial; it ends when dropped.
pub(crate) struct Turn<'a> {
    keeper: &'a Keeper,
    tenant_uid: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.keeper.budget.lock().unwrap_or_else(PoisonError::into_inner).end(&self.tenant_uid);
        next.into_iter().for_each(|(namespace, name)| (self.keeper.wake_connection)(namespace, name));
    }
}

/// What may be forgotten at a restart.
#[derive(Default)]
pub(crate) struct Memory {
    /// Token id → the pod that showed it first.
    pub(crate) tokens: BTreeMap<String, (String, Instant)>,
    /// Callers of progress that were admitted a short while ago.
    pub(crate) admitted: BTreeMap<String, (Instant, super::workers::RunKey)>,
    /// When a run's progress was last written.
    pub(crate) progress: BTreeMap<String, Instant>,
    /// Files of each region that had their time and could not be erased.
    pub(crate) overdue: BTreeMap<String, usize>,
    /// When a worker last got the credential of a Connection, until the status says so.
    pub(crate) used: BTreeMap<String, Timestamp>,
}

/// A tenant where it lives, and its opened keys.
pub(crate) struct Home {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) region: Arc<Region>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) scope: Scope,
}

impl Keeper {
    pub(crate) fn now(&self) -> Result<Timestamp> {
        self.clock.now()
    }

    /// What the time is at the latest: for whether something may still be served. An error while the time is in doubt.
    pub(crate) fn at_latest(&self) -> Result<Timestamp> {
        self.clock.at_latest()
    }

    pub(crate) fn region(&self, name: &str) -> Result<Arc<Region>> {
        self.regions.get(&ObjectKey::cluster(name)).ok_or_else(|| Error::NoRegion(name.to_owned()))
    }

    /// The region of a tenant, if it is still the very one that the tenant was bound to.
    pub(crate) fn region_of(&self, tenant: &Tenant) -> Result<Arc<Region>> {
        let region = self.region(&tenant.spec.region)?;
        let bound = tenant.status.as_ref().and_then(|s| s.region_uid.clone());
        if bound.is_some() && bound == region.uid() { Ok(region) } else { Err(Error::Unbound(tenant.name_any())) }
    }

    /// The tenant that holds a namespace: the very one there is now, not one of its name that was deleted.
    pub(crate) async fn tenant_of(&self, namespace: &str) -> Result<Option<Arc<Tenant>>> {
        Ok(self.holder(namespace).await?.filter(|tenant| tenant.metadata.deletion_timestamp.is_none()))
    }

    /// The tenant that holds a namespace, even while it is being deleted.
    pub(crate) async fn holder(&self, namespace: &str) -> Result<Option<Arc<Tenant>>> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let live = namespaces.get_opt(namespace).await.map_err(kube(format!("read namespace {namespace}")))?;
        let Some(uid) = live.and_then(|live| live.metadata.uid) else { return Ok(None) };
        let binds = |tenant: &Arc<Tenant>| tenant.status.iter().flat_map(|s| &s.namespaces).any(|n| n.name == namespace && n.uid == uid);
        Ok(self.tenants.by(namespace).into_iter().find(binds))
    }

    /// The tenant under whose keys a record was sealed.
    pub(crate) fn tenant_of_record(&self, record: &ObjectMeta) -> Option<Arc<Tenant>> {
        let uid = label(record, TENANT_UID_LABEL)?;
        self.tenants.all().into_iter().find(|tenant| tenant.metadata.uid.as_deref() == Some(uid))
    }

    pub(crate) async fn home(&self, tenant: Arc<Tenant>) -> Result<Home> {
        let region = self.region_of(&tenant)?;
        let ring = self.rings.of(&tenant, &region, self.now()?).await?;
        let scope = self.rings.scope(&tenant, &region);
        Ok(Home { tenant, region, ring, scope })
    }

    pub(crate) fn storage(&self, region: &Region) -> Result<Storage> {
        self.storages.of(region)
    }

    /// Appends to the audit of a region; the caller may go on only if this succeeds.
    pub(crate) async fn audit(&self, region: &Region, event: Event) -> Result<()> {
        let storage = self.storage(region)?;
        let was_closed = self.audit.closed(region).is_some();
        let outcome = self.audit.record(region, &storage, event, self.now()?).await;
        // Whoever waits for the region reads of it in its conditions.
        if was_closed != outcome.is_err() {
            (self.wake_region)(region.name_any());
        }
        outcome
    }

    /// Audits a refusal of somebody whom nobody vouches for. One region's broken storage neither keeps it from the others nor makes the
    /// refusal another answer; a flood of them is folded. `kind`: what makes two alike.
    pub(crate) async fn audit_refusal(&self, regions: &[Arc<Region>], kind: &str, event: Event) {
        let told = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let told =
                |region: &Arc<Region>| Some((region.clone(), refusals.take(&region.name_any(), kind, event.clone(), Instant::now())?));
            regions.iter().filter_map(told).collect::<Vec<_>>()
        };
        futures::future::join_all(told.into_iter().map(|(region, event)| self.audit_logged(region, event))).await;
    }

    /// Writes down what was counted of refusals: what is over, or all of it.
    pub(crate) async fn tell_refusals(&self, all: bool) {
        let due = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if all { refusals.rest(Instant::now()) } else { refusals.due(Instant::now()) }
        };
        let due = due.into_iter().filter_map(|(region, event)| Some((self.region(&region).ok()?, event)));
        futures::future::join_all(due.map(|(region, event)| self.audit_logged(region, event))).await;
    }

    async fn audit_logged(&self, region: Arc<Region>, event: Event) {
        if let Err(error) = self.audit(&region, event).await {
            tracing::error!(region = region.name_any(), error = error.chain(), "a refusal could not be audited");
        }
    }

    /// A tenant's turn to dial the system of this Connection, if it has one now; if not, it is looked at when one ends.
    pub(crate) fn turn(&self, tenant_uid: &str, connection: &Connection, now: Timestamp) -> Option<Turn<'_>> {
        let who = (connection.namespace().unwrap_or_default(), connection.name_any());
        let begun = self.budget.lock().unwrap_or_else(PoisonError::into_inner).begin(tenant_uid, who, now);
        begun.then(|| Turn { keeper: self, tenant_uid: tenant_uid.to_owned() })
    }

    pub(crate) fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live Connection.
    pub(crate) async fn connection(&self, namespace: &str, name: &str) -> Result<Option<Connection>> {
        let connections: Api<Connection> = Api::namespaced(self.client.clone(), namespace);
        connections.get_opt(name).await.map_err(kube(format!("read Connection {namespace}/{name}")))
    }

    /// A session for the org that a Connection describes, if it is to have one still when it is issued.
    pub(crate) async fn session(&self, target: &Target<'_>, refused_sha256: Option<&str>) -> Result<salesforce::Session> {
        let lives = || async {
            Ok(self.lives(target.connection).await?
                && self.stored(target.connection).await?.is_some()
                && self.tenant_lives(&target.owner.scope.tenant_uid).await?)
        };
        self.sessions.get(target, refused_sha256, self.now()?, lives).await
    }

    /// Whether this very tenant is there, and not being erased.
    async fn tenant_lives(&self, uid: &str) -> Result<bool> {
        let Some(known) = self.tenants.all().into_iter().find(|tenant| tenant.metadata.uid.as_deref() == Some(uid)) else {
            return Ok(false);
        };
        let live = Api::<Tenant>::all(self.client.clone()).get_metadata_opt(&known.name_any()).await.map_err(kube("read the Tenant"))?;
        Ok(live.is_some_and(|live| live.metadata.uid == known.metadata.uid && live.metadata.deletion_timestamp.is_none()))
    }

    /// Whether this very Connection is still there, and is to stay.
    pub(crate) async fn lives(&self, connection: &Connection) -> Result<bool> {
        let live = self.connection(&connection.namespace().unwrap_or_default(), &connection.name_any()).await?;
        Ok(live.is_some_and(|live| live.uid() == connection.uid() && live.metadata.deletion_timestamp.is_none()))
    }

    pub(crate) async fn stored(&self, connection: &Connection) -> Result<Option<Stored>> {
        credentials::stored(&self.records, &connection.uid().unwrap_or_default()).await
    }

    /// Opens a credential. The audit has the line before anybody has the secret; `event` says what for.
    pub(crate) async fn open(&self, home: &Home, connection: &Connection, stored: &Stored, event: Event) -> Result<Entries> {
        let uid = connection.uid().unwrap_or_default();
        let event = event
            .with("tenant", home.scope.tenant_uid.as_str())
            .with("connection", uid.as_str())
            .with("version", stored.credential.version);
        let opening = self.opening(&home.region, &uid, event).await?;
        credentials::open(&home.ring, home.scope.clone(), connection, stored, &opening)
    }

    /// Seals the key of a file again because it ends earlier than was said before.
    pub(crate) async fn seal_shorter(&self, home: &Home, known: (&FileRecord, &Secret), record: &FileRecord) -> Result<()> {
        let event = Event::new("FileShortened").with("notAfter", record.not_after.to_string());
        let opening = self.opening_file(home, &record.uid, event).await?;
        self.files.shorten(known, record, &home.ring, home.scope.clone(), &opening).await
    }

    /// What a line about opening the key of a file says.
    pub(crate) async fn opening_file(&self, home: &Home, file_uid: &str, event: Event) -> Result<Opening> {
        let event = event.with("tenant", home.scope.tenant_uid.as_str()).with("file", file_uid);
        self.opening(&home.region, file_uid, event).await
    }

    /// How to log in to the org that a Connection describes.
    pub(crate) fn target<'a>(
        &'a self,
        home: &'a Home,
        connection: &'a Connection,
        salesforce: &'a Salesforce,
        entries: &'a Entries,
        version: i64,
    ) -> Target<'a> {
        let owner = self.owner(home, sessions::bound(connection));
        Target { owner, connection, salesforce, entries, version }
    }

    /// How to revoke the tokens of a Connection, whatever became of it: `bound` is what their list is bound to.
    pub(crate) fn owner<'a>(&'a self, home: &'a Home, bound: Bound) -> Owner<'a> {
        Owner {
            bound,
            keeper: self,
            region: &home.region,
            ring: &home.ring,
            scope: home.scope.clone(),
            policy: address_policy(SystemKind::Salesforce, &endpoints_of(&home.region, &home.tenant.name_any())),
            allowed_login_hosts: &home.region.spec.allowed_login_hosts,
        }
    }
}
