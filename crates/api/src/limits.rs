//! How much one tenant may take at once. Every number may be absent: then the next one down the line says it, the plan's in the chart's
//! values and at last our own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much one tenant may take at once. Each number that is absent goes by plan.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Runs under way at the same time; further ones wait for their turn. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub concurrent_runs: Option<i32>,
    /// Uploaded files that are alive. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads: Option<UploadLimits>,
    /// Result files that are alive. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<ResultLimits>,
    /// Objects of our kinds. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectLimits>,
}

/// How much uploaded files may take.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UploadLimits {
    /// Files at the same time, those on their way among them. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub files: Option<i32>,
    /// Bytes of one file. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub bytes_each: Option<i64>,
    /// Bytes of all files together. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_125_899_906_842_624_i64))]
    pub bytes_together: Option<i64>,
}

/// How much result files may take.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultLimits {
    /// Bytes of the result files of one run, encrypted. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub bytes_per_run: Option<i64>,
    /// Bytes of all result files together, encrypted. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_125_899_906_842_624_i64))]
    pub bytes_together: Option<i64>,
}

/// Counted in each of the tenant's namespaces, runs in all of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectLimits {
    /// ImportJobs in a namespace. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub import_jobs: Option<i32>,
    /// Connections in a namespace. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub connections: Option<i32>,
    /// Uploads in a namespace, those whose file is gone among them. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub uploads: Option<i32>,
    /// ImportRuns of the tenant that have not ended. Absent: by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub unfinished_runs: Option<i32>,
}
