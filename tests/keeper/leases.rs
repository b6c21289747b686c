//! Every check of a worker's call, each broken by itself and each answered alike; what a worker writes, and what a late one may not.

use std::time::Duration;

use anyhow::Result;
use api::import_run::RunReason;
use api::keeper::{Control, Lease, Refused, SalesforceSession};
use api::{Connection, ImportRun, Upload, conditions, names};
use http::StatusCode;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{HOME, REGION, RUNS, Worker, World, attempt, is_true};

struct Stage {
    world: World,
    worker: Worker,
    token: String,
}

impl Stage {
    /// A run whose worker may have everything.
    async fn set() -> Result<Self> {
        let world = World::start().await?;
        let upload = world.put_upload("rows").await?;
        let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
        world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body("a\n1\n").send().await?.error_for_status()?;
        let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
        let connection = world.ready_connection("crm").await?;
        let worker = world.start_run("r1", &connection, Some(&upload)).await?;
        let token = world.worker_token(&worker).await?;
        Ok(Self { world, worker, token })
    }

    async fn lease_with(&self, token: &str) -> Result<reqwest::Response> {
        self.world.post(token, &format!("runs/{}/lease", self.worker.uid), &json!({"attempt": self.worker.attempt})).await
    }

    async fn granted(&self) -> Result<bool> {
        Ok(self.lease_with(&self.token).await?.status() == StatusCode::OK)
    }

    /// The one answer to every refusal, and the line that alone knows why.
    async fn refused(&self, token: &str, refusal: &str) -> Result<()> {
        self.is_refused(self.lease_with(token), refusal).await
    }

    async fn is_refused<E>(&self, call: impl Future<Output = Result<reqwest::Response, E>>, refusal: &str) -> Result<()>
    where
        anyhow::Error: From<E>,
    {
        let before = self.world.audit()?;
        let answer = call.await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        assert_eq!(status, StatusCode::FORBIDDEN, "{refusal}");
        assert!(headers.keys().all(|k| ["content-length", "date"].contains(&k.as_str())), "{refusal}: {headers:?}");
        assert!(answer.bytes().await?.is_empty(), "{refusal}: the answer says something");
        self.is_audited_since(&before, refusal)
    }

    /// The call's line is there. Others may come behind it: what the keeper does besides has lines, too.
    fn is_audited_since(&self, before: &str, refusal: &str) -> Result<()> {
        let audit = self.world.audit()?;
        let new: Vec<&str> = audit.lines().skip(before.lines().count()).collect();
        let is_it = |line: &&str| line.contains("CallRefused") && line.contains(&format!("\"{refusal}\""));
        assert!(new.iter().any(is_it), "expected {refusal}: {new:?}");
        Ok(())
    }

    /// A refusal of one that proved itself: it is told what ends its run, or what it waits for, and gets no secret.
    async fn told(&self, refusal: &str, end: Option<RunReason>, part: &str) -> Result<()> {
        let before = self.world.audit()?;
        let answer = self.lease_with(&self.token).await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{refusal}");
        let text = answer.text().await?;
        let told: Refused = serde_json::from_str(&text)?;
        assert!(told.end == end && told.message.contains(part), "{refusal}: {told:?}");
        assert!(self.world.org.tokens().iter().all(|token| !text.contains(&token.token)), "{refusal}: {text}");
        self.is_audited_since(&before, refusal)
    }

