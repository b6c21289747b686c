//! Buckets: what a key is shown to, whom it is refused for, and what a worker is handed of it.

use anyhow::{Context, Result};
use api::keeper::{Lease, SourceCredential};
use api::snapshot::{Snapshot, SnapshotConnection};
use api::{Connection, Region, Uid, conditions};
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::answers::Answers;
use crate::world::{HOME, REGION, World};

pub(crate) const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>";
const WRONG: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 49\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code></Error>";

/// A Connection to a bucket whose server always says this.
pub(crate) async fn bucket(answer: &'static [&'static str]) -> (Answers, Value) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let server = Answers::start(&leaf, &key, answer).await;
    let endpoint = format!("https://127.0.0.1:{}", server.port);
    let spec = json!({
        "s3": {"endpoint": endpoint, "bucket": "lake", "region": "eu-central-1", "tls": {"caBundle": ca.pem()}},
        "credentials": {"secretRef": {"name": "lake", "afterIntake": "Keep"}},
    });
    (server, spec)
}

/// A run's source is this one, through this Connection.
pub(crate) fn reads_from(snapshot: &mut Snapshot, connection: &Connection, source: Value) {
    let known = SnapshotConnection {
        uid: Uid::of(connection).expect("a UID"),
        endpoint_digest: connection.spec.endpoint_digest(),
        min_credential_version: 1,
        spec: connection.spec.clone(),
    };
    snapshot.connections.insert(connection.name_any(), known);
    snapshot.job_spec.source = serde_json::from_value(source).expect("a source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_read_is_verified_and_handed_to_the_run_that_reads() -> Result<()> {
    let world = World::start().await?;
    let org = world.ready_connection("crm").await?;
    let ((reads, good), (refuses, wrong)) = (bucket(&[DENIED]).await, bucket(&[WRONG]).await);
    let ports = [reads.port, refuses.port, world.org.address.port()];
    let endpoints = json!([{"cidr": "127.0.0.1/32", "ports": ports, "tenants": ["acme"]}]);
    let listed = json!({"spec": {"privateEndpoints": endpoints}});
    Api::<Region>::all(world.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(listed)).await?;
    world.put_secret("lake", json!({"accessKeyId": "AKIALAKE", "secretAccessKey": "hush-of-the-lake"})).await?;
    world.allow("lake").await?;
    for (name, spec) in [("wrong", &wrong), ("lake", &good)] {
        world.consent("lake", name, spec).await?;
        world.put_connection(name, spec.clone()).await?;
        if name == "wrong" {
            let refused = world.until_connection(name, "LoginRefused").await?.status.context("a status")?;
            let message = &conditions::find(&refused.conditions, conditions::READY).context("Ready")?.message;
            assert!(message.contains("correct entry accessKeyId, secretAccessKey of Secret lake"), "{message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }
    let lake = world.until_connection("lake", "Verified").await?;
    let system = lake.status.as_ref().and_then(|status| status.metadata.as_ref()?.system.clone());
    assert_eq!(system.as_deref(), Some("S3 bucket lake"));
    assert!(reads.asked().iter().all(|asked| asked.contains("Credential=AKIALAKE/") && !asked.contains("hush")));

    let worker = world
        .start_run_of("r1", &org, None, |snapshot| {
            reads_from(snapshot, &lake, json!({"file": {"connectionRef": {"name": "lake"}, "path": "in/a.csv"}}));
        })
        .await?;
    let token = world.worker_token(&worker).await?;
    let answer = world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
    let lease: Lease = answer.json().await?;
    let Some(SourceCredential::Entries(entries)) = lease.source else { anyhow::bail!("no entries were handed out") };
    let entries: Vec<_> = entries.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(entries, [("accessKeyId", "AKIALAKE"), ("secretAccessKey", "hush-of-the-lake")]);
    assert!(lake.meta().uid.as_ref().is_some_and(|uid| world.audit().is_ok_and(|audit| audit.contains(uid))));

    // Its objects get a key of their owner's own, which the credential does not have yet.
    let encrypted = json!({"spec": {"s3": {"encryption": {"customerKey": {}}}}});
    world.api::<Connection>(HOME).patch("lake", &PatchParams::default(), &Patch::Merge(encrypted)).await?;
    let waits = world.until_connection("lake", "KeysMissing").await?.status.context("a status")?;
    let message = &conditions::find(&waits.conditions, conditions::READY).context("Ready")?.message;
    assert!(message.contains("customerKey"), "{message}");
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    world.put_secret("lake", json!({"accessKeyId": "AKIALAKE", "secretAccessKey": "hush-of-the-lake", "customerKey": key})).await?;
    world.until_connection("lake", "Verified").await?;
    let asked = reads.asked();
    let has_key = |asked: &String| asked.contains(&format!("x-amz-server-side-encryption-customer-key: {key}"));
    assert!(has_key(asked.last().context("a request")?) && !has_key(&asked[0]), "{asked:?}");
    assert!(!world.audit()?.contains(key));
    Ok(())
}
