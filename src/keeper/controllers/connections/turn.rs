//! Turns of tenants to dial the systems of their Connections.

use std::sync::{MutexGuard, PoisonError};

use api::{Connection, NamespaceName, Tenant, Uid};
use domain::connection::Awaited;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::keeper::base::error::Result;
use crate::keeper::controllers::Controllers;

/// A tenant may dial the system of one Connection while this lives; the turn of the next begins when it is dropped.
pub(super) struct DialPermit<'a> {
    controllers: &'a Controllers,
    tenant_uid: Uid,
}

impl Drop for DialPermit<'_> {
    fn drop(&mut self) {
        let next = self.controllers.budget.lock().unwrap_or_else(PoisonError::into_inner).end(&self.tenant_uid);
        next.into_iter().for_each(|(namespace, name)| (self.controllers.wake_connection)(namespace, name));
    }
}

impl Controllers {
    /// A tenant's turn to dial the system of this Connection, if it has one now; if not, it is looked at when one ends.
    pub(super) fn turn(&self, tenant: &Tenant, connection: &Connection, now: Timestamp) -> Result<Option<DialPermit<'_>>> {
        let (tenant_uid, who) = (Uid::of(tenant)?, (NamespaceName::of(connection)?.into(), connection.name_any()));
        let begun = self.budget.lock().unwrap_or_else(PoisonError::into_inner).begin(&tenant_uid, who, now);
        Ok(begun.then(|| DialPermit { controllers: self, tenant_uid }))
    }

    pub(super) fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
