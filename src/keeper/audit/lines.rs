//! How the other rooms write to the audit: one line before the caller goes on, and refusals of strangers folded.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use api::Region;
use kube::ResourceExt;

use super::{Audit, Event};
use crate::keeper::base::error::Result;

impl Audit {
    /// Appends to the audit of a region; the caller may go on only if this succeeds.
    pub(crate) async fn line(self: &Arc<Self>, region: &Region, event: Event) -> Result<()> {
        let storage = self.storages.of(region)?;
        let was_closed = self.closed(region).is_some();
        let outcome = self.record(region, &storage, event, self.cluster.now()?).await;
        // An administrator who waits for the region reads of it in its conditions.
        if was_closed != outcome.is_err() {
            (self.wake_region)(region.name_any());
        }
        outcome
    }

    /// Audits a refusal of somebody whom nobody vouches for. One region's broken storage neither keeps it from the others nor makes the
    /// refusal another answer; a flood of them is folded. `kind`: what makes two alike.
    pub(crate) async fn refusal(self: &Arc<Self>, regions: &[Arc<Region>], kind: &str, event: Event) {
        let told = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let told =
                |region: &Arc<Region>| Some((region.clone(), refusals.take(&region.name_any(), kind, event.clone(), Instant::now())?));
            regions.iter().filter_map(told).collect::<Vec<_>>()
        };
        futures::future::join_all(told.into_iter().map(|(region, event)| self.logged(region, event))).await;
    }

    /// Writes down what was counted of refusals: what is over, or all of it.
    pub(crate) async fn tell_refusals(self: &Arc<Self>, all: bool) {
        let due = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if all { refusals.rest(Instant::now()) } else { refusals.due(Instant::now()) }
        };
        let due = due.into_iter().filter_map(|(region, event)| Some((self.cluster.region(&region).ok()?, event)));
        futures::future::join_all(due.map(|(region, event)| self.logged(region, event))).await;
    }

    async fn logged(self: &Arc<Self>, region: Arc<Region>, event: Event) {
        if let Err(error) = self.line(&region, event).await {
            tracing::error!(region = region.name_any(), error = error.chain(), "a refusal could not be audited");
        }
    }
}
