//! The audit of a region: one chain of lines per keeper replica, in the region's own storage, kept for good before the caller gets its
//! answer. It names objects by UID and reasons by a closed list; never a row, a secret, or a person. What a line hangs on is in `chain`,
//! where chains lie in `objects`, how one is gone on with in `open`, what is known of it apart from its storage in `heads`. The key that its
//! lines are authenticated under stays with the vault, which hands it out ([`LineKeys`]); it opens nothing.

mod chain;
mod folded;
mod heads;
mod lines;
mod objects;
mod open;
mod read;

pub(crate) use chain::Event;
pub(crate) use chain::Verifier;
pub use chain::{Broken, verify};
use folded::Folded;
pub(crate) use heads::broken;
pub(crate) use read::Lines;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use api::identity::has_uid;
use api::{Region, Uid};
use envelope::AuditKey;
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::write::Writer;
use serde_json::json;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::base::lane::{DEADLINE, NotResponding};
use crate::keeper::storage::{Logs, Storage, Storages};
use chain::Link;
use heads::{Head, Heads};
use open::{Chain, Opened, Unsure, Wanted};

type Slot = Arc<Mutex<Option<Chain>>>;

/// Who writes a line, alone, and what it knows of a try before.
struct Try {
    slot: OwnedMutexGuard<Option<Chain>>,
    /// A line that may be there.
    unsure: Option<Link>,
}

/// The key that the lines of a Region are authenticated under.
#[async_trait::async_trait]
pub(crate) trait LineKeys: Send + Sync {
    async fn of(&self, region: &Region, now: Timestamp) -> Result<Arc<AuditKey>>;
}

pub(crate) struct Audit {
    cluster: Arc<Cluster>,
    keys: Arc<dyn LineKeys>,
    storages: Storages,
    /// Writes nothing but the heads of this replica's chains.
    writer: Writer,
    /// By UID of the Region.
    chains: std::sync::Mutex<HashMap<Uid, Slot>>,
    heads: Heads,
    /// Regions whose last line could not be written, with the reason.
    closed: std::sync::Mutex<BTreeMap<Uid, Arc<Error>>>,
    /// One reader of each region's chains at a time.
    readers: std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>,
    refusals: std::sync::Mutex<Folded>,
    /// Has a Region looked at now.
    wake_region: Box<dyn Fn(String) + Send + Sync>,
}

