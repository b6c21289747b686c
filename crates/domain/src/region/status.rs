//! The operator's part of a Region's status.

use api::conditions::{Conditions, READY, RECONCILING, RESIDENCY, STALLED};
use api::reasons::region as reasons;
use api::region::{Isolation, RegionStatus};
use jiff::Timestamp;

use super::Observed;
use crate::finding::{Finding, Standing};
use crate::labels;

/// The conditions of a Region that the operator writes.
pub(super) const OWNED_CONDITIONS: &[&str] = &[READY, RECONCILING, STALLED, RESIDENCY];

/// What the operator wrote last time.
pub fn owned_part(status: &RegionStatus) -> RegionStatus {
    let RegionStatus { observed_generation, conditions, nodes, audit: _ } = status;
    RegionStatus {
        observed_generation: *observed_generation,
        conditions: labels::owned(conditions, OWNED_CONDITIONS),
        nodes: *nodes,
        audit: Vec::new(),
    }
}

/// The operator's part of a Region's status after a look; condition `Residency` says whether the cluster serves this Region alone.
pub fn status(observed: &Observed, finding: &Finding, now: Timestamp) -> RegionStatus {
    let region = &observed.region;
    let previous = region.status.clone().unwrap_or_default();
    let conditions = finding.mark(Conditions::from(&previous.conditions, region.metadata.generation, now));
    let conditions = match (region.spec.isolation, finding.standing) {
        (Isolation::Placement, _) => conditions.with_false(
            RESIDENCY,
            reasons::NOT_PROVIDED,
            "isolation Placement proves where pods run, not where data stays: keeper and cluster are shared",
        ),
        (Isolation::Cell, Standing::Stalled) => {
            conditions.with_false(RESIDENCY, reasons::CELL_NOT_ALONE, "another Region is in this cluster")
        }
        (Isolation::Cell, _) => conditions.with_true(RESIDENCY, reasons::CELL, "this cluster serves this region only"),
    };
    RegionStatus {
        observed_generation: region.metadata.generation,
        conditions: conditions.build(),
        nodes: Some(i32::try_from(observed.nodes).unwrap_or(i32::MAX)),
        audit: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::Region;
    use api::conditions::{find, is_true};

    use super::*;
    use crate::region::decide;

    fn region(yaml_isolation: &str, storage: Option<&str>) -> Region {
        let conditions = storage.map_or("[]".to_owned(), |status| {
            format!(r#"[{{"type": "StorageReady", "status": "{status}", "reason": "Checked", "message": "volume files", "lastTransitionTime": "2026-11-24T06:00:00Z"}}]"#)
        });
        serde_saphyr::from_str(&format!(
            r#"
apiVersion: dataimporter.io/v1alpha1
kind: Region
metadata: {{name: eu-frankfurt, generation: 3}}
spec:
  location: {{city: Frankfurt, country: DE}}
  isolation: {yaml_isolation}
  storage: {{volume: {{name: files}}}}
  rootKey: {{secret: {{}}}}
  nodes: {{labelled: {{}}}}
status: {{conditions: {conditions}}}
"#
        ))
        .unwrap()
    }

    fn observed(isolation: &str, storage: Option<&str>, nodes: usize, others: &[&str]) -> Observed {
        Observed { region: Arc::new(region(isolation, storage)), nodes, others: others.iter().map(|o| (*o).to_owned()).collect() }
    }

    #[test]
    fn a_region_is_ready_once_the_keeper_can_store_and_a_node_is_there() {
        let table = [
            ("Placement", None, 1, &["us-dallas"][..], "CheckingStorage"),
            ("Placement", Some("False"), 1, &["us-dallas"], "StorageNotReady"),
            ("Placement", Some("True"), 0, &["us-dallas"], "NoNodes"),
            ("Placement", Some("True"), 2, &["us-dallas"], "Served"),
            ("Cell", Some("True"), 2, &["us-dallas"], "CellNotAlone"),
            ("Cell", Some("True"), 2, &[], "Served"),
        ];
        for (isolation, storage, nodes, others, reason) in table {
            assert_eq!(decide(&observed(isolation, storage, nodes, others)).reason, reason, "{isolation} {storage:?} {nodes} {others:?}");
        }
    }

    #[test]
    fn placement_never_claims_residency_and_the_keepers_conditions_are_left_to_the_keeper() {
        let observed = observed("Placement", Some("True"), 1, &[]);
        let status = status(&observed, &decide(&observed), Timestamp::UNIX_EPOCH);
        assert!(is_true(&status.conditions, READY));
        assert_eq!(find(&status.conditions, RESIDENCY).unwrap().reason, "NotProvided");
        assert!(find(&status.conditions, "StorageReady").is_none());
        assert_eq!(status.observed_generation, Some(3));
    }
}
