//! ServiceAccounts without any rights: their tokens prove who asks, nothing more.

use api::Tenant;
use api::names::{FILES_READER_ACCOUNT, FILES_WRITER_ACCOUNT, REGION_LABEL, TENANT_LABEL, WORKER_ACCOUNT, run_namespace};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels;

/// Accounts that members ask short file tokens of; which member may ask for which is the cluster's RBAC.
pub fn files_accounts(tenant: &Tenant, namespace: &str) -> Vec<ServiceAccount> {
    [FILES_READER_ACCOUNT, FILES_WRITER_ACCOUNT].map(|name| account(tenant, namespace, name)).into()
}

/// The account of the worker pods.
pub fn worker_account(tenant: &Tenant) -> ServiceAccount {
    account(tenant, &run_namespace(labels::name(&tenant.metadata)), WORKER_ACCOUNT)
}

fn account(tenant: &Tenant, namespace: &str, name: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            labels: Some(labels::set(&[(TENANT_LABEL, labels::name(&tenant.metadata)), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}
