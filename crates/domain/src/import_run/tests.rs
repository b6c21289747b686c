//! The ladder of rules, attempts, and the children as they go over the wire.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{READY, RECONCILING, STALLED, SUCCEEDED, is_false, is_true};
use api::import_run::{Attempt, ImportRunSpec, RunReason};
use jiff::ToSpan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;

use super::observed::HoldUp;
use super::*;
use crate::testing::{ANNOUNCED, FRESH, ONCE, WORKING, anchor, at, edited, now, observed_run, pod, settings, uid};

fn edit(status: &str, change: impl FnOnce(&mut Observed)) -> Observed {
    let mut observed = observed_run(status);
    change(&mut observed);
    observed
}

fn spec(o: &mut Observed) -> &mut ImportRunSpec {
    &mut Arc::make_mut(&mut o.run).spec
}

/// The job and its surroundings as they are now, of a run that has not begun.
fn job(o: &mut Observed) -> &mut JobFacts {
    let Basis::Job(facts) = &mut o.basis else { panic!("it has begun") };
    facts
}

fn begun(o: &mut Observed) -> &mut Begun {
    let Basis::Snapshot(begun) = &mut o.basis else { panic!("it has not begun") };
    begun
}

/// The decision in one line.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Leave => "leave".into(),
        Decision::CleanUp(_) => "clean up".into(),
        Decision::Report(finding) => format!("report {}", finding.reason),
        Decision::NoteNode { node, .. } => format!("note {node}"),
        Decision::Announce(_) => "announce".into(),
        Decision::MakeAnchor(_) => "make the anchor".into(),
        Decision::RemovePlanted(_) => "remove what is planted".into(),
        Decision::AnnounceNext(..) => "announce the next".into(),
        Decision::MakePod(..) => "make the pod".into(),
        Decision::EndAttempt(ending) => format!("end {} {}", ending.reason, if ending.counted { "counted" } else { "uncounted" }),
        Decision::Finish { reason, .. } => format!("finish {reason}"),
    }
}

#[test]
fn before_the_start() {
    type Case = (&'static str, fn(&mut Observed), &'static str);
    let table: [Case; 22] = [
        ("all in order", |_| (), "announce"),
        ("it does not say what to do", |o| spec(o).action = None, "announce"),
        ("being deleted", |o| Arc::make_mut(&mut o.run).metadata.deletion_timestamp = Some(Time(now())), "leave"),
        ("cancelled", |o| spec(o).cancel = Some(true), "finish Cancelled"),
        ("restored from a backup", |o| spec(o).start_before = Time(now()), "finish Stale"),
        ("the job is gone", |o| job(o).job = None, "finish Stale"),
        ("the job was made anew", |o| spec(o).job_ref.uid = "former".into(), "finish Stale"),
        ("no tenant", |o| o.tenant = None, "report NoTenant"),
        (
            "the tenant leaves",
            |o| Arc::make_mut(o.tenant.as_mut().unwrap()).metadata.deletion_timestamp = Some(Time(now())),
            "finish Cancelled",
        ),
        ("no region", |o| o.region = None, "report RegionNotFound"),
        (
            "another region of that name",
            |o| Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = Some("x".into()),
            "report RegionReplaced",
        ),
        ("an action of a newer version", |o| spec(o).action = serde_json::from_value(json!({"undo": {}})).unwrap(), "report NotUnderstood"),
        ("region not ready", |o| Arc::make_mut(o.region.as_mut().unwrap()).status = None, "report RegionNotReady"),
        (
            "no keys yet",
            |o| Arc::make_mut(o.tenant.as_mut().unwrap()).status.as_mut().unwrap().conditions.retain(|c| c.type_ != "KeysReady"),
            "report KeysNotReady",
        ),
        ("connection gone", |o| job(o).connections.clear(), "report ConnectionNotFound"),
        (
            "connection suspended",
            |o| Arc::make_mut(job(o).connections.get_mut("crm").unwrap()).spec.suspend = Some(true),
            "report ConnectionSuspended",
        ),
        ("no upload", |o| job(o).upload = None, "report UploadNotFound"),
        ("upload empty", |o| Arc::make_mut(job(o).upload.as_mut().unwrap()).status = None, "report UploadNotReady"),
        (
            "upload with five minutes left",
            |o| Arc::make_mut(job(o).upload.as_mut().unwrap()).status.as_mut().unwrap().expires_at = Some(Time(now() + 300.seconds())),
            "finish UploadExpired",
        ),
        ("another run first", |o| job(o).ahead = Some("other".into()), "report OtherRunActive"),
        ("no run namespace yet", |o| o.run_namespace = None, "report PreparingNamespace"),
        ("a run namespace that nobody recorded", |o| o.run_namespace.as_mut().unwrap().uid = uid("x"), "report PreparingNamespace"),
    ];
    for (name, change, expected) in table {
        assert_eq!(told(&decide(&edit(FRESH, change), now())), expected, "{name}");
    }
}

