//! What was applied last, and which version that made. A child that nobody touched since is not applied again: a tenant has
//! a dozen of them, and most of its reconciles change none. Forgotten with the process: the next one applies everything once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use runtime::store::{ObjectKey, Store};
use runtime::write::{Kind, WriteError};
use sha2::{Digest, Sha256};

use super::caches::Meta;
use super::context::Context;

#[derive(Default)]
pub(super) struct Applied(Mutex<BTreeMap<(String, ObjectKey), Mark>>);

#[derive(Clone, PartialEq)]
struct Mark {
    digest: [u8; 32],
    version: u64,
    /// How many lists of the kind had begun before it was written.
    lists: u64,
}

/// Whether a child is known to be as wanted.
pub(super) fn is_applied<K: Kind>(context: &Context, store: &Store<Meta<K>>, wanted: &K) -> bool {
    let name = (K::kind(&()).into_owned(), ObjectKey::of(wanted));
    let digest = digest(wanted);
    let (seen, lists) = (store.get(&name.1).as_deref().and_then(version), store.lists());
    // The watch may lag behind our own write, but never shows a later version that is ours. A list that came since shows that very version,
    // or, of an API server that was restored, an earlier one, which is not ours any more.
    let ours = |mark: &Mark, seen: u64| seen == mark.version || (seen < mark.version && lists == mark.lists);
    let untouched = |mark: &Mark| mark.digest == digest && seen.is_some_and(|seen| ours(mark, seen));
    context.applied.with(|marks| marks.get(&name).is_some_and(untouched))
}

/// Applies a child unless it is known to be as wanted.
pub(super) async fn ensure<K>(context: &Context, store: &Store<Meta<K>>, wanted: &K) -> Result<(), WriteError>
where
    K: Kind + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    if is_applied(context, store, wanted) {
        return Ok(());
    }
    let lists = store.lists();
    let made = context.writer.apply(wanted).await?;
    if let Some(version) = version(&made) {
        let name = (K::kind(&()).into_owned(), ObjectKey::of(wanted));
        context.applied.with(|marks| marks.insert(name, Mark { digest: digest(wanted), version, lists }));
    }
    Ok(())
}

/// The child was deleted.
pub(super) fn forget<K: Kind>(context: &Context, key: &ObjectKey) {
    context.applied.with(|marks| marks.remove(&(K::kind(&()).into_owned(), key.clone())));
}

impl Applied {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<(String, ObjectKey), Mark>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn version(object: &impl ResourceExt) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

fn digest(object: &impl serde::Serialize) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(object).unwrap_or_default()).into()
}
