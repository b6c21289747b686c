//! Wrong situations of a Region, worst first.

use api::conditions::{self, CLOCK_SKEW, STORAGE_READY};
use api::names::NODE_REGION_LABEL;
use api::reasons::region as reasons;
use api::region::Isolation;

use super::Observed;
use crate::finding::Finding;
use crate::labels;

type Rule = fn(&Observed) -> Option<Finding>;

const RULES: &[Rule] = &[
    cell_not_alone,      // two places in one cell are not two places
    storage_not_checked, // the keeper has not spoken yet
    storage_not_ready,   // the keeper cannot store files
    clock_skewed,        // the keeper serves nothing
    no_nodes,            // nothing to run workers on
];

/// How the Region stands: by the first rule that finds something wrong, else ready.
pub fn decide(observed: &Observed) -> Finding {
    RULES.iter().find_map(|rule| rule(observed)).unwrap_or_else(|| {
        let word = if observed.nodes == 1 { "node" } else { "nodes" };
        Finding::ready(reasons::SERVED, format!("served here, on {} {word}", observed.nodes))
    })
}

fn cell_not_alone(o: &Observed) -> Option<Finding> {
    let first = o.others.first()?;
    (o.region.spec.isolation == Isolation::Cell).then(|| {
        Finding::stalled(
            reasons::CELL_NOT_ALONE,
            format!("isolation Cell promises that this cluster serves one region only, but Region {first} is here too: delete one, or use Placement for a trial"),
        )
    })
}

fn storage_not_checked(o: &Observed) -> Option<Finding> {
    let known = o.region.status.as_ref().and_then(|s| conditions::find(&s.conditions, STORAGE_READY));
    known.is_none().then(|| Finding::progressing(reasons::CHECKING_STORAGE, "waiting for the keeper to check storage and keys"))
}

fn storage_not_ready(o: &Observed) -> Option<Finding> {
    let status = o.region.status.as_ref()?;
    let storage = conditions::find(&status.conditions, STORAGE_READY).filter(|c| c.status != "True")?;
    Some(Finding::waiting(reasons::STORAGE_NOT_READY, format!("{}: {}", storage.reason, storage.message)))
}

fn clock_skewed(o: &Observed) -> Option<Finding> {
    let status = o.region.status.as_ref()?;
    let skew = conditions::find(&status.conditions, CLOCK_SKEW).filter(|c| c.status == "True")?;
    Some(Finding::waiting(reasons::CLOCK_SKEW, skew.message.clone()))
}

fn no_nodes(o: &Observed) -> Option<Finding> {
    let name = labels::name(&o.region.metadata);
    (o.nodes == 0).then(|| Finding::waiting(reasons::NO_NODES, format!("no node carries {NODE_REGION_LABEL}={name}: label one")))
}
