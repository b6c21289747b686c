//! What others made in a run namespace, from before the policies or while they were off: found, removed and told. Nobody watches for it:
//! policies keep it out, and a watch would hold the objects of the whole cluster.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::Uid;
use domain::tenant::is_foreign;
use domain::tenant::plan::RunNamespaceContents;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Pod, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use runtime::store::ObjectKey;
use runtime::write::Kind;

use super::context::{Context, ReconcileError};

/// How often a run namespace is looked at.
const PERIOD: Duration = Duration::from_secs(600);
/// After something was found, whether it is gone.
const AGAIN: Duration = Duration::from_secs(60);

/// The last look at each run namespace, by name. Forgotten with the process: the next one looks at once.
#[derive(Default)]
pub(super) struct Looks(Mutex<BTreeMap<String, (Instant, Vec<String>)>>);

pub(super) struct Look {
    /// Kind and name each.
    pub(super) found: Vec<String>,
    /// Time until the next one is due.
    pub(super) next: Duration,
}

impl Looks {
    pub(super) fn last(&self, namespace: &str) -> Look {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, found)) = looks.get(namespace) else { return Look { found: Vec::new(), next: Duration::ZERO } };
        let period = if found.is_empty() { PERIOD } else { AGAIN };
        Look { found: found.clone(), next: period.saturating_sub(at.elapsed()) }
    }

    fn took(&self, namespace: &str, found: Vec<String>) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|_, (at, _)| at.elapsed() < 2 * PERIOD);
        looks.insert(namespace.to_owned(), (Instant::now(), found));
    }
}

/// Removes what is foreign, if it is time to look.
pub(super) async fn look(context: &Context, namespace: &str, contents: &RunNamespaceContents) -> Result<(), ReconcileError> {
    if !context.looks.last(namespace).next.is_zero() {
        return Ok(());
    }
    let mut found = Vec::new();
    remove::<NetworkPolicy>(context, "NetworkPolicy", namespace, contents, &mut found).await?;
    remove::<RoleBinding>(context, "RoleBinding", namespace, contents, &mut found).await?;
    remove::<Role>(context, "Role", namespace, contents, &mut found).await?;
    remove::<ServiceAccount>(context, "ServiceAccount", namespace, contents, &mut found).await?;
    remove::<ResourceQuota>(context, "ResourceQuota", namespace, contents, &mut found).await?;
    remove::<LimitRange>(context, "LimitRange", namespace, contents, &mut found).await?;
    remove::<ConfigMap>(context, "ConfigMap", namespace, contents, &mut found).await?;
    remove::<Pod>(context, "Pod", namespace, contents, &mut found).await?;
    context.looks.took(namespace, found);
    Ok(())
}

async fn remove<K>(
    context: &Context,
    kind: &'static str,
    namespace: &str,
    contents: &RunNamespaceContents,
    found: &mut Vec<String>,
) -> Result<(), ReconcileError>
where
    K: Kind + Resource<Scope = NamespaceResourceScope>,
{
    let whole = ObjectKey::namespaced(namespace, "");
    let api = context.writer.namespaced::<K>(&whole);
    let listed = api.list_metadata(&ListParams::default()).await;
    let listed = listed.map_err(|source| ReconcileError::Read { kind, key: whole, source: Box::new(source) })?;
    for object in listed.items.iter().filter(|object| is_foreign(kind, &object.metadata, contents)) {
        let key = ObjectKey::namespaced(namespace, object.name_any());
        tracing::warn!(kind, object = %key, "made by somebody else in a run namespace; it is removed");
        context.metrics.foreign_object(kind);
        context.writer.delete(&api, &key, &Uid::of(object)?).await?;
        found.push(format!("{kind} {}", key.name));
    }
    Ok(())
}
