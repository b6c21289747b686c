//! What we last saw or wrote of one kind. Unlike a plain mirror of the watch it never goes back in time: the server's answer
//! to our own write is put in at once, and an older event that arrives later is ignored. So a reconcile always sees its own
//! last write. A list does: it is what the API server has, and one whose data were restored has less than we have seen. What
//! the watch itself showed last is kept apart, so that our own writes are changes, too, when their events arrive. Does not
//! know how objects arrive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use kube::{Resource, ResourceExt};

/// Namespace (none for cluster-scoped kinds) and name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Absent for a kind that is cluster-scoped.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// Key of an object of a cluster-scoped kind.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self { namespace: None, name: name.into() }
    }

    /// Key of an object in a namespace.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), name: name.into() }
    }

    /// Key of this object. One without a name, which the API server never gives, has an empty one.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace(), name: object.name_any() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Words under which an object is found again.
pub type Index<K> = fn(&K) -> Vec<String>;
/// Drops what nobody reads.
pub type Prune<K> = fn(&mut K);

/// How many deleted UIDs are remembered, so that the late answer to a write does not bring a deleted object back.
const TOMBSTONES: usize = 4096;

/// The objects of one kind as they were last seen or written. Clones share them.
pub struct Store<K> {
    inner: Arc<RwLock<Inner<K>>>,
    index: Index<K>,
    prune: Prune<K>,
}

struct Entry<K> {
    /// The newest version we know of.
    newest: Arc<K>,
    /// The version that the watch showed last; usually the same.
    watched: Option<Arc<K>>,
    /// The list that was the last to begin when the newest version was the answer to a write of ours.
    written_after: Option<u64>,
}

/// Where an object comes from.
#[derive(Clone, Copy)]
enum From {
    Watch,
    List,
    Write,
}

struct Inner<K> {
    objects: BTreeMap<ObjectKey, Entry<K>>,
    words: BTreeMap<String, BTreeSet<ObjectKey>>,
    /// UIDs of deleted objects, each with the list that was the last to begin.
    deleted: VecDeque<(String, u64)>,
    /// How many lists have begun.
    lists: u64,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), index: self.index, prune: self.prune }
    }
}

impl<K: Resource<DynamicType = ()>> Store<K> {
    /// Empty. Objects are found by key, and under the words that `index` gives for them; nothing of them is dropped but `managedFields`.
    pub fn new(index: Index<K>) -> Self {
        Self::pruned(index, |_| ())
    }

    /// Whatever is put in, by a watch or after a write, loses what `prune` drops: memory goes by what is read, not by what others write.
    pub fn pruned(index: Index<K>, prune: Prune<K>) -> Self {
        let inner = Inner { objects: BTreeMap::new(), words: BTreeMap::new(), deleted: VecDeque::new(), lists: 0 };
        Self { inner: Arc::new(RwLock::new(inner)), index, prune }
    }

