//! The keeper behind a proxy: what it verifies goes through it, what the Region lists goes past it, and workers get it with their lease.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use api::keeper::Lease;
use api::{Connection, Upload, conditions, names};
use kube::ResourceExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::world::{Ground, HOME, World, start_keeper};
use dataimporter::keeper::{Args, EgressArgs};
use testkit::Line;

const PASSWORD: &str = "correct horse battery";

/// Lets nobody through, and tells whom it was asked for.
async fn strict_proxy() -> Result<(String, mpsc::UnboundedReceiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (told, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let _ = told.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        }
    });
    Ok((url, asked))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_org_is_asked_through_the_proxy_and_a_worker_gets_the_proxy_with_its_lease() -> Result<()> {
    let (url, mut asked) = strict_proxy().await?;
    let ground = Ground::prepare(IpAddr::V4(Ipv4Addr::LOCALHOST)).await?;
    let (egress, _login) = behind(&url, PASSWORD)?;
    let egress = EgressArgs { egress_proxy_no_proxy: vec![".corp.example".into()], ..egress };
    let arguments = Args { egress, ..ground.keeper_arguments("keeper-0") };
    let keeper = start_keeper(ground.server.clone(), arguments, Line::default()).await?;
    let world: World = ground.with(keeper).await?;

    // The Region lists its address: it is asked directly.
    let connection = world.ready_connection("crm").await?;
    assert!(asked.try_recv().is_err(), "a private endpoint was asked for at the proxy");

    world.put_secret("public", json!({"clientSecret": "hush-of-the-org"})).await?;
    world.allow("public").await?;
    let mut spec = world.org_spec("public", "Keep");
    spec["salesforce"]["loginUrl"] = json!("https://acme.my.salesforce.com");
    world.consent("public", "public", &spec).await?;
    world.put_connection("public", spec).await?;
    let refused = world.until_connection("public", "ProxyRefused").await?;
    let message = conditions::find(&refused.status.unwrap().conditions, conditions::READY).unwrap().message.clone();
    let proxy = url.trim_start_matches("http://");
    assert!(["acme.my.salesforce.com:443", proxy, "(403)"].iter().all(|part| message.contains(part)), "{message}");
    assert!(!message.contains("hush") && !message.contains(PASSWORD), "{message}");
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("CONNECT acme.my.salesforce.com:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Basic aW1wb3J0ZXI6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n") && !head.contains("hush"), "{head}");

    let upload = world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body("a\n1\n").send().await?.error_for_status()?;
    let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let path = format!("runs/{}/lease", worker.uid);
    let lease: Lease = world.post(&token, &path, &json!({"attempt": worker.attempt})).await?.error_for_status()?.json().await?;
    let given = lease.proxy.expect("the proxy");
    let login = given.login.expect("its login");
    assert_eq!((given.url, given.no_proxy), (url, vec![".corp.example".to_owned()]));
    assert_eq!((login.username.as_str(), login.password.expose()), ("importer", PASSWORD));

    let stored = world.everything_stored().await?;
    assert!(!stored.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "the login lies in the system namespace in clear");
    assert!(!world.audit()?.contains(PASSWORD));
    Ok(())
}

/// With a login of this password in a folder that it goes with.
fn behind(url: &str, password: &str) -> Result<(EgressArgs, TempDir)> {
    let login = tempfile::tempdir()?;
    fs::write(login.path().join("username"), "importer\n")?;
    fs::write(login.path().join("password"), password)?;
    let folder = Some(login.path().to_owned());
    Ok((EgressArgs { egress_proxy_url: url.to_owned(), egress_proxy_no_proxy: Vec::new(), egress_proxy_login_dir: folder }, login))
}

/// Whoever corrects the login restarts the keeper, and does not wait for a pause that has grown by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_refused_is_asked_anew_by_the_next_keeper() -> Result<()> {
    let (url, mut asked) = strict_proxy().await?;
    let ground = Ground::prepare(IpAddr::V4(Ipv4Addr::LOCALHOST)).await?;
    let (egress, _wrong) = behind(&url, "wrong")?;
    let arguments = Args { egress, ..ground.keeper_arguments("keeper-0") };
    let keeper = start_keeper(ground.server.clone(), arguments, Line::default()).await?;
    let world: World = ground.with(keeper).await?;
    world.put_secret("public", json!({"clientSecret": "hush-of-the-org"})).await?;
    world.allow("public").await?;
    let mut spec = world.org_spec("public", "Keep");
    spec["salesforce"]["loginUrl"] = json!("https://acme.my.salesforce.com");
    world.consent("public", "public", &spec).await?;
    world.put_connection("public", spec).await?;
    let attempts = |c: &Connection| c.status.as_ref().and_then(|s| s.verification.as_ref()).map(|tried| tried.attempts);
    world.until::<Connection>("public", "a second attempt", |c| attempts(c) == Some(2)).await?;
    while let Ok(head) = asked.try_recv() {
        assert!(head.contains("Basic aW1wb3J0ZXI6d3Jvbmc=\r\n"), "{head}");
    }

    let (egress, _right) = behind(&url, PASSWORD)?;
    let arguments = Args { egress, ..world.ground.keeper_arguments("keeper-0") };
    let keeper = start_keeper(world.ground.server.clone(), arguments, Line::default()).await?;
    let (world, former) = world.with_keeper(keeper);
    former.finish().await;
    while !asked.recv().await.expect("the proxy is there").contains("Basic aW1wb3J0ZXI6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n") {}
    let connection = world.api::<Connection>(HOME).get("public").await?;
    assert_eq!(attempts(&connection), Some(1), "the pause that had grown is not waited for");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_does_not_start_with_a_proxy_that_cannot_be_meant() -> Result<()> {
    let ground = Ground::prepare(IpAddr::V4(Ipv4Addr::LOCALHOST)).await?;
    let egress = EgressArgs { egress_proxy_url: "https://proxy.corp:3129".into(), ..EgressArgs::default() };
    let arguments = Args { egress, ..ground.keeper_arguments("keeper-0") };
    let error = start_keeper(ground.server.clone(), arguments, Line::default()).await.err().expect("it does not start");
    assert!(format!("{error:#}").contains("egress.proxy.url"), "{error:#}");
    Ok(())
}
