//! When a job is ready and when a run starts.

use std::sync::Arc;

use api::conditions::{LAST_RUN_SUCCEEDED, READY, find};
use api::{ImportJob, ImportRun};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::finding::Standing;
use crate::testing::{FRESH, MANUAL, ONCE, SQL, UPLOAD, at, now, observed_job, run, uid};

fn edit(source: &str, trigger: &str, change: impl FnOnce(&mut Observed)) -> Observed {
    let mut observed = observed_job(source, trigger);
    change(&mut observed);
    observed
}

fn ended(reason: &str, succeeded: &str) -> ImportRun {
    run(&format!(
        r#"{{finishedAt: "2026-11-24T05:59:30Z", conditions: [{{type: Succeeded, status: "{succeeded}", reason: {reason}, message: m, lastTransitionTime: "2026-11-24T05:59:30Z"}}]}}"#
    ))
}

#[test]
fn how_a_job_stands() {
    type Case = (&'static str, &'static str, &'static str, fn(&mut Observed), &'static str, Standing);
    let table: [Case; 23] = [
        ("in order", UPLOAD, MANUAL, |_| (), "Armed", Standing::Ready),
        ("no tenant", UPLOAD, MANUAL, |o| o.tenant = None, "NoTenant", Standing::Waiting),
        ("no region", UPLOAD, MANUAL, |o| o.region = None, "RegionNotFound", Standing::Waiting),
        (
            "region made anew",
            UPLOAD,
            MANUAL,
            |o| Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = Some("x".into()),
            "RegionReplaced",
            Standing::Waiting,
        ),
        (
            "tenant bound to no region, and a region without a UID",
            UPLOAD,
            MANUAL,
            |o| {
                Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = None;
                Arc::make_mut(o.tenant.as_mut().unwrap()).status.as_mut().unwrap().region_uid = None;
            },
            "RegionReplaced",
            Standing::Waiting,
        ),
        (
            "region not ready",
            UPLOAD,
            MANUAL,
            |o| Arc::make_mut(o.region.as_mut().unwrap()).status = None,
            "RegionNotReady",
            Standing::Waiting,
        ),
        ("no connection", UPLOAD, MANUAL, |o| o.connections.clear(), "ConnectionNotFound", Standing::Waiting),
        (
            "source and target swapped",
            SQL,
            MANUAL,
            |o| {
                let crm = o.connections["crm"].clone();
                o.connections.insert("lake".into(), crm);
            },
            "WrongConnectionKind",
            Standing::Stalled,
        ),
        (
            "connection not verified",
            SQL,
            MANUAL,
            |o| Arc::make_mut(o.connections.get_mut("lake").unwrap()).status = None,
            "ConnectionNotReady",
            Standing::Waiting,
        ),
        (
            "connection edited since it was verified",
            SQL,
            MANUAL,
            |o| {
                let lake = Arc::make_mut(o.connections.get_mut("lake").unwrap());
                lake.metadata.generation = Some(2);
                lake.status.as_mut().unwrap().conditions[0].observed_generation = Some(1);
            },
            "ConnectionNotReady",
            Standing::Waiting,
        ),
        (
            "connection suspended",
            SQL,
            MANUAL,
            |o| Arc::make_mut(o.connections.get_mut("lake").unwrap()).spec.suspend = Some(true),
            "ConnectionSuspended",
            Standing::Waiting,
        ),
        ("no upload", UPLOAD, MANUAL, |o| o.upload = None, "UploadNotFound", Standing::Waiting),
        ("empty upload", UPLOAD, MANUAL, |o| Arc::make_mut(o.upload.as_mut().unwrap()).status = None, "UploadNotReady", Standing::Waiting),
        (
            "upload nearly over",
            UPLOAD,
            MANUAL,
            |o| {
                let status = Arc::make_mut(o.upload.as_mut().unwrap()).status.as_mut().unwrap();
                status.expires_at = Some(Time(now() + 299.seconds()));
            },
            "UploadExpired",
            Standing::Waiting,
        ),
        ("a source that a newer version reads", "{topic: {name: accounts}}", MANUAL, |_| (), "NotUnderstood", Standing::Stalled),
        (
            "a format that a newer version reads",
            "{upload: {name: accounts, format: {avro: {}}}}",
            MANUAL,
            |_| (),
            "NotUnderstood",
            Standing::Stalled,
        ),
        ("a trigger of a newer version", UPLOAD, "{stream: {}}", |_| (), "NotUnderstood", Standing::Stalled),
        ("two triggers", UPLOAD, "{manual: {}, once: {id: '2'}}", |_| (), "NotUnderstood", Standing::Stalled),
        ("bad cron", SQL, "{schedule: {cron: '99 6 * * *'}}", |_| (), "InvalidSchedule", Standing::Stalled),
        (
            "a zone that nobody knows",
            "{sql: {connectionRef: {name: lake}, query: SELECT 1}, timeZone: Europe/Atlantis}",
            MANUAL,
            |_| (),
            "InvalidSpec",
            Standing::Stalled,
        ),
        (
            "a file that is moved to where it is read",
            "{file: {connectionRef: {name: lake}, path: in/*.csv, afterSuccess: {move: {folder: in}}}}",
            MANUAL,
            |_| (),
            "InvalidSpec",
            Standing::Stalled,
        ),
        (
            "something else that a newer version does with a file",
            "{file: {connectionRef: {name: lake}, path: in/*.csv, afterSuccess: {truncate: {}}}}",
            MANUAL,
            |_| (),
            "NotUnderstood",
            Standing::Stalled,
        ),
        ("a day that never comes", SQL, "{schedule: {cron: '0 0 30 2 *'}}", |_| (), "InvalidSchedule", Standing::Stalled),
    ];
    for (name, source, trigger, change, reason, standing) in table {
        let decision = decide(&edit(source, trigger, change), now());
        assert_eq!((decision.finding.reason, decision.finding.standing), (reason, standing), "{name}: {}", decision.finding.message);
        assert_eq!(decision.start, None, "{name}");
    }
}