    /// The newest version known.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read(|inner| inner.objects.get(key).map(|entry| entry.newest.clone()))
    }

    /// The newest version of each object, by key.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read(|inner| inner.objects.values().map(|entry| entry.newest.clone()).collect())
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(|inner| inner.objects.len())
    }

    /// Whether there are none: the kind was not listed yet, or nobody made one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Objects that the index lists under this word, by key.
    pub fn by(&self, word: &str) -> Vec<Arc<K>> {
        self.read(|inner| {
            let keys = inner.words.get(word).into_iter().flatten();
            keys.filter_map(|key| inner.objects.get(key).map(|entry| entry.newest.clone())).collect()
        })
    }

    /// How many lists have begun. What was known before the last one may be undone: by one of another time, when the API server was restored.
    pub fn lists(&self) -> u64 {
        self.read(|inner| inner.lists)
    }

    /// A list begins: what it shows is at least as new as all that we know of now.
    pub(crate) fn list_begins(&self) {
        self.write(|inner| inner.lists += 1);
    }

    /// The watch shows an object. Gives what it showed before, and the newest version known now.
    pub fn saw(&self, object: K) -> (Option<Arc<K>>, Option<Arc<K>>) {
        self.shown(object, From::Watch)
    }

    /// The list that began last shows an object. Gives the same.
    pub(crate) fn listed(&self, object: K) -> (Option<Arc<K>>, Option<Arc<K>>) {
        self.shown(object, From::List)
    }

    fn shown(&self, object: K, from: From) -> (Option<Arc<K>>, Option<Arc<K>>) {
        let (key, object) = (ObjectKey::of(&object), self.slim(object));
        self.take(&key, object.clone(), from);
        self.write(|inner| {
            let Some(entry) = inner.objects.get_mut(&key) else { return (None, None) };
            (entry.watched.replace(object), Some(entry.newest.clone()))
        })
    }

    /// The server answered a write of ours with this.
    pub fn wrote(&self, object: K) {
        self.take(&ObjectKey::of(&object), self.slim(object), From::Write);
    }

    fn slim(&self, mut object: K) -> Arc<K> {
        // managedFields are most of an object's weight and nobody here reads them.
        object.meta_mut().managed_fields = None;
        (self.prune)(&mut object);
        Arc::new(object)
    }

    /// Takes an object in unless what is there is newer, or it is known to be gone. Against a list counts only what became known after it
    /// had begun.
    fn take(&self, key: &ObjectKey, object: Arc<K>, from: From) {
        self.write(|inner| {
            let lists = inner.lists;
            let counts = |known_after: u64| !matches!(from, From::List) || known_after == lists;
            let gone = |(uid, known_after): &(String, u64)| object.meta().uid.as_ref() == Some(uid) && counts(*known_after);
            let entry = inner.objects.get(key);
            let newer = |entry: &Entry<K>| is_older(object.as_ref(), &entry.newest) && entry.written_after.is_none_or(counts);
            let kept = |entry: &Entry<K>| newer(entry) && (!matches!(from, From::List) || entry.written_after.is_some());
            if inner.deleted.iter().any(gone) || entry.is_some_and(kept) {
                return;
            }
            let (old, watched) = entry.map(|entry| (entry.newest.clone(), entry.watched.clone())).unzip();
            let written_after = matches!(from, From::Write).then_some(lists);
            if matches!(from, From::List) {
                inner.deleted.retain(|(uid, _)| object.meta().uid.as_ref() != Some(uid));
            }
            inner.unindex(key, old.as_deref(), self.index);
            for word in (self.index)(&object) {
                inner.words.entry(word).or_default().insert(key.clone());
            }
            inner.objects.insert(key.clone(), Entry { newest: object, watched: watched.flatten(), written_after });
        });
    }

    /// Forgets an object; another one of the same name that came later stays.
    pub fn remove(&self, key: &ObjectKey, uid: Option<&str>) -> Option<Arc<K>> {
        self.write(|inner| {
            if let Some(uid) = uid {
                let lists = inner.lists;
                inner.deleted.push_back((uid.to_owned(), lists));
                if inner.deleted.len() > TOMBSTONES {
                    inner.deleted.pop_front();
                }
            }
            let old = inner.objects.get(key).map(|entry| entry.newest.clone());
            let old = old.filter(|old| uid.is_none() || old.meta().uid.as_deref() == uid)?;
            inner.unindex(key, Some(&old), self.index);
            inner.objects.remove(key);
            Some(old)
        })
    }

    /// Keys that are here but not in a fresh list.
    pub(crate) fn absent_from(&self, listed: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
        self.read(|inner| inner.objects.keys().filter(|key| !listed.contains(key)).cloned().collect())
    }

    fn read<T>(&self, f: impl FnOnce(&Inner<K>) -> T) -> T {
        f(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Inner<K>) -> T) -> T {
        f(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Inner<K> {
    fn unindex(&mut self, key: &ObjectKey, old: Option<&K>, index: Index<K>) {
        for word in old.into_iter().flat_map(index) {
            if let Some(keys) = self.words.get_mut(&word) {
                keys.remove(key);
                if keys.is_empty() {
                    self.words.remove(&word);
                }
            }
        }
    }
}

/// Of the same object, by the server's own count; another object of the same name is never older.
fn is_older<K: Resource>(new: &K, old: &K) -> bool {
    let version = |k: &K| k.meta().resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    new.meta().uid == old.meta().uid && matches!((version(new), version(old)), (Some(n), Some(o)) if n < o)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    fn map(name: &str, uid: &str, version: &str) -> ConfigMap {
        let labels = [("of".to_owned(), version.to_owned())].into();
        let metadata = ObjectMeta {
            namespace: Some("acme".into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            labels: Some(labels),
            ..Default::default()
        };
        ConfigMap { metadata, ..Default::default() }
    }

    fn version(map: Option<Arc<ConfigMap>>) -> String {
        map.and_then(|map| map.resource_version()).unwrap_or_default()
    }

    fn by_version(map: &ConfigMap) -> Vec<String> {
        map.labels().values().cloned().collect()
    }

    #[test]
    fn an_event_older_than_our_own_write_is_ignored() {
        let store = Store::new(by_version);
        store.saw(map("a", "1", "7"));
        store.wrote(map("a", "1", "10"));
        let (before, newest) = store.saw(map("a", "1", "9"));
        assert_eq!((version(before), version(newest)), ("7".into(), "10".into()));
        assert_eq!(store.get(&ObjectKey::namespaced("acme", "a")).unwrap().resource_version().as_deref(), Some("10"));
    }

    #[test]
    fn our_own_write_is_a_change_when_its_event_arrives() {
        let store = Store::new(by_version);
        store.saw(map("a", "1", "7"));
        store.wrote(map("a", "1", "10"));
        let (before, newest) = store.saw(map("a", "1", "10"));
        assert_eq!((version(before), version(newest)), ("7".into(), "10".into()));
    }

    #[test]
    fn the_index_follows_changes_and_deletions() {
        let store = Store::new(by_version);
        store.saw(map("a", "1", "7"));
        store.saw(map("a", "1", "8"));
        assert!(store.by("7").is_empty());
        assert_eq!(store.by("8").len(), 1);
        store.remove(&ObjectKey::namespaced("acme", "a"), Some("1"));
        assert!(store.by("8").is_empty() && store.is_empty());
    }

    #[test]
    fn the_late_answer_to_a_write_does_not_bring_a_deleted_object_back() {
        let store = Store::new(by_version);
        store.saw(map("a", "1", "7"));
        store.remove(&ObjectKey::namespaced("acme", "a"), Some("1"));
        store.wrote(map("a", "1", "8"));
        assert!(store.is_empty());
        store.saw(map("a", "2", "9"));
        assert_eq!(store.len(), 1, "a new object of the same name is another object");
    }

    /// The API server begins again from a snapshot: what it has is older than what we have seen, and objects that are gone are there.
    #[test]
    fn a_list_goes_back_in_time_and_nothing_else_does() {
        let store = Store::new(by_version);
        for name in ["a", "b", "c"] {
            store.saw(map(name, name, "7"));
        }
        store.wrote(map("b", "b", "10"));
        store.remove(&ObjectKey::namespaced("acme", "c"), Some("c"));
        store.list_begins();
        for name in ["a", "b", "c"] {
            let (_, newest) = store.listed(map(name, name, "5"));
            assert_eq!(version(newest), "5", "{name}");
        }
        store.saw(map("a", "a", "4"));
        store.wrote(map("b", "b", "4"));
        assert_eq!((store.by("5").len(), store.len()), (3, 3), "control: outside of a list what is older is ignored");
    }

    /// The list was made before our write, and shows what was there then.
    #[test]
    fn what_we_wrote_while_a_list_came_in_stays() {
        let store = Store::new(by_version);
        store.saw(map("a", "a", "7"));
        store.saw(map("b", "b", "7"));
        store.list_begins();
        store.wrote(map("a", "a", "9"));
        store.remove(&ObjectKey::namespaced("acme", "b"), Some("b"));
        let (before, newest) = store.listed(map("a", "a", "8"));
        assert_eq!((version(before), version(newest)), ("7".into(), "9".into()));
        assert_eq!(version(store.listed(map("b", "b", "7")).1), "", "it is gone");
    }

    #[test]
    fn what_nobody_reads_is_dropped_whether_it_was_seen_or_written() {
        let store = Store::pruned(by_version, |map: &mut ConfigMap| map.data = None);
        let heavy = |name: &str| ConfigMap { data: Some([("k".to_owned(), "v".to_owned())].into()), ..map(name, name, "7") };
        store.saw(heavy("a"));
        store.wrote(heavy("b"));
        assert!(store.all().iter().all(|map| map.data.is_none()));
        assert_eq!(store.by("7").len(), 2, "words are taken from what is kept");
    }

    #[test]
    fn a_deletion_of_the_former_object_leaves_the_new_one() {
        let store = Store::new(by_version);
        store.saw(map("a", "2", "9"));
        assert!(store.remove(&ObjectKey::namespaced("acme", "a"), Some("1")).is_none());
        assert_eq!(store.len(), 1);
    }
}
