//! What people do to the objects that a run works from while its worker reads a file in parts.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, COMMIT, Partner};
use super::file_servers::{archive, with_partner};
use super::runs::Run;
use crate::cluster::Cluster;
use crate::demo::Demo;

pub(super) const CHECKS: &[Check] = &[(
    "a run reads what it began with while its job is edited, its upload shared, its Connection made again, its file put away by another job; an upload that is deleted is not read again",
    edits,
)];

const TENANT: &str = "lakeside";
/// Mebibytes before and behind the rows: more than a worker holds of a file.
const AROUND: u32 = 40;

struct Place<'a> {
    demo: &'a Demo,
    beside: Beside<'a>,
    partner: Partner,
    folder: PathBuf,
}

fn edits(demo: &Demo) -> Result<()> {
    let (beside, partner, folder) = with_partner(demo)?;
    let place = Place { demo, beside, partner, folder };
    let archive = archive(&place.beside.contacts(), AROUND, &place.partner.files, &place.folder)?;
    job_edited(&place)?;
    upload_shared(&place, &archive)?;
    upload_deleted(&place)?;
    put_away_twice(&place)?;
    connection_remade(&place)
}

impl<'a> Place<'a> {
    fn job(&self, name: &str, source: &Value) -> Result<()> {
        self.beside.job_from(TENANT, name, source)
    }

