//! The one room that holds opened keys and credentials. The others get a [`TenantKeys`]: a ring to seal with, which opens nothing without an
//! [`Opening`], and for that the audit must have the line. What a system is shown, this room shows it; what a worker is given leaves as
//! the text of the one secret that it may have.

pub(crate) mod bookmarks;
pub(crate) mod credentials;
pub(crate) mod custody;
pub(crate) mod egress;
mod handed;
mod identity;
pub(crate) mod opening;
pub(crate) mod rebind;
pub(crate) mod region_keys;
pub(crate) mod region_rings;
mod reseal;
mod rings;
pub(crate) mod seal_keys;
mod sessions;
mod shown;
pub(crate) mod source;
mod wrapper;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use api::connection::{Salesforce, SystemKind};
use api::keeper::EgressProxy;
use api::{Connection, Region, Tenant, Uid, names};
use connect::Dialer;
use domain::reach::endpoints_of;
use envelope::Scope;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;
use runtime::store::ObjectKey;
use runtime::write::Writer;

use crate::keeper::audit::{Audit, Event};
use crate::keeper::base::bound::Bound;
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, Records, annotation};
use crate::systems::reach::address_policy;
use credentials::{Entries, Stored};
use custody::Custodies;
use opening::{Opening, Ring};
use region_rings::RegionRings;
use seal_keys::SealKeys;
use sessions::{OrgLogin, Owner, Sessions};

pub(crate) use rings::Rotated;

/// On a list of tokens: since when its Connection is missed.
const SINCE: &str = "dataimporter.io/ownerless-since";

pub(crate) struct Vault {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    records: Records,
    pub(crate) custodies: Custodies,
    pub(crate) rings: rings::KeyRings,
    pub(crate) region_rings: RegionRings,
    pub(crate) seal_keys: SealKeys,
    sessions: Sessions,
    dialer: Dialer,
    /// The proxy that the dialer goes through, for workers.
    pub(crate) egress_proxy: Option<EgressProxy>,
    /// When a worker last got the credential of a Connection here, until its status says so.
    used: Mutex<HashMap<ObjectKey, (Uid, Timestamp)>>,
    /// Writes nothing but that.
    use_writer: Writer,
}

/// A tenant where it lives, and its opened keys.
pub(crate) struct TenantKeys {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) region: Arc<Region>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) scope: Scope,
}

