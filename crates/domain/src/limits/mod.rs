//! How much a tenant may take: what its spec says, else what the chart says of its plan, else our own numbers.

use std::str::FromStr;

use api::limits::{Limits, ObjectLimits, ResultLimits, UploadLimits};
use api::tenant::{Plan, TenantSpec};
use serde::Deserialize;

/// Limits by plan, as the installation sets them. What it leaves out is ours.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Plans {
    free: Limits,
    standard: Limits,
    enterprise: Limits,
}

/// Every limit of one tenant, with its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// Runs under way at the same time; further ones wait for their turn.
    pub concurrent_runs: usize,
    /// Uploaded files that are alive, those on their way among them.
    pub uploads: usize,
    /// Bytes of one uploaded file.
    pub upload_bytes: u64,
    /// Bytes of all uploaded files together.
    pub uploads_bytes: u64,
    /// Bytes of the result files of one run, encrypted.
    pub run_result_bytes: u64,
    /// Bytes of all result files together, encrypted.
    pub results_bytes: u64,
    /// ImportJobs in each namespace of the tenant.
    pub import_jobs: usize,
    /// Connections in each namespace of the tenant.
    pub connections: usize,
    /// Uploads in each namespace of the tenant, those whose file is gone among them.
    pub upload_objects: usize,
    /// ImportRuns that have not ended, in all namespaces of the tenant together.
    pub unfinished_runs: usize,
}

const GIB: u64 = 1 << 30;

fn built_in(plan: Plan) -> Allowance {
    match plan {
        Plan::Free => Allowance {
            concurrent_runs: 2,
            uploads: 10,
            upload_bytes: GIB,
            uploads_bytes: 2 * GIB,
            run_result_bytes: 2 * GIB,
            results_bytes: 10 * GIB,
            import_jobs: 20,
            connections: 10,
            upload_objects: 100,
            unfinished_runs: 50,
        },
        Plan::Standard => Allowance {
            concurrent_runs: 8,
            uploads: 50,
            upload_bytes: 4 * GIB,
            uploads_bytes: 20 * GIB,
            run_result_bytes: 8 * GIB,
            results_bytes: 100 * GIB,
            import_jobs: 200,
            connections: 50,
            upload_objects: 500,
            unfinished_runs: 250,
        },
        Plan::Enterprise => Allowance {
            concurrent_runs: 32,
            uploads: 200,
            upload_bytes: 16 * GIB,
            uploads_bytes: 200 * GIB,
            run_result_bytes: 64 * GIB,
            results_bytes: 1024 * GIB,
            import_jobs: 1000,
            connections: 200,
            upload_objects: 2000,
            unfinished_runs: 1000,
        },
    }
}

impl FromStr for Plans {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl Plans {
    /// What a tenant may take: each number from its own `spec.limits`, else from its plan here, else the plan's built-in one.
    pub fn allowance(&self, tenant: &TenantSpec) -> Allowance {
        let of_plan = match tenant.plan {
            Plan::Free => &self.free,
            Plan::Standard => &self.standard,
            Plan::Enterprise => &self.enterprise,
        };
        let ours = overridden(built_in(tenant.plan), of_plan);
        tenant.limits.iter().fold(ours, overridden)
    }
}

fn overridden(base: Allowance, by: &Limits) -> Allowance {
    let Limits { concurrent_runs, uploads, results, objects } = by.clone();
    let UploadLimits { files, bytes_each, bytes_together } = uploads.unwrap_or_default();
    let ResultLimits { bytes_per_run, bytes_together: results_together } = results.unwrap_or_default();
    let ObjectLimits { import_jobs, connections, uploads: upload_objects, unfinished_runs } = objects.unwrap_or_default();
    let count = |wish: Option<i32>, base: usize| wish.and_then(|n| usize::try_from(n).ok()).unwrap_or(base);
    let bytes = |wish: Option<i64>, base: u64| wish.and_then(|n| u64::try_from(n).ok()).unwrap_or(base);
    Allowance {
        concurrent_runs: count(concurrent_runs, base.concurrent_runs),
        uploads: count(files, base.uploads),
        upload_bytes: bytes(bytes_each, base.upload_bytes),
        uploads_bytes: bytes(bytes_together, base.uploads_bytes),
        run_result_bytes: bytes(bytes_per_run, base.run_result_bytes),
        results_bytes: bytes(results_together, base.results_bytes),
        import_jobs: count(import_jobs, base.import_jobs),
        connections: count(connections, base.connections),
        upload_objects: count(upload_objects, base.upload_objects),
        unfinished_runs: count(unfinished_runs, base.unfinished_runs),
    }
}

impl Allowance {
    /// As a status tells it.
    pub fn to_status(&self) -> Limits {
        let count = |n: usize| i32::try_from(n).ok();
        let bytes = |n: u64| i64::try_from(n).ok();
        Limits {
            concurrent_runs: count(self.concurrent_runs),
            uploads: Some(UploadLimits {
                files: count(self.uploads),
                bytes_each: bytes(self.upload_bytes),
                bytes_together: bytes(self.uploads_bytes),
            }),
            results: Some(ResultLimits { bytes_per_run: bytes(self.run_result_bytes), bytes_together: bytes(self.results_bytes) }),
            objects: Some(ObjectLimits {
                import_jobs: count(self.import_jobs),
                connections: count(self.connections),
                uploads: count(self.upload_objects),
                unfinished_runs: count(self.unfinished_runs),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{tenant, yaml};

    #[test]
    fn a_number_is_the_tenants_else_the_plans_else_ours() {
        let plans: Plans = yaml("{Standard: {concurrentRuns: 5, uploads: {files: 3}}, Free: {concurrentRuns: 1}}");
        let mut spec = tenant().spec;
        let of_plan = plans.allowance(&spec);
        assert_eq!((of_plan.concurrent_runs, of_plan.uploads, of_plan.upload_bytes), (5, 3, 4 * GIB));
        spec.limits = Some(yaml("{uploads: {files: 0}, objects: {importJobs: 7}}"));
        let own = plans.allowance(&spec);
        assert_eq!((own.concurrent_runs, own.uploads, own.import_jobs, own.connections), (5, 0, 7, 50));
        assert_eq!(overridden(built_in(Plan::Free), &own.to_status()), own, "what is told is all there is");
    }
}
