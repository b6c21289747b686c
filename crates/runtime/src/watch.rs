//! One watch, one stream, one backoff. An error is logged and counted here and goes nowhere else, so a kind that cannot be
//! read never holds up the others. Objects that do not fit their type are reported by name and treated as absent. Gives
//! nothing but changes to a store and calls of `wake`.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use api::Uid;
use backoff::{Backoff, Waits};
use futures::{Stream, StreamExt};
use kube::api::PartialObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch::{self, Receiver};
use tokio::task::JoinSet;

use crate::metrics::Metrics;
use crate::store::{ObjectKey, Store};

/// Below the idle limits of common proxies, so that a silent watch is renewed rather than cut.
const WATCH_TIMEOUT_SECONDS: u32 = 230;
/// 1 s, 2 s, 4 s … half a minute.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(30));

/// Objects that a list brings at once: all of them are in memory before the first is pruned.
const PAGE: u32 = 32;
/// Of metadata more fits.
const METADATA_PAGE: u32 = 250;

/// What changed: the object before and after; one of them may be absent.
pub type Wake<K> = Box<dyn Fn(Option<&K>, Option<&K>) + Send>;

/// All watches of a process. They end when this is dropped.
pub struct Watches {
    client: Client,
    metrics: Metrics,
    tasks: JoinSet<()>,
    synced: Vec<(&'static str, Receiver<bool>)>,
}

impl Watches {
    /// Watches nothing yet; errors and objects that do not fit their type are counted in `metrics`.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics, tasks: JoinSet::new(), synced: Vec::new() }
    }

    /// Watches whole objects in every namespace; what the store prunes stays in memory for no longer than a page.
    pub fn objects<K>(&mut self, kind: &'static str, selector: Option<&str>, store: Store<K>, wake: Wake<K>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api: Api<DeserializeGuard<K>> = Api::all(self.client.clone());
        let events = watcher::watcher(api, config(selector, PAGE));
        self.spawn(kind, events, Applier { kind, store, wake, listed: BTreeSet::new() }, guarded);
    }

    /// Watches only the metadata of objects in every namespace.
    pub fn metadata<K>(
        &mut self,
        kind: &'static str,
        selector: Option<&str>,
        store: Store<PartialObjectMeta<K>>,
        wake: Wake<PartialObjectMeta<K>>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let events = watcher::watcher(Api::<PartialObjectMeta<K>>::all(self.client.clone()), config(selector, METADATA_PAGE));
        self.spawn(kind, events, Applier { kind, store, wake, listed: BTreeSet::new() }, Ok);
    }

    /// Names of the kinds that have not been listed yet.
    pub fn unsynced(&self) -> Vec<&'static str> {
        self.synced.iter().filter(|(_, synced)| !*synced.borrow()).map(|(kind, _)| *kind).collect()
    }

    /// Waits until every kind has been listed once.
    pub async fn all_synced(&self) {
        for (_, synced) in &self.synced {
            // A watch that ended is noticed by `ended`; nothing is synced then.
            if synced.clone().wait_for(|done| *done).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when a watch ends, which none should.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }

    fn spawn<S, T, K>(&mut self, kind: &'static str, events: S, applier: Applier<K>, sort: Sort<T, K>)
    where
        S: Stream<Item = watcher::Result<Event<T>>> + Send + 'static,
        T: Send + 'static,
        K: Resource<DynamicType = ()> + Send + Sync + 'static,
    {
        let (done, synced) = watch::channel(false);
        self.synced.push((kind, synced));
        self.tasks.spawn(drive(kind, events, applier, sort, done, self.metrics.clone()));
    }
}

/// A good object, or the key and text of one that does not fit its type.
type Sort<T, K> = fn(T) -> Result<K, Unfit>;
/// How a store takes what a list or a watch shows: what was shown before, and what is the newest now.
type Take<K> = fn(&Store<K>, K) -> (Option<Arc<K>>, Option<Arc<K>>);
type Unfit = (ObjectKey, Option<String>, String);

fn guarded<K: Resource<DynamicType = ()>>(object: DeserializeGuard<K>) -> Result<K, Unfit> {
    object.0.map_err(|invalid| {
        let key = ObjectKey { namespace: invalid.metadata.namespace, name: invalid.metadata.name.unwrap_or_default() };
        (key, invalid.metadata.uid, invalid.error)
    })
}

/// An object without a UID is no better than one that does not fit: nobody could tell it from another one of its name.
fn identified<K: Resource<DynamicType = ()>>(object: K) -> Result<K, Unfit> {
    match Uid::of(&object) {
        Ok(_) => Ok(object),
        Err(error) => Err((ObjectKey::of(&object), None, error.to_string())),
    }
}

fn config(selector: Option<&str>, page: u32) -> Config {
    let config = Config::default().timeout(WATCH_TIMEOUT_SECONDS).page_size(page);
    selector.into_iter().fold(config, |config, selector| config.labels(selector))
}

async fn drive<S, T, K>(
    kind: &'static str,
    events: S,
    mut applier: Applier<K>,
    sort: Sort<T, K>,
    done: watch::Sender<bool>,
    metrics: Metrics,
) where
    S: Stream<Item = watcher::Result<Event<T>>>,
    K: Resource<DynamicType = ()>,
{
    let mut events = pin!(events);
    let mut waits = Waits::new(BACKOFF);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                waits.begin_again();
                let listed = matches!(event, Event::InitDone);
                applier.event(event, sort, &metrics);
                if listed {
                    done.send_replace(true);
                }
            }
            Err(error) => {
                metrics.watch_error(kind);
                tracing::warn!(kind, error = %error, "watch failed; will try again");
                tokio::time::sleep(waits.next(rand::random())).await;
            }
        }
    }
}

