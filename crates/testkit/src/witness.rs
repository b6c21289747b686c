//! Watches every version of some kinds, and judges each: what a waiting tool would see at any moment, and what must not happen from
//! one version to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::kstatus;

#[derive(Clone, Default)]
struct Log {
    seen: usize,
    violations: Vec<String>,
}

/// What is wrong with a version, given the one before it.
pub type Rule = fn(before: &DynamicObject, after: &DynamicObject) -> Vec<String>;

pub struct Witness {
    log: Arc<Mutex<Log>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Witness {
    /// Judges by kstatus and by rules of the test's own.
    pub fn of(client: &Client, kinds: impl IntoIterator<Item = ApiResource>, rules: &'static [Rule]) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let tasks = kinds.into_iter().map(|kind| tokio::spawn(watch(client.clone(), kind, rules, log.clone()))).collect();
        Self { log, tasks }
    }

    /// How many versions were seen, and what was wrong with them.
    pub fn report(self) -> (usize, Vec<String>) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (log.seen, log.violations)
    }
}

async fn watch(client: Client, kind: ApiResource, rules: &[Rule], log: Arc<Mutex<Log>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind);
    let note = |found: Vec<String>, seen| {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.seen += seen;
        log.violations.extend(found);
    };
    let mut before: BTreeMap<String, DynamicObject> = BTreeMap::new();
    let mut version = "0".to_owned();
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
            let uid = object.uid().unwrap_or_default();
            let mut found = kstatus::violations(&object);
            if let Some(before) = before.get(&uid) {
                found.extend(kstatus::transition_violations(before, &object));
                found.extend(rules.iter().flat_map(|rule| rule(before, &object)));
            }
            note(found, 1);
            before.insert(uid, object);
        }
    }
}
