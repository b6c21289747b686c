//! Turns of tenants to dial the systems of their Connections.

use std::sync::{MutexGuard, PoisonError};

use api::{Connection, NamespaceName};
use domain::connection::Awaited;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::keeper::base::error::Result;
use crate::keeper::controllers::Controllers;

/// A tenant's turn to dial; it ends when dropped.
pub(super) struct Turn<'a> {
    controllers: &'a Controllers,
    tenant_uid: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = self.controllers.budget.lock().unwrap_or_else(PoisonError::into_inner).end(&self.tenant_uid);
        next.into_iter().for_each(|(namespace, name)| (self.controllers.wake_connection)(namespace, name));
    }
}

impl Controllers {
    /// A tenant's turn to dial the system of this Connection, if it has one now; if not, it is looked at when one ends.
    pub(super) fn turn(&self, tenant_uid: &str, connection: &Connection, now: Timestamp) -> Result<Option<Turn<'_>>> {
        let who = (NamespaceName::of(connection)?.into(), connection.name_any());
        let begun = self.budget.lock().unwrap_or_else(PoisonError::into_inner).begin(tenant_uid, who, now);
        Ok(begun.then(|| Turn { controllers: self, tenant_uid: tenant_uid.to_owned() }))
    }

    pub(super) fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
