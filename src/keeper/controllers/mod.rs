//! One controller for each kind that the keeper looks after, and a round over records that nobody looks after any more.

pub(crate) mod connections;
pub(crate) mod ownerless;
mod rebind;
pub(crate) mod regions;
mod rotation;
pub(crate) mod tenants;
pub(crate) mod uploads;

use std::sync::{Arc, Mutex};

use domain::connection::{Awaited, Budget};

use super::audit::Audit;
use super::base::cluster::Cluster;
use super::files::FileStore;
use super::vault::Vault;

/// What the controllers need.
pub(crate) struct Controllers {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    files: Arc<FileStore>,
    /// What is dialed for Connections, by tenant.
    budget: Mutex<Budget<(String, String)>>,
    /// Connections that wait for a change of their Secret.
    awaited: Mutex<Awaited>,
    /// Has a Connection looked at now, by namespace and name.
    wake_connection: Box<dyn Fn(String, String) + Send + Sync>,
    /// A word for this process.
    process: String,
}

impl Controllers {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        vault: Arc<Vault>,
        files: Arc<FileStore>,
        wake_connection: Box<dyn Fn(String, String) + Send + Sync>,
    ) -> Self {
        let process = format!("{:016x}", rand::random::<u64>());
        Self { cluster, audit, vault, files, budget: Mutex::default(), awaited: Mutex::default(), wake_connection, process }
    }
}
