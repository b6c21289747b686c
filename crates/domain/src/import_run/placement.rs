//! Proof that a run may run, and where. The fields are private and `Placed` is made here only, from facts that were checked:
//! the code that builds a worker pod must show one.

use std::sync::Arc;

use api::{ImportRun, NamespaceName, Region, Tenant, Uid, import_run, names};

use super::{Observed, RunNamespaceFacts};
use crate::import_job::region_trouble;
use crate::labels;

/// The proof that a run may run in a certain namespace and Region. Only [`Placed::prove`] makes one.
#[derive(Clone, Debug)]
pub struct Placed {
    run: Arc<ImportRun>,
    run_uid: Uid,
    home: NamespaceName,
    tenant: Arc<Tenant>,
    region: Arc<Region>,
    run_namespace: RunNamespaceFacts,
}

impl Placed {
    /// None unless the tenant holds the run's namespace, its region is the one it was bound to and is ready, and the run namespace is
    /// the one whose UID the tenant's status records.
    pub fn prove(o: &Observed) -> Option<Self> {
        let (tenant, region) = (o.tenant.as_ref()?, o.region.as_ref()?);
        if region_trouble(o.tenant.as_ref(), o.region.as_ref(), &o.namespace).is_some() {
            return None;
        }
        let living = o.run_namespace.as_ref().filter(|ns| !ns.terminating)?;
        let recorded = tenant.status.as_ref()?.run_namespace.as_ref()?;
        (recorded.name == living.name && recorded.uid == living.uid.as_str()).then(|| Self {
            run: o.run.clone(),
            run_uid: o.uid.clone(),
            home: o.namespace.clone(),
            tenant: tenant.clone(),
            region: region.clone(),
            run_namespace: living.clone(),
        })
    }

    /// The run.
    pub fn run(&self) -> &ImportRun {
        &self.run
    }

    /// The Tenant that holds the run's namespace.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The Region of that Tenant, which is ready.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Where the run itself stands, with its job.
    pub fn home(&self) -> &NamespaceName {
        &self.home
    }

    /// Where its pods stand.
    pub fn namespace(&self) -> &str {
        &self.run_namespace.name
    }

    /// UID of the run.
    pub fn run_uid(&self) -> &Uid {
        &self.run_uid
    }

    /// The audience of tokens with which this run's workers show themselves to the keeper; `installation` is the UID of the installation.
    pub fn audience(&self, installation: &str) -> String {
        names::keeper_audience(labels::name(&self.region.metadata), installation)
    }

    /// For status: where the run runs, before a node is known.
    pub fn placement(&self) -> import_run::Placement {
        let keys = self.tenant.status.as_ref().map_or(&[][..], |s| &s.keys);
        import_run::Placement {
            region: labels::name(&self.region.metadata).to_owned(),
            node: None,
            run_namespace: Some(self.run_namespace.name.clone()),
            key_id: keys.iter().find(|key| key.state == "active").map(|key| key.id.clone()),
        }
    }
}