    async fn connection(&self, patch: Value) -> Result<()> {
        self.world.api::<Connection>(HOME).patch("crm", &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn label_node(&self, region: &str) -> Result<()> {
        let patch = json!({"metadata": {"labels": {names::NODE_REGION_LABEL: region}}});
        Api::<Node>::all(self.world.client.clone()).patch("node-1", &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

/// The kubelet tells the API server a moment after the worker begins where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_address_is_not_known_yet_is_no_news_for_the_audit() -> Result<()> {
    let stage = Stage::set().await?;
    let name = stage.worker.pod.name_any();
    stage.world.set_pod_status(&name, json!({"podIP": null, "podIPs": null})).await?;
    let before = stage.world.audit()?;
    let answer = stage.lease_with(&stage.token).await?;
    assert_eq!((answer.status(), answer.bytes().await?.len()), (StatusCode::FORBIDDEN, 0), "nothing is given before it is known");
    assert_eq!(stage.world.audit()?, before, "it is told as a refusal");

    stage.world.set_pod_status(&name, json!({"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]})).await?;
    stage.refused(&stage.token, "Peer").await?;
    let known = stage.world.keeper.worker_address.ip();
    stage.world.set_pod_status(&name, json!({"podIP": known, "podIPs": [{"ip": known}]})).await?;
    assert!(stage.granted().await?, "control");

    // A call that comes a little too early is answered once it is not.
    stage.world.set_pod_status(&name, json!({"podIP": null, "podIPs": null})).await?;
    let told = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.world.set_pod_status(&name, json!({"podIP": known, "podIPs": [{"ip": known}]})).await
    };
    let (granted, _) = tokio::try_join!(stage.granted(), told)?;
    assert!(granted, "the first answer to an early call");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_worker_gets_everything_once_and_a_fresh_session_when_asked() -> Result<()> {
    let stage = Stage::set().await?;
    let lease: Lease = stage.lease_with(&stage.token).await?.error_for_status()?.json().await?;
    assert_eq!(lease.snapshot.run.uid.as_str(), stage.worker.uid);
    let target = lease.target.expect("a session");
    assert_eq!(target.instance_url, stage.world.org.url);
    assert_eq!(lease.private_endpoints.len(), 1);
    let first = target.access_token.expose().to_owned();
    assert!(stage.world.org.tokens().iter().any(|t| t.active && t.token == first));

    let path = format!("runs/{}/session", stage.worker.uid);
    let refused = |token: &str| json!({"attempt": 1, "connection": "crm", "refusedSha256": hex::encode(Sha256::digest(token))});
    let renewed: SalesforceSession = stage.world.post(&stage.token, &path, &refused(&first)).await?.error_for_status()?.json().await?;
    assert_ne!(renewed.access_token.expose(), first);
    // A worker that brings the same dead session late shares the renewal.
    let late: SalesforceSession = stage.world.post(&stage.token, &path, &refused(&first)).await?.error_for_status()?.json().await?;
    assert_eq!(late.access_token.expose(), renewed.access_token.expose());
    let foreign = json!({"attempt": 1, "connection": "other", "refusedSha256": ""});
    assert_eq!(stage.world.post(&stage.token, &path, &foreign).await?.status(), StatusCode::FORBIDDEN);
    let audit = stage.world.audit()?;
    assert!(audit.contains("LeaseGranted") && audit.contains("CredentialOpened") && audit.contains("FileKeyOpened"));
    assert!(!audit.contains(&first) && !audit.contains(&stage.world.org.client_secret));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_the_workers_are_refused() -> Result<()> {
    let stage = Stage::set().await?;
    let world = &stage.world;
    let audience = names::keeper_audience(REGION, &world.keeper.installation);
    stage.refused("nonsense", "Token").await?;
    for other in ["https://kubernetes.default.svc.cluster.local", &names::files_audience(REGION, &world.keeper.installation)] {
        let token = world.token(RUNS, "worker", other, Some(&stage.worker.pod)).await?;
        stage.refused(&token, "Token").await?;
    }
    let unbound = world.token(RUNS, "worker", &audience, None).await?;
    stage.refused(&unbound, "Pod").await?;
    for namespace in [RUNS, HOME] {
        let other_account = world.token(namespace, "default", &audience, None).await?;
        stage.refused(&other_account, "Account").await?;
    }
    // Another pod of the same account: proved, but no attempt of this run.
    let stranger = world.put_pod("stranger", &stage.worker.uid).await?;
    let token = world.token(RUNS, "worker", &audience, Some(&stranger)).await?;
    stage.refused(&token, "Attempt").await?;
    assert!(stage.granted().await?, "the worker itself is still served");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fact_about_pod_node_and_snapshot_is_checked_live() -> Result<()> {
    let stage = Stage::set().await?;
    let (world, token) = (&stage.world, stage.token.as_str());
    assert!(stage.granted().await?);

    let pod = stage.worker.pod.name_any();
    world.set_pod_status(&pod, json!({"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]})).await?;
    stage.refused(token, "Peer").await?;
    world.set_pod_status(&pod, json!({"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]})).await?;
    assert!(stage.granted().await?);

    stage.label_node("us-dallas").await?;
    stage.refused(token, "NodeRegion").await?;
    stage.label_node(REGION).await?;
    assert!(stage.granted().await?);

    let text = world.snapshot_text(&stage.worker).await?;
    world.write_attempts(&stage.worker, "another text", json!([attempt(1, &stage.worker.pod)])).await?;
    stage.refused(token, "Snapshot").await?;
    let mut elsewhere = attempt(1, &stage.worker.pod);
    elsewhere["node"] = json!("node-2");
    world.write_attempts(&stage.worker, &text, json!([elsewhere])).await?;
    stage.refused(token, "Node").await?;
    world.write_attempts(&stage.worker, &text, json!([attempt(1, &stage.worker.pod)])).await?;
    assert!(stage.granted().await?);

    world.set_pod_status(&pod, json!({"phase": "Succeeded"})).await?;
    stage.refused(token, "Pod").await?;
    world.set_pod_status(&pod, json!({"phase": "Running"})).await?;
    assert!(stage.granted().await?);

    let pod = world.put_pod(&names::worker_pod(&stage.worker.uid, 2), &stage.worker.uid).await?;
    world.write_attempts(&stage.worker, &text, json!([attempt(1, &stage.worker.pod), attempt(2, &pod)])).await?;
    stage.refused(token, "StaleAttempt").await?;
    world.write_attempts(&stage.worker, &text, json!([attempt(1, &stage.worker.pod)])).await?;
    assert!(stage.granted().await?);

    world.delete::<ConfigMap>(RUNS, &names::snapshot_configmap(&stage.worker.uid)).await?;
    stage.refused(token, "Namespace").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_after_the_admission_is_audited_too() -> Result<()> {
    let stage = Stage::set().await?;
    let (world, token) = (&stage.world, stage.token.as_str());
    let runs = format!("runs/{}", stage.worker.uid);
    let foreign = json!({"attempt": 1, "connection": "other", "refusedSha256": ""});
    stage.is_refused(world.post(token, &format!("{runs}/session"), &foreign), "NotInSnapshot").await?;
    let file = json!({"attempt": 1, "name": "../../audit/keeper-0.jsonl"});
    stage.is_refused(world.post(token, &format!("{runs}/files"), &file), "File").await?;
    let url = world.workers("files/0123456789abcdef");
    stage.is_refused(world.http.get(&url).bearer_auth(token).send(), "File").await?;
    stage.is_refused(world.http.put(&url).bearer_auth(token).body("x").send(), "File").await?;
    assert!(stage.granted().await?);
    Ok(())
}

/// Names in a path become names of objects. One that leads elsewhere, asks something else or is too long for the audit's lines reaches
/// neither the API server nor the audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_leads_nowhere() -> Result<()> {
    let stage = Stage::set().await?;
    let (world, token) = (&stage.world, stage.token.as_str());
    // HTTP/2 has no room for the long one.
    let authority = reqwest::Certificate::from_pem(world.keeper.ca_pem().as_bytes())?;
    let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().http1_only().build()?;
    let status = async |path: &str, token: &str| -> Result<StatusCode> {
        Ok(http.post(path).bearer_auth(token).json(&json!({"attempt": 1})).send().await?.status())
    };
    let uid = stage.worker.uid.as_str();
    assert_eq!(status(&world.workers(&format!("runs/{uid}/lease")), token).await?, StatusCode::OK, "control");
    let before = world.audit()?;
    let long = "%01".repeat(20_000);
    for name in ["..%2F..%2Fsecrets%2Fx", &format!("{uid}%3FresourceVersion=0"), &format!("{uid}%2Fx"), "%00", &long] {
        assert_eq!(status(&world.workers(&format!("runs/{name}/lease")), token).await?, StatusCode::NOT_FOUND, "{name:.60}");
    }
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    for name in ["..%2F..%2Fconnections%2Fcrm", "rows%2Fstatus", "rows%3FresourceVersion=0", "%00"] {
        let sent = http.put(world.gateway(&format!("uploads/{name}"))).bearer_auth(&writer).body("x").send().await?;
        assert_eq!(sent.status(), StatusCode::NOT_FOUND, "{name}");
        assert!(sent.bytes().await?.is_empty(), "{name} was looked up");
    }
    assert_eq!(world.audit()?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_changed_is_refused_and_a_token_of_a_deleted_pod_is_dead() -> Result<()> {
    let stage = Stage::set().await?;
    let token = stage.token.as_str();
    stage.connection(json!({"spec": {"suspend": true}})).await?;
    stage.told("ConnectionSuspended", None, "spec.suspend").await?;
    stage.connection(json!({"spec": {"suspend": null}})).await?;
    assert!(stage.granted().await?);

    stage.connection(json!({"spec": {"salesforce": {"auth": {"clientCredentials": {"clientId": "another"}}}}})).await?;
    stage.told("Endpoint", Some(RunReason::AuthorizationFailed), "crm points to another endpoint").await?;
    // What the run needs to end is not a way to what it was refused.
    let path = format!("runs/{}/lease", stage.worker.uid);
    let lease = stage.world.post(token, &path, &json!({"attempt": 1, "ending": true})).await?.error_for_status()?;
    let lease: Lease = lease.json().await?;
    assert!(lease.source.is_none() && lease.target.is_none());
    // A caller that is not the worker hears none of it.
    let nobody = stage.world.put_pod("nobody", &stage.worker.uid).await?;
    let audience = names::keeper_audience(REGION, &stage.world.keeper.installation);
    let theirs = stage.world.token(RUNS, "worker", &audience, Some(&nobody)).await?;
    stage.refused(&theirs, "Attempt").await?;
    let back = stage.world.org.client_id.clone();
    stage.connection(json!({"spec": {"salesforce": {"auth": {"clientCredentials": {"clientId": back}}}}})).await?;
    assert!(stage.granted().await?);

    // A record brought back from a backup is older than the ledger. Only the keeper writes that, so nothing of it may be under way.
    let settled = |c: &Connection| {
        let status = c.status.as_ref();
        status.is_some_and(|s| s.observed_generation == c.metadata.generation && is_true(Some(&s.conditions), conditions::READY))
    };
    stage.world.until("crm", "settled", settled).await?;
    let status = json!({"status": {"credentialVersion": 9}});
    stage.world.api::<Connection>(HOME).patch_status("crm", &PatchParams::default(), &Patch::Merge(status)).await?;
    stage.told("CredentialRolledBack", Some(RunReason::AuthorizationFailed), "crm").await?;
    let status = json!({"status": {"credentialVersion": 1}});
    stage.world.api::<Connection>(HOME).patch_status("crm", &PatchParams::default(), &Patch::Merge(status)).await?;
    assert!(stage.granted().await?);

    // The API server remembers for ten seconds that it knew the token: until then the pod that is gone speaks. So it is a fresh one.
    let token = stage.world.worker_token(&stage.worker).await?;
    stage.lease_with(&token).await?.error_for_status()?;
    stage.world.delete::<Pod>(RUNS, &stage.worker.pod.name_any()).await?;
    stage.refused(&token, "Pod").await?;
    Ok(())
}

fn chunk(number: i64, state: &str) -> Value {
    let rows = if state == "Done" { json!({"read": 10, "succeeded": 10}) } else { json!({}) };
    json!({"attempt": 1,
        "chunk": {"number": number, "state": state, "firstRow": 1, "inputRows": 10, "sentRows": 10, "bytes": 100, "sha256": "ab".repeat(32), "jobID": "750x", "rows": rows},
        "cursor": {"chunk": number, "lastKey": ["canary-key"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_written_ahead_sealed_and_given_to_the_next_attempt_and_a_late_one_is_told_to_stop() -> Result<()> {
    let stage = Stage::set().await?;
    let (world, uid) = (&stage.world, &stage.worker.uid);
    let put = async |token: &str, body: &Value| -> Result<StatusCode> {
        let url = world.workers(&format!("runs/{uid}/chunks/{}", body["chunk"]["number"]));
        Ok(world.http.put(url).bearer_auth(token).json(body).send().await?.status())
    };
    for state in ["Created", "Uploaded", "Done", "Done"] {
        assert_eq!(put(&stage.token, &chunk(0, state)).await?, StatusCode::OK, "{state}");
    }
    assert_eq!(put(&stage.token, &chunk(1, "Created")).await?, StatusCode::OK);
    assert_eq!(put(&stage.token, &chunk(0, "Created")).await?, StatusCode::UNPROCESSABLE_ENTITY, "finished stays finished");
    let status = world.run_status(&stage.worker).await?;
    // A worker that dies now has reported no rows: those of its finished chunks stand all the same.
    assert_eq!(status.rows.map(|rows| (rows.read, rows.succeeded)), Some((10, 10)));
    let chunks = status.chunks.unwrap();
    assert_eq!((chunks.total, chunks.done), (2, 1));
    assert!(!serde_json::to_string(&chunks)?.contains("canary"), "a cursor stands in the status in clear");

    let progress = json!({"attempt": 1, "rows": {"read": 20}});
    let answer = world.post(&stage.token, &format!("runs/{uid}/progress"), &progress).await?.error_for_status()?;
    assert_eq!(answer.json::<Control>().await?, Control { cancel: false });
    world.api::<ImportRun>(HOME).patch("r1", &PatchParams::default(), &Patch::Merge(json!({"spec": {"cancel": true}}))).await?;
    let answer = world.post(&stage.token, &format!("runs/{uid}/progress"), &progress).await?.error_for_status()?;
    assert_eq!(answer.json::<Control>().await?, Control { cancel: true });
    assert_eq!(world.run_status(&stage.worker).await?.rows.unwrap().read, 20);
    assert_eq!(put(&stage.token, &chunk(1, "Uploaded")).await?, StatusCode::OK);
    assert_eq!(world.run_status(&stage.worker).await?.rows.unwrap().read, 20, "a report knows of more than the chunks do");

    // What stands in its way is told at once, and only once.
    for (message, read) in [("the bucket is busy", 21), ("something else", 22)] {
        let last = json!({"attempt": 1, "rows": {"read": read}, "interrupted": message});
        world.post(&stage.token, &format!("runs/{uid}/progress"), &last).await?.error_for_status()?;
    }
    let status = world.run_status(&stage.worker).await?;
    let told = status.interruption.map(|told| (told.attempt, told.message));
    assert_eq!((told, status.rows.unwrap().read), (Some((1, "the bucket is busy".to_owned())), 21));

    // A second attempt: the first is late from now on, whatever it asks, and changes nothing.
    let pod = world.put_pod(&names::worker_pod(uid, 2), uid).await?;
    let text = world.snapshot_text(&stage.worker).await?;
    world.write_attempts(&stage.worker, &text, json!([attempt(1, &stage.worker.pod), attempt(2, &pod)])).await?;
    assert_eq!(put(&stage.token, &chunk(1, "Uploaded")).await?, StatusCode::FORBIDDEN);
    assert_eq!(world.post(&stage.token, &format!("runs/{uid}/progress"), &progress).await?.status(), StatusCode::FORBIDDEN);
    let outcome = json!({"attempt": 1, "reason": "Completed", "message": "", "rows": {}, "results": []});
    assert_eq!(world.post(&stage.token, &format!("runs/{uid}/outcome"), &outcome).await?.status(), StatusCode::FORBIDDEN);
    assert!(world.run_status(&stage.worker).await?.outcome.is_none());

    let second = Worker { run: "r1".into(), uid: uid.clone(), pod, attempt: 2 };
    let token = world.worker_token(&second).await?;
    let lease = world.post(&token, &format!("runs/{uid}/lease"), &json!({"attempt": 2})).await?.error_for_status()?;
    let lease: Lease = lease.json().await?;
    assert_eq!((lease.chunks.total, lease.cursors.len()), (2, 2));
    assert_eq!(lease.cursors[0].last_key[0].expose(), "canary-key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_progress_is_written_at_most_every_five_seconds() -> Result<()> {
    let stage = Stage::set().await?;
    let path = format!("runs/{}/progress", stage.worker.uid);
    let version = async || -> Result<Option<String>> { Ok(stage.world.api::<ImportRun>(HOME).get("r1").await?.resource_version()) };
    let mut versions = std::collections::BTreeSet::new();
    let began = std::time::Instant::now();
    for read in 0..40 {
        stage.world.post(&stage.token, &path, &json!({"attempt": 1, "rows": {"read": read}})).await?.error_for_status()?;
        versions.insert(version().await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let allowed = 2 + began.elapsed().as_secs() as usize / 5;
    assert!(versions.len() <= allowed, "{} writes in {:?}", versions.len(), began.elapsed());
    Ok(())
}
