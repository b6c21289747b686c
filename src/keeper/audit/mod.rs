//! The audit of a region: one chain of lines per keeper replica, in the region's own storage, on the disk before the caller gets its
//! answer. It names objects by UID and reasons by a closed list; never a row, a secret, or a person. What a line hangs on is in `chain`,
//! where it lies in `file`, what is known of it apart from the volume in `heads`. The key that its lines are authenticated under stays with whoever hands it
//! out ([`LineKeys`]); it opens nothing.

mod chain;
mod file;
mod folded;
mod heads;
mod lines;
mod read;

pub(crate) use chain::Event;
pub use chain::{Broken, verify};
use folded::Folded;
pub(crate) use heads::broken;
pub(crate) use read::Lines;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use api::Region;
use envelope::AuditKey;
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::write::Writer;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::base::lane::{DEADLINE, NotResponding};
use crate::keeper::storage::{Storage, Storages};
use file::{Chain, Opened};
use heads::{Head, Heads};

/// Folder of the audit beside the files.
const FOLDER: &str = "audit";

type Slot = Arc<Mutex<Option<Chain>>>;

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
    chains: std::sync::Mutex<HashMap<String, Slot>>,
    heads: Heads,
    /// Regions whose last line could not be written, with the reason.
    closed: std::sync::Mutex<BTreeMap<String, Arc<Error>>>,
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

    /// Appends one event. When this returns, it is on the disk.
    async fn record(&self, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let outcome = self.append(region, storage, event, now).await;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                closed.remove(&region.uid().unwrap_or_default());
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                closed.insert(region.uid().unwrap_or_default(), error.clone());
                Err(Error::Unaudited(error))
            }
        }
    }

    /// Why nothing that needs a line is done in a region.
    pub(crate) fn closed(&self, region: &Region) -> Option<Arc<Error>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).get(&region.uid().unwrap_or_default()).cloned()
    }

    /// A chain that was changed under us takes no line; the next one does, at the second try.
    async fn append(&self, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        match self.append_once(region, storage, event.clone(), now).await {
            Err(Error::Audit { .. }) => self.append_once(region, storage, event, now).await,
            outcome => outcome,
        }
    }

    async fn append_once(&self, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let uid = region.uid().unwrap_or_default();
        let slot = self.chains.lock().unwrap_or_else(PoisonError::into_inner).entry(uid.clone()).or_default().clone();
        // Whoever holds it for longer waits for a volume that hangs.
        let Ok(mut slot) = timeout(DEADLINE, slot.lock_owned()).await else {
            return Err(storage.hung("write the audit")(NotResponding));
        };
        if slot.is_none() {
            *slot = Some(self.open(region, storage, now).await?);
        }
        let failed = |source| Error::Audit { region: region.name_any(), source };
        let append = move || {
            let appended = match slot.as_mut() {
                Some(chain) => chain.append(event, now).map(|()| (chain.name.clone(), chain.last.clone())),
                None => Err(std::io::Error::other("the chain is not open")),
            };
            if appended.is_err() {
                // Opened anew next time, and looked at again.
                *slot = None;
            }
            appended
        };
        let (chain, last) = storage.lane().blocking(append).await.map_err(storage.hung("write the audit"))?.map_err(failed)?;
        self.heads.grew(&uid, &chain, last);
        Ok(())
    }

    async fn open(&self, region: &Region, storage: &Storage, now: Timestamp) -> Result<Chain> {
        let uid = region.uid().unwrap_or_default();
        storage.ready().await?;
        let key = self.keys.of(region, now).await?;
        let known = match self.heads.of(&uid) {
            Some(known) => known,
            None => {
                // Read live: what a cache has forgotten would be taken for a chain that nobody knew of.
                let live =
                    Api::<Region>::all(self.cluster.client.clone()).get(&region.name_any()).await.map_err(kube("read the Region"))?;
                self.heads.take_over(&uid, heads::said(&live, Some(&self.cluster.identity)));
                self.heads.of(&uid).unwrap_or_default()
            }
        };
        let (folder, replica) = (storage.root().join(FOLDER), self.cluster.identity.clone());
        let open = move || Chain::open(&folder, &replica, key, &known, now);
        let opened = storage.lane().blocking(open).await.map_err(storage.hung("open the audit"))?;
        let Opened { chain, broken } = opened.map_err(|source| Error::Audit { region: region.name_any(), source })?;
        if let Some((name, why)) = broken {
            tracing::error!(region = region.name_any(), chain = name, %why, "a chain of the audit is not whole; a next one is begun");
            self.heads.broke(&uid, &name, why.to_string());
        }
        if chain.last.seq > 0 {
            self.heads.grew(&uid, &chain.name, chain.last.clone());
        }
        Ok(chain)
    }

    /// Writes the heads that changed into the status of their Regions.
    pub(crate) async fn publish(&self) {
        let regions = self.cluster.regions.all();
        for uid in self.heads.take_unsaid() {
            let Some(region) = regions.iter().find(|region| region.uid().as_ref() == Some(&uid)) else { continue };
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
        let ours = self.heads.of(&region.uid().unwrap_or_default()).unwrap_or_default();
        let live = Api::<Region>::all(self.cluster.client.clone()).get(&region.name_any()).await.map_err(kube("read the Region"))?;
        let mut known: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for (name, head) in ours.into_iter().chain(heads::said(&live, None)) {
            known.entry(name).or_default().push(head);
        }
        Ok(known)
    }
}
