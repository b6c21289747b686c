//! Finished runs and Uploads that are long gone do not stay for ever.

use std::time::Duration;

use api::conditions::Conditions;
use api::import_run::{ImportRunStatus, ResultFile};
use api::names::OPERATOR_MANAGER;
use api::{ImportJob, ImportRun, Upload};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::support::{SOON, SQL, World, job_yaml};

/// A run that ended some minutes ago.
async fn ended(runs: &Api<ImportRun>, name: &str, job: (&str, &str), minutes: u64, succeeded: bool, results: Vec<ResultFile>) {
    let run: ImportRun = serde_json::from_value(json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name},
        "spec": {"jobRef": {"name": job.0, "uid": job.1}, "action": {"run": {}}, "startBefore": Timestamp::now()},
    }))
    .unwrap();
    runs.create(&PostParams::default(), &run).await.unwrap();
    let at = Timestamp::now() - Duration::from_secs(60 * minutes);
    let from = Conditions::from(&[], Some(1), at);
    let conditions = if succeeded {
        from.with_true("Succeeded", "Completed", "").ready("Completed", "")
    } else {
        from.with_false("Succeeded", "TargetFailed", "").stalled("TargetFailed", "")
    };
    let status = ImportRunStatus {
        observed_generation: Some(1),
        conditions: conditions.build(),
        finished_at: Some(Time(at)),
        results,
        ..Default::default()
    };
    let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name}, "status": status});
    runs.patch_status(name, &PatchParams::apply(OPERATOR_MANAGER).force(), &Patch::Apply(&object)).await.unwrap();
}

fn file(hours: i64) -> Vec<ResultFile> {
    let expires_at = Some(Time(Timestamp::now() + jiff::SignedDuration::from_hours(hours)));
    vec![ResultFile { name: "failed.csv".into(), file: "f".into(), rows: 1, bytes: 1, expires_at, erased_at: None }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_as_many_finished_runs_as_it_says_and_those_whose_files_are_alive() {
    let mut world = World::without_operator().await;
    world.start_operator();
    world.tenant("kept").await;
    let limited = job_yaml("kept", "nightly", SQL, "{manual: {}}") + "  history: {successful: 2, failed: 1}\n";
    world.apply(&limited).await;
    let job = world.wait_ready::<ImportJob>(world.namespaced("kept"), "nightly", "Armed").await;
    let history = job.status.as_ref().and_then(|s| s.effective.as_ref()).and_then(|e| e.history.clone()).unwrap();
    assert_eq!((history.successful, history.failed), (Some(2), Some(1)));
    world.kill_operator().await;

    let runs = world.namespaced::<ImportRun>("kept");
    let uid = job.uid().unwrap();
    let of = ("nightly", uid.as_str());
    for n in 0..4 {
        ended(&runs, &format!("good-{n}"), of, n, true, Vec::new()).await;
        ended(&runs, &format!("bad-{n}"), of, n, false, Vec::new()).await;
    }
    ended(&runs, "with-files", of, 60, true, file(1)).await;
    ended(&runs, "files-gone", of, 60, true, file(-1)).await;
    ended(&runs, "of-a-job-that-is-gone", ("gone", "gone"), 600, true, Vec::new()).await;
    let mut unfinished: ImportRun = runs.get("good-0").await.unwrap();
    unfinished.metadata = kube::api::ObjectMeta { name: Some("waits".into()), ..Default::default() };
    unfinished.spec.start_before = Time(Timestamp::now() + jiff::SignedDuration::from_hours(1));
    runs.create(&PostParams::default(), &unfinished).await.unwrap();
    let uploads = world.namespaced::<Upload>("kept");
    let long_ago = Timestamp::now() - jiff::SignedDuration::from_hours(26);
    world
        .apply("{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {name: old, namespace: kept}, spec: {fileName: a.csv}}")
        .await;
    let erased = json!({"status": {"completedAt": long_ago, "expiresAt": long_ago, "erasedAt": long_ago}});
    uploads.patch_status("old", &PatchParams::default(), &Patch::Merge(&erased)).await.unwrap();

    world.start_operator();
    let expected = ["bad-0", "good-0", "good-1", "of-a-job-that-is-gone", "waits", "with-files"];
    let mut last = Vec::new();
    let settled = wait_for("the surplus to go", SOON, async || {
        last = runs.list(&Default::default()).await?.items.iter().map(ResourceExt::name_any).collect();
        Ok((last == expected).then_some(()))
    })
    .await;
    assert!(settled.is_ok(), "finished runs are kept for ever: {last:?}");
    wait_for("the old Upload to go", SOON, async || Ok(uploads.get_opt("old").await?.is_none().then_some(()))).await.unwrap();
    assert!(uploads.get_opt("accounts").await.unwrap().is_some(), "one whose file is alive stays");
    world.assert_conformant().await;
}
