//! Everything that bears on one Tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Region, Tenant, Uid};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::limits::Allowance;

/// What the rules of a Tenant look at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Tenant as it was seen last.
    pub tenant: Arc<Tenant>,
    /// That of the Tenant.
    pub uid: Uid,
    /// The Region that the Tenant names, if it is there.
    pub region: Option<Arc<Region>>,
    /// Namespace of operator and keeper.
    pub system_namespace: String,
    /// Namespaces that are there now, among those listed or held.
    pub namespaces: BTreeMap<String, Living>,
    /// Every other Tenant.
    pub others: Vec<Arc<Tenant>>,
    /// The namespace that bears the run namespace's name, if there is one.
    pub run_namespace: Option<RunNamespace>,
    /// Runs in held namespaces that have not ended.
    pub unfinished_runs: Vec<UnfinishedRun>,
    /// What others made in the run namespace, by kind and name, as it was last looked at.
    pub foreign: Vec<String>,
    /// Services that the Region lists as private endpoints for this tenant, by namespace and name.
    pub services: BTreeMap<(String, String), ServiceFacts>,
    /// What this tenant may take.
    pub allowance: Allowance,
}

/// A namespace that is there now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Living {
    /// UID of the Namespace.
    pub uid: Uid,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The namespace with the name of a Tenant's run namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunNamespace {
    /// UID of the Namespace.
    pub uid: Uid,
    /// The Tenant that its label names.
    pub tenant_uid: Option<Uid>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// An ImportRun that has not ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnfinishedRun {
    /// The namespace that it stands in.
    pub namespace: String,
    /// Name of the ImportRun.
    pub name: String,
    /// Whether it was asked to stop already.
    pub cancelled: bool,
}

/// What decides which pods stand behind a Service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceFacts {
    /// Labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Port of the Service → port of the pod, a number or a name.
    pub target_ports: BTreeMap<i32, IntOrString>,
}
