//! Which finished runs of a namespace go. Each job says how many it keeps; what is left of jobs that are gone is kept for a while together.
//! The audit keeps what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::conditions::{SUCCEEDED, is_true};
use api::{ImportJob, ImportRun, Uid};
use jiff::Timestamp;

use super::is_finished;
use crate::import_job::{FOLLOW_GRACE, once_name};
use crate::labels;

/// Finished runs in a namespace: beyond them the oldest go, whatever their job says.
pub const ROOM: usize = 2_000;
/// Runs of a job and outcome that stay for the sake of their result files.
const WITH_RESULTS: usize = 100;
/// Runs of each outcome that are kept of jobs that are gone, together.
const OF_GONE_JOBS: usize = 100;

/// The finished runs to delete, of all runs and jobs of one namespace.
pub fn surplus(runs: &[Arc<ImportRun>], jobs: &[Arc<ImportJob>], now: Timestamp) -> Vec<Arc<ImportRun>> {
    let proofs: BTreeSet<String> = jobs.iter().filter_map(|job| once_name(job)).collect();
    let living: BTreeMap<Uid, &ImportJob> = jobs.iter().filter_map(|job| Some((Uid::of_meta(&job.metadata)?, job.as_ref()))).collect();
    let mut finished: Vec<&Arc<ImportRun>> =
        runs.iter().filter(|run| is_finished(run) && run.metadata.deletion_timestamp.is_none()).collect();
    finished.sort_by_key(|run| std::cmp::Reverse(ended(run)));
    let mut ranks: BTreeMap<(Option<&str>, bool), usize> = BTreeMap::new();
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for run in finished {
        let job_uid = run.spec.job_ref.uid.as_str();
        let job = living.get(job_uid);
        let succeeded = run.status.as_ref().is_some_and(|s| is_true(&s.conditions, SUCCEEDED));
        let rank = ranks.entry((job.map(|_| job_uid), succeeded)).or_default();
        *rank += 1;
        let wish = job.map_or(OF_GONE_JOBS, |job| {
            let history = job.spec.history();
            let kept = if succeeded { history.successful } else { history.failed };
            kept.and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
        });
        let is_needed = proves(run, &proofs, job.is_some()) || (*rank == 1 && may_be_followed(run, now));
        let stays = *rank <= wish || (*rank <= WITH_RESULTS && has_results(run, now)) || is_needed;
        if stays { kept.push(run) } else { gone.push(run.clone()) }
    }
    let excess = kept.len().saturating_sub(ROOM);
    let last_resort = kept.into_iter().rev().filter(|run| !proofs.contains(labels::name(&run.metadata))).take(excess);
    gone.extend(last_resort.cloned());
    // The oldest first: one that has left files must not be the newest of its job once more.
    gone.sort_by(|a, b| ended(a).cmp(&ended(b)));
    gone
}

/// Whether the run is why a job does not run again: the one of its `once` trigger, also while the job is away.
fn proves(run: &ImportRun, proofs: &BTreeSet<String>, job_lives: bool) -> bool {
    let name = labels::name(&run.metadata);
    proofs.contains(name)
        || (!job_lives && name.strip_prefix(run.spec.job_ref.name.as_str()).is_some_and(|rest| rest.starts_with("-once-")))
}

/// Whether it is by this run that its job sees that files are left: until the next one has ended well.
fn may_be_followed(run: &ImportRun, now: Timestamp) -> bool {
    let outcome = run.status.as_ref().and_then(|status| status.outcome.as_ref());
    outcome.is_some_and(|outcome| outcome.files_left.is_some() && now < outcome.at.0 + FOLLOW_GRACE)
}

fn has_results(run: &ImportRun, now: Timestamp) -> bool {
    let files = run.status.iter().flat_map(|s| &s.results);
    files.into_iter().any(|file| file.erased_at.is_none() && file.expires_at.as_ref().is_none_or(|end| now < end.0))
}

