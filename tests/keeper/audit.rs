//! The audit: what is in it, and that nobody who may write the volume can take something out of it or put something in.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use api::keeper::AuditReport;
use api::{Region, Tenant, conditions, names};
use http::StatusCode;
use jiff::SignedDuration;
use kube::Api;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use testkit::wait_for;

use crate::world::{Ground, REGION, SYSTEM, World};

/// What an attacker who may write the volume can compute: every line anew, with hashes that fit.
fn rewritten(text: &str, change: impl Fn(&mut Map<String, Value>)) -> Result<String> {
    let (mut prev, mut out) = (String::new(), String::new());
    for line in text.lines() {
        let mut line: Map<String, Value> = serde_json::from_str(line)?;
        change(&mut line);
        line.insert("prev".into(), prev.clone().into());
        line.remove("hash");
        let mac = line.remove("mac");
        let sorted: std::collections::BTreeMap<&String, &Value> = line.iter().collect();
        prev = hex::encode(Sha256::digest(serde_json::to_vec(&sorted)?));
        line.insert("hash".into(), prev.clone().into());
        line.extend(mac.map(|mac| ("mac".to_owned(), mac)));
        out.push_str(&format!("{}\n", Value::Object(line)));
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_a_credential_and_what_the_gateway_refuses_is_in_the_audit() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let uid = connection.metadata.uid.clone().unwrap_or_default();
    let audit = world.audit()?;
    let opened = audit.lines().any(|line| line.contains("CredentialOpened") && line.contains(&uid));
    let refused = world.http.put(world.gateway("uploads/none")).bearer_auth("nobody").body("x").send().await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let audited = world.audit()?.lines().any(|line| line.contains("GatewayRefused"));
    assert_eq!((opened, audited), (true, true), "(the verification, the refusal)");
    Ok(())
}

/// The audit as its administrators see it.
async fn report(world: &World) -> Result<AuditReport> {
    let audience = names::audit_audience(REGION, &world.keeper.installation);
    let token = world.token(SYSTEM, names::AUDIT_READER_ACCOUNT, &audience, None).await?;
    let url = format!("https://{}/v1/regions/{REGION}/audit/report", world.keeper.gateway_address);
    Ok(world.http.get(url).bearer_auth(token).send().await?.error_for_status()?.json().await?)
}

fn problem(report: &AuditReport, chain: &str) -> Option<String> {
    report.chains.iter().find(|found| found.name == chain).expect("the chain is in the report").problem.clone()
}

fn chain_file(ground: &Ground, chain: &str) -> PathBuf {
    ground.storage.path().join("files").join(REGION).join(format!("audit/{chain}.jsonl"))
}

async fn head(world: &World, chain: &str) -> Result<i64> {
    let region = Api::<Region>::all(world.client.clone()).get(REGION).await?;
    Ok(region.status.unwrap_or_default().audit.iter().find(|c| c.name == chain).map_or(0, |c| c.lines))
}

fn lines(ground: &Ground, chain: &str) -> Result<Vec<String>> {
    Ok(std::fs::read_to_string(chain_file(ground, chain))?.lines().map(|line| format!("{line}\n")).collect())
}

async fn until_head_is_written(world: &World, chain: &str) -> Result<()> {
    wait_for("the head in the Region's status", Duration::from_secs(30), async || {
        Ok((head(world, chain).await? == lines(world, chain)?.len() as i64).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_write_the_volume_takes_nothing_out_of_the_audit_and_puts_nothing_in() -> Result<()> {
    type Attack = fn(Vec<String>) -> Result<String>;
    let attacks: [(&str, Attack); 6] = [
        ("its last line cut off", |lines| Ok(lines[..lines.len() - 1].concat())),
        ("half of it cut off", |lines| Ok(lines[..lines.len() / 2].concat())),
        ("all of it cut off", |_| Ok(String::new())),
        ("every line written anew with hashes that fit", |lines| {
            rewritten(&lines.concat(), |line| drop(line.insert("credential".into(), json!("somebody-else"))))
        }),
        ("a line of one's own at the end", |lines| {
            let more = format!("{}{{\"chain\":\"x\",\"seq\":99,\"event\":\"FileErased\"}}\n", lines.concat());
            rewritten(&more, |_| ())
        }),
        ("two lines in each other's place", |mut lines| {
            let last = lines.len() - 1;
            lines.swap(last - 1, last);
            Ok(lines.concat())
        }),
    ];
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    for (number, (what, attack)) in (1..).zip(attacks) {
        let chain = if number == 1 { "keeper-0".to_owned() } else { format!("keeper-0.{number}") };
        for _ in 0..3 {
            report(&world).await?;
        }
        assert_eq!(problem(&report(&world).await?, &chain), None, "control: before {what} it is whole");
        std::fs::write(chain_file(&world, &chain), attack(lines(&world, &chain)?)?)?;
        let found = report(&world).await?;
        println!("{what}: {:?}", problem(&found, &chain));
        assert!(!found.whole && problem(&found, &chain).is_some(), "{what}: it counts as whole");
    }
    let region = Api::<Region>::all(world.client.clone());
    wait_for("the condition", Duration::from_secs(90), async || {
        let found = region.get(REGION).await?.status.unwrap_or_default().conditions;
        Ok(conditions::is_true(&found, conditions::AUDIT_BROKEN).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_put_back_while_the_keeper_is_down_is_noticed_and_a_crash_is_not_taken_for_one() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    report(&world).await?;
    until_head_is_written(&world, "keeper-0").await?;
    let old = lines(&world, "keeper-0")?;
    for _ in 0..3 {
        report(&world).await?;
    }
    let (written, said) = (lines(&world, "keeper-0")?.len() as i64, head(&world, "keeper-0").await?);
    let world =
        world.crash(|ground| Ok(std::fs::write(chain_file(ground, "keeper-0"), lines(ground, "keeper-0")?.concat() + "{\"half")?)).await?;
    assert!(said < written, "control: the head was written before the crash: {said} of {written} lines");
    let found = report(&world).await?;
    assert!(found.whole, "a crash between line and head: {found:?}");
    assert!(found.chains[0].lines > written as u64);

    until_head_is_written(&world, "keeper-0").await?;
    let world = world.crash(|ground| Ok(std::fs::write(chain_file(ground, "keeper-0"), old.concat())?)).await?;
    let found = report(&world).await?;
    println!("an older copy: {:?}", problem(&found, "keeper-0"));
    assert!(!found.whole && problem(&found, "keeper-0").is_some(), "{found:?}");
    assert_eq!(problem(&found, "keeper-0.2"), None, "what was written since is whole");
    // Once found out it stays found out, whatever is put back.
    until_head_is_written(&world, "keeper-0.2").await?;
    let world = world.restart_after(SignedDuration::ZERO).await?;
    assert!(problem(&report(&world).await?, "keeper-0").is_some());
    assert_eq!(problem(&report(&world).await?, "keeper-0.2"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_read_the_lines_of_their_tenant_and_administrators_those_of_the_region() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let tenant = Api::<Tenant>::all(world.client.clone()).get("acme").await?.metadata.uid.unwrap_or_default();
    let stranger = world.post("nobody", "runs/none/lease", &json!({"attempt": 1})).await?;
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);

    let installation = &world.keeper.installation;
    let reader = world.files_token(names::FILES_READER_ACCOUNT).await?;
    let admin = world.token(SYSTEM, names::AUDIT_READER_ACCOUNT, &names::audit_audience(REGION, installation), None).await?;
    let of_tenant = world.gateway("audit");
    let of_region = format!("https://{}/v1/regions/{REGION}/audit", world.keeper.gateway_address);
    let get = async |url: &str, token: &str| world.http.get(url).bearer_auth(token).send().await;
    let mine = get(&of_tenant, &reader).await?.error_for_status()?.text().await?;
    assert!(mine.contains("CredentialStored") && !mine.contains("CallRefused"), "{mine}");
    assert!(mine.lines().all(|line| line.contains(&tenant)), "a line of somebody else: {mine}");
    let all = get(&of_region, &admin).await?.error_for_status()?.text().await?;
    assert!(all.contains("CredentialStored") && all.contains("CallRefused"), "{all}");
    assert_eq!(dataimporter::keeper::verify_audit(&all)?["keeper-0"].0, all.lines().count() as u64, "an export is whole by itself");

    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    let foreign = world.token(SYSTEM, names::AUDIT_READER_ACCOUNT, &names::audit_audience("us-dallas", installation), None).await?;
    let other = world.token(SYSTEM, "default", &names::audit_audience(REGION, installation), None).await?;
    let cases = [(&of_region, &reader), (&of_region, &foreign), (&of_region, &other), (&of_tenant, &admin), (&of_tenant, &writer)];
    for (url, token) in cases {
        assert_eq!(get(url, token).await?.status(), StatusCode::FORBIDDEN, "{url}");
    }
    Ok(())
}

/// More refusals than a minute has lines for.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_does_not_fill_the_audit() -> Result<()> {
    let world = World::start().await?;
    for number in 0..100 {
        // A token that was refused a moment ago is not asked about again, and not told again.
        let token = format!("nobody-{number}");
        assert_eq!(world.http.get(world.gateway("audit")).bearer_auth(&token).send().await?.status(), StatusCode::FORBIDDEN);
        assert_eq!(world.post(&token, "runs/none/lease", &json!({"attempt": 1})).await?.status(), StatusCode::FORBIDDEN);
    }
    let refused = |audit: String| audit.lines().filter(|line| line.contains("Refused")).count();
    let told = refused(world.audit()?);
    assert!((1..60).contains(&told), "{told} lines of 200 refusals");
    let world = world.restart_after(SignedDuration::ZERO).await?;
    let audit = world.audit()?;
    let counted: u64 = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["count"].as_u64()).sum();
    assert_eq!(counted + told as u64, 200, "none is forgotten");
    Ok(())
}