fn pod_of(o: &mut Observed) -> &mut PodFacts {
    o.pod.as_mut().unwrap()
}

fn over(o: &mut Observed, phase: &str, exit: i32) {
    let pod = pod_of(o);
    (pod.phase, pod.exit_code) = (phase.into(), Some(exit));
}

#[test]
fn while_a_worker_has_the_floor() {
    type Case = (&'static str, fn(&mut Observed), &'static str);
    let table: [Case; 19] = [
        ("running", |_| (), "report Running"),
        ("running, cancelled", |o| spec(o).cancel = Some(true), "report Cancelling"),
        ("bound to a node not yet noted", |o| pod_of(o).node = Some("node-b".into()), "note node-b"),
        (
            "no node takes it",
            |o| (pod_of(o).node, pod_of(o).phase, pod_of(o).holdup) = (None, "Pending".into(), Some((HoldUp::Unschedulable, "0/3".into()))),
            "report Unschedulable",
        ),
        ("no image", |o| pod_of(o).holdup = Some((HoldUp::Image, "ErrImagePull".into())), "report ImageNotPulled"),
        ("not scheduled, cancelled", |o| (pod_of(o).node, spec(o).cancel) = (None, Some(true)), "finish Cancelled"),
        ("gone", |o| o.pod = None, "end Lost uncounted"),
        ("another pod of its name", |o| pod_of(o).uid = uid("pod-2"), "end Lost uncounted"),
        ("ended without a word", |o| over(o, "Succeeded", 0), "end NoOutcome counted"),
        ("crashed", |o| over(o, "Failed", 101), "end Error counted"),
        ("stopped where another can go on", |o| over(o, "Failed", 75), "end Interrupted counted"),
        (
            "stopped so because its node was drained",
            |o| {
                over(o, "Failed", 75);
                pod_of(o).disrupted = true;
            },
            "end Disrupted uncounted",
        ),
        (
            "out of memory",
            |o| {
                over(o, "Failed", 137);
                pod_of(o).exit_reason = Some("OOMKilled".into());
            },
            "end OOMKilled counted",
        ),
        ("evicted", |o| (pod_of(o).phase, pod_of(o).reason) = ("Failed".into(), Some("Evicted".into())), "end Disrupted uncounted"),
        (
            "refused by the node",
            |o| (pod_of(o).phase, pod_of(o).reason) = ("Failed".into(), Some("OutOfmemory".into())),
            "end Disrupted uncounted",
        ),
        ("being deleted, within its grace", |o| pod_of(o).deleted_by = Some(now() + 30.seconds()), "report Running"),
        ("past its grace by a minute: the node is gone", |o| pod_of(o).deleted_by = Some(now() - 61.seconds()), "end NodeLost uncounted"),
        ("the tenant lost its namespace meanwhile", |o| o.tenant = None, "report Running"),
        ("what it works from is gone, and its pod not yet", |o| o.basis = Basis::Lost, "report Running"),
    ];
    for (name, change, expected) in table {
        assert_eq!(told(&decide(&edit(WORKING, change), now())), expected, "{name}");
    }
}

