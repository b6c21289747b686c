//! Volumes that hang or are full: what stands still is the region that lies on them, and nobody else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::{Upload, names};
use http::StatusCode;
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;
use testkit::{Line, wait_for};

use crate::world::{BETA, Ground, HOME, World};

/// Guards against hanging, measures nothing.
const LONG: Duration = Duration::from_secs(90);
const FAR: &str = "us-dallas";

/// A filesystem of its own. Making one takes root.
struct Volume(PathBuf);

impl Volume {
    /// One that can be frozen.
    fn ext4(at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let image = at.with_extension("img");
        std::fs::File::create(&image)?.set_len(32 << 20)?;
        command("mkfs.ext4", &["-q", path(&image)])?;
        command("mount", &["-o", "loop", path(&image), path(at)])?;
        Ok(Self(at.to_owned()))
    }

    /// One of so many MiB.
    fn memory(at: &Path, size: u32) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        command("mount", &["-t", "tmpfs", "-o", &format!("size={size}m"), "none", path(at)])?;
        Ok(Self(at.to_owned()))
    }

    /// From now on a process that writes here hangs, and no signal helps.
    fn hang(&self) -> Result<()> {
        command("fsfreeze", &["-f", path(&self.0)])?;
        // Should everything here hang with it, nobody else would end it.
        let at = self.0.clone();
        std::thread::spawn(move || {
            std::thread::sleep(LONG * 3);
            let _ = Command::new("fsfreeze").args(["-u", path(&at)]).output();
        });
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        command("fsfreeze", &["-u", path(&self.0)])
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").args(["-u", path(&self.0)]).output();
        let _ = Command::new("umount").args(["-l", path(&self.0)]).output();
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let done = Command::new(program).args(arguments).output().with_context(|| format!("{program}: volumes are made as root"))?;
    ensure!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a name in UTF-8")
}

/// Tenant `beta` of a second region, whose volume is `far`.
async fn settle_beta(ground: &Ground) -> Result<()> {
    ground.settle_beta(FAR, &json!({"volume": {"name": "far"}})).await
}

async fn send_of_beta(world: &World, name: &str, content: Vec<u8>) -> Result<reqwest::Response> {
    world.send_of_beta(FAR, name, content).await
}

async fn send(world: &World, name: &str) -> Result<Upload> {
    world.put_upload(name).await?;
    let token = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    let sent = world.http.put(world.gateway(&format!("uploads/{name}"))).bearer_auth(&token).body("Name\nAda\n").send().await?;
    ensure!(sent.status() == StatusCode::OK, "{}", sent.text().await?);
    Ok(world.api::<Upload>(HOME).get(name).await?)
}

async fn until_far_is(world: &World, reason: &str) -> Result<String> {
    world.until_storage_is(FAR, reason, "").await
}

async fn with_beta() -> Result<(Ground, Volume)> {
    let ground = Ground::prepare(std::net::Ipv4Addr::LOCALHOST.into()).await?;
    let volume = Volume::ext4(&ground.storage.path().join("far"))?;
    settle_beta(&ground).await?;
    Ok((ground, volume))
}