#[test]
fn a_zone_that_nobody_knows_is_told_and_one_that_is_known_is_in_nobodys_way() {
    let finding = |zone: &str| {
        let source = format!("{{sql: {{connectionRef: {{name: lake}}, query: SELECT 1}}, timeZone: {zone}}}");
        decide(&observed_job(&source, MANUAL), now()).finding
    };
    let unknown = finding("Europe/Atlantis");
    assert_eq!(unknown.message, "source.timeZone \"Europe/Atlantis\" is not a time zone: use an IANA name, e.g. Europe/Berlin");
    assert_eq!(finding("Europe/Berlin").reason, "Armed");
}

#[test]
fn a_once_job_starts_one_run_whose_name_is_always_the_same() {
    let first = decide(&observed_job(UPLOAD, ONCE), now());
    assert_eq!(first.start.as_ref().unwrap().name, "accounts-once-1");
    let again = decide(&edit(UPLOAD, ONCE, |o| o.once_run = Some(Arc::new(run(FRESH)))), now());
    assert_eq!((again.start, again.finding.reason), (None, "Started"));
    let done = decide(&edit(UPLOAD, ONCE, |o| o.once_run = Some(Arc::new(ended("Completed", "True")))), now());
    assert_eq!((done.start, done.finding.reason), (None, "Done"));
}

#[test]
fn an_absent_trigger_is_once_with_id_1() {
    let mut observed = observed_job(UPLOAD, ONCE);
    Arc::make_mut(&mut observed.job).spec.trigger = None;
    assert_eq!(once_name(&observed.job).as_deref(), Some("accounts-once-1"));
}

#[test]
fn a_job_made_anew_finds_the_run_of_the_former_one() {
    let observed = edit(UPLOAD, ONCE, |o| {
        o.uid = uid("another");
        o.once_run = Some(Arc::new(run(FRESH)));
    });
    let decision = decide(&observed, now());
    assert_eq!((decision.finding.reason, decision.finding.standing, decision.start), ("AlreadyRan", Standing::Ready, None));
}

