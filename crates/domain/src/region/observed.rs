//! Everything that bears on one Region.

use std::sync::Arc;

use api::Region;

/// What the rules of a Region look at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Region as it was seen last.
    pub region: Arc<Region>,
    /// Nodes that may run its workers.
    pub nodes: usize,
    /// Names of the other Regions in this cluster.
    pub others: Vec<String>,
}