    fn run(&'a self, job: &str) -> Result<Run<'a>> {
        Run::start(self.demo, TENANT, job, &self.folder)
    }

    fn upload(&self, archive: &Path, jobs: &[&str]) -> Result<()> {
        self.demo.plugin(&["upload", &archive.to_string_lossy(), "--name", "shared", "--replace", "-n", TENANT])?;
        jobs.iter().try_for_each(|job| self.job(job, &json!({"upload": {"name": "shared", "member": "*.csv"}})))
    }

    fn edit(&self, job: &str, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        self.demo.kubectl.run(&["patch", "importjob", job, "-n", TENANT, "--type=merge", "-p", &patch]).map(drop)
    }
}

fn job_edited(place: &Place<'_>) -> Result<()> {
    let Place { demo, beside, partner, folder } = place;
    place.job("edited", &json!({"file": {"connectionRef": {"name": "partner"}, "path": "contacts.zip", "member": "*.csv"}}))?;
    let (run, pod, log) = Run::behind_its_first_chunk(beside, demo, TENANT, "edited", folder)?;
    std::fs::write(partner.files.join("other.csv"), "id,first_name,last_name\n1,Somebody,Else\n")?;
    let other = json!({"path": "other.csv", "member": null});
    place.edit("edited", &json!({"suspend": true, "source": {"timeZone": "Asia/Tokyo", "file": other}}))?;
    run.first_worker_crashes(&Cluster::find()?, &pod, log)?;
    beside.let_pass()?;
    run.ends("True", "Completed")?;
    run.counted_every_row_once(2)
}

fn upload_shared(place: &Place<'_>, archive: &Path) -> Result<()> {
    let Place { demo, beside, folder, .. } = place;
    place.upload(archive, &["first", "second"])?;
    let (first, pod, log) = Run::behind_its_first_chunk(beside, demo, TENANT, "first", folder)?;
    let second = place.run("second")?;
    second.has_uploaded_a_chunk()?;
    first.first_worker_crashes(&Cluster::find()?, &pod, log)?;
    beside.let_pass()?;
    for (run, attempts) in [(&first, 2), (&second, 1)] {
        run.ends("True", "Completed")?;
        run.counted_every_row_once(attempts)?;
    }
    Ok(())
}

fn upload_deleted(place: &Place<'_>) -> Result<()> {
    let Place { demo, beside, partner, folder } = place;
    // More rows than a worker has in hand.
    let archive = archive(&beside.contacts_of(10_000), AROUND, &partner.files, folder)?;
    place.upload(&archive, &["deleted"])?;
    let (run, pod, log) = Run::behind_its_first_chunk(beside, demo, TENANT, "deleted", folder)?;
    demo.kubectl.run(&["delete", "upload", "shared", "-n", TENANT, "--timeout=60s"])?;
    // A part that is being read comes to its end; nothing is read again.
    run.first_worker_crashes(&Cluster::find()?, &pod, log)?;
    beside.let_pass()?;
    run.ends("False", "UploadGone")?;
    let status = &run.object()?["status"];
    let (attempts, done) = (status["attempts"].as_array().map(Vec::len), status["chunks"]["done"].as_u64());
    ensure!(attempts == Some(1) && done == Some(1), "after {attempts:?} attempts it says {}", status["chunks"]);
    Ok(())
}

/// The server answers nobody until both runs have loaded the file, which one of them deletes and the other moves.
fn put_away_twice(place: &Place<'_>) -> Result<()> {
    let Place { demo, beside, partner, .. } = place;
    std::fs::set_permissions(&partner.files, std::fs::Permissions::from_mode(0o777))?;
    std::fs::write(partner.files.join("once.csv"), "id,first_name,last_name\n1,Ann,Loaded\n")?;
    let job = |name: &str, after: Value| {
        place.job(name, &json!({"file": {"connectionRef": {"name": "partner"}, "path": "once.csv", "afterSuccess": after}}))
    };
    job("deletes", json!({"delete": {}}))?;
    job("moves", json!({"move": {"folder": "done"}}))?;
    beside.hold_after(0, COMMIT, 120, 2)?;
    let runs = [place.run("deletes")?, place.run("moves")?];
    runs.iter().try_for_each(Run::has_uploaded_a_chunk)?;
    beside.newest_server_answers(false)?;
    beside.let_pass()?;
    runs.iter().try_for_each(Run::waits_for_its_file)?;
    place.edit("deletes", &json!({"suspend": true, "source": {"file": {"path": "other.csv"}}}))?;
    demo.kubectl.run(&["delete", "importjob", "moves", "-n", TENANT, "--timeout=60s"])?;
    beside.newest_server_answers(true)?;
    let mut states = Vec::new();
    for run in &runs {
        let said = run.ends("True", "Completed")?;
        states.push((run.object()?["status"]["outcome"]["afterSuccess"].clone(), said));
    }
    let is_there = |path: &str| partner.files.join(path).exists();
    let one = states.iter().filter(|(state, said)| state == "Done" && said.contains("once.csv")).count();
    let other = states.iter().filter(|(state, said)| state == "Kept" && said.contains("not there any more")).count();
    ensure!(one == 1 && other == 1 && !is_there("once.csv") && is_there("other.csv"), "the runs say {states:?}");
    ensure!(is_there("done/once.csv") == (states[1].0 == "Done"), "the runs say {states:?}");
    Ok(())
}

fn connection_remade(place: &Place<'_>) -> Result<()> {
    let Place { demo, beside, partner, folder } = place;
    archive(&beside.contacts(), AROUND, &partner.files, folder)?;
    place.job("remade", &json!({"file": {"connectionRef": {"name": "partner"}, "path": "contacts.zip", "member": "*.csv"}}))?;
    let (run, _, log) = Run::behind_its_first_chunk(beside, demo, TENANT, "remade", folder)?;
    demo.kubectl.run(&["delete", "connection", "partner", "-n", TENANT, "--wait=false"])?;
    beside.connection_says(TENANT, "partner", "Disconnecting", "waiting for runs to stop: 1")?;
    beside.let_pass()?;
    run.ends("False", "Cancelled")?;
    log.ended()?;
    demo.kubectl.run(&["wait", "--for=delete", "connection/partner", "-n", TENANT, "--timeout=60s"])?;
    beside.partner(TENANT, "partner", &beside.password(), &partner.host_key)?;
    beside.intake(TENANT, &["partner"])?;
    // The next run is the control.
    place.run("remade")?.ends("True", "Completed").map(drop)
}
