//! The key that the lines of a Region's audit are authenticated under: made at the first line, and never on the volume.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Region, Uid};
use envelope::AuditKey;
use jiff::Timestamp;

use super::region_rings::{RegionRings, Use, failed};
use crate::keeper::audit::LineKeys;
use crate::keeper::base::error::Result;

pub(crate) struct RegionKeys {
    rings: RegionRings,
    /// By UID of the Region: it is the same for as long as the Region lives.
    opened: Mutex<HashMap<Uid, Arc<AuditKey>>>,
}

impl RegionKeys {
    pub(crate) fn new(rings: RegionRings) -> Self {
        Self { rings, opened: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl LineKeys for RegionKeys {
    async fn of(&self, region: &Region, now: Timestamp) -> Result<Arc<AuditKey>> {
        let uid = Uid::of(region)?;
        if let Some(key) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&uid) {
            return Ok(key.clone());
        }
        let kept = self.rings.ensure(Use::Audit, region, now).await?;
        let key = Arc::new(self.rings.unlock(region, &kept.ring, now).await?.audit_key().map_err(failed(region))?);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, key.clone());
        Ok(key)
    }
}
