//! The tenants' keys: made, opened, rotated and destroyed. The opened ring of a tenant stays in memory for a short while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::{Region, Tenant, Uid};
use envelope::{Kid, Observed, Policy, Request, RingError, Scope, Step, TenantRing};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::custody::Custodies;
use super::opening::Ring;
use super::wrapper;
use crate::keeper::base::earlier::earlier;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, RECORD, Records, TENANT_UID_LABEL, sealed};

/// Another keeper may change a ring. A new key seals only after [`Policy::spreads`], and by then nobody remembers a ring without it.
const REMEMBERED: Duration = Duration::from_secs(3);

pub(crate) struct KeyRings {
    records: Records,
    custodies: Custodies,
    installation: String,
    opened: Mutex<HashMap<Uid, (Arc<Ring>, Instant)>>,
}

/// What a look at the life of a tenant's keys came to.
pub(crate) struct Rotated {
    /// Keys whose records should be sealed again.
    pub(crate) stale: Vec<Kid>,
    pub(crate) done: Vec<Step>,
    /// What became of the request for a new key.
    pub(crate) request: Request,
    /// Whether something is to be done once every keeper knows of what was done.
    pub(crate) waits: bool,
}

/// What a tenant's ring looks like from outside.
pub(crate) struct RingView {
    pub(crate) keys: Vec<api::tenant::KeyInfo>,
}

pub(super) fn secret_name(tenant_uid: &Uid) -> String {
    format!("keys-{tenant_uid}")
}

impl KeyRings {
    pub(crate) fn new(records: Records, custodies: Custodies, installation: &str) -> Self {
        Self { records, custodies, installation: installation.to_owned(), opened: Mutex::default() }
    }

    /// What everything of a tenant is bound to.
    pub(crate) fn scope(&self, tenant: &Tenant, region: &Region) -> Result<Scope> {
        Ok(self.scope_of(&Uid::of(tenant)?, region))
    }

    fn scope_of(&self, tenant_uid: &Uid, region: &Region) -> Scope {
        Scope { region: region.name_any(), installation_uid: self.installation.clone(), tenant_uid: tenant_uid.to_string() }
    }

    /// The opened ring of a tenant.
    pub(crate) async fn of(&self, tenant: &Tenant, region: &Region, now: Timestamp) -> Result<Arc<Ring>> {
        if let Some(ring) = self.remembered(&Uid::of(tenant)?) {
            return Ok(ring);
        }
        let secret = self.records.get(&secret_name(&Uid::of(tenant)?)).await?.ok_or_else(|| Error::Unbound(tenant.name_any()))?;
        let stored = read(tenant, region, &secret)?;
        self.open(tenant, region, &stored, now).await
    }

    async fn open(&self, tenant: &Tenant, region: &Region, stored: &TenantRing, now: Timestamp) -> Result<Arc<Ring>> {
        let custody = self.custodies.of(region, now).await?;
        let ring = wrapper::unlock(custody.as_ref(), &self.scope(tenant, region)?, stored).await.map_err(failed(tenant))?;
        let ring = Arc::new(Ring::new(ring));
        self.lock().insert(Uid::of(tenant)?, (ring.clone(), Instant::now()));
        Ok(ring)
    }

    /// The opened ring of the tenant that this one was before a restore, and what is bound to that one; absent when its keys are gone.
    pub(super) async fn of_earlier(
        &self,
        tenant: &Tenant,
        region: &Region,
        earlier: &Uid,
        now: Timestamp,
    ) -> Result<Option<(Arc<Ring>, Scope)>> {
        let Some(secret) = self.records.get(&secret_name(earlier)).await? else { return Ok(None) };
        let (stored, scope) = (read(tenant, region, &secret)?, self.scope_of(earlier, region));
        let custody = self.custodies.of(region, now).await?;
        let ring = wrapper::unlock(custody.as_ref(), &scope, &stored).await.map_err(failed(tenant))?;
        Ok(Some((Arc::new(Ring::new(ring)), scope)))
    }

    fn remembered(&self, uid: &Uid) -> Option<Arc<Ring>> {
        self.lock().get(uid).filter(|(_, at)| at.elapsed() < REMEMBERED).map(|(ring, _)| ring.clone())
    }

    /// Keys that nobody uses do not stay in memory: another keeper may have destroyed them.
    pub(crate) fn forget_old(&self) {
        self.lock().retain(|_, (_, at)| at.elapsed() < REMEMBERED);
    }

    fn forget(&self, tenant_uid: &Uid) {
        self.lock().remove(tenant_uid);
    }

    /// Makes the ring of a tenant that has none, and shows it.
    pub(crate) async fn ensure(&self, tenant: &Tenant, region: &Region, now: Timestamp) -> Result<RingView> {
        let name = secret_name(&Uid::of(tenant)?);
        loop {
            if let Some(secret) = self.records.get(&name).await? {
                let stored = read(tenant, region, &secret)?;
                // Opening proves that the root key fits.
                self.open(tenant, region, &stored, now).await?;
                return Ok(view(&stored));
            }
            let custody = self.custodies.of(region, now).await?;
            let ring = wrapper::begin(custody.as_ref(), &self.scope(tenant, region)?, now).await.map_err(failed(tenant))?;
            let labels = BTreeMap::from([
                (TENANT_UID_LABEL.to_owned(), Uid::of(tenant)?.into()),
                (api::names::REGION_LABEL.to_owned(), region.name_any()),
            ]);
            let data = BTreeMap::from([(RECORD.to_owned(), ByteString(ring.to_json()))]);
            self.records.create(&self.records.draft(&name, Kind::KeyRing, labels, BTreeMap::new(), data)).await?;
        }
    }