#[test]
fn a_done_job_stays_ready_when_its_upload_and_connection_are_gone() {
    let observed = edit(UPLOAD, ONCE, |o| {
        o.once_run = Some(Arc::new(ended("Completed", "True")));
        o.connections.clear();
        o.upload = None;
    });
    assert_eq!(decide(&observed, now()).finding.reason, "Done");
}

#[test]
fn a_suspended_job_starts_nothing_and_is_not_broken() {
    let observed = edit(UPLOAD, ONCE, |o| Arc::make_mut(&mut o.job).spec.suspend = Some(true));
    let decision = decide(&observed, now());
    assert_eq!((decision.finding.reason, decision.finding.standing, decision.start), ("Suspended", Standing::Ready, None));
}

const DAILY: &str = "{schedule: {cron: '0 6 * * *', timeZone: Europe/Berlin}}";

fn announced(job: &mut Arc<ImportJob>, generation: i64, next: Timestamp) {
    let status = api::ImportJobStatus { observed_generation: Some(generation), next_run_at: Some(Time(next)), ..Default::default() };
    Arc::make_mut(job).status = Some(status);
}

#[test]
fn a_schedule_announces_its_next_minute_and_starts_it_when_it_comes() {
    let observed = observed_job(SQL, DAILY);
    let decision = decide(&observed, at("2026-11-24T04:00:00Z"));
    assert_eq!((decision.start.clone(), decision.next_run_at), (None, Some(at("2026-11-24T05:00:00Z"))));
    assert_eq!(decision.finding.next, Some(std::time::Duration::from_secs(3600)));
    let due = edit(SQL, DAILY, |o| announced(&mut o.job, 4, at("2026-11-24T05:00:00Z")));
    let decision = decide(&due, at("2026-11-24T05:00:02Z"));
    let start = decision.start.unwrap();
    assert_eq!((start.name.as_str(), start.start_before), ("accounts-202611240500", at("2026-11-24T05:10:00Z")));
    assert_eq!(decision.next_run_at, Some(at("2026-11-25T05:00:00Z")));
}

#[test]
fn a_minute_missed_by_more_than_ten_minutes_is_left_out() {
    let due = edit(SQL, DAILY, |o| announced(&mut o.job, 4, at("2026-11-24T05:00:00Z")));
    assert!(decide(&due, at("2026-11-24T05:09:59Z")).start.is_some());
    assert!(decide(&due, at("2026-11-24T05:10:01Z")).start.is_none());
}

#[test]
fn editing_a_schedule_never_starts_a_run() {
    let edited = edit(SQL, DAILY, |o| announced(&mut o.job, 3, at("2026-11-24T05:00:00Z")));
    assert_eq!(decide(&edited, at("2026-11-24T05:00:02Z")).start, None);
}

#[test]
fn no_second_run_of_a_job_starts_by_the_clock_while_one_is_under_way() {
    let busy = edit(SQL, DAILY, |o| {
        announced(&mut o.job, 4, at("2026-11-24T05:00:00Z"));
        o.runs = vec![Arc::new(run(FRESH))];
    });
    assert_eq!(decide(&busy, at("2026-11-24T05:00:02Z")).start, None);
}

/// A run that has read a file, and left files.
fn of_many(name: &str, reason: &str, left: Option<i64>) -> Arc<ImportRun> {
    let succeeded = if reason.starts_with("Completed") || reason == "NothingNew" { "True" } else { "False" };
    let mut run = ended(reason, succeeded);
    run.metadata.name = Some(name.into());
    let mut outcome = serde_json::json!({"attempt": 1, "reason": reason, "message": "", "at": "2026-11-24T05:59:29Z"});
    if let Some(left) = left {
        outcome["filesLeft"] = left.into();
    }
    run.status.as_mut().unwrap().outcome = Some(serde_json::from_value(outcome).unwrap());
    Arc::new(run)
}

