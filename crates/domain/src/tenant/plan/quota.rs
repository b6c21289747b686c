//! The API server's own limits to a tenant: objects of our kinds in its namespaces, pods in its run namespace.

use std::collections::BTreeMap;

use api::Tenant;
use api::names::{REGION_LABEL, TENANT_LABEL, run_namespace};
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::import_run::history;
use crate::labels;
use crate::limits::Allowance;

/// Name of both.
pub const NAME: &str = "dataimporter";

/// Every worker has the same size, so a number of pods is a limit on memory too. Runs wait for their turn before they ask for a pod;
/// this is what holds should that fail, wide enough that a pod which is slow to go is never in the way of the next one.
/// Anchors are ConfigMaps; finished ones go at once.
pub fn run_namespace_quota(tenant: &Tenant, allowance: &Allowance) -> ResourceQuota {
    let pods = allowance.concurrent_runs * 2;
    let hard = [("pods", pods), ("services", 0), ("persistentvolumeclaims", 0), ("secrets", 8)];
    quota(tenant, &run_namespace(labels::name(&tenant.metadata)), &hard)
}

/// Refused at creation, with the number and the limit. Of runs the finished ones count here too, and are never more than the history
/// keeps and what comes until it is looked at again.
pub fn objects_quota(tenant: &Tenant, namespace: &str, allowance: &Allowance) -> ResourceQuota {
    let hard = [
        ("count/importjobs.dataimporter.io", allowance.import_jobs),
        ("count/connections.dataimporter.io", allowance.connections),
        ("count/uploads.dataimporter.io", allowance.upload_objects),
        ("count/importruns.dataimporter.io", allowance.unfinished_runs + history::ROOM + history::ROOM / 4),
    ];
    quota(tenant, namespace, &hard)
}

fn quota(tenant: &Tenant, namespace: &str, hard: &[(&str, usize)]) -> ResourceQuota {
    let name = labels::name(&tenant.metadata);
    let hard: BTreeMap<String, Quantity> =
        hard.iter().map(|(resource, amount)| ((*resource).to_owned(), Quantity(amount.to_string()))).collect();
    ResourceQuota {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            labels: Some(labels::set(&[(TENANT_LABEL, name), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..Default::default() }),
        ..Default::default()
    }
}
