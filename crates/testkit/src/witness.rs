//! Watches every version of some kinds, and judges each: what a waiting tool would see at any moment, and what must not happen from
//! one version to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::{kstatus, wait_for};

/// How long a witness may lag behind.
const LAG: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Log {
    seen: usize,
    violations: Vec<String>,
    /// The newest version seen of each kind.
    reached: BTreeMap<String, u64>,
}

/// What is wrong with a version, given the one before it.
pub type Rule = fn(before: &DynamicObject, after: &DynamicObject) -> Vec<String>;

/// Watches kinds from the beginning and judges every version of every object that was ever written.
pub struct Witness {
    client: Client,
    log: Arc<Mutex<Log>>,
    kinds: Vec<ApiResource>,
    tasks: Vec<JoinHandle<()>>,
}

impl Witness {
    /// Judges by kstatus and by rules of the test's own everything that is written from now on, however late the watches get to it.
    pub async fn of(client: &Client, kinds: impl IntoIterator<Item = ApiResource>, rules: &'static [Rule]) -> Result<Self> {
        let (log, kinds) = (Arc::<Mutex<Log>>::default(), Vec::from_iter(kinds));
        let mut tasks = Vec::new();
        for kind in kinds.clone() {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
            let now = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
            // What is there already is nothing to wait for.
            log.lock().unwrap_or_else(PoisonError::into_inner).reached.insert(kind.kind.clone(), now.parse().unwrap_or_default());
            tasks.push(tokio::spawn(watch(api, kind, now, rules, log.clone())));
        }
        Ok(Self { client: client.clone(), log, kinds, tasks })
    }

    /// How many versions were seen up to now, and what was wrong with them.
    pub async fn report(self) -> Result<(usize, Vec<String>)> {
        for kind in &self.kinds {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), kind);
            let newest = api.list(&ListParams::default()).await?.items.iter().filter_map(number).max().unwrap_or_default();
            wait_for(&format!("the witness of {}", kind.kind), LAG, async || {
                let log = self.log();
                let caught_up = log.reached.get(&kind.kind).copied().unwrap_or_default() >= newest || !log.violations.is_empty();
                Ok(caught_up.then_some(()))
            })
            .await?;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        let log = self.log();
        Ok((log.seen, log.violations))
    }

    fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn number(object: &DynamicObject) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

async fn watch(api: Api<DynamicObject>, kind: ApiResource, from: String, rules: &[Rule], log: Arc<Mutex<Log>>) {
    let note = |found: Vec<String>, seen| {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.seen += seen;
        log.violations.extend(found);
    };
    let mut before: BTreeMap<String, DynamicObject> = BTreeMap::new();
    let mut version = from;
    loop {
        // The server ends a watch after some minutes; the next one goes on where it stood.
        let mut events = match api.watch(&WatchParams::default(), &version).await {
            Ok(events) => events.boxed(),
            Err(error) => return note(vec![format!("the witness of {} sees nothing: {error}", kind.kind)], 0),
        };
        while let Some(event) = events.next().await {
            let object = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => object,
                Ok(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_)) => continue,
                Ok(WatchEvent::Error(error)) => return note(vec![format!("the witness of {} lost its place: {error}", kind.kind)], 0),
                Err(_) => break,
            };
            version = object.resource_version().unwrap_or(version);
            let Some(uid) = object.uid() else {
                note(vec![format!("{} {} has no UID", kind.kind, object.name_any())], 1);
                continue;
            };
            let mut found = kstatus::violations(&object);
            if let Some(before) = before.get(&uid) {
                found.extend(kstatus::transition_violations(before, &object));
                found.extend(rules.iter().flat_map(|rule| rule(before, &object)));
            }
            note(found, 1);
            let reached = number(&object).unwrap_or_default();
            log.lock().unwrap_or_else(PoisonError::into_inner).reached.insert(kind.kind.clone(), reached);
            before.insert(uid, object);
        }
    }
}