async fn sent_of_beta(world: &World, name: &str) -> Result<()> {
    let mut made = 0;
    wait_for("an upload of beta", LONG, async || {
        made += 1;
        let sent = send_of_beta(world, &format!("{name}-{made}"), b"Name\nBo\n".to_vec()).await?;
        Ok((sent.status() == StatusCode::OK).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_hangs_stalls_its_own_region_only() -> Result<()> {
    let (ground, volume) = with_beta().await?;
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    let world = ground.with(keeper).await?;
    sent_of_beta(&world, "rows").await?;
    let old = send(&world, "old").await?;
    let connection = world.ready_connection("crm").await?;

    volume.hang()?;
    // Calls that touch the volume that hangs: more than any pool has threads to spare.
    let calls = (0..40).map(|number| {
        let http = world.http.clone();
        let url = world.workers("runs/none/lease");
        tokio::spawn(
            async move { http.post(url).bearer_auth(format!("nobody-{number}")).json(&json!({"attempt": 1})).send().await.is_ok() },
        )
    });
    let _calls: Vec<_> = calls.collect();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let upload = tokio::time::timeout(LONG, send(&world, "new")).await.context("an upload of the other region hangs, too")??;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let path = format!("runs/{}/lease", worker.uid);
    let lease = tokio::time::timeout(LONG, world.post(&token, &path, &json!({"attempt": 1}))).await;
    assert_eq!(lease.context("a lease of the other region hangs, too")??.status(), StatusCode::OK);
    let swept = tokio::time::timeout(LONG, world.keeper.advance(SignedDuration::from_mins(61))).await;
    swept.context("the sweep hangs")??;
    let erased = world.api::<Upload>(HOME).get(&old.name_any()).await?.status.unwrap_or_default().erased_at;
    assert!(erased.is_some(), "the erasure of the other region hangs, too");
    let message = until_far_is(&world, "NotResponding").await?;
    assert!(message.contains(FAR), "{message}");

    volume.go_on()?;
    until_far_is(&world, "Writable").await?;
    wait_for("the file of the region that hung to be erased", LONG, async || {
        world.keeper.advance(SignedDuration::ZERO).await?;
        let uploads = world.api::<Upload>(BETA).list(&Default::default()).await?;
        let sent = |u: &&Upload| u.status.as_ref().is_some_and(|s| s.completed_at.is_some());
        Ok(uploads.iter().filter(sent).all(|u| u.status.as_ref().is_some_and(|s| s.erased_at.is_some())).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_becomes_ready_though_a_volume_hangs() -> Result<()> {
    let (ground, volume) = with_beta().await?;
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    let world = ground.with(keeper).await?;
    sent_of_beta(&world, "rows").await?;
    volume.hang()?;
    let world = tokio::time::timeout(LONG, world.restart_after(SignedDuration::from_hours(2))).await;
    let world = world.context("the keeper does not become ready")??;
    send(&world, "new").await?;
    until_far_is(&world, "NotResponding").await?;
    volume.go_on()?;
    until_far_is(&world, "Writable").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_cannot_starve_the_audit_and_a_region_without_audit_is_closed() -> Result<()> {
    let ground = Ground::prepare(std::net::Ipv4Addr::LOCALHOST.into()).await?;
    let at = ground.storage.path().join("far");
    let _volume = Volume::memory(&at, 24)?;
    settle_beta(&ground).await?;
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    let world = ground.with(keeper).await?;
    sent_of_beta(&world, "rows").await?;

    // Three fit and leave more than the reserve; of a fourth most would be in it, whatever is still on its way to the volume when it is looked at.
    let mut answers = Vec::new();
    for number in 0..8 {
        let sent = send_of_beta(&world, &format!("big-{number}"), vec![b'x'; 5 << 20]).await?;
        answers.push((sent.status(), sent.text().await?));
    }
    let (status, said) = answers.last().cloned().unwrap_or_default();
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{said}");
    assert!(said.contains("8 MiB") && said.contains(FAR), "neither limit nor region are named: {said}");
    let audit = at.join(FAR).join("audit/keeper-0.jsonl");
    let born = |text: &str| text.matches("FileBorn").count();
    let before = std::fs::read_to_string(&audit)?;
    assert!(answers.iter().any(|(status, _)| *status == StatusCode::OK), "control: nothing was taken at all");
    assert_eq!(born(&before), 1 + answers.iter().filter(|(status, _)| *status == StatusCode::OK).count());
    assert!(free(&at)? >= 6 << 20, "the reserve is used up: {} bytes are free", free(&at)?);

    // Something else uses the reserve up: no line can be written.
    let filler = at.join("filler");
    let _ = std::fs::write(&filler, vec![0; 24 << 20]);
    for number in 0..25 {
        world.post(&format!("nobody-{number}"), "runs/none/lease", &json!({"attempt": 1})).await?;
    }
    let message = until_far_is(&world, "AuditFailed").await?;
    assert!(message.contains(FAR), "{message}");
    send(&world, "other").await.context("the other region is closed, too")?;

    std::fs::remove_file(&filler)?;
    world.keeper.advance(SignedDuration::from_mins(61)).await?;
    until_far_is(&world, "Writable").await?;
    sent_of_beta(&world, "again").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_whose_audit_cannot_be_written_is_closed_until_it_can() -> Result<()> {
    let ground = Ground::prepare(std::net::Ipv4Addr::LOCALHOST.into()).await?;
    std::fs::create_dir(ground.storage.path().join("far"))?;
    settle_beta(&ground).await?;
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    let world = ground.with(keeper).await?;
    sent_of_beta(&world, "rows").await?;
    // There is room for files, and none for lines.
    let folder = ground_folder(&world).join("audit");
    let aside = folder.with_extension("aside");
    std::fs::rename(&folder, &aside)?;
    std::fs::write(&folder, b"in the way")?;
    std::fs::remove_file(aside.join("keeper-0.jsonl"))?;
    let closed = send_of_beta(&world, "closed", b"Name\nBo\n".to_vec()).await?;
    assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE, "a file was born without a line in the audit");
    let message = until_far_is(&world, "AuditFailed").await?;
    assert!(message.contains(FAR), "{message}");
    send(&world, "other").await.context("the other region is closed, too")?;

    std::fs::remove_file(&folder)?;
    until_far_is(&world, "Writable").await?;
    sent_of_beta(&world, "again").await?;
    let next = std::fs::read_to_string(folder.join("keeper-0.2.jsonl"))?;
    assert!(next.contains("ChainBegun") && next.contains("AuditResumed"), "{next}");
    Ok(())
}

fn ground_folder(world: &World) -> PathBuf {
    world.storage.path().join("far").join(FAR)
}

fn free(at: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(at)?;
    Ok(stat.f_bavail * stat.f_frsize)
}