impl Audit {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        keys: Arc<dyn LineKeys>,
        storages: Storages,
        writer: Writer,
        wake_region: Box<dyn Fn(String) + Send + Sync>,
    ) -> Self {
        Self {
            cluster,
            keys,
            storages,
            writer,
            chains: Default::default(),
            heads: Heads::default(),
            closed: Default::default(),
            readers: Default::default(),
            refusals: Default::default(),
            wake_region,
        }
    }

    /// Appends one event. When this returns, it is kept for good.
    async fn record(&self, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let uid = Uid::of(region)?;
        let outcome = self.append(region, storage, event, now).await;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                closed.remove(&uid);
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                closed.insert(uid, error.clone());
                Err(Error::Unaudited(error))
            }
        }
    }

    /// Why nothing that needs a line is done in a region.
    pub(crate) fn closed(&self, region: &Region) -> Option<Arc<Error>> {
        let uid = Uid::of_meta(&region.metadata)?;
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned()
    }

    /// A chain that was changed under us is opened anew. Of a line that may be there, because only its answer was lost, that tells: it is
    /// written at the second try unless it stands there.
    async fn append(&self, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let slot = self.chains.lock().unwrap_or_else(PoisonError::into_inner).entry(Uid::of(region)?).or_default().clone();
        // A task that holds it for longer waits for a storage that hangs.
        let Ok(slot) = timeout(DEADLINE, slot.lock_owned()).await else {
            return Err(storage.hung("write the audit")(NotResponding));
        };
        let first = Try { slot, unsure: None };
        match self.try_append(region, storage, first, event.clone(), now).await? {
            Ok(()) => Ok(()),
            Err((second, _)) => self.try_append(region, storage, second, event, now).await?.map_err(|(_, error)| error),
        }
    }

    /// The inner error is one after which it is tried again.
    async fn try_append(
        &self,
        region: &Region,
        storage: &Storage,
        Try { mut slot, unsure }: Try,
        event: Event,
        now: Timestamp,
    ) -> Result<Result<(), (Try, Error)>> {
        let uid = Uid::of(region)?;
        let failed = |source| Error::Audit { region: region.name_any(), source };
        if slot.is_none() {
            match self.open(region, storage, unsure.clone(), now).await {
                Ok(Opened { there: true, chain, .. }) => {
                    *slot = Some(chain);
                    return Ok(Ok(()));
                }
                Ok(Opened { chain, .. }) => *slot = Some(chain),
                Err(error @ Error::Audit { .. }) => return Ok(Err((Try { slot, unsure }, error))),
                Err(error) => return Err(error),
            }
        }
        // Held by the step, which may outlast the call that waits for it.
        let append = move |logs: Logs| async move {
            let Some(mut chain) = slot.take() else { return Err(std::io::Error::other("the chain is not open")) };
            Ok(match chain.append(&logs, event, now).await {
                Ok(()) => {
                    let grown = (chain.name.clone(), chain.last.clone());
                    *slot = Some(chain);
                    Ok(grown)
                }
                Err(Unsure { line, source }) => Err((Try { slot, unsure: Some(line) }, source)),
            })
        };
        match storage.on_logs("write the audit", append).await?.map_err(failed)? {
            Ok((chain, last)) => {
                self.heads.grew(&uid, &chain, last);
                Ok(Ok(()))
            }
            Err((next, source)) => Ok(Err((next, failed(source)))),
        }
    }

    async fn open(&self, region: &Region, storage: &Storage, unsure: Option<Link>, now: Timestamp) -> Result<Opened> {
        let uid = Uid::of(region)?;
        storage.ready().await?;
        let key = self.keys.of(region, now).await?;
        let heads = match self.heads.of(&uid) {
            Some(known) => known,
            None => {
                // Read live: what a cache has forgotten would be taken for a chain that nobody knew of.
                let live =
                    Api::<Region>::all(self.cluster.client.clone()).get(&region.name_any()).await.map_err(kube("read the Region"))?;
                self.heads.take_over(&uid, heads::said(&live, Some(&self.cluster.identity)));
                self.heads.of(&uid).unwrap_or_default()
            }
        };
        let wanted = Wanted { replica: self.cluster.identity.clone(), key, heads, unsure };
        let opened = storage.on_logs("open the audit", move |logs| async move { Chain::open(&logs, wanted, now).await }).await?;
        let opened = opened.map_err(|source| Error::Audit { region: region.name_any(), source })?;
        if let Some((name, why)) = &opened.broken {
            tracing::error!(region = region.name_any(), chain = name, %why, "a chain of the audit is not whole; a next one is begun");
            self.heads.broke(&uid, name, why.to_string());
        }
        if opened.chain.last.seq > 0 {
            self.heads.grew(&uid, &opened.chain.name, opened.chain.last.clone());
        }
        Ok(opened)
    }

    /// Writes the heads that changed into the status of their Regions.
    pub(crate) async fn publish(&self) {
        let regions = self.cluster.regions.all();
        for uid in self.heads.take_unsaid() {
            let Some(region) = regions.iter().find(|region| has_uid(&region.metadata, uid.as_str())) else { continue };
            let status = json!({"audit": heads::status(&self.heads.of(&uid).unwrap_or_default())});
            let api: Api<Region> = Api::all(self.cluster.client.clone());
            if let Err(error) = self.writer.apply_status(&api, &ObjectKey::of(region.as_ref()), None, &status).await {
                tracing::warn!(region = region.name_any(), error = %error, "the head of the audit could not be written; tried again");
                self.heads.unsaid_again(&uid);
            }
        }
    }

    /// What is known of all chains of a region: what statuses say, and of our own what was written since.
    async fn known(&self, region: &Region) -> Result<BTreeMap<String, Vec<Head>>> {
        // Ours are read first: what grows meanwhile is more than that.
        let ours = self.heads.of(&Uid::of(region)?).unwrap_or_default();
        let live = Api::<Region>::all(self.cluster.client.clone()).get(&region.name_any()).await.map_err(kube("read the Region"))?;
        let mut known: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for (name, head) in ours.into_iter().chain(heads::said(&live, None)) {
            known.entry(name).or_default().push(head);
        }
        Ok(known)
    }
}
