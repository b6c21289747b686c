//! Files of tenants, from the first byte to the proof that none is left: what is known of each, how much there may be, who still reads,
//! and their end. Their keys are sealed by the vault and their ciphertext lies in the storage.

pub(crate) mod records;
pub(crate) mod room;
pub(crate) mod sweeper;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::limits::Plans;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tokio::sync::Notify;

use crate::keeper::audit::{Audit, Event};
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::Result;
use crate::keeper::base::records::Records;
use crate::keeper::storage::Storages;
use crate::keeper::vault::{TenantKeys, Vault};
use records::{FileRecord, FileRecords};
use room::Room;

pub(crate) struct FileStore {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    pub(crate) storages: Storages,
    pub(crate) records: FileRecords,
    pub(crate) room: Room,
    /// A tenant's rule changed: files may have had their time.
    due: Arc<Notify>,
    /// Files of each region that had their time and could not be erased.
    overdue: Mutex<BTreeMap<String, usize>>,
}

impl FileStore {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        vault: Arc<Vault>,
        storages: Storages,
        records: Records,
        plans: Plans,
        due: Arc<Notify>,
    ) -> Self {
        let records = FileRecords::new(records);
        let room = Room::new(records.clone(), plans, &cluster.identity);
        Self { cluster, audit, vault, storages, records, room, due, overdue: Mutex::default() }
    }

    /// How many files of a region had their time and are still there.
    pub(crate) fn overdue(&self, region: &str) -> usize {
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner).get(region).copied().unwrap_or_default()
    }

    /// Seals the key of a file again because it ends earlier than was said before.
    pub(crate) async fn seal_shorter(&self, keys: &TenantKeys, known: (&FileRecord, &Secret), record: &FileRecord) -> Result<()> {
        let event = Event::new("FileShortened").with("notAfter", record.not_after.to_string());
        let opening = self.vault.opening_file(keys, &record.uid, event).await?;
        self.records.shorten(known, record, &keys.ring, keys.scope.clone(), &opening).await
    }
}

/// A stream that breaks off at the file's last moment.
pub(crate) fn until<S, T, E>(
    bytes: S,
    not_after: Timestamp,
    cluster: Arc<Cluster>,
) -> impl futures::Stream<Item = std::io::Result<T>> + Send + 'static
where
    S: futures::Stream<Item = Result<T, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
    T: Send + 'static,
{
    bytes.map(move |part| match cluster.at_latest() {
        Ok(now) if domain::retention::readable(now, not_after) => part.map_err(std::io::Error::other),
        Ok(_) => Err(std::io::Error::other("the file has expired")),
        Err(error) => Err(std::io::Error::other(error)),
    })
}
