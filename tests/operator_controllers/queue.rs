//! Who may run, and when: limits of tenants, turns between them, and the API server's own counts as the last wall.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::conditions::{READY, SUCCEEDED, find};
use api::import_run::{Rows, RunReason};
use api::names::{RUN_NAME_LABEL, RUN_NAMESPACE_LABEL};
use api::{ImportJob, ImportRun, Region, Tenant};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testkit::wait_for;
use tokio::task::JoinHandle;

use crate::support::{SOON, SQL, World, job_yaml};

const ONCE: &str = "{once: {id: '1'}}";

/// The quota controller of a real cluster: counts, some moments later, what the API server then judges by.
fn quota_controller(client: Client) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let quotas = Api::<ResourceQuota>::all(client.clone()).list(&ListParams::default()).await.unwrap_or_default_list();
            for quota in quotas {
                let (namespace, name) = (quota.namespace().unwrap_or_default(), quota.name_any());
                let pods = Api::<Pod>::namespaced(client.clone(), &namespace).list(&ListParams::default()).await.unwrap_or_default_list();
                let jobs =
                    Api::<ImportJob>::namespaced(client.clone(), &namespace).list(&ListParams::default()).await.unwrap_or_default_list();
                let runs =
                    Api::<ImportRun>::namespaced(client.clone(), &namespace).list(&ListParams::default()).await.unwrap_or_default_list();
                let hard = quota.spec.and_then(|s| s.hard).unwrap_or_default();
                let used: BTreeMap<String, String> = hard
                    .keys()
                    .map(|resource| {
                        let count = match resource.as_str() {
                            "pods" => pods.iter().filter(|pod| is_active(pod)).count(),
                            "count/importjobs.dataimporter.io" => jobs.len(),
                            "count/importruns.dataimporter.io" => runs.len(),
                            _ => 0,
                        };
                        (resource.clone(), count.to_string())
                    })
                    .collect();
                let status = json!({"status": {"hard": hard, "used": used}});
                let api = Api::<ResourceQuota>::namespaced(client.clone(), &namespace);
                let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

trait Listed<K> {
    fn unwrap_or_default_list(self) -> Vec<K>;
}

impl<K: Clone> Listed<K> for kube::Result<kube::api::ObjectList<K>> {
    fn unwrap_or_default_list(self) -> Vec<K> {
        self.map(|list| list.items).unwrap_or_default()
    }
}

fn is_active(pod: &Pod) -> bool {
    !matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// The pods of a tenant's workers that take a place now.
async fn active(world: &World, tenant: &str) -> Vec<Pod> {
    let pods = world.namespaced::<Pod>(&format!("dataimporter-run-{tenant}"));
    pods.list(&ListParams::default()).await.unwrap().items.into_iter().filter(is_active).collect()
}

/// What a worker does at its end.
async fn end(world: &World, pod: &Pod) {
    let (namespace, run) = (pod.labels()[RUN_NAMESPACE_LABEL].clone(), pod.labels()[RUN_NAME_LABEL].clone());
    let runs = world.namespaced::<ImportRun>(&namespace);
    wait_for("the pod to be on record", SOON, async || {
        let status = runs.get(&run).await?.status;
        Ok(status.filter(|s| s.current_attempt().is_some_and(|a| a.pod_uid == pod.uid())))
    })
    .await
    .unwrap();
    world.keeper_reports(&namespace, &run, 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(pod, 0, "Completed").await;
}

/// Jobs that each start a run of their own.
async fn jobs(world: &World, tenant: &str, count: usize) {
    for n in 0..count {
        world.apply(&job_yaml(tenant, &format!("job-{n:02}"), SQL, ONCE)).await;
    }
}

/// Pods that the API server would not take.
fn refused_pods(world: &World) -> Vec<String> {
    let refused =
        |line: &&str| line.starts_with("dataimporter_api_writes_total") && line.contains("kind=\"Pod\"") && line.contains("error");
    world.metrics.render().lines().filter(refused).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_runs_of_a_tenant_with_eight_places_take_eight_and_none_is_refused() {
    let world = World::start().await;
    world.tenant("busy").await;
    let quotas = quota_controller(world.client.clone());
    jobs(&world, "busy", 60).await;
    let runs = world.namespaced::<ImportRun>("busy");
    let (mut most, mut seen) = (0, BTreeSet::new());
    let finished = wait_for("sixty runs to end", 9 * SOON, async || {
        let now = active(&world, "busy").await;
        most = most.max(now.len());
        seen.extend(now.iter().map(|pod| pod.name_any()));
        assert!(now.len() <= 8, "{} pods at once", now.len());
        for pod in now.iter().take(4) {
            end(&world, pod).await;
        }
        let list = runs.list(&ListParams::default()).await?.items;
        Ok((list.len() == 60 && list.iter().all(domain::import_run::is_finished)).then_some(list))
    });
    let list = finished.await.unwrap();
    quotas.abort();
    println!("{} pods, at most {most} at once; refused: {:?}", seen.len(), refused_pods(&world));
    assert_eq!((seen.len(), most), (60, 8), "every place was used");
    assert!(refused_pods(&world).is_empty(), "{:?}", refused_pods(&world));
    assert!(list.iter().all(|run| find(&run.status.as_ref().unwrap().conditions, SUCCEEDED).unwrap().status == "True"));
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_over_with_its_outcome_and_its_place_is_free_when_its_pod_has_ended() {
    let world = World::start().await;
    world.tenant("handover").await;
    let one = json!({"spec": {"limits": {"concurrentRuns": 1}}});
    Api::<Tenant>::all(world.client.clone()).patch("handover", &PatchParams::default(), &Patch::Merge(&one)).await.unwrap();
    jobs(&world, "handover", 2).await;
    let runs = world.namespaced::<ImportRun>("handover");
    let only = async |reason: &str| {
        wait_for(&format!("one run that is {reason}"), SOON, async || {
            let list = runs.list(&ListParams::default()).await?.items;
            let found: Vec<ImportRun> = list.into_iter().filter(|run| crate::support::ready_reason(run) == reason).collect();
            Ok((found.len() == 1).then(|| found[0].clone()))
        })
        .await
        .unwrap()
    };
    only("Queued").await;
    let first = only("Starting").await.name_any();
    let pod = world.worker("handover", &first, 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    world.wait_ready::<ImportRun>(runs.clone(), &first, "Running").await;

    // The worker has reported and its pod still goes down: the run is over all the same, and what it worked from is cleaned up.
    world.keeper_reports("handover", &first, 1, RunReason::Completed, Rows::default()).await;
    let over = world.wait_ready::<ImportRun>(runs.clone(), &first, "Completed").await;
    let status = over.status.as_ref().unwrap();
    assert!(domain::import_run::is_finished(&over) && status.finished_at.is_some(), "{status:?}");
    world.anchor_goes("handover", &over.uid().unwrap()).await;
    // Its pod takes the place until it has ended: there are never more workers than places.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(active(&world, "handover").await.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [pod.name_any()]);
    let second = only("Queued").await.name_any();
    let told = &find(&runs.get(&second).await.unwrap().status.unwrap().conditions, READY).unwrap().message.clone();
    assert!(told.contains("Tenant handover has 1 runs under way and its limit is 1"), "{told}");

    // Then the next one begins at once, and not when it would look again by itself, after a minute.
    let ended = std::time::Instant::now();
    world.pod_ends(&pod, 0, "Completed").await;
    world.worker("handover", &second, 1).await;
    println!("the next worker was made and written down {:?} after the place was free", ended.elapsed());
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_take_turns_where_a_region_has_few_places() {
    let world = World::start().await;
    let regions = Api::<Region>::all(world.client.clone());
    let few = json!({"spec": {"workers": {"concurrentRuns": 4}}});
    regions.patch("eu-frankfurt", &PatchParams::default(), &Patch::Merge(&few)).await.unwrap();
    world.tenant("first").await;
    world.tenant("second").await;
    jobs(&world, "first", 12).await;
    wait_for("the first tenant to have every place", SOON, async || Ok((active(&world, "first").await.len() == 4).then_some(())))
        .await
        .unwrap();
    let waiting = wait_for("the others to be told", SOON, async || {
        let list = world.namespaced::<ImportRun>("first").list(&ListParams::default()).await?.items;
        let queued = list.iter().filter(|run| crate::support::ready_reason(*run) == "Queued").cloned().collect::<Vec<_>>();
        Ok((queued.len() == 8).then_some(queued))
    })
    .await
    .unwrap();
    let told = &find(&waiting[0].status.as_ref().unwrap().conditions, READY).unwrap().message;
    assert!(told.contains("Region eu-frankfurt has 4 runs under way and its limit is 4"), "{told}");

    jobs(&world, "second", 12).await;
    // As places become free, the second tenant gets them until both have as many.
    for (first, second) in [(3, 1), (2, 2)] {
        end(&world, &active(&world, "first").await[0]).await;
        wait_for("the next turn", SOON, async || {
            let now = (active(&world, "first").await.len(), active(&world, "second").await.len());
            assert!(now.0 + now.1 <= 4, "{now:?}");
            Ok((now == (first, second)).then_some(()))
        })
        .await
        .unwrap();
    }
    // From then on each one's place goes to its own next run, whichever is quicker.
    for _ in 0..3 {
        end(&world, &active(&world, "second").await[0]).await;
        wait_for("the next turn", SOON, async || {
            Ok((active(&world, "first").await.len() == 2 && active(&world, "second").await.len() == 2).then_some(()))
        })
        .await
        .unwrap();
    }
    // More places, and they are taken at once.
    let more = json!({"spec": {"workers": {"concurrentRuns": 8}}});
    regions.patch("eu-frankfurt", &PatchParams::default(), &Patch::Merge(&more)).await.unwrap();
    wait_for("more places", SOON, async || {
        Ok((active(&world, "first").await.len() == 4 && active(&world, "second").await.len() == 4).then_some(()))
    })
    .await
    .unwrap();
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_limits_hold_and_raising_one_wakes_who_waits() {
    let world = World::start().await;
    world.tenant("small").await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    let limit = async |limits: serde_json::Value| {
        tenants.patch("small", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"limits": limits}}))).await.unwrap();
    };
    limit(json!({"concurrentRuns": 1, "objects": {"unfinishedRuns": 4}})).await;
    let effective = wait_for("the limits to be told", SOON, async || {
        let limits = tenants.get("small").await?.status.and_then(|s| s.effective).map(|e| e.limits);
        Ok(limits.filter(|l| l.concurrent_runs == Some(1)))
    })
    .await
    .unwrap();
    assert_eq!(effective.uploads.unwrap().files, Some(50), "what the spec leaves out goes by plan");
    jobs(&world, "small", 6).await;
    let runs = world.namespaced::<ImportRun>("small");
    let reasons = async || -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for run in runs.list(&ListParams::default()).await.unwrap().items {
            *reasons.entry(crate::support::ready_reason(&run)).or_default() += 1;
        }
        reasons
    };
    let expected = BTreeMap::from([("Starting".to_owned(), 1), ("Queued".to_owned(), 3), ("LimitExceeded".to_owned(), 2)]);
    let mut last = BTreeMap::new();
    let settled = wait_for("one to start, three to wait, two to be refused", SOON, async || {
        last = reasons().await;
        Ok((last == expected).then_some(()))
    });
    if let Err(error) = settled.await {
        panic!("{error:#}: {last:?}");
    }
    let list = runs.list(&ListParams::default()).await.unwrap().items;
    let told = |reason: &str| {
        let run = list.iter().find(|run| crate::support::ready_reason(*run) == reason).unwrap();
        find(&run.status.as_ref().unwrap().conditions, READY).unwrap().message.clone()
    };
    assert!(told("Queued").contains("Tenant small has 1 runs under way and its limit is 1"), "{}", told("Queued"));
    assert!(told("LimitExceeded").contains("Tenant small has 4 unfinished runs and its limit is 4"), "{}", told("LimitExceeded"));

    limit(json!({"concurrentRuns": 3})).await;
    wait_for("two more to start", SOON, async || Ok((active(&world, "small").await.len() == 3).then_some(()))).await.unwrap();
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_beyond_the_tenants_limit_are_refused_with_number_and_limit() {
    let world = World::start().await;
    world.tenant("many").await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    let limits = json!({"spec": {"limits": {"objects": {"importJobs": 2}}}});
    tenants.patch("many", &PatchParams::default(), &Patch::Merge(&limits)).await.unwrap();
    let quotas = quota_controller(world.client.clone());
    let manual = |name: &str| -> ImportJob { serde_saphyr::from_str(&job_yaml("many", name, SQL, "{manual: {}}")).unwrap() };
    let api = world.namespaced::<ImportJob>("many");
    wait_for("the quota", SOON, async || {
        let quota = world.namespaced::<ResourceQuota>("many").get_opt("dataimporter").await?;
        let counted =
            quota.and_then(|q| q.status).and_then(|s| s.hard).and_then(|hard| hard.get("count/importjobs.dataimporter.io").cloned());
        Ok(counted.filter(|count| count.0 == "2"))
    })
    .await
    .expect("the operator writes a quota into the tenant's namespace");
    for name in ["one", "two"] {
        api.create(&PostParams::default(), &manual(name)).await.unwrap();
    }
    let refused = wait_for("the third to be refused", SOON, async || {
        let tried = api.create(&PostParams { dry_run: true, field_manager: None }, &manual("three")).await;
        Ok(tried.err().map(|error| error.to_string()))
    })
    .await
    .unwrap();
    assert!(
        refused.contains("used: count/importjobs.dataimporter.io=2") && refused.contains("limited: count/importjobs.dataimporter.io=2"),
        "{refused}"
    );
    // Raised, and it is admitted.
    let limits = json!({"spec": {"limits": {"objects": {"importJobs": 3}}}});
    tenants.patch("many", &PatchParams::default(), &Patch::Merge(&limits)).await.unwrap();
    wait_for("room for a third", SOON, async || Ok(api.create(&PostParams::default(), &manual("three")).await.ok())).await.unwrap();
    quotas.abort();
    world.assert_conformant().await;
}
