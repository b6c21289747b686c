//! Files of an SFTP and of an HTTPS server beside the cluster: what is wrong about them is told, a neighbour does not reach them, and their
//! rows come through workers that die.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, COMMIT, Partner};
use super::canary::Canary;
use super::runs::{Log, Run};
use super::worker_process::WorkerProcess;
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("an SFTP or HTTPS server, key or credential that is wrong is told with the way out, and a neighbour's is out of reach", refusals),
    (
        "files of an SFTP and an HTTPS server are read through workers that die, each row once, the newest one or the one that is named, also out of an \
         archive that is larger than a worker, and none of it at rest",
        deaths,
    ),
    ("a file that is loaded is moved or deleted, also when its worker dies before that, and not when its place is taken", put_away),
    ("each file of a folder is read once, in a run of its own, the oldest first, and a file that fails holds the others up", each_once),
];

const TENANT: &str = "lakeside";
/// Whom no Region lets through to the address beside the cluster.
const NEIGHBOUR: &str = "acme";

fn refusals(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    let partner = beside.openssh()?;
    beside.nginx()?;
    beside.tenant(TENANT)?;
    let secret = beside.password();
    let unknown = format!("SHA256:{}", "A".repeat(43));
    // The control, and what is wrong with each of the others.
    for (name, password, host_key, reason, words) in [
        ("right", secret.as_str(), partner.host_key.as_str(), "Verified", "SFTP"),
        ("password", "another", &partner.host_key, "LoginRefused", "correct entry password of Secret password"),
        ("host-key", &secret, &unknown, "HostKeyRefused", &partner.host_key),
    ] {
        beside.partner(TENANT, name, password, host_key)?;
        beside.permit(TENANT, name)?;
        beside.connection_says(TENANT, name, reason, words)?;
    }
    for (name, token, trusted, reason, words) in [
        ("right-token", secret.as_str(), true, "Verified", "HTTPS"),
        ("token", "another", true, "LoginRefused", "correct entry token of Secret token"),
        ("certificate", &secret, false, "TlsRefused", "exports.beside.svc"),
    ] {
        beside.exports(TENANT, name, token, trusted)?;
        beside.permit(TENANT, name)?;
        beside.connection_says(TENANT, name, reason, words)?;
    }
    let kubectl = &demo.kubectl;
    beside.partner(NEIGHBOUR, "partner", &secret, &partner.host_key)?;
    beside.permit(NEIGHBOUR, "partner")?;
    let refused = beside.connection_says(NEIGHBOUR, "partner", "AddressRefused", "privateEndpoints");
    kubectl.run(&["delete", "connection", "partner", "-n", NEIGHBOUR])?;
    refused
}

/// An SFTP server that the tenant's jobs may read, an org that they may write to, and a folder for the logs of their runs.
pub(super) fn with_partner(demo: &Demo) -> Result<(Beside<'_>, Partner, PathBuf)> {
    let mut beside = Beside::start(demo)?;
    let partner = beside.openssh()?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    beside.partner(TENANT, "partner", &beside.password(), &partner.host_key)?;
    beside.intake(TENANT, &["crm", "partner"])?;
    let folder = demo.folder.join("file-servers");
    std::fs::create_dir_all(&folder)?;
    Ok((beside, partner, folder))
}