#[test]
fn files_are_moved_and_deleted_only_where_they_can_be() {
    let source = |after: &str| format!("{{file: {{connectionRef: {{name: lake}}, path: a.csv{after}}}}}");
    let told = |source: &str, system: &str| {
        let change = |o: &mut Observed| {
            let lake = Arc::make_mut(o.connections.get_mut("lake").unwrap());
            lake.spec = crate::testing::edited(&lake.spec, |spec| {
                spec.as_object_mut().unwrap().remove("postgres");
                spec[system] = match system {
                    "s3" => serde_json::json!({"bucket": "b", "region": "eu-central-1"}),
                    _ => serde_json::json!({"url": "https://files.example/", "auth": {"bearer": {}}}),
                };
            });
        };
        decide(&edit(source, MANUAL, change), now()).finding
    };
    for after in [", afterSuccess: {delete: {}}", ", afterSuccess: {move: {folder: done}}"] {
        assert_eq!(told(&source(after), "s3").reason, "Armed", "{after}");
        let finding = told(&source(after), "https");
        assert_eq!(finding.reason, "WrongConnectionKind", "{after}");
        assert_eq!(
            finding.message,
            "Connection lake: source.file.afterSuccess needs a Connection of kind s3 or gcs or azureBlob or sftp: where else files come from they are only read"
        );
    }
    assert_eq!(told(&source(""), "https").reason, "Armed");
}

const FILES: &str = "{file: {connectionRef: {name: lake}, path: in/*.csv, choose: All}}";

/// A job that reads every file of a bucket, of which one was read.
fn job_of_files(trigger: &str, last: Arc<ImportRun>) -> Observed {
    edit(FILES, trigger, |o| {
        let lake = Arc::make_mut(o.connections.get_mut("lake").unwrap());
        lake.spec = crate::testing::edited(&lake.spec, |spec| {
            spec.as_object_mut().unwrap().remove("postgres");
            spec["s3"] = serde_json::json!({"bucket": "b", "region": "eu-central-1"});
        });
        o.once_run = Some(last.clone());
        o.runs = vec![last];
    })
}

#[test]
fn while_files_are_left_a_run_that_ended_well_is_followed_by_one_run() {
    let followed = "accounts-after-11111111-2222";
    for trigger in [ONCE, MANUAL, DAILY] {
        for reason in ["Completed", "CompletedWithFailedRows"] {
            let start = decide(&job_of_files(trigger, of_many("accounts-once-1", reason, Some(2))), now()).start.unwrap();
            assert_eq!((start.name.as_str(), start.start_before), (followed, at("2026-11-24T06:59:29Z")), "{trigger}");
        }
        for (reason, left) in [("Completed", None), ("TargetFailed", Some(2)), ("Cancelled", Some(2)), ("NothingNew", None)] {
            let decision = decide(&job_of_files(trigger, of_many("accounts-once-1", reason, left)), now());
            assert_eq!(decision.start, None, "{trigger} {reason} {left:?}");
        }
        let late = decide(&job_of_files(trigger, of_many("accounts-once-1", "Completed", Some(2))), at("2026-11-24T07:00:00Z"));
        assert_eq!(late.start, None, "{trigger}");
    }
}