struct Applier<K> {
    kind: &'static str,
    store: Store<K>,
    wake: Wake<K>,
    /// Keys seen since the list began.
    listed: BTreeSet<ObjectKey>,
}

impl<K: Resource<DynamicType = ()>> Applier<K> {
    fn event<T>(&mut self, event: Event<T>, sort: Sort<T, K>, metrics: &Metrics) {
        match event {
            Event::Init => {
                self.listed.clear();
                self.store.list_begins();
            }
            Event::InitApply(object) => self.shown(object, sort, metrics, Store::listed),
            Event::Apply(object) => self.shown(object, sort, metrics, Store::saw),
            Event::Delete(object) => {
                let (key, uid) = match sort(object) {
                    Ok(object) => (ObjectKey::of(&object), object.meta().uid.clone()),
                    Err((key, uid, _)) => (key, uid),
                };
                self.removed(&key, uid.as_deref());
            }
            Event::InitDone => {
                for key in self.store.absent_from(&self.listed) {
                    self.removed(&key, None);
                }
                self.listed.clear();
            }
        }
    }

    fn shown<T>(&mut self, object: T, sort: Sort<T, K>, metrics: &Metrics, take: Take<K>) {
        match sort(object).and_then(identified) {
            Ok(object) => {
                self.listed.insert(ObjectKey::of(&object));
                let (old, new) = take(&self.store, object);
                (self.wake)(old.as_deref(), new.as_deref());
            }
            Err((key, uid, error)) => {
                metrics.invalid_object(self.kind);
                tracing::warn!(kind = self.kind, object = %key, error, "object does not fit its type; treated as absent");
                self.removed(&key, uid.as_deref());
            }
        }
    }

    fn removed(&mut self, key: &ObjectKey, uid: Option<&str>) {
        if let Some(old) = self.store.remove(key, uid) {
            (self.wake)(Some(&old), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    fn map(name: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.into());
        map.metadata.uid = Some(name.into());
        map
    }

    fn failure() -> watcher::Error {
        watcher::Error::NoResourceVersion
    }

    async fn run(events: Vec<watcher::Result<Event<ConfigMap>>>) -> (Store<ConfigMap>, Vec<String>, bool, Metrics) {
        let store = Store::new(|_: &ConfigMap| Vec::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let wake: Wake<ConfigMap> = Box::new(move |old, new| {
            let name = |m: Option<&ConfigMap>| m.map_or("-".to_owned(), |m| m.name_any());
            log.lock().unwrap().push(format!("{}>{}", name(old), name(new)));
        });
        let (done, synced) = watch::channel(false);
        let metrics = Metrics::new();
        let applier = Applier { kind: "ConfigMap", store: store.clone(), wake, listed: BTreeSet::new() };
        drive("ConfigMap", stream::iter(events), applier, Ok, done, metrics.clone()).await;
        let seen = seen.lock().unwrap().clone();
        (store, seen, *synced.borrow(), metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn errors_end_in_the_stream_and_are_counted() {
        let (store, seen, synced, metrics) =
            run(vec![Err(failure()), Err(failure()), Ok(Event::Init), Ok(Event::InitApply(map("a"))), Ok(Event::InitDone)]).await;
        assert_eq!(seen, ["->a"]);
        assert!(synced && store.len() == 1);
        assert!(metrics.render().contains(r#"dataimporter_watch_errors_total{kind="ConfigMap"} 2"#), "{}", metrics.render());
    }

    #[tokio::test]
    async fn an_object_without_a_uid_is_counted_and_treated_as_absent() {
        let nobody = |uid: Option<&str>| {
            let mut nobody = map("a");
            nobody.metadata.uid = uid.map(str::to_owned);
            nobody
        };
        let (store, seen, _, metrics) = run(vec![
            Ok(Event::Apply(nobody(None))),
            Ok(Event::Apply(map("a"))),
            Ok(Event::Apply(nobody(Some("")))),
            Ok(Event::Apply(map("b"))),
        ])
        .await;
        assert_eq!(seen, ["->a", "a>-", "->b"], "what had its name is not taken for it");
        assert_eq!(store.len(), 1);
        assert!(metrics.render().contains(r#"dataimporter_invalid_objects_total{kind="ConfigMap"} 2"#), "{}", metrics.render());
    }

    #[tokio::test]
    async fn an_object_missing_from_a_new_list_is_gone_and_said_so() {
        let (store, seen, ..) = run(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(map("a"))),
            Ok(Event::InitApply(map("b"))),
            Ok(Event::InitDone),
            Ok(Event::Init),
            Ok(Event::InitApply(map("b"))),
            Ok(Event::InitDone),
        ])
        .await;
        assert_eq!(seen, ["->a", "->b", "b>b", "a>-"]);
        assert_eq!(store.len(), 1);
    }
}