fn each_once(demo: &Demo) -> Result<()> {
    let (beside, partner, folder) = with_partner(demo)?;
    let inbox = partner.files.join("inbox");
    std::fs::create_dir_all(&inbox)?;
    // By their times, not by their names.
    let put = |name: &str, second: u64, rows: &str| -> Result<()> {
        let path = inbox.join(name);
        std::fs::write(&path, format!("id,first_name,last_name\n{rows}"))?;
        let at = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        Ok(std::fs::File::options().write(true).open(path)?.set_modified(at)?)
    };
    put("c.csv", 1, "1,Ann,Oldest\n")?;
    put("a.csv", 2, "1,Ann,Middle\n2,Bob,Middle\n")?;
    put("b.csv", 3, "1,Ann,Newest\n")?;
    beside.job_from(TENANT, "inbox", &json!({"file": {"connectionRef": {"name": "partner"}, "path": "inbox/*.csv", "choose": "All"}}))?;
    let by_hand = |name: &str| Run::start_as(&format!("inbox-{name}-{}", std::process::id()), demo, TENANT, "inbox", &folder);
    let has_read = |run: &Run<'_>, file: &str, rows: u64, left: Option<u64>| -> Result<()> {
        run.ends("True", "Completed")?;
        let status = &run.object()?["status"];
        let (outcome, counted) = (&status["outcome"], &status["rows"]);
        let right = outcome["file"] == format!("inbox/{file}") && outcome["filesLeft"].as_u64() == left && counted["succeeded"] == rows;
        ensure!(right, "not {file}, {rows} rows, {left:?} left: {outcome} {counted}");
        Ok(())
    };
    let first = by_hand("first")?;
    has_read(&first, "c.csv", 1, Some(2))?;
    let second = first.following("inbox")?;
    has_read(&second, "a.csv", 2, Some(1))?;
    let third = second.following("inbox")?;
    has_read(&third, "b.csv", 1, None)?;
    let said = by_hand("again")?.ends("True", "NothingNew")?;
    ensure!(said.contains("earlier runs have read 3 of them"), "it says {said}");

    // A file that cannot be read is not overtaken; once it is mended the row goes on.
    put("d.csv", 4, "")?;
    std::fs::write(inbox.join("d.csv"), "PK\u{3}\u{4}no archive")?;
    put("e.csv", u64::from(u32::MAX) - 1_700_000_000, "3,Eve,Last\n")?;
    let failed = by_hand("broken")?;
    failed.ends("False", "")?;
    ensure!(failed.object()?["status"]["outcome"]["file"] == "inbox/d.csv", "it has read another file: {}", failed.object()?["status"]);
    put("d.csv", 5, "2,Bob,Mended\n")?;
    let mended = by_hand("mended")?;
    has_read(&mended, "d.csv", 1, Some(1))?;
    has_read(&mended.following("inbox")?, "e.csv", 1, None)?;
    let runs = demo.kubectl.json(&["get", "importruns", "-n", TENANT])?;
    let of_job = runs["items"].as_array().map_or(0, |runs| runs.iter().filter(|run| run["spec"]["jobRef"]["name"] == "inbox").count());
    ensure!(of_job == 7, "{of_job} runs of the job, and 7 are meant");

    // Runs outlive their job, until somebody deletes them.
    demo.kubectl.run(&["delete", "importjob", "inbox", "-n", TENANT, "--timeout=60s"])?;
    let kept = demo.kubectl.run(&["get", "importruns", "-n", TENANT, "-o", "name"])?;
    let followed: Vec<&str> = kept.lines().filter(|run| run.contains("/inbox-after-")).collect();
    ensure!(followed.len() == 3, "runs that followed, once their job is gone: {followed:?}");
    demo.kubectl.run(&[&["delete", "-n", TENANT, "--timeout=60s"], &followed[..]].concat()).map(drop)
}

