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

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use api::identity::has_uid;
use api::{Region, Uid};
use envelope::AuditKey;
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::write::Writer;
use serde_json::json;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::base::lane::{DEADLINE, NotResponding};
use crate::keeper::storage::{Logs, Storage, Storages};
use chain::Link;
use heads::{Head, Heads};
use open::{Chain, Opened, Unsure, Wanted};

type Slot = Arc<Mutex<Option<Chain>>>;
type Guard = OwnedMutexGuard<Option<Chain>>;

/// Lines that are written in one piece at most: what a storage takes in one step, however slow it is.
const TOGETHER: usize = 64;

/// The chain of a Region, and the lines that wait for it. While a storage takes its time over some, others come; it takes those in one step, too.
#[derive(Default)]
struct Desk {
    slot: Slot,
    waiting: std::sync::Mutex<VecDeque<Waiting>>,
}

struct Waiting {
    event: Event,
    at: Timestamp,
    told: oneshot::Sender<Result<(), Arc<Error>>>,
}

impl Desk {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ones to be written. Nobody waits any more for the others.
    fn next(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        waiting.retain(|line| !line.told.is_closed());
        let together = waiting.len().min(TOGETHER);
        waiting.drain(..together).collect()
    }
}

/// Who writes lines, alone, and what it knows of a try before.
struct Try {
    slot: Guard,
    /// Lines that are to be written.
    events: Vec<(Event, Timestamp)>,
    /// Those of them that may be there.
    unsure: Vec<Link>,
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
    desks: std::sync::Mutex<HashMap<Uid, Arc<Desk>>>,
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
            desks: Default::default(),
            heads: Heads::default(),
            closed: Default::default(),
            readers: Default::default(),
            refusals: Default::default(),
            wake_region,
        }
    }

    /// Appends one event. When this returns, it is kept for good.
    async fn record(self: &Arc<Self>, region: &Region, storage: &Storage, event: Event, now: Timestamp) -> Result<()> {
        let uid = Uid::of(region)?;
        let outcome = self.append(&uid, (region, storage), event, now).await;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                closed.remove(&uid);
                Ok(())
            }
            Err(error) => {
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

    /// Puts a line to those that wait. Whoever finds the chain free writes all of them, by a task of its own: what is begun for others does not end with
    /// the call that began it.
    async fn append(
        self: &Arc<Self>,
        uid: &Uid,
        (region, storage): (&Region, &Storage),
        event: Event,
        at: Timestamp,
    ) -> Result<(), Arc<Error>> {
        let desk = self.desks.lock().unwrap_or_else(PoisonError::into_inner).entry(uid.clone()).or_default().clone();
        let (told, mut outcome) = oneshot::channel();
        desk.waiting().push_back(Waiting { event, at, told });
        let hung = || Arc::new(storage.hung("write the audit")(NotResponding));
        let slot = tokio::select! {
            biased;
            outcome = &mut outcome => return outcome.unwrap_or_else(|_| Err(hung())),
            slot = timeout(DEADLINE, desk.slot.clone().lock_owned()) => slot,
        };
        // A task that holds it for longer waits for a storage that hangs.
        let Ok(slot) = slot else { return Err(hung()) };
        let (this, region, its_storage) = (self.clone(), region.clone(), storage.clone());
        tokio::spawn(async move { this.write_waiting(&region, &its_storage, &desk, slot).await });
        outcome.await.unwrap_or_else(|_| Err(hung()))
    }

    /// Writes what waits until nothing does, or until the storage hangs.
    async fn write_waiting(&self, region: &Region, storage: &Storage, desk: &Desk, slot: Guard) {
        let mut slot = Some(slot);
        while let Some(guard) = slot.take() {
            let (events, told): (Vec<_>, Vec<_>) = desk.next().into_iter().map(|line| ((line.event, line.at), line.told)).unzip();
            if events.is_empty() {
                return;
            }
            let outcome = match self.write(region, storage, guard, events).await {
                Ok(guard) => {
                    slot = Some(guard);
                    Ok(())
                }
                Err(error) => Err(Arc::new(error)),
            };
            told.into_iter().for_each(|told| drop(told.send(outcome.clone())));
        }
    }

    /// A chain that was changed under us is opened anew. Of lines that may be there, because only their answer was lost, that tells: those are
    /// written at the second try that do not stand there.
    async fn write(&self, region: &Region, storage: &Storage, slot: Guard, events: Vec<(Event, Timestamp)>) -> Result<Guard> {
        let first = Try { slot, events, unsure: Vec::new() };
        match self.try_write(region, storage, first).await? {
            Ok(slot) => Ok(slot),
            Err((second, _)) => self.try_write(region, storage, second).await?.map_err(|(_, error)| error),
        }
    }

    /// The inner error is one after which it is tried again.
    async fn try_write(
        &self,
        region: &Region,
        storage: &Storage,
        Try { mut slot, mut events, unsure }: Try,
    ) -> Result<Result<Guard, (Try, Error)>> {
        let uid = Uid::of(region)?;
        let failed = |source| Error::Audit { region: region.name_any(), source };
        if slot.is_none() {
            match self.open(region, storage, unsure.clone()).await {
                Ok(Opened { there, chain, .. }) => {
                    *slot = Some(chain);
                    events.drain(..there);
                    if events.is_empty() {
                        return Ok(Ok(slot));
                    }
                }
                Err(error @ Error::Audit { .. }) => return Ok(Err((Try { slot, events, unsure }, error))),
                Err(error) => return Err(error),
            }
        }
        // Held by the step, which may outlast the call that waits for it.
        let append = move |logs: Logs| async move {
            let Some(mut chain) = slot.take() else { return Err(std::io::Error::other("the chain is not open")) };
            Ok(match chain.append(&logs, &events).await {
                Ok(()) => {
                    let grown = (chain.name.clone(), chain.last.clone());
                    *slot = Some(chain);
                    Ok((slot, grown))
                }
                Err(Unsure { lines, source }) => Err((Try { slot, events, unsure: lines }, source)),
            })
        };
        match storage.on_logs("write the audit", append).await?.map_err(failed)? {
            Ok((slot, (chain, last))) => {
                self.heads.grew(&uid, &chain, last);
                Ok(Ok(slot))
            }
            Err((next, source)) => Ok(Err((next, failed(source)))),
        }
    }

    async fn open(&self, region: &Region, storage: &Storage, unsure: Vec<Link>) -> Result<Opened> {
        let (uid, now) = (Uid::of(region)?, self.cluster.now()?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_taken_in_its_order_and_without_what_nobody_waits_for() {
        let desk = Desk::default();
        let mut waiting: Vec<_> = (0..TOGETHER + 3)
            .map(|number| {
                let (told, outcome) = oneshot::channel();
                desk.waiting().push_back(Waiting {
                    event: Event::new("FileBorn"),
                    at: Timestamp::from_second(number as i64).unwrap(),
                    told,
                });
                outcome
            })
            .collect();
        drop(waiting.remove(1));
        let seconds = |lines: Vec<Waiting>| lines.iter().map(|line| line.at.as_second()).collect::<Vec<_>>();
        let taken = desk.next();
        assert_eq!(taken.len(), TOGETHER);
        assert_eq!(seconds(taken)[..3], [0, 2, 3]);
        assert_eq!(seconds(desk.next()), [TOGETHER as i64 + 1, TOGETHER as i64 + 2]);
        assert!(desk.next().is_empty());
    }
}