fn ended(run: &ImportRun) -> (Option<Timestamp>, &str) {
    let at = run.status.as_ref().and_then(|s| s.finished_at.as_ref()).or(run.metadata.creation_timestamp.as_ref());
    (at.map(|t| t.0), labels::name(&run.metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FRESH, MANUAL, ONCE, UPLOAD, at, job, now, run};

    fn ended_run(name: &str, job_uid: &str, minute: usize, succeeded: &str, results: &str) -> Arc<ImportRun> {
        let at = now() - std::time::Duration::from_secs(60 * u64::try_from(minute).unwrap());
        let mut run = run(&format!(
            r#"{{finishedAt: "{at}", results: {results}, conditions: [{{type: Succeeded, status: "{succeeded}", reason: R, message: m, lastTransitionTime: "{at}"}}]}}"#
        ));
        run.metadata.name = Some(name.into());
        run.spec.job_ref.uid = job_uid.into();
        Arc::new(run)
    }

    fn names(runs: &[Arc<ImportRun>]) -> Vec<&str> {
        let mut names: Vec<&str> = runs.iter().map(|run| labels::name(&run.metadata)).collect();
        names.sort_unstable();
        names
    }

    fn manual() -> Arc<ImportJob> {
        let mut job = job(UPLOAD, MANUAL);
        job.spec.history = Some(api::import_job::History { successful: Some(2), failed: Some(1) });
        Arc::new(job)
    }

    const ALIVE: &str = "[{name: failed.csv, file: f, rows: 1, bytes: 1, expiresAt: '2026-11-25T06:00:00Z'}]";
    const DEAD: &str = "[{name: failed.csv, file: f, rows: 1, bytes: 1, expiresAt: '2026-11-24T06:00:00Z'}]";

    #[test]
    fn a_job_keeps_its_newest_runs_of_each_outcome_and_unfinished_ones() {
        let mut runs: Vec<_> = (0..4).map(|n| ended_run(&format!("good-{n}"), "job-uid", n, "True", DEAD)).collect();
        runs.extend((0..3).map(|n| ended_run(&format!("bad-{n}"), "job-uid", n, "False", "[]")));
        runs.push(Arc::new(run(FRESH)));
        assert_eq!(names(&surplus(&runs, &[manual()], now())), ["bad-1", "bad-2", "good-2", "good-3"]);
    }

    #[test]
    fn a_run_whose_result_files_are_alive_stays_until_they_are_gone() {
        let runs: Vec<_> = (0..105).map(|n| ended_run(&format!("run-{n:03}"), "job-uid", n, "True", ALIVE)).collect();
        assert_eq!(names(&surplus(&runs, &[manual()], now())), ["run-100", "run-101", "run-102", "run-103", "run-104"]);
        assert_eq!(surplus(&runs, &[manual()], at("2026-11-25T06:00:00Z")).len(), 103);
    }

    #[test]
    fn the_run_of_a_once_trigger_stays_as_proof_even_while_its_job_is_away() {
        let mut job = job(UPLOAD, ONCE);
        job.spec.history = Some(api::import_job::History { successful: Some(0), failed: Some(0) });
        let proof = ended_run("accounts-once-1", "job-uid", 9, "True", "[]");
        let former = ended_run("accounts-once-0", "job-uid", 9, "True", "[]");
        let runs = [proof.clone(), former];
        assert_eq!(names(&surplus(&runs, &[Arc::new(job)], now())), ["accounts-once-0"]);
        let others = (0..200).map(|n| ended_run(&format!("other-{n}"), "gone", n, "True", "[]"));
        let runs: Vec<_> = [proof].into_iter().chain(others).collect();
        assert!(!names(&surplus(&runs, &[], now())).contains(&"accounts-once-1"));
    }

    #[test]
    fn a_run_that_has_left_files_stays_until_it_is_followed() {
        let mut job = job(UPLOAD, MANUAL);
        job.spec.history = Some(api::import_job::History { successful: Some(0), failed: Some(0) });
        let jobs = [Arc::new(job)];
        let left = |name: &str, minute: usize| {
            let mut run = ended_run(name, "job-uid", minute, "True", "[]");
            let at = now() - std::time::Duration::from_secs(60 * minute as u64);
            let outcome = serde_json::json!({"attempt": 1, "reason": "Completed", "message": "", "at": at.to_string(), "filesLeft": 1});
            Arc::make_mut(&mut run).status.as_mut().unwrap().outcome = Some(serde_json::from_value(outcome).unwrap());
            run
        };
        let (first, second) = (left("first", 9), left("second", 5));
        assert_eq!(names(&surplus(&[second.clone(), first.clone()], &jobs, now())), ["first"]);
        let gone = surplus(&[second.clone(), ended_run("third", "job-uid", 1, "True", "[]")], &jobs, now());
        let order: Vec<&str> = gone.iter().map(|run| labels::name(&run.metadata)).collect();
        assert_eq!(order, ["second", "third"]);
        assert_eq!(names(&surplus(&[second], &jobs, now() + std::time::Duration::from_secs(3600))), ["second"]);
    }

    #[test]
    fn runs_without_a_job_are_kept_for_a_while_and_never_without_end() {
        // A member who makes up a job for each run gets no further: they are counted together.
        let runs: Vec<_> = (0..300).map(|n| ended_run(&format!("run-{n:03}"), &format!("made-up-{n}"), n, "False", "[]")).collect();
        assert_eq!(surplus(&runs, &[], now()).len(), 200);
        // Not even with names that look like proofs.
        let runs: Vec<_> =
            (0..2_500).map(|n| ended_run(&format!("accounts-once-{n}"), &format!("made-up-{n}"), n, "False", "[]")).collect();
        let gone = surplus(&runs, &[], now());
        assert_eq!(gone.len(), 500);
        assert!(names(&gone).contains(&"accounts-once-2499"), "the oldest");
    }
}