fn put_away(demo: &Demo) -> Result<()> {
    let (beside, partner, folder) = with_partner(demo)?;
    for part in [partner.files.clone(), partner.files.join("tidy")] {
        std::fs::create_dir_all(&part)?;
        std::fs::set_permissions(part, std::fs::Permissions::from_mode(0o777))?;
    }
    let put = |name: &str| Ok::<_, anyhow::Error>(std::fs::write(partner.files.join(name), "id,first_name,last_name\n1,Ann,Loaded\n")?);
    let is_there = |name: &str, there: bool| -> Result<()> {
        let found = partner.files.join(name).exists();
        ensure!(found == there, "{name} is{} there", if found { "" } else { " not" });
        Ok(())
    };
    let job = |name: &str, path: &str, after: Value| {
        let file = json!({"connectionRef": {"name": "partner"}, "path": path, "afterSuccess": after});
        beside.job_from(TENANT, name, &json!({"file": file}))
    };
    let by_hand = |job: &str, name: &str| Run::start_as(&format!("{job}-{name}-{}", std::process::id()), demo, TENANT, job, &folder);
    let state = |run: &Run<'_>| Ok::<_, anyhow::Error>(run.object()?["status"]["outcome"]["afterSuccess"].clone());

    put("tidy/a.csv")?;
    job("tidy", "tidy/*.csv", json!({"move": {"folder": "done/today"}}))?;
    let moved = by_hand("tidy", "moved")?;
    let said = moved.ends("True", "Completed")?;
    ensure!(said.contains(r#""tidy/a.csv" was moved to "done/today/a.csv""#) && state(&moved)? == "Done", "it says {said}");
    is_there("tidy/a.csv", false)?;
    is_there("done/today/a.csv", true)?;
    put("tidy/a.csv")?;
    let taken = by_hand("tidy", "taken")?;
    let said = taken.ends("True", "Completed")?;
    ensure!(said.contains("is there already") && state(&taken)? == "Kept", "it says {said}");
    is_there("tidy/a.csv", true)?;

    // The server takes connections and answers none, once the file is read.
    let loaded_only = |name: &str| -> Result<(Run<'_>, Value, Log)> {
        beside.hold_after(0, COMMIT, 120, 1)?;
        let run = by_hand("gone", name)?;
        let (pod, log) = run.worker(1)?;
        run.has_uploaded_a_chunk()?;
        beside.newest_server_answers(false)?;
        beside.let_pass()?;
        run.waits_for_its_file()?;
        Ok((run, pod, log))
    };

    // Its worker dies when everything is loaded and nothing is deleted yet; the next one deletes the file and loads nothing.
    put("tidy/b.csv")?;
    job("gone", "tidy/b.csv", json!({"delete": {}}))?;
    let (run, pod, _log) = loaded_only("killed")?;
    WorkerProcess::of(&Cluster::find()?, &pod)?.crash()?;
    run.attempt_ended(0, "Error", "exit code 139")?;
    is_there("tidy/b.csv", true)?;
    beside.newest_server_answers(true)?;
    let said = run.ends("True", "Completed")?;
    ensure!(said.contains(r#""tidy/b.csv" was deleted"#) && state(&run)? == "Done", "it says {said}");
    is_there("tidy/b.csv", false)?;
    let status = &run.object()?["status"];
    let (attempts, outcome) = (status["attempts"].as_array().map(Vec::len), &status["outcome"]);
    let right = attempts == Some(2) && outcome["attempt"] == 2 && outcome["sealedFile"].is_null() && status["rows"]["succeeded"] == 1;
    ensure!(right && status["chunks"]["total"] == 1, "its status is {status}");

    // Nobody stays in the way of a run that is cancelled between the two.
    put("tidy/b.csv")?;
    let (run, pod, _log) = loaded_only("cancelled")?;
    demo.kubectl.run(&["patch", "importrun", run.name(), "-n", TENANT, "--type=merge", "-p", r#"{"spec":{"cancel":true}}"#])?;
    WorkerProcess::of(&Cluster::find()?, &pod)?.crash()?;
    let said = run.ends("True", "Completed")?;
    beside.newest_server_answers(true)?;
    ensure!(said.contains("may not have been done: cancelled between two attempts"), "it says {said}");
    is_there("tidy/b.csv", true)
}

const ARCHIVE: &str = "
import sys, zipfile
around = bytes(int(sys.argv[3]) << 20)
with zipfile.ZipFile(sys.argv[1], 'w') as archive:
    for name, content in [('scan.bin', around), ('contacts.csv', open(sys.argv[2]).read()), ('other.bin', around)]:
        archive.writestr(name, content)
";

/// Writes `contacts.zip`, which has these rows and so many mebibytes before and behind them.
pub(super) fn archive(rows: &str, around: u32, files: &Path, folder: &Path) -> Result<PathBuf> {
    let (csv, archive) = (folder.join("contacts.csv"), files.join("contacts.zip"));
    std::fs::write(&csv, rows)?;
    process::output(Command::new("python3").args(["-c", ARCHIVE]).args([&archive, &csv]).arg(around.to_string()))?;
    std::fs::remove_file(csv)?;
    Ok(archive)
}

fn deaths(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    let partner = beside.openssh()?;
    let exports = beside.nginx()?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    beside.partner(TENANT, "partner", &beside.password(), &partner.host_key)?;
    beside.exports(TENANT, "exports", &beside.password(), true)?;
    beside.intake(TENANT, &["crm", "partner", "exports"])?;
    let cluster = Cluster::find()?;
    let folder = demo.folder.join("file-servers");
    std::fs::create_dir_all(&folder)?;
    let mut logs = Vec::new();
    for (name, files, file, path, member) in [
        ("partner", &partner.files, "contacts-2.csv", "contacts-*.csv", None),
        ("exports", &exports, "contacts.csv", "contacts.csv", None),
        ("partner", &partner.files, "contacts.zip", "contacts.zip", Some("*.csv")),
        ("exports", &exports, "contacts.zip", "contacts.zip", Some("*.csv")),
    ] {
        if member.is_none() {
            std::fs::write(files.join(file), beside.contacts())?;
        } else {
            // More than the pod of a worker may have.
            archive(&beside.contacts(), 150, files, &folder)?;
        }
        let job = if member.is_some() { format!("{name}-in-parts") } else { name.to_owned() };
        let mut source = json!({"connectionRef": {"name": name}, "path": path});
        if let Some(member) = member {
            source["member"] = json!(member);
        }
        beside.job_from(TENANT, &job, &json!({"file": source}))?;
        let (run, pod, log) = Run::behind_its_first_chunk(&beside, demo, TENANT, &job, &folder)?;
        logs.push(run.first_worker_crashes(&cluster, &pod, log)?);
        // A newer file that matches is not what this run reads.
        std::fs::write(files.join("contacts-9.csv"), "id,first_name,last_name\n1,Somebody,Else\n")?;
        beside.let_pass()?;
        run.ends("True", "Completed")?;
        run.counted_every_row_once(2)?;
        let chosen = run.object()?["status"]["outcome"]["file"].clone();
        ensure!(chosen == if path == file { Value::Null } else { file.into() }, "the file that was read is told as {chosen}");
    }
    // So is an upload, which the keeper has sealed.
    let archive = partner.files.join("contacts.zip");
    demo.plugin(&["upload", &archive.to_string_lossy(), "--name", "in-parts", "--replace", "-n", TENANT])?;
    beside.job_from(TENANT, "upload-in-parts", &json!({"upload": {"name": "in-parts", "member": "*.csv"}}))?;
    let (run, pod, log) = Run::behind_its_first_chunk(&beside, demo, TENANT, "upload-in-parts", &folder)?;
    logs.push(run.first_worker_crashes(&cluster, &pod, log)?);
    beside.let_pass()?;
    run.ends("True", "Completed")?;
    run.counted_every_row_once(2)?;
    let canary = Canary::new(&beside.marker);
    canary.below(&logs)?.found_nothing("logs of workers", 1 << 8)?;
    canary.below(&cluster.disks())?.found_nothing("disks of the nodes", 100 << 20)?;
    demo.kubectl.run(&["delete", "upload", "in-parts", "-n", TENANT])?;

    // Another file in its place is not read as the same one.
    std::fs::write(partner.files.join("contacts.csv"), beside.contacts())?;
    beside.job_from(TENANT, "replaced", &json!({"file": {"connectionRef": {"name": "partner"}, "path": "contacts.csv"}}))?;
    let (run, pod, _log) = Run::behind_its_first_chunk(&beside, demo, TENANT, "replaced", &folder)?;
    std::fs::write(partner.files.join("contacts.csv"), "id,first_name,last_name\n1,Somebody,Else\n")?;
    WorkerProcess::of(&cluster, &pod)?.crash()?;
    beside.let_pass()?;
    let said = run.ends("False", "")?;
    ensure!(said.contains("not what it was"), "it says {said}");
    Ok(())
}
