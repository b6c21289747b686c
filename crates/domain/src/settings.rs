//! What the installation fixes for every worker: flags of the operator and facts the keeper published.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::Plans;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Namespace of operator and keeper.
    pub system_namespace: String,
    /// UID of the installation; part of every audience.
    pub installation: String,
    pub worker: WorkerSettings,
    pub keeper: KeeperSettings,
    pub network: NetworkSettings,
    /// Limits of tenants by plan.
    pub plans: Plans,
    /// How long after its start the operator makes no quota of our kinds. A cluster looks for new kinds twice a minute, and a quota from
    /// before it found ours admits none of their objects for minutes.
    pub kinds_known_after: Duration,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerSettings {
    pub image: String,
    pub image_pull_policy: String,
    /// Request and limit: a worker that could take more than it asked for would be the node's first victim.
    pub memory: String,
    pub cpu: String,
    /// What workers say, in the words of `RUST_LOG`.
    pub log_level: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeeperSettings {
    pub url: String,
    pub port: u16,
    pub selector: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NetworkSettings {
    /// Ranges of the cluster itself, which are not public although they may look so.
    pub cluster_cidrs: Vec<String>,
    pub dns_namespace: String,
    pub dns_selector: BTreeMap<String, String>,
    /// DNS servers that are not pods.
    pub dns_cidrs: Vec<String>,
}
