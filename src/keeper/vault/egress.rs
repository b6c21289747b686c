//! The proxy of the installation: as the chart says it, for workers, and as this process dials it.

use api::keeper::EgressProxy;
use connect::{Proxy, ProxyUnusable};

use crate::systems::reach;

/// Both are absent where there is no proxy.
pub(crate) struct Egress {
    pub(crate) said: Option<EgressProxy>,
    pub(crate) proxy: Option<Proxy>,
}

impl Egress {
    pub(crate) fn of(said: Option<EgressProxy>) -> Result<Self, ProxyUnusable> {
        let proxy = said.as_ref().map(reach::proxy).transpose()?;
        Ok(Self { said, proxy })
    }
}