    /// Carries out what is due, one step a write.
    pub(crate) async fn rotate(
        &self,
        tenant: &Tenant,
        region: &Region,
        records: BTreeMap<Kid, u64>,
        requested: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Rotated> {
        let mut rotated = Rotated { stale: Vec::new(), done: Vec::new(), request: Request::Nothing, waits: false };
        // Each round decides anew.
        for _ in 0..4 {
            let mut secret = self.records.get(&secret_name(&Uid::of(tenant)?)).await?.ok_or_else(|| Error::Unbound(tenant.name_any()))?;
            let mut ring = read(tenant, region, &secret)?;
            // Opening proves that the root key fits.
            self.open(tenant, region, &ring, now).await?;
            let observed = Observed { records: records.clone(), requested };
            let steps = ring.decide(&Policy::TENANT, &observed, now);
            rotated.request = ring.request(&Policy::TENANT, requested, now);
            rotated.waits = ring.spreading(&Policy::TENANT, now);
            rotated.stale = steps.iter().filter_map(|step| if let Step::Reseal(kid) = step { Some(*kid) } else { None }).collect();
            let Some(step) = steps.into_iter().find(|step| !matches!(step, Step::Reseal(_))) else { break };
            match step {
                Step::Create => {
                    let custody = self.custodies.of(region, now).await?;
                    let key = wrapper::new_key(custody.as_ref(), &self.scope(tenant, region)?).await;
                    key.and_then(|(kid, wrapped)| ring.create(kid, wrapped, now)).map_err(failed(tenant))?;
                }
                Step::Promote(kid) => ring.promote(kid, now).map_err(failed(tenant))?,
                Step::Settle(kid) => ring.settle(kid, now).map_err(failed(tenant))?,
                Step::Destroy(kid) => ring.destroy(kid, now).map_err(failed(tenant))?,
                Step::Reseal(_) => {}
            }
            self.write(&mut secret, &ring).await?;
            self.forget(&Uid::of(tenant)?);
            rotated.done.push(step);
        }
        Ok(rotated)
    }

    /// Wraps the tenant's keys under the root key that wraps now. Answers how many were.
    pub(crate) async fn rewrap(&self, tenant: &Tenant, region: &Region, now: Timestamp) -> Result<usize> {
        let Some(mut secret) = self.records.get(&secret_name(&Uid::of(tenant)?)).await? else { return Ok(0) };
        let mut ring = read(tenant, region, &secret)?;
        let custody = self.custodies.of(region, now).await?;
        let count = wrapper::rewrap(custody.as_ref(), &self.scope(tenant, region)?, &mut ring).await.map_err(failed(tenant))?;
        if count > 0 {
            self.write(&mut secret, &ring).await?;
            self.forget(&Uid::of(tenant)?);
        }
        Ok(count)
    }

    /// How many tenant keys of these tenants are wrapped under each root key.
    pub(crate) async fn wrapped_under(&self, tenants: &[Arc<Tenant>], region: &Region) -> Result<BTreeMap<Kid, u64>> {
        let mut counts = BTreeMap::new();
        for tenant in tenants {
            // Those of before a restore, too, while they wait for what they open.
            let before = earlier(&tenant.metadata).ok().flatten();
            for uid in [Uid::of(tenant.as_ref())?].into_iter().chain(before) {
                let Some(secret) = self.records.get(&secret_name(&uid)).await? else { continue };
                for (kid, count) in wrapper::wrapped_under(&read(tenant, region, &secret)?) {
                    *counts.entry(kid).or_default() += count;
                }
            }
        }
        Ok(counts)
    }

    /// Destroys all keys of a tenant: what is sealed under them is gone for good. Answers whether there were any.
    pub(crate) async fn destroy(&self, tenant_uid: &Uid) -> Result<bool> {
        self.forget(tenant_uid);
        let name = secret_name(tenant_uid);
        let Some(secret) = self.records.get(&name).await? else { return Ok(false) };
        self.records.delete(&name, Some(&Uid::of(&secret)?)).await?;
        Ok(true)
    }

    async fn write(&self, secret: &mut Secret, ring: &TenantRing) -> Result<()> {
        secret.data = Some(BTreeMap::from([(RECORD.to_owned(), ByteString(ring.to_json()))]));
        *secret = self.records.replace(secret).await?;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uid, (Arc<Ring>, Instant)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(tenant: &Tenant, region: &Region, secret: &Secret) -> Result<TenantRing> {
    TenantRing::from_json(sealed(secret)?, wrapper::provider_of(region)?).map_err(failed(tenant))
}

pub(crate) fn failed(tenant: &Tenant) -> impl Fn(RingError) -> Error {
    let tenant = tenant.name_any();
    move |source| Error::Ring { tenant: tenant.clone(), source }
}

fn view(ring: &TenantRing) -> RingView {
    let state = |state| match state {
        envelope::KeyState::PreActive => "preActive",
        envelope::KeyState::Active => "active",
        envelope::KeyState::DecryptOnly => "decryptOnly",
        envelope::KeyState::Compromised => "compromised",
        envelope::KeyState::Destroyed => "destroyed",
    };
    let info = |entry: &envelope::Entry<_>| api::tenant::KeyInfo {
        id: entry.kid().to_string(),
        state: state(entry.state()).to_owned(),
        created_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(entry.created()),
    };
    // Of the destroyed ones the status keeps the newest, so that it never outgrows its limit.
    let mut keys: Vec<_> = ring.entries().map(info).collect();
    let surplus = keys.len().saturating_sub(64);
    keys.drain(..surplus);
    RingView { keys }
}
