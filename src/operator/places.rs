//! Which runs wait for a place, and whose turn it is. `domain::import_run::queue` decides; here is what it decides on, and who is woken.
//! Runs come here when nothing but a place is missing. Forgotten with the process: the next one begins with all runs that never started,
//! and those that are not ready say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use api::identity::{Unidentified, has_uid};
use api::{ImportRun, Tenant, Uid, names};
use domain::finding::Finding;
use domain::import_run::queue::{Places as Free, Share, Waiting, deal, waits};
use domain::import_run::{RunState, is_finished};
use domain::labels;
use domain::limits::Plans;
use runtime::store::ObjectKey;
use runtime::work::Queue;

use super::caches::{ACTIVE, BEGUN, Caches};
use super::key::Key;

pub(super) struct Places {
    caches: Caches,
    queue: Queue<Key>,
    plans: Plans,
    line: Mutex<Line>,
}

/// By UID of the run.
#[derive(Default)]
struct Line {
    waiting: BTreeMap<Uid, (ObjectKey, Waiting)>,
    /// Whose turn it is, and whose attempt is not written down yet.
    called: BTreeMap<Uid, (ObjectKey, Waiting)>,
}

impl Places {
    pub(super) fn new(caches: Caches, queue: Queue<Key>, plans: Plans) -> Self {
        Self { caches, queue, plans, line: Mutex::default() }
    }

    /// A run that could start now asks for its place. Absent when it may; else why not. It is woken when its turn comes.
    pub(super) fn ask(&self, run: &ImportRun, tenant: &Tenant) -> Result<Option<Finding>, Unidentified> {
        let waiting = waiting(run, tenant)?;
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.called.contains_key(&waiting.uid) {
            line.waiting.insert(waiting.uid.clone(), (key(run), waiting.clone()));
        }
        let free = self.deal(&mut line, Some(&waiting.uid));
        Ok((!line.called.contains_key(&waiting.uid)).then(|| waits(&waiting, &free)))
    }

    /// Something else is missing, or the run is over.
    pub(super) fn withdraw(&self, run: &ImportRun) {
        let Some(uid) = Uid::of_meta(&run.metadata) else { return };
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.waiting.remove(&uid);
        if line.called.remove(&uid).is_some() {
            self.deal(&mut line, None);
        }
    }

    /// A place may be free, or there may be more of them.
    pub(super) fn changed(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.waiting.is_empty() {
            self.deal(&mut line, None);
        }
    }

    /// All runs that never started take their place in the line before the first of them is looked at, so that the oldest goes first.
    pub(super) fn begin(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for run in self.caches.runs.all().iter().filter(|run| is_fresh(run)) {
            let tenant = labels::namespace(&run.metadata).and_then(|namespace| self.caches.tenant_of(namespace));
            if let Some(tenant) = tenant
                && let Ok(waiting) = waiting(run, &tenant)
            {
                line.waiting.insert(waiting.uid.clone(), (key(run), waiting));
            }
        }
    }

    /// Calls those whose turn it is and wakes them, but not the one that asks. Answers with what is free then.
    fn deal(&self, line: &mut Line, asks: Option<&Uid>) -> Free {
        let fresh = |key: &ObjectKey, uid: &Uid| {
            self.caches.runs.get(key).is_some_and(|run| has_uid(&run.metadata, uid.as_str()) && is_fresh(&run))
        };
        line.waiting.retain(|uid, (key, _)| fresh(key, uid));
        line.called.retain(|uid, (key, _)| fresh(key, uid));
        let mut free = self.free(line);
        let turns: Vec<Uid> = deal(line.waiting.values().map(|(_, run)| run), &mut free).iter().map(|run| run.uid.clone()).collect();
        for uid in turns {
            let Some((key, run)) = line.waiting.remove(&uid) else { continue };
            if asks != Some(&uid) {
                self.queue.wake(Key::ImportRun(key.clone()));
            }
            line.called.insert(uid, (key, run));
        }
        free
    }

    /// Every place that is taken: by a run between its first attempt and its end, by one that was called, and by one that is over as long as
    /// its pod is there.
    fn free(&self, line: &Line) -> Free {
        let mut holders: BTreeSet<(String, Uid)> = BTreeSet::new();
        for run in self.caches.runs.by(BEGUN) {
            let placement = run.status.as_ref().and_then(|s| s.placement.as_ref()).and_then(|p| p.run_namespace.as_deref());
            if let (Some(tenant), Some(uid)) = (placement.and_then(tenant_of), Uid::of_meta(&run.metadata)) {
                holders.insert((tenant.to_owned(), uid));
            }
        }
        for pod in self.caches.pods.by(ACTIVE) {
            let run = labels::label(&pod.metadata, names::RUN_UID_LABEL).and_then(Uid::new);
            if let (Some(tenant), Some(run)) = (labels::namespace(&pod.metadata).and_then(tenant_of), run) {
                holders.insert((tenant.to_owned(), run));
            }
        }
        holders.extend(line.called.values().map(|(_, run)| (run.tenant.clone(), run.uid.clone())));
        let mut free = Free::default();
        for region in self.caches.regions.all() {
            let limit = region.spec.workers.as_ref().and_then(|w| w.concurrent_runs).and_then(|n| usize::try_from(n).ok());
            if let Some(limit) = limit {
                free.regions.insert(labels::name(&region.metadata).to_owned(), Share { taken: 0, limit });
            }
        }
        let mut taken_by: BTreeMap<&str, usize> = BTreeMap::new();
        for (tenant, _) in &holders {
            *taken_by.entry(tenant).or_default() += 1;
        }
        for tenant in self.caches.tenants.all() {
            let limit = self.plans.allowance(&tenant.spec).concurrent_runs;
            let name = labels::name(&tenant.metadata);
            let taken = taken_by.get(name).copied().unwrap_or_default();
            free.tenants.insert(name.to_owned(), Share { taken, limit });
            if let Some(region) = free.regions.get_mut(&tenant.spec.region) {
                region.taken += taken;
            }
        }
        free
    }
}

/// Nobody was ever asked to work on it.
fn is_fresh(run: &ImportRun) -> bool {
    RunState::of(run.status.as_ref()) == RunState::Fresh && !is_finished(run)
}

fn tenant_of(run_namespace: &str) -> Option<&str> {
    run_namespace.strip_prefix(names::RUN_NAMESPACE_PREFIX)
}

fn key(run: &ImportRun) -> ObjectKey {
    ObjectKey::of(run)
}

fn waiting(run: &ImportRun, tenant: &Tenant) -> Result<Waiting, Unidentified> {
    let created = run.metadata.creation_timestamp.as_ref().map_or(jiff::Timestamp::MAX, |t| t.0);
    Ok(Waiting {
        uid: Uid::of(run)?,
        tenant: labels::name(&tenant.metadata).to_owned(),
        region: tenant.spec.region.clone(),
        since: (created, labels::name(&run.metadata).to_owned()),
    })
}
