//! How much a tenant's files may take: each, together, at the same time.

use anyhow::Result;
use api::keeper::FileGrant;
use api::{Tenant, names};
use bytes::BytesMut;
use envelope::stream::Sealer;
use http::StatusCode;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::wait_for;

use crate::world::World;

const WRITER: &str = names::FILES_WRITER_ACCOUNT;

/// Sets the tenant's limits and waits until the keeper knows them.
async fn limit(world: &World, limits: serde_json::Value) -> Result<()> {
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"limits": limits}}))).await?;
    Ok(())
}

/// Sends a file of so many bytes; without a length when `told` is false.
async fn send(world: &World, token: &str, name: &str, bytes: usize, told: bool) -> Result<(StatusCode, String)> {
    world.put_upload(name).await?;
    let request = world.http.put(world.gateway(&format!("uploads/{name}"))).bearer_auth(token);
    let body = vec![b'x'; bytes];
    let request = match told {
        true => request.body(body),
        false => {
            let parts: Vec<std::io::Result<Vec<u8>>> = body.chunks(1 << 10).map(|part| Ok(part.to_vec())).collect();
            request.body(reqwest::Body::wrap_stream(futures::stream::iter(parts)))
        }
    };
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_over_their_number_size_or_sum_are_refused_with_number_and_limit() -> Result<()> {
    let world = World::start().await?;
    let token = world.files_token(WRITER).await?;
    limit(&world, json!({"uploads": {"files": 3, "bytesEach": 60_000, "bytesTogether": 100_000}})).await?;
    let (status, told) = wait_for("the limits to be in force", std::time::Duration::from_secs(10), async || {
        let sent = send(&world, &token, &format!("large-{:x}", rand::random::<u32>()), 60_001, true).await?;
        Ok((sent.0 != StatusCode::OK).then_some(sent))
    })
    .await
    .expect("a file of 60,001 bytes is refused");
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(told.contains("more than the 60000 bytes that Tenant acme may upload at once"), "{told}");
    assert_eq!(send(&world, &token, "unsaid", 60_001, false).await?.0, StatusCode::PAYLOAD_TOO_LARGE, "whether or not the length is said");

    assert_eq!(send(&world, &token, "first", 60_000, true).await?.0, StatusCode::OK, "control: what fits is taken");
    let (status, told) = send(&world, &token, "second", 40_001, true).await?;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(told.contains("Tenant acme has 60000 bytes of uploaded files and its limit is 100000"), "{told}");
    for name in ["a", "b"] {
        assert_eq!(send(&world, &token, name, 10, true).await?.0, StatusCode::OK);
    }
    let (status, told) = send(&world, &token, "c", 10, true).await?;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(told.contains("Tenant acme has 3 uploaded files and its limit is 3"), "{told}");
    // Raised, it is taken at once.
    limit(&world, json!({"uploads": {"files": 4}})).await?;
    wait_for("room for a fourth", std::time::Duration::from_secs(10), async || {
        let answer = world.http.put(world.gateway("uploads/c")).bearer_auth(&token).body("x").send().await?;
        Ok((answer.status() == StatusCode::OK).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_come_at_the_same_time_take_no_more_together() -> Result<()> {
    let world = World::start().await?;
    let token = world.files_token(WRITER).await?;
    limit(&world, json!({"uploads": {"files": 100, "bytesEach": 60_000, "bytesTogether": 100_000}})).await?;
    wait_for("the limits to be in force", std::time::Duration::from_secs(10), async || {
        let sent = send(&world, &token, &format!("large-{:x}", rand::random::<u32>()), 60_001, true).await?;
        Ok((sent.0 == StatusCode::PAYLOAD_TOO_LARGE).then_some(()))
    })
    .await?;
    for told in [true, false] {
        let names: Vec<String> = (0..8).map(|n| format!("{}-{n}", if told { "told" } else { "untold" })).collect();
        let sent = names.iter().map(|name| send(&world, &token, name, 30_000, told));
        let sent: Vec<(StatusCode, String)> = futures::future::try_join_all(sent).await?;
        let taken = sent.iter().filter(|(status, _)| *status == StatusCode::OK).count();
        println!("{taken} of 8 files of 30,000 bytes at once, lengths told: {told}; the limit is 100,000");
        assert!(sent.iter().all(|(status, _)| [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(status)), "{sent:?}");
        assert!(taken <= 3, "{taken} files of 30,000 bytes were taken");
        // Files that do not say how much they bring can stop one another: each of six may have a part when nobody's next one fits. Who was
        // refused comes again, one after the other, and what fits is taken.
        let mut taken = taken;
        for (name, _) in names.iter().zip(&sent).filter(|(_, (status, _))| *status != StatusCode::OK) {
            let url = world.gateway(&format!("uploads/{name}"));
            let again = world.http.put(url).bearer_auth(&token).body(vec![b'x'; 30_000]).send().await?;
            taken += usize::from(again.status() == StatusCode::OK);
        }
        assert!((1..=3).contains(&taken), "{taken} files of 30,000 bytes were taken");
        assert_eq!(taken, 3, "as many as fit");
        // Their hour passes.
        world.keeper.advance(jiff::SignedDuration::from_secs(3_700)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn result_files_of_a_run_that_are_too_much_are_refused_with_the_limit_and_leave_nothing() -> Result<()> {
    let world = World::start().await?;
    let upload = world.put_upload("rows").await?;
    let writer = world.files_token(WRITER).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body("a\n1\n").send().await?.error_for_status()?;
    let connection = world.ready_connection("crm").await?;
    limit(&world, json!({"results": {"bytesPerRun": 50_000, "bytesTogether": 1_000_000}})).await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let runs = format!("runs/{}", worker.uid);
    let put = async |name: &str, bytes: usize| -> Result<(StatusCode, String)> {
        let new = json!({"attempt": 1, "name": name});
        let grant: FileGrant = world.post(&token, &format!("{runs}/files"), &new).await?.error_for_status()?.json().await?;
        let (key, context) = dataimporter::file_grant::accept(&grant).expect("a key");
        let mut sealed = BytesMut::new();
        let mut sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut sealed);
        sealer.update(&vec![b'x'; bytes], &mut sealed)?;
        sealer.finish(&mut sealed)?;
        let put = world.http.put(world.workers(&format!("files/{}", grant.uid))).bearer_auth(&token).body(sealed.freeze()).send().await?;
        Ok((put.status(), put.text().await?))
    };
    assert_eq!(put("succeeded.csv", 30_000).await?.0, StatusCode::NO_CONTENT, "control: what fits is taken");
    let (status, told) = put("failed.csv", 30_000).await?;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{told}");
    assert!(told.contains("more than the 50000 bytes that a run of Tenant acme may keep"), "{told}");
    limit(&world, json!({"results": {"bytesPerRun": 100_000}})).await?;
    wait_for("more room", std::time::Duration::from_secs(10), async || {
        Ok((put("failed.csv", 30_000).await?.0 == StatusCode::NO_CONTENT).then_some(()))
    })
    .await?;
    Ok(())
}
