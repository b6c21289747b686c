//! How large an object may be, and what becomes of one that was larger before there was a limit.

use api::conditions::{SUCCEEDED, find};
use api::{ImportJob, ImportRun};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::apply_yaml;

use crate::support::{World, connections_yaml};

/// A manual job over a database whose fields get formulas of this length, each character written twice in JSON.
fn job(namespace: &str, fields: usize, length: usize) -> Value {
    let entry = |n: usize| json!({"to": format!("Field_{n:03}__c"), "formula": "\"".repeat(length)});
    json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "large", "namespace": namespace},
        "spec": {
            "source": {"sql": {"connectionRef": {"name": "lake"}, "query": "select 1", "orderBy": ["id"]}},
            "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert",
                "mapping": (0..fields).map(entry).collect::<Vec<_>>()}},
            "trigger": {"once": {"id": "1"}},
        },
    })
}

/// As much text as goes through, in as many entries as there may be.
pub(crate) fn largest_job(namespace: &str) -> Value {
    job(namespace, 500, (100 << 10) / 500 - 12)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_more_than_256_kib_is_refused_and_a_real_one_is_not() {
    let world = World::without_operator().await;
    let apply = async |job: Value| apply_yaml(&world.client, &job.to_string()).await;
    // Two hundred fields with long formulas.
    let real = apply(job("default", 200, 480)).await.unwrap();
    assert!(real[0].data["spec"]["target"]["salesforce"]["mapping"].as_array().unwrap().len() == 200);
    let largest = apply(largest_job("default")).await.unwrap();
    let bytes = serde_json::to_string(&largest[0].data["spec"]).unwrap().len();
    println!("the largest job has {bytes} bytes");
    assert!((200_000..=256 << 10).contains(&bytes), "{bytes}");

    // 500 entries of 2,800 characters: 1.4 MB.
    for (fields, length) in [(500, 2_800), (500, (100 << 10) / 500 - 11)] {
        let refused = apply(job("default", fields, length)).await.expect_err("a job of that size is refused");
        let told = format!("{refused:#}");
        assert!(told.contains("at most 100 KiB of text"), "{told}");
    }
    for (format, columns, fits) in [("json", 400, true), ("json", 405, false), ("csv", 400, true), ("csv", 405, false)] {
        let mut named = job("default", 1, 10);
        let columns: Vec<String> = (0..columns).map(|number| format!("{number:255}")).collect();
        named["spec"]["source"] = json!({"upload": {"name": "x", "format": {format: {"columns": columns}}}});
        assert_eq!(apply(named).await.is_ok(), fits, "the columns count, too");
    }
    for (numbers, fits) in [(20, true), (30, false)] {
        let mut job = largest_job("default");
        for entry in job["spec"]["target"]["salesforce"]["mapping"].as_array_mut().unwrap().iter_mut().take(numbers) {
            *entry = json!({"to": entry["to"], "from": entry["formula"], "number": {"decimal": ",", "thousands": "."}});
        }
        assert_eq!(apply(job).await.is_ok(), fits, "what says how numbers are written counts, too");
    }
    let mut control = job("default", 1, 10);
    control["spec"]["target"]["salesforce"]["mapping"][0]["formula"] = json!("a\u{1}b");
    assert!(format!("{:#}", apply(control).await.unwrap_err()).contains("formula"), "control characters take six bytes each");
}

/// The definition as it was: without rules and limits.
async fn without_limits(world: &World) {
    let crds =
        Api::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>::all(world.client.clone());
    let open = json!([{"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]);
    crds.patch("importjobs.dataimporter.io", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"versions": open}}))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_before_whose_snapshot_does_not_fit_ends_its_run_and_says_so() {
    let mut world = World::without_operator().await;
    without_limits(&world).await;
    world.start_operator();
    world.tenant("heavy").await;
    world.apply(&connections_yaml("heavy")).await;
    testkit::wait_for("the definition without limits", crate::support::SOON, async || {
        Ok(apply_yaml(&world.client, &job("heavy", 500, 1_400).to_string()).await.ok())
    })
    .await
    .unwrap();
    let run = world.wait_ready::<ImportRun>(world.namespaced("heavy"), "large-once-1", "PreflightFailed").await;
    let told = find(&run.status.unwrap().conditions, SUCCEEDED).unwrap().message.clone();
    assert!(told.contains("more than the 1048576 of a snapshot") && told.contains("shorten formulas"), "{told}");
    world.wait_ready::<ImportJob>(world.namespaced("heavy"), "large", "Done").await;
    // No witness: its watch ends when the definition changes.
}
