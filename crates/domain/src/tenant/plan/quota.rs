//! How much of the cluster one tenant's workers may take at once: what the plan has paid for.

use std::collections::BTreeMap;

use api::Tenant;
use api::names::{REGION_LABEL, TENANT_LABEL, run_namespace};
use api::tenant::Plan;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels;

/// Workers at the same time.
pub fn workers(plan: Plan) -> u32 {
    match plan {
        Plan::Free => 2,
        Plan::Standard => 8,
        Plan::Enterprise => 32,
    }
}

/// Every worker has the same size, so a number of pods is a limit on memory too. Anchors are ConfigMaps; finished ones go at once.
pub fn quota(tenant: &Tenant) -> ResourceQuota {
    let name = labels::name(&tenant.metadata);
    let hard: BTreeMap<String, Quantity> = [
        ("pods", workers(tenant.spec.plan).to_string()),
        ("services", "0".to_owned()),
        ("persistentvolumeclaims", "0".to_owned()),
        ("secrets", "8".to_owned()),
    ]
    .map(|(resource, amount)| (resource.to_owned(), Quantity(amount)))
    .into();
    ResourceQuota {
        metadata: ObjectMeta {
            name: Some("dataimporter".into()),
            namespace: Some(run_namespace(name)),
            labels: Some(labels::set(&[(TENANT_LABEL, name), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..Default::default() }),
        ..Default::default()
    }
}
