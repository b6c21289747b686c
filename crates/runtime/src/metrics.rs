//! Counters of a process, in the OpenMetrics text format. Label values come from closed lists.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WriteLabel {
    kind: String,
    verb: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ListenerLabel {
    listener: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct EndLabel {
    listener: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RegionLabel {
    region: String,
}

/// The metrics of one process, each with the prefix `dataimporter_`. Clones count into the same ones.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<KindLabel, Counter>,
    errors: Family<KindLabel, Counter>,
    seconds: Family<KindLabel, Histogram>,
    writes: Family<WriteLabel, Counter>,
    watch_errors: Family<KindLabel, Counter>,
    invalid_objects: Family<KindLabel, Counter>,
    foreign_objects: Family<KindLabel, Counter>,
    queue_depth: Gauge,
    leader: Gauge,
    connections: Family<ListenerLabel, Gauge>,
    refused_connections: Family<EndLabel, Counter>,
    refused_calls: Family<EndLabel, Counter>,
    clock_skew: Gauge,
    overdue_files: Family<RegionLabel, Gauge>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrote {
    /// The API server did what was asked.
    Done,
    /// Somebody else was quicker: looked at again, and nothing to worry about.
    Conflict,
    /// The API server refused, or no answer came in time.
    Failed,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dataimporter");
        let reconciles = Family::<KindLabel, Counter>::default();
        let errors = Family::<KindLabel, Counter>::default();
        // 1 ms … 16 s: a reconcile is a few API calls.
        let seconds = Family::<KindLabel, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)));
        let writes = Family::<WriteLabel, Counter>::default();
        let watch_errors = Family::<KindLabel, Counter>::default();
        let invalid_objects = Family::<KindLabel, Counter>::default();
        let foreign_objects = Family::<KindLabel, Counter>::default();
        let (queue_depth, leader) = (Gauge::default(), Gauge::default());
        registry.register("reconciles", "Reconciles begun", reconciles.clone());
        registry.register("reconcile_errors", "Reconciles that failed and are tried again", errors.clone());
        registry.register("reconcile_seconds", "Time a reconcile took", seconds.clone());
        registry.register("api_writes", "Writes to the Kubernetes API", writes.clone());
        registry.register("watch_errors", "Watches that failed and are begun again", watch_errors.clone());
        registry.register("invalid_objects", "Objects seen that do not fit their type", invalid_objects.clone());
        registry.register("foreign_objects", "Objects seen under names or labels of ours that we did not make", foreign_objects.clone());
        registry.register("queue_depth", "Keys due for a reconcile and not begun", queue_depth.clone());
        registry.register("leader", "1 while this process holds the lease", leader.clone());
        let connections = Family::<ListenerLabel, Gauge>::default();
        let (refused_connections, refused_calls) = (Family::<EndLabel, Counter>::default(), Family::<EndLabel, Counter>::default());
        let (clock_skew, overdue_files) = (Gauge::default(), Family::<RegionLabel, Gauge>::default());
        registry.register("connections", "Connections that a listener held when the last one came", connections.clone());
        registry.register("refused_connections", "Connections that were refused, or ended before their time", refused_connections.clone());
        registry.register("refused_calls", "Calls that were refused before anything was read for them", refused_calls.clone());
        registry.register("clock_skew_seconds", "How far this machine's clock is ahead of the API server's", clock_skew.clone());
        registry.register("overdue_files", "Files of a region that had their time and are still there", overdue_files.clone());
        Self {
            registry: Arc::new(registry),
            reconciles,
            errors,
            seconds,
            writes,
            watch_errors,
            invalid_objects,
            foreign_objects,
            queue_depth,
            leader,
            connections,
            refused_connections,
            refused_calls,
            clock_skew,
            overdue_files,
        }
    }

    /// A reconcile of `kind` (such as `ImportRun`) ended after `took`; one that failed is counted as an error, too, and is tried again.
    pub fn reconciled(&self, kind: &'static str, took: Duration, failed: bool) {
        self.reconciles.get_or_create(&KindLabel { kind }).inc();
        self.seconds.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
        if failed {
            self.errors.get_or_create(&KindLabel { kind }).inc();
        }
    }

    /// A write of `kind` with `verb` (`apply`, `status`, `patch`, `create` or `delete`) ended.
    pub(crate) fn wrote(&self, kind: &str, verb: &'static str, result: Wrote) {
        let result = match result {
            Wrote::Done => "ok",
            Wrote::Conflict => "conflict",
            Wrote::Failed => "error",
        };
        self.writes.get_or_create(&WriteLabel { kind: kind.to_owned(), verb, result }).inc();
    }

    /// A watch of `kind` failed and is begun again.
    pub(crate) fn watch_error(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// An object of `kind` does not fit its type and is treated as absent.
    pub(crate) fn invalid_object(&self, kind: &'static str) {
        self.invalid_objects.get_or_create(&KindLabel { kind }).inc();
    }

    /// An object of `kind` stands under a name or label of ours and was made by somebody else.
    pub fn foreign_object(&self, kind: &'static str) {
        self.foreign_objects.get_or_create(&KindLabel { kind }).inc();
    }

    /// How many keys are due for a reconcile that has not begun.
    pub(crate) fn set_queue_depth(&self, depth: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Whether this process holds the lease of its controllers.
    pub fn set_leader(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// How many connections `listener` holds.
    pub(crate) fn connections(&self, listener: &'static str, held: usize) {
        self.connections.get_or_create(&ListenerLabel { listener }).set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// A connection that we refused or ended.
    pub(crate) fn connection_ended(&self, listener: &'static str, reason: &'static str) {
        self.refused_connections.get_or_create(&EndLabel { listener, reason }).inc();
    }

    /// A call to `listener` was refused before anything was read for it; `reason` is a word of a closed list, such as `tenantBusy`.
    pub fn call_refused(&self, listener: &'static str, reason: &'static str) {
        self.refused_calls.get_or_create(&EndLabel { listener, reason }).inc();
    }

    /// By how many seconds this machine's clock is ahead of the API server's; negative if it is behind.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.clock_skew.set(seconds);
    }

    /// How many files of this Region had their time and are still there.
    pub fn set_overdue_files(&self, region: &str, files: usize) {
        let label = RegionLabel { region: region.to_owned() };
        self.overdue_files.get_or_create(&label).set(i64::try_from(files).unwrap_or(i64::MAX));
    }

    /// All metrics as text in the format OpenMetrics 1.0.0, as `/metrics` answers.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
