//! A Region whose files and audit lie in a bucket of a real MinIO: `cargo xtask test s3`.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::keeper::UploadReceipt;
use api::{Region, Tenant, Upload, conditions};
use futures::TryStreamExt;
use http::StatusCode;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use testkit::{Line, wait_for};

use crate::world::{BETA, Ground, SYSTEM, World};

#[allow(dead_code, reason = "other suites put more into their bucket")]
#[path = "../../crates/connect/tests/support/minio.rs"]
mod minio;

use minio::Minio;

/// Guards against hanging, measures nothing.
const LONG: Duration = Duration::from_secs(90);
const LAKE: &str = "eu-lake";
/// Larger than two parts of an upload of S3.
const ROWS: usize = 600_000;

async fn server() -> Result<Minio> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &ca)?;
    Ok(Minio::start(&leaf.pem(), &key.serialize_pem(), &ca.pem()).await)
}

/// Where the Region of `beta` keeps its files.
fn storage(server: &Minio) -> Value {
    let params = server.params();
    json!({"s3": {
        "endpoint": params.endpoint, "bucket": params.bucket, "region": params.region, "secretRef": {"name": "lake"},
        "tls": {"caBundle": params.ca_bundle},
    }})
}

async fn put_key(world: &World, data: Value) -> Result<()> {
    let secret: Secret =
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lake"}, "stringData": data}))?;
    let api: Api<Secret> = world.api(SYSTEM);
    api.patch("lake", &PatchParams::apply("admin").force(), &Patch::Apply(secret)).await?;
    Ok(())
}

async fn until_storage_is(world: &World, reason: &str, words: &str) -> Result<()> {
    world.until_storage_is(LAKE, reason, words).await.map(drop)
}

fn content() -> String {
    (0..ROWS).map(|row| format!("{row},canary-in-the-clear\n")).collect()
}

/// All that lies in the bucket: keys with their bytes.
async fn objects(server: &Minio) -> Result<Vec<(String, bytes::Bytes)>> {
    let store = server.store();
    let mut found = Vec::new();
    for object in store.list(None).try_collect::<Vec<_>>().await? {
        // A probe comes and goes.
        if let Ok(read) = store.get(&object.location).await {
            found.push((object.location.to_string(), read.bytes().await?));
        }
    }
    found.sort();
    Ok(found)
}

async fn files(server: &Minio) -> Result<Vec<(String, bytes::Bytes)>> {
    Ok(objects(server).await?.into_iter().filter(|(key, _)| key.starts_with(&format!("{LAKE}/files/"))).collect())
}

async fn until_erased(world: &World, name: &str) -> Result<()> {
    wait_for("the upload to be erased", LONG, async || {
        let upload = world.api::<Upload>(BETA).get(name).await?;
        Ok(upload.status.is_some_and(|status| status.erased_at.is_some()).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn uploads_and_the_audit_of_a_region_lie_in_its_bucket_sealed_and_go_when_it_is_time() -> Result<()> {
    let server = server().await?;
    let ground = Ground::prepare(std::net::Ipv4Addr::LOCALHOST.into()).await?;
    ground.settle_beta(LAKE, &storage(&server)).await?;
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    let world = ground.with(keeper).await?;

    // What stands in the way, one after the other, each with its way out.
    until_storage_is(&world, "BucketKeyMissing", &format!("Secret {SYSTEM}/lake does not exist")).await?;
    put_key(&world, json!({"accessKeyId": minio::KEY_ID})).await?;
    until_storage_is(&world, "BucketKeyMissing", "has no text under secretAccessKey").await?;
    put_key(&world, json!({"accessKeyId": minio::KEY_ID, "secretAccessKey": "wrong horse"})).await?;
    until_storage_is(&world, "AddressRefused", "privateEndpoints").await?;
    let opened = json!({"spec": {"privateEndpoints": [{"cidr": "127.0.0.1/32", "ports": [server.port]}]}});
    Api::<Region>::all(world.client.clone()).patch(LAKE, &PatchParams::default(), &Patch::Merge(opened)).await?;
    until_storage_is(&world, "LoginRefused", &format!("correct accessKeyId and secretAccessKey in Secret {SYSTEM}/lake")).await?;
    put_key(&world, json!({"accessKeyId": minio::KEY_ID, "secretAccessKey": minio::SECRET})).await?;
    until_storage_is(&world, "Writable", "").await?;
    wait_for("keys of beta", LONG, async || {
        let tenant = Api::<Tenant>::all(world.client.clone()).get(BETA).await?;
        Ok(tenant.status.is_some_and(|s| conditions::is_true(&s.conditions, conditions::KEYS_READY)).then_some(()))
    })
    .await?;

    // An upload comes in parts and is seen whole.
    let content = content();
    let sent = world.send_of_beta(LAKE, "rows", content.clone().into_bytes()).await?;
    ensure!(sent.status() == StatusCode::OK, "{}: {}", sent.status(), sent.text().await?);
    let receipt: UploadReceipt = sent.json().await?;
    assert_eq!(receipt.bytes, content.len() as u64);
    let stored = files(&server).await?;
    assert_eq!(stored.len(), 1);
    assert!(stored[0].1.len() > content.len(), "sealed bytes are a few more");
    assert_eq!(server.parts_on_disk(), 0, "nothing is begun any more");
    let seen = |bytes: &[u8]| bytes.windows(19).any(|window| window == b"canary-in-the-clear");
    assert!(seen(content.as_bytes()), "control");
    for (key, bytes) in objects(&server).await? {
        assert!(!seen(&bytes), "{key} has rows in clear");
    }

    // The audit is gone on with by the keeper that comes after a crash.
    let chain = format!("{LAKE}/audit/keeper-0.jsonl");
    let lines = async || -> Result<Vec<String>> {
        let read = server.store().get(&ObjectPath::from(chain.as_str())).await?.bytes().await?;
        Ok(String::from_utf8(read.to_vec())?.lines().map(str::to_owned).collect())
    };
    let before = lines().await?;
    assert!(before.iter().any(|line| line.contains("FileBorn")), "{before:#?}");
    let world = world.crash(|_| Ok(())).await?;
    // Its hour ends.
    world.keeper.advance(SignedDuration::from_mins(61)).await?;
    until_erased(&world, "rows").await?;
    assert_eq!(files(&server).await?.len(), 0);
    let after = lines().await?;
    assert!(after.starts_with(&before) && after.iter().any(|line| line.contains("FileErased")), "{after:#?}");

    // What nobody knows goes with the next look at the bucket, and a bucket that went is told.
    server.put(&format!("{LAKE}/files/stranger/stray"), "nobody's").await;
    wait_for("the stray to go", LONG, async || {
        world.keeper.advance(SignedDuration::ZERO).await?;
        Ok(files(&server).await?.is_empty().then_some(()))
    })
    .await?;
    put_key(&world, json!({"accessKeyId": "AKIANOBODY", "secretAccessKey": minio::SECRET})).await?;
    until_storage_is(&world, "LoginRefused", "access key id is not known").await
}
