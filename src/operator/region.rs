//! Region: observe → decide → report. It has no children of its own.

use api::Region;
use api::conditions::{self, STALLED};
use domain::labels;
use domain::region::{self, Observed};
use jiff::Timestamp;
use kube::Api;
use runtime::store::ObjectKey;
use runtime::work::Next;

use super::context::{Context, ReconcileError, next, remember};

pub(super) async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Next, ReconcileError> {
    let Some(observed) = observe(context, key) else { return Ok(Next::Idle) };
    let finding = region::decide(&observed);
    let status = region::status(&observed, &finding, Timestamp::now());
    let before = observed.region.status.clone().unwrap_or_default();
    if region::owned_part(&before) != status {
        let api = Api::<Region>::all(context.writer.client().clone());
        // By version: two that both believe to lead must not tell the same turn at two times.
        let version = observed.region.metadata.resource_version.as_deref();
        let written = context.writer.apply_status(&api, key, version, &status).await?;
        remember(&context.caches.regions, written);
        if conditions::is_true(&status.conditions, STALLED) && !conditions::is_true(&before.conditions, STALLED) {
            context.events.warning(observed.region.as_ref(), finding.reason, &finding.message).await;
        }
    }
    Ok(next(&finding))
}

fn observe(context: &Context, key: &ObjectKey) -> Option<Observed> {
    let caches = &context.caches;
    let region = caches.regions.get(key).filter(|r| r.metadata.deletion_timestamp.is_none())?;
    let labelled = || caches.nodes.by(&format!("region:{}", key.name)).len();
    let nodes = if region.spec.nodes.are_all() { caches.nodes.len() } else { labelled() };
    let others = caches.regions.all().iter().map(|r| labels::name(&r.metadata).to_owned()).filter(|name| *name != key.name).collect();
    Some(Observed { region, nodes, others })
}