impl Vault {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        records: Records,
        custodies: Custodies,
        region_rings: RegionRings,
        dialer: Dialer,
        egress_proxy: Option<EgressProxy>,
    ) -> Self {
        let rings = rings::KeyRings::new(records.clone(), custodies.clone(), &cluster.installation);
        let sessions = Sessions::new(records.clone(), dialer.clone());
        let seal_keys = SealKeys::new(cluster.clone(), region_rings.clone());
        let use_writer = Writer::new(cluster.client.clone(), names::USE_MANAGER, cluster.metrics.clone());
        let used = Mutex::default();
        Self { cluster, audit, records, custodies, rings, region_rings, seal_keys, sessions, dialer, egress_proxy, used, use_writer }
    }

    pub(crate) async fn keys_of(&self, tenant: Arc<Tenant>) -> Result<TenantKeys> {
        let region = self.cluster.region_of(&tenant)?;
        let ring = self.rings.of(&tenant, &region, self.cluster.now()?).await?;
        let scope = self.rings.scope(&tenant, &region)?;
        Ok(TenantKeys { tenant, region, ring, scope })
    }

    /// Names, labels and annotations of what is kept of a kind, of one tenant or of all.
    pub(crate) async fn listed(&self, kind: Kind, tenant_uid: Option<&str>) -> Result<Vec<PartialObjectMeta<Secret>>> {
        self.records.list(kind, tenant_uid).await
    }

    /// Destroys this very record.
    pub(crate) async fn destroy(&self, record: &ObjectMeta) -> Result<()> {
        let name = record.name.clone().unwrap_or_default();
        let uid = Uid::of_meta(record).ok_or_else(|| Error::Record { name: name.clone(), detail: "it has no UID to be deleted by" })?;
        self.records.delete(&name, Some(&uid)).await
    }

    /// Destroys the stored credential of a Connection.
    pub(crate) async fn destroy_credential(&self, connection: &Connection) -> Result<()> {
        self.records.delete(&credentials::secret_name(Uid::of(connection)?.as_str()), None).await
    }

    pub(crate) async fn stored(&self, connection: &Connection) -> Result<Option<Stored>> {
        credentials::stored(&self.records, &Uid::of(connection)?).await
    }

    /// Stores what was found in a source Secret as `version` in place of `previous`. Answers with the id of the key that sealed it.
    pub(crate) async fn store(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        found: &source::Found,
        version: i64,
        previous: Option<Stored>,
    ) -> Result<String> {
        credentials::store(&self.records, &keys.ring, keys.scope.clone(), connection, &found.entries, version, previous).await
    }

    /// Opens a credential. The audit has the line before anybody has the secret; `event` says what for.
    async fn open(&self, keys: &TenantKeys, connection: &Connection, stored: &Stored, event: Event) -> Result<Entries> {
        let uid = Uid::of(connection)?;
        let event = event
            .with("tenant", keys.scope.tenant_uid.as_str())
            .with("connection", uid.as_str())
            .with("version", stored.credential.version);
        let opening = Opening::audited(&self.audit, &keys.region, &uid, event).await?;
        credentials::open(&keys.ring, keys.scope.clone(), connection, stored, &opening)
    }

    /// Writes down that what belongs to an object of a tenant is opened. `uid` is that of the object.
    pub(crate) async fn opening(&self, region: &Region, uid: &Uid, event: Event) -> Result<Opening> {
        Opening::audited(&self.audit, region, uid, event).await
    }

    /// What a line about opening the key of a file says.
    pub(crate) async fn opening_file(&self, keys: &TenantKeys, file_uid: &Uid, event: Event) -> Result<Opening> {
        let event = event.with("tenant", keys.scope.tenant_uid.as_str()).with("file", file_uid.as_str());
        self.opening(&keys.region, file_uid, event).await
    }

    /// The list of a Connection's tokens, sealed; absent when none is written down.
    pub(crate) async fn tokens(&self, connection: &Connection) -> Result<Option<Secret>> {
        self.sessions.record(&Uid::of(connection)?).await
    }

    /// Revokes every token that may be alive, destroys their record, and issues no further one. Answers how many there were. `bound` is
    /// what their list is bound to, whatever became of the Connection.
    pub(crate) async fn end_sessions(&self, keys: &TenantKeys, bound: Bound) -> Result<usize> {
        self.sessions.end(&self.owner(keys, bound)).await
    }

    /// The same for a Connection that is there.
    pub(crate) async fn end_sessions_of(&self, keys: &TenantKeys, connection: &Connection) -> Result<usize> {
        self.end_sessions(keys, sessions::bound(connection)?).await
    }

    /// Revokes every token that may be alive; a worker that is judged anew gets another one.
    pub(crate) async fn interrupt_sessions(&self, keys: &TenantKeys, connection: &Connection) -> Result<usize> {
        self.sessions.interrupt(&self.owner(keys, sessions::bound(connection)?)).await
    }

    /// Destroys the record of a Connection's tokens, and its credential.
    pub(crate) async fn forget(&self, connection: &Connection) -> Result<()> {
        self.sessions.forget(connection).await?;
        self.destroy_credential(connection).await
    }

    /// Since when a record is known to be nobody's; written down when it is seen for the first time.
    pub(crate) async fn ownerless_since(&self, record: &ObjectMeta) -> Result<Option<Timestamp>> {
        if let Some(since) = annotation(record, SINCE).and_then(|text| text.parse().ok()) {
            return Ok(Some(since));
        }
        if let Some(mut secret) = self.records.get(record.name.as_deref().unwrap_or_default()).await? {
            secret.annotations_mut().insert(SINCE.into(), self.cluster.now()?.to_string());
            self.records.replace(&secret).await?;
        }
        Ok(None)
    }

    /// A session for the org that a Connection describes, if it is to have one still when it is issued.
    async fn session(&self, target: &OrgLogin<'_>, refused_sha256: Option<&str>) -> Result<salesforce::Session> {
        let lives = || async {
            Ok(self.cluster.lives(target.connection).await?
                && self.stored(target.connection).await?.is_some()
                && self.cluster.tenant_lives(&target.owner.scope.tenant_uid).await?)
        };
        self.sessions.get(target, refused_sha256, self.cluster.now()?, lives).await
    }

    /// How to log in to the org that a Connection describes.
    fn org_login<'a>(
        &'a self,
        keys: &'a TenantKeys,
        connection: &'a Connection,
        salesforce: &'a Salesforce,
        entries: &'a Entries,
        version: i64,
    ) -> Result<OrgLogin<'a>> {
        let owner = self.owner(keys, sessions::bound(connection)?);
        Ok(OrgLogin { owner, connection, salesforce, entries, version })
    }

    /// How to revoke the tokens of a Connection, whatever became of it: `bound` is what their list is bound to.
    fn owner<'a>(&'a self, keys: &'a TenantKeys, bound: Bound) -> Owner<'a> {
        Owner {
            bound,
            audit: &self.audit,
            region: &keys.region,
            ring: &keys.ring,
            scope: keys.scope.clone(),
            policy: address_policy(SystemKind::Salesforce, &endpoints_of(&keys.region, &keys.tenant.name_any())),
            allowed_login_hosts: &keys.region.spec.allowed_login_hosts,
        }
    }
}