#[test]
fn an_outcome_ends_the_run_whatever_its_pod_does() {
    let done = with_outcome("Completed", "{read: 3, succeeded: 2, failed: 1}");
    let reported = at("2026-11-24T06:00:00Z");
    assert_eq!(told(&decide(&observed_run(&done), reported)), "finish Completed");
    assert_eq!(told(&decide(&edit(&done, |o| o.pod.as_mut().unwrap().phase = "Succeeded".into()), reported)), "finish Completed");
    assert_eq!(told(&decide(&edit(&done, |o| o.pod.as_mut().unwrap().deleted_by = Some(reported)), reported)), "finish Completed");
    assert_eq!(told(&decide(&edit(&done, |o| o.pod.as_mut().unwrap().phase = "Failed".into()), reported)), "finish Completed");
    assert_eq!(told(&decide(&edit(&done, |o| o.pod = None), reported)), "finish Completed");
}

fn with_outcome(reason: &str, rows: &str) -> String {
    let working = WORKING.trim_end().strip_suffix('}').unwrap();
    format!(r#"{working}, rows: {rows}, outcome: {{attempt: 1, reason: {reason}, message: m, at: "2026-11-24T06:00:00Z"}}}}"#)
}

#[test]
fn a_success_whose_rows_do_not_add_up_is_no_success() {
    let lost = with_outcome("CompletedWithFailedRows", "{read: 4, succeeded: 2, failed: 1}");
    assert_eq!(told(&decide(&edit(&lost, |o| o.pod = None), now())), "finish AccountingMismatch");
}

#[test]
fn an_outcome_of_an_earlier_attempt_says_nothing() {
    let status = with_outcome("Completed", "{}").replace("attempt: 1, reason", "attempt: 7, reason");
    assert_eq!(told(&decide(&observed_run(&status), now())), "report Running");
}

/// Everything is loaded, and the file is still to be dealt with.
fn pending(status: &str) -> String {
    let outcome =
        r#"outcome: {attempt: 1, reason: CompletedWithFailedRows, message: m, at: "2026-11-24T06:00:00Z", afterSuccess: Pending}"#;
    format!("{}, rows: {{read: 3, succeeded: 2, failed: 1}}, {outcome}}}", status.trim_end().strip_suffix('}').unwrap())
}

#[test]
fn a_run_whose_file_is_still_to_be_dealt_with_goes_on_in_a_further_attempt() {
    let working = pending(WORKING);
    assert_eq!(told(&decide(&observed_run(&working), now())), "report Running");
    assert_eq!(told(&decide(&edit(&working, |o| over(o, "Failed", 137)), now())), "end Error counted");
    let left = pending(&between(&[("Error", true)], "2026-11-24T05:59:00Z"));
    assert_eq!(told(&decide(&observed_run(&left), now())), "announce the next");
    for state in ["Done", "Kept"] {
        let done = working.replace("Pending", state);
        assert_eq!(told(&decide(&observed_run(&done), now())), "finish CompletedWithFailedRows", "{state}");
    }
}

#[test]
fn a_run_that_has_loaded_everything_ends_so_whatever_keeps_its_file_from_being_dealt_with() {
    type Case = (&'static str, fn(&mut Observed), jiff::Timestamp, &'static str);
    let table: [Case; 4] = [
        ("cancelled", |o| spec(o).cancel = Some(true), now(), "cancelled between two attempts"),
        ("too late", |_| (), at("2026-11-24T06:59:10Z"), "guards.deadlineSeconds passed between two attempts"),
        ("its snapshot is gone", |o| o.basis = Basis::Lost, now(), "create another ImportRun"),
        ("its tenant leaves", |o| Arc::make_mut(o.tenant.as_mut().unwrap()).metadata.uid = Some("other".into()), now(), "another one"),
    ];
    let left = pending(&between(&[("Error", true)], "2026-11-24T05:59:00Z"));
    let mut cases: Vec<_> = table.into_iter().map(|(name, change, now, why)| (name, edit(&left, change), now, why)).collect();
    cases.push(("attempts used up", observed_run(&pending(&between(&[("Error", true); 5], "2026-11-24T05:59:00Z"))), now(), "5 attempts"));
    for (name, observed, now, why) in cases {
        let Decision::Finish { reason, message, .. } = decide(&observed, now) else { panic!("{name}: the run does not end") };
        assert_eq!(reason, RunReason::CompletedWithFailedRows, "{name}");
        assert!(message.starts_with("m; source.file.afterSuccess may not have been done: ") && message.contains(why), "{name}: {message}");
    }
    let wrong = edit(&left.replace("read: 3", "read: 4"), |o| spec(o).cancel = Some(true));
    assert_eq!(told(&decide(&wrong, now())), "finish AccountingMismatch");
}

#[test]
fn an_interrupted_worker_is_followed_by_another() {
    let status = with_outcome("Interrupted", "{}");
    assert_eq!(told(&decide(&observed_run(&status), now())), "report Running", "its pod has not ended");
    let over = edit(&status, |o| (o.pod.as_mut().unwrap().phase, o.pod.as_mut().unwrap().exit_code) = ("Failed".into(), Some(75)));
    assert_eq!(told(&decide(&over, now())), "end Interrupted counted");
}

fn between(endings: &[(&str, bool)], last_end: &str) -> String {
    let attempts: Vec<String> = endings
        .iter()
        .enumerate()
        .map(|(n, (reason, counted))| {
            format!(
                r#"{{number: {}, createdAt: "2026-11-24T05:50:00Z", podUID: p{n}, finishedAt: "{last_end}", reason: {reason}, counted: {counted}}}"#,
                n + 1
            )
        })
        .collect();
    format!(
        r#"{{snapshotDigest: d, startedAt: "2026-11-24T05:50:00Z", placement: {{region: eu-frankfurt}}, attempts: [{}]}}"#,
        attempts.join(", ")
    )
}

#[test]
fn failed_attempts_are_repeated_with_back_off_and_at_most_five_times() {
    let end = "2026-11-24T06:00:00Z";
    let one = between(&[("Error", true)], end);
    assert_eq!(told(&decide(&observed_run(&one), now() + 4.seconds())), "report BackingOff");
    assert_eq!(told(&decide(&observed_run(&one), now() + 5.seconds())), "announce the next");
    let four = between(&[("Error", true); 4], end);
    assert_eq!(told(&decide(&observed_run(&four), now() + 39.seconds())), "report BackingOff");
    assert_eq!(told(&decide(&observed_run(&four), now() + 40.seconds())), "announce the next");
    assert_eq!(told(&decide(&observed_run(&between(&[("OOMKilled", true); 5], end)), now() + 1.hours())), "finish WorkerFailed");
}

#[test]
fn what_the_worker_said_of_an_attempt_that_it_left_stands_beside_its_reason() {
    let end = "2026-11-24T06:00:00Z";
    let said = |attempts: &[(&str, bool)], by: u32| {
        let begun = between(attempts, end);
        format!("{}, interruption: {{attempt: {by}, message: the bucket is busy}}}}", begun.strip_suffix('}').unwrap())
    };
    let message = |status: &str| match decide(&observed_run(status), now()) {
        Decision::Report(finding) => finding.message,
        Decision::Finish { message, .. } => message,
        other => told(&other),
    };
    let two = [("Interrupted", true); 2];
    assert_eq!(message(&said(&two, 2)), "attempt 2 ended with Interrupted (the bucket is busy); the next one starts at 06:00:10Z");
    assert_eq!(message(&said(&two, 1)), "attempt 2 ended with Interrupted; the next one starts at 06:00:10Z");
    assert_eq!(message(&said(&[("Interrupted", true); 5], 5)), "5 attempts failed, the last one with Interrupted (the bucket is busy)");
}

#[test]
fn disruptions_do_not_count_but_have_an_end() {
    let end = "2026-11-24T06:00:00Z";
    let many = between(&[("Disrupted", false); 15], end);
    assert_eq!(told(&decide(&observed_run(&many), now() + 2.seconds())), "announce the next");
    assert_eq!(told(&decide(&observed_run(&between(&[("Disrupted", false); 16], end)), now())), "finish WorkerFailed");
}

#[test]
fn between_attempts_a_run_ends_on_cancel_and_deadline_but_not_on_what_only_matters_at_the_start() {
    let waiting = between(&[("Error", true)], "2026-11-24T05:59:00Z");
    assert_eq!(told(&decide(&edit(&waiting, |o| spec(o).cancel = Some(true)), now())), "finish Cancelled");
    assert_eq!(told(&decide(&observed_run(&waiting), at("2026-11-24T06:59:10Z"))), "finish Deadline");
    let late = edit(&waiting, |o| {
        spec(o).start_before = Time(now());
        Arc::make_mut(begun(o).upload.as_mut().unwrap()).status.as_mut().unwrap().expires_at = Some(Time(now() + 60.seconds()));
    });
    assert_eq!(told(&decide(&late, now())), "announce the next");
    assert_eq!(told(&decide(&edit(&waiting, |o| begun(o).connections.clear()), now())), "report ConnectionNotFound");
    let unused = edit(&waiting, |o| drop(begun(o).connections.remove("lake")));
    assert_eq!(told(&decide(&unused, now())), "announce the next", "a Connection that the run does not use");
}

#[test]
fn between_attempts_a_run_ends_when_what_it_works_from_is_not_its_own_any_more() {
    let waiting = between(&[("Error", true)], "2026-11-24T05:59:00Z");
    assert_eq!(told(&decide(&edit(&waiting, |o| o.basis = Basis::Lost), now())), "finish Internal");
    let other = edit(&waiting, |o| Arc::make_mut(o.tenant.as_mut().unwrap()).metadata.uid = Some("other".into()));
    assert_eq!(told(&decide(&other, now())), "finish Cancelled", "keys and places are another tenant's");
}

#[test]
fn between_attempts_a_run_ends_when_its_upload_has() {
    let waiting = between(&[("Error", true)], "2026-11-24T05:59:00Z");
    let upload = |expires: jiff::Timestamp, erased: bool| {
        edit(&waiting, move |o| {
            let status = Arc::make_mut(begun(o).upload.as_mut().unwrap()).status.as_mut().unwrap();
            status.expires_at = Some(Time(expires));
            status.erased_at = erased.then(|| Time(now()));
        })
    };
    assert_eq!(told(&decide(&upload(now() + 1.seconds(), false), now())), "announce the next");
    assert_eq!(told(&decide(&upload(now(), false), now())), "finish UploadExpired");
    assert_eq!(told(&decide(&upload(now() + 1.hours(), true), now())), "finish UploadExpired");
    assert_eq!(told(&decide(&edit(&waiting, |o| begun(o).upload = None), now())), "finish UploadGone", "deleted");
    let replaced = edit(&waiting, |o| Arc::make_mut(begun(o).upload.as_mut().unwrap()).metadata.uid = Some("other".into()));
    assert_eq!(told(&decide(&replaced, now())), "finish UploadGone", "another upload of that name");
}

#[test]
fn an_outcome_that_arrives_after_its_pod_was_given_up_still_counts() {
    let lost = between(&[("Lost", false)], "2026-11-24T05:59:59Z").strip_suffix('}').unwrap().to_owned()
        + r#", outcome: {attempt: 1, reason: Completed, message: m, at: "2026-11-24T06:00:00Z"}}"#;
    assert_eq!(told(&decide(&observed_run(&lost), now())), "finish Completed");
}

#[test]
fn a_run_past_its_deadline_and_the_overtime_is_cut_off() {
    let started = at("2026-11-24T05:59:10Z");
    assert_eq!(told(&decide(&observed_run(WORKING), started + 3600.seconds() + 299.seconds())), "report Running");
    assert_eq!(told(&decide(&observed_run(WORKING), started + 3600.seconds() + 300.seconds())), "finish Deadline");
}

#[test]
fn an_announced_attempt_gets_its_pod_even_when_cancelled_if_one_is_there() {
    assert_eq!(told(&decide(&observed_run(ANNOUNCED), now())), "make the pod");
    assert_eq!(told(&decide(&edit(ANNOUNCED, |o| spec(o).cancel = Some(true)), now())), "finish Cancelled");
    let unknown_pod = edit(ANNOUNCED, |o| {
        spec(o).cancel = Some(true);
        o.pod = Some(pod());
    });
    assert_eq!(told(&decide(&unknown_pod, now())), "make the pod");
}

/// Announced, and the operator that announced it crashed before anything was made.
#[test]
fn an_announced_run_of_which_nothing_is_made_is_still_judged_by_its_job() {
    let announced = |change: fn(&mut JobFacts)| {
        edit(ANNOUNCED, |o| {
            let mut facts = crate::testing::job_facts();
            change(&mut facts);
            o.basis = Basis::Job(facts);
        })
    };
    assert_eq!(told(&decide(&announced(|_| ()), now())), "make the anchor");
    assert_eq!(told(&decide(&announced(|facts| facts.planted = Some(anchor())), now())), "remove what is planted");
    assert_eq!(told(&decide(&announced(|facts| facts.job = None), now())), "finish Stale");
    assert_eq!(told(&decide(&announced(|facts| facts.connections.clear()), now())), "report ConnectionNotFound");
    assert_eq!(told(&decide(&announced(|facts| facts.ahead = Some("other".into())), now())), "make the anchor", "it was first");
}

/// The deadline of a run is the one it was promised.
#[test]
fn what_a_run_began_with_is_what_it_says() {
    let frozen = crate::testing::frozen(&observed_run(FRESH));
    assert_eq!(frozen.deadline, at("2026-11-24T06:59:10Z"));
    assert_eq!((frozen.tenant_uid.as_str(), frozen.openings().count()), ("tenant-uid", 0));
    assert_eq!(frozen.uses.iter().map(|used| used.name.as_str()).collect::<Vec<_>>(), ["crm"]);
    assert_eq!(frozen.upload.map(|upload| upload.uid).as_deref(), Some("upload-uid"));
    assert_eq!(Frozen::read(anchor(), "{}"), None);
}

#[test]
fn a_finished_run_is_cleaned_up_and_then_left_alone() {
    let finished =
        r#"{conditions: [{type: Succeeded, status: "False", reason: Stale, message: m, lastTransitionTime: "2026-11-24T06:00:00Z"}]}"#;
    assert_eq!(told(&decide(&edit(finished, |o| o.basis = Basis::Over(Some(anchor()))), now())), "clean up");
    assert_eq!(told(&decide(&observed_run(finished), now())), "leave");
}

#[test]
fn no_placement_can_be_proved_without_the_recorded_namespace_and_region() {
    assert!(Placed::prove(&observed_run(FRESH)).is_some());
    let spoils: [fn(&mut Observed); 5] = [
        |o| o.tenant = None,
        |o| o.region = None,
        |o| o.run_namespace.as_mut().unwrap().uid = uid("x"),
        |o| o.run_namespace.as_mut().unwrap().terminating = true,
        |o| Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = Some("x".into()),
    ];
    for spoil in spoils {
        assert!(Placed::prove(&edit(FRESH, spoil)).is_none());
    }
}

#[test]
fn conditions_at_each_stage_say_what_waiting_tools_understand() {
    let run = crate::testing::run(FRESH);
    let record = || Record::of(run.status.as_ref());
    let going = status(&run, record(), &crate::finding::Finding::progressing("Running", "m"), now());
    assert!(is_true(&going.conditions, RECONCILING) && !is_true(&going.conditions, READY) && !is_false(&going.conditions, READY));
    let good = finished(&run, record(), RunReason::CompletedWithFailedRows, "m", now());
    assert!(is_true(&good.conditions, SUCCEEDED) && is_true(&good.conditions, READY) && !is_true(&good.conditions, RECONCILING));
    let bad = finished(&run, record(), RunReason::TooManyFailedRows, "m", now());
    assert!(is_false(&bad.conditions, SUCCEEDED) && is_false(&bad.conditions, READY) && is_true(&bad.conditions, STALLED));
    assert_eq!((good.finished_at.clone(), good.observed_generation), (Some(Time(now())), Some(1)));
}

#[test]
fn transitions_keep_history_and_number_attempts_in_order() {
    let placed = Placed::prove(&observed_run(FRESH)).unwrap();
    let record = Record::default()
        .announce("d".into(), placed.placement(), now())
        .joined("pod-1")
        .placed_on("node-a")
        .ended(&Ending::lost(), now() + 5.seconds())
        .announce("d".into(), placed.placement(), now() + 10.seconds());
    let status = record.status();
    let told: Vec<(i32, Option<&str>, Option<&str>)> =
        status.attempts.iter().map(|a: &Attempt| (a.number, a.pod_uid.as_deref(), a.reason.as_deref())).collect();
    assert_eq!(told, [(1, Some("pod-1"), Some("Lost")), (2, None, None)]);
    assert_eq!(status.started_at, Some(Time(now())), "the first start is the start");
    assert_eq!(status.placement.unwrap().key_id.as_deref(), Some("2c3d"), "the active key");
}

#[test]
fn children_of_a_run() {
    let observed = observed_run(FRESH);
    let placed = Placed::prove(&observed).unwrap();
    let text = plan::AnchorText::of(&plan::snapshot(&crate::testing::job_facts(), &placed, now()).unwrap()).unwrap();
    insta::assert_yaml_snapshot!("anchor", plan::anchor(&placed, &text));
    let facts = JobFacts { job: Some(Arc::new(crate::testing::job(crate::testing::SQL, ONCE))), ..crate::testing::job_facts() };
    let reading_postgres = Frozen::read(anchor(), &plan::snapshot(&facts, &placed, now()).unwrap().encode()).unwrap();
    insta::assert_yaml_snapshot!("worker_pod", plan::pod(&placed, &reading_postgres, 2, "-----BEGIN CERTIFICATE-----\n", &settings()));
}

/// A job with as much text as a schema lets through, and two connections with as large a bundle, each character a quote, which JSON
/// writes in two bytes.
fn observed_with(texts: usize) -> Observed {
    edit(FRESH, |o| {
        let facts = job(o);
        let job = Arc::make_mut(facts.job.as_mut().unwrap());
        job.spec.source = crate::testing::job(crate::testing::SQL, ONCE).spec.source;
        job.spec = edited(&job.spec, |spec| {
            let mapping = &mut spec["target"]["salesforce"]["mapping"];
            *mapping = vec![json!({"to": mapping[0]["to"], "formula": "\"".repeat(texts / 500)}); 500].into();
        });
        for connection in facts.connections.values_mut() {
            let spec = &mut Arc::make_mut(connection).spec;
            let key = spec.system().unwrap().kind().key();
            *spec = edited(spec, |spec| spec[key]["tls"] = json!({"caBundle": "\"".repeat(65_536)}));
        }
    })
}

#[test]
fn the_largest_snapshot_fits_and_a_larger_one_is_told_apart() {
    let of = |mut observed: Observed| {
        let placed = Placed::prove(&observed).unwrap();
        plan::AnchorText::of(&plan::snapshot(job(&mut observed), &placed, now()).unwrap())
    };
    let largest = of(observed_with(api::import_job::TEXTS_LIMIT)).unwrap();
    println!("largest snapshot: {} bytes", largest.0.len());
    assert!(largest.0.len() > 400_000, "both bundles and all texts are in it");
    let told = of(observed_with(1 << 20)).unwrap_err().to_string();
    assert!(told.contains("more than the 1048576 of a snapshot"), "{told}");
}

#[test]
fn what_is_sealed_in_a_connection_is_not_in_the_snapshot() {
    let mut observed = edit(FRESH, |o| {
        for connection in job(o).connections.values_mut() {
            let spec = &mut Arc::make_mut(connection).spec;
            let sealed = json!({"sealed": {"kid": "0a", "enc": "e", "ciphertext": "c2VhbGVk"}});
            *spec = edited(spec, |spec| spec["credentials"] = sealed);
        }
    });
    let placed = Placed::prove(&observed).unwrap();
    let snapshot = plan::snapshot(job(&mut observed), &placed, now()).unwrap();
    let text = plan::AnchorText::of(&snapshot).unwrap().0;
    assert!(text.contains("\"kid\":\"0a\"") && !text.contains("c2VhbGVk"), "{text}");
    assert!(snapshot.connections.values().all(|connection| connection.endpoint_digest == connection.spec.endpoint_digest()));
}

#[test]
fn a_region_of_all_nodes_selects_no_node() {
    let observed = edit(FRESH, |o| {
        Arc::make_mut(o.region.as_mut().unwrap()).spec.nodes = serde_json::from_value(json!({"all": {}})).unwrap();
    });
    let frozen = crate::testing::frozen(&observed);
    let pod = plan::pod(&Placed::prove(&observed).unwrap(), &frozen, 1, "-----BEGIN CERTIFICATE-----\n", &settings());
    assert_eq!(pod.spec.unwrap().node_selector, None);
    assert!(pod.metadata.labels.unwrap().keys().all(|label| !label.contains("egress")));
}

proptest! {
    /// Whatever happened to the pods, a run comes to an end: no more than sixteen attempts, five of them counted.
    #[test]
    fn a_run_never_outgrows_its_attempts(endings in proptest::collection::vec(any::<bool>(), 1..40)) {
        let mut record = Record::default();
        let mut observed = observed_run(FRESH);
        let placed = Placed::prove(&observed).unwrap();
        let began_with = observed_run(ANNOUNCED).basis;
        let mut time = now();
        for counted in endings {
            Arc::make_mut(&mut observed.run).status = Some(record.clone().status());
            if !record.clone().status().attempts.is_empty() {
                observed.basis = began_with.clone();
            }
            match decide(&observed, time) {
                Decision::Announce(_) | Decision::AnnounceNext(..) => {
                    let ending = Ending { reason: "Error", counted, message: String::new() };
                    record = record.announce("d".into(), placed.placement(), time).joined("p").ended(&ending, time);
                    time += Duration::from_secs(1);
                }
                Decision::Report(finding) => time += finding.next.unwrap_or(Duration::from_secs(1)),
                Decision::Finish { reason, .. } => {
                    prop_assert!(matches!(reason, RunReason::WorkerFailed | RunReason::Deadline));
                    break;
                }
                other => prop_assert!(false, "{}", told(&other)),
            }
        }
        let attempts = record.status().attempts;
        prop_assert!(attempts.len() <= 16);
        prop_assert!(attempts.iter().filter(|a| a.counted == Some(true)).count() <= COUNTED_LIMIT);
    }
}
