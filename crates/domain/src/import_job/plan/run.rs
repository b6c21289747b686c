//! The ImportRun that a trigger starts. Not owned by its job: history outlives it.

use api::import_run::{Action, ImportRunSpec, JobRef};
use api::names::{JOB_LABEL, label_value};
use api::{ImportJob, ImportRun, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::import_job::rules::Start;
use crate::labels;

/// The run as it is created: named, with the job's UID and with the time by which it has to start. `uid` is that of the job.
pub fn import_run(job: &ImportJob, uid: &Uid, start: &Start) -> ImportRun {
    let job_name = labels::name(&job.metadata);
    ImportRun {
        metadata: ObjectMeta {
            name: Some(start.name.clone()),
            namespace: job.metadata.namespace.clone(),
            labels: Some(labels::set(&[(JOB_LABEL, &label_value(job_name))])),
            ..Default::default()
        },
        spec: ImportRunSpec {
            job_ref: JobRef { name: job_name.to_owned(), uid: uid.to_string() },
            action: Some(Action::run()),
            start_before: Time(start.start_before),
            cancel: None,
        },
        status: None,
    }
}
