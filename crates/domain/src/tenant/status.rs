//! The operator's part of a Tenant's status, from what was really applied.

use api::Uid;
use api::conditions::{Conditions, FOREIGN_OBJECTS, READY, RECONCILING, STALLED};
use api::reasons::tenant as reasons;
use api::tenant::{BoundNamespace, EffectiveTenant, TenantStatus};
use jiff::Timestamp;

use super::Observed;
use crate::finding::Finding;
use crate::labels;

/// The conditions of a Tenant that the operator writes.
pub(super) const OWNED_CONDITIONS: &[&str] = &[READY, RECONCILING, STALLED, FOREIGN_OBJECTS];

/// What apply achieved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// The namespaces that the Tenant holds, and those it held that cannot be confirmed now.
    pub namespaces: Vec<BoundNamespace>,
    /// Its run namespace, if there is one or must not be forgotten.
    pub run_namespace: Option<BoundNamespace>,
}

/// What the operator wrote last time.
pub fn owned_part(status: &TenantStatus) -> TenantStatus {
    let TenantStatus { observed_generation, conditions, region_uid, effective, namespaces, run_namespace, keys: _ } = status;
    TenantStatus {
        observed_generation: *observed_generation,
        conditions: labels::owned(conditions, OWNED_CONDITIONS),
        region_uid: region_uid.clone(),
        effective: effective.clone(),
        namespaces: namespaces.clone(),
        run_namespace: run_namespace.clone(),
        ..Default::default()
    }
}

/// The operator's part of a Tenant's status after a look and what was applied.
pub fn status(observed: &Observed, finding: &Finding, outcome: Outcome, now: Timestamp) -> TenantStatus {
    let tenant = &observed.tenant;
    let previous = tenant.status.clone().unwrap_or_default();
    let region_uid = previous.region_uid.or_else(|| observed.region.as_ref().and_then(|r| Uid::of_meta(&r.metadata)).map(String::from));
    let conditions = finding.mark(Conditions::from(&previous.conditions, tenant.metadata.generation, now));
    let conditions = if observed.foreign.is_empty() {
        conditions
    } else {
        let found = observed.foreign.join(", ");
        let message = format!("made by others in the namespace of this tenant's workers, and removed there: {found}");
        conditions.with_true(FOREIGN_OBJECTS, reasons::REMOVED, &message)
    };
    TenantStatus {
        observed_generation: tenant.metadata.generation,
        conditions: conditions.build(),
        region_uid,
        effective: Some(EffectiveTenant { limits: observed.allowance.to_status() }),
        namespaces: outcome.namespaces,
        run_namespace: outcome.run_namespace,
        ..Default::default()
    }
}
