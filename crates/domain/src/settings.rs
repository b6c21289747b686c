//! What the installation fixes for every worker: flags of the operator and facts the keeper published.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::Plans;

/// All that decisions need to know of the installation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Namespace of operator and keeper.
    pub system_namespace: String,
    /// UID of the installation; part of every audience.
    pub installation: String,
    /// How worker pods are made.
    pub worker: WorkerSettings,
    /// How workers reach the keeper.
    pub keeper: KeeperSettings,
    /// Which addresses are the cluster's own.
    pub network: NetworkSettings,
    /// Limits of tenants by plan.
    pub plans: Plans,
    /// How long after its start the operator makes no quota of our kinds. A cluster looks for new kinds twice a minute, and a quota from
    /// before it found ours admits none of their objects for minutes.
    pub kinds_known_after: Duration,
}

/// What every worker pod gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerSettings {
    /// Image of the worker container.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: String,
    /// Secrets with logins of image registries, beside those of a Region.
    pub image_pull_secrets: Vec<String>,
    /// Request and limit: a worker that could take more than it asked for would be the node's first victim.
    pub memory: String,
    /// Request only, as a Kubernetes quantity such as `100m`: a worker may use idle processors.
    pub cpu: String,
    /// What workers say, in the words of `RUST_LOG`.
    pub log_level: String,
}

/// Where the keeper is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeeperSettings {
    /// Its address as workers reach it; always `https`.
    pub url: String,
    /// Port of that address.
    pub port: u16,
    /// Labels of its pods, in the system namespace.
    pub selector: BTreeMap<String, String>,
}

/// What network policies have to know of the cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NetworkSettings {
    /// Ranges of the cluster itself, which are not public although they may look so.
    pub cluster_cidrs: Vec<String>,
    /// Namespace of the cluster's DNS server, such as `kube-system`.
    pub dns_namespace: String,
    /// Labels of the pods of the cluster's DNS server.
    pub dns_selector: BTreeMap<String, String>,
    /// DNS servers that are not pods.
    pub dns_cidrs: Vec<String>,
    /// The proxy that workers reach public addresses through, and those only through it. `None`: they dial them.
    pub proxy: Option<ProxySettings>,
}

/// Where a proxy is, for policies, which know no names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxySettings {
    /// Its addresses, where it is no pod of the cluster.
    pub cidrs: Vec<String>,
    /// Namespace of its pods, where it has any.
    pub namespace: String,
    /// Labels of its pods; empty: it has none.
    pub selector: BTreeMap<String, String>,
    /// Ports that it listens on, behind its Service if there is one.
    pub ports: Vec<u16>,
}