#[test]
fn a_run_is_not_followed_by_two_nor_into_the_job_of_one_file_nor_against_what_is_in_the_way() {
    let last = || of_many("accounts-once-1", "Completed", Some(2));
    type Change = (&'static str, fn(&mut Observed));
    let changes: [Change; 4] = [
        ("the next one is there", |o| o.runs.push(Arc::new(run(FRESH)))),
        ("suspended", |o| Arc::make_mut(&mut o.job).spec.suspend = Some(true)),
        ("the connection is gone", |o| o.connections.clear()),
        ("edited to read one file", |o| {
            let job = Arc::make_mut(&mut o.job);
            *job = crate::testing::edited(job, |job| job["spec"]["source"]["file"]["choose"] = "Newest".into());
        }),
    ];
    for (name, change) in changes {
        let mut observed = job_of_files(ONCE, last());
        change(&mut observed);
        assert_eq!(decide(&observed, now()).start, None, "{name}");
    }
}

#[test]
fn a_once_job_of_many_files_is_done_with_its_last_one() {
    let told = |observed: &Observed| decide(observed, now()).finding;
    let mut observed = job_of_files(ONCE, of_many("accounts-once-1", "Completed", Some(1)));
    assert_eq!((told(&observed).reason, told(&observed).message.as_str()), ("Started", "starts ImportRun accounts-after-11111111-2222"));
    let mut next = run(FRESH);
    next.metadata.name = Some("accounts-after-11111111-2222".into());
    observed.runs.push(Arc::new(next));
    assert_eq!(
        (told(&observed).reason, told(&observed).message.as_str()),
        ("Started", "ImportRun accounts-after-11111111-2222 is under way")
    );
    let mut last = of_many("accounts-after-11111111-2222", "Completed", None);
    Arc::make_mut(&mut last).metadata.creation_timestamp = Some(Time(at("2026-11-24T05:59:40Z")));
    observed.runs[1] = last;
    assert_eq!((told(&observed).reason, decide(&observed, now()).start), ("Done", None));
}

#[test]
fn the_last_outcome_is_told_apart_from_ready() {
    let observed = edit(SQL, MANUAL, |o| o.runs = vec![Arc::new(ended("TargetFailed", "False"))]);
    let status = status(&observed, &decide(&observed, now()), now());
    assert_eq!(find(&status.conditions, READY).unwrap().status, "True");
    let last = find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap();
    assert_eq!((last.status.as_str(), last.reason.as_str()), ("False", "TargetFailed"));
    assert_eq!(status.last_run.unwrap().name, "accounts-once-1");
}

#[test]
fn the_status_says_what_applies_where_the_spec_is_silent() {
    let observed = observed_job(SQL, MANUAL);
    let effective = status(&observed, &decide(&observed, now()), now()).effective.unwrap();
    assert_eq!(
        (effective.trigger.as_str(), effective.deadline_seconds, effective.results),
        ("manual", 3600, api::tenant::ResultRetention::days(14))
    );
}

#[test]
fn the_run_that_a_trigger_creates() {
    let observed = observed_job(UPLOAD, ONCE);
    let start = decide(&observed, now()).start.unwrap();
    insta::assert_yaml_snapshot!("import_run", plan::import_run(&observed.job, &observed.uid, &start));
}

#[test]
fn what_a_spec_alone_is_refused_for_is_what_the_job_is_stalled_for() {
    const MOVED: &str =
        "{file: {connectionRef: {name: lake}, path: \"in/*.csv\", afterSuccess: {move: {folder: in}}}, timeZone: Mars/Base}";
    for (source, trigger, fields) in [
        (SQL, "{schedule: {cron: \"0 6 * * *\", timeZone: Europe/Berlin}}", vec![]),
        (SQL, "{schedule: {cron: \"61 * * * *\"}}", vec!["trigger.schedule.cron"]),
        (SQL, "{schedule: {cron: \"0 6 * * *\", timeZone: Mars/Base}}", vec!["trigger.schedule.timeZone"]),
        (SQL, "{schedule: {cron: \"0 0 30 2 *\"}}", vec!["trigger.schedule.cron"]),
        (MOVED, MANUAL, vec!["source.timeZone", "source.file.afterSuccess.move.folder"]),
        ("{}", MANUAL, vec!["source"]),
    ] {
        let observed = observed_job(source, trigger);
        let refusals = refusals(&observed.job.spec, now());
        assert_eq!(refusals.iter().map(|(field, _)| *field).collect::<Vec<_>>(), fields, "{source} {trigger}");
        let stalled = Some(decide(&observed, now()).finding).filter(|finding| finding.standing == Standing::Stalled);
        assert_eq!(refusals.into_iter().map(|(_, finding)| finding).next(), stalled, "{source} {trigger}");
    }
}
