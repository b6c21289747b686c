//! What to do with a run now: an ordered list of named rules, the first that speaks decides.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{self, KEYS_READY};
use api::identity::has_uid;
use api::import_run::{Attempt, ImportRunStatus, Outcome, RunReason};
use api::reasons::import_run as reasons;
use jiff::Timestamp;

use super::observed::{Anchor, Basis, Begun, Crowd, Frozen, HoldUp, JobFacts};
use super::{Ending, Observed, Placed, RunState, backoff, ending_of};
use crate::finding::Finding;
use crate::import_job::{connection_trouble, region_trouble, upload_expired, upload_over, upload_trouble, uses};
use crate::labels;

/// Attempts that ended by the run's own doing.
pub const COUNTED_LIMIT: usize = 5;
/// All attempts: what the status can hold.
const TOTAL_LIMIT: usize = 16;
/// A pod whose grace period ended this long ago sits on a node that does not answer.
const NODE_SILENCE: Duration = Duration::from_secs(60);
/// The worker watches the deadline itself and winds up in good order; after this time it is cut off.
const OVERTIME: Duration = Duration::from_secs(300);
/// A blocked run looks again this often even if nothing happens.
const RECHECK: Duration = Duration::from_secs(60);

/// What to do with a run.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Nothing at all, not even a status.
    Leave,
    /// The run is over: its anchor goes, and its pods with it.
    CleanUp(Anchor),
    /// Nothing to do but to say how it stands.
    Report(Finding),
    /// The pod's node is known: write it down, the keeper asks for it.
    NoteNode {
        /// Name of the node.
        node: String,
        /// How the run stands.
        finding: Finding,
    },
    /// Announce the first attempt, with the digest of what it will work from.
    Announce(Box<Placed>),
    /// The first attempt is announced and nothing is made of it: make what it works from.
    MakeAnchor(Box<Placed>),
    /// Where what it works from is to stand, somebody else put something: that goes.
    RemovePlanted(Anchor),
    /// Announce a further attempt, which works from the same.
    AnnounceNext(Box<Placed>, Arc<Frozen>),
    /// The attempt is announced: find its pod or make it.
    MakePod(Box<Placed>, Arc<Frozen>),
    /// The attempt is over, the run is not.
    EndAttempt(Ending),
    /// The run is over.
    Finish {
        /// How it ended, in one word.
        reason: RunReason,
        /// The same for people.
        message: String,
        /// How its last attempt ended, if one was under way.
        ending: Option<Ending>,
    },
}

type Rule = fn(&Observed, Timestamp) -> Option<Decision>;

const RULES: &[Rule] = &[
    finished,              // clean up and never look again
    being_deleted,         // the sweep removes what is left
    outcome_reported,      // the worker said how it ended; what becomes of its pod does not matter any more
    pod_over,              // it ended without saying so
    pod_gone,              // nothing there any more
    node_silent,           // its node is gone
    overdue,               // past its deadline and the overtime
    cancelled_unscheduled, // nobody works yet
    pod_working,           // leave it alone
    cancelled,             // before the first or between two attempts
    snapshot_lost,
    attempts_used_up,
    deadline_passed,
    too_late_to_start, // restored from a backup, or blocked for too long
    not_understood,    // written for a newer version
    job_replaced,      // the job is gone or another one of its name
    tenant_leaving,
    tenant_changed, // the namespace is another one's now
    too_many,       // further ones end at once, so that nobody keeps count of them
    no_place,       // no tenant, no region, region not ready
    keys_not_ready,
    upload_expired_before_start,
    upload_over_between_attempts,
    connection_unusable,
    upload_not_ready,
    another_run_first,
    backing_off,
    run_namespace_missing,
];

/// What to do with the run at `now`.
pub fn decide(o: &Observed, now: Timestamp) -> Decision {
    if let Some(decision) = RULES.iter().find_map(|rule| rule(o, now)) {
        return after_loading(o, decision);
    }
    let Some(placed) = Placed::prove(o).map(Box::new) else {
        return blocked(Finding::waiting(reasons::RUN_NAMESPACE_NOT_READY, "the tenant's run namespace is not ready"));
    };
    match (&o.basis, state(o)) {
        (Basis::Job(_), RunState::Fresh) => Decision::Announce(placed),
        (Basis::Job(facts), _) => match &facts.planted {
            Some(planted) => Decision::RemovePlanted(planted.clone()),
            None => Decision::MakeAnchor(placed),
        },
        (Basis::Snapshot(begun), RunState::Announced(_)) => Decision::MakePod(placed, begun.frozen.clone()),
        (Basis::Snapshot(begun), _) => Decision::AnnounceNext(placed, begun.frozen.clone()),
        // Rules above spoke for these.
        (Basis::Lost | Basis::Over(_), _) => Decision::Leave,
    }
}

/// A run that has loaded everything ends as that says, whatever keeps its file from being dealt with.
fn after_loading(o: &Observed, decision: Decision) -> Decision {
    let loaded = status(o).and_then(|status| status.outcome.as_ref()).filter(|outcome| outcome.is_pending());
    let (Some(outcome), Decision::Finish { message: why, ending, .. }) = (loaded, &decision) else { return decision };
    let message = outcome.message_and(&format!("source.file.afterSuccess may not have been done: {why}"));
    match accounted(o, outcome) {
        Decision::Finish { reason, .. } if reason == outcome.reason => Decision::Finish { reason, message, ending: ending.clone() },
        wrong => wrong,
    }
}

/// Before the run has begun.
fn job_facts(o: &Observed) -> Option<&JobFacts> {
    if let Basis::Job(facts) = &o.basis { Some(facts) } else { None }
}

/// After it has begun.
fn begun(o: &Observed) -> Option<&Begun> {
    if let Basis::Snapshot(begun) = &o.basis { Some(begun) } else { None }
}

fn status(o: &Observed) -> Option<&ImportRunStatus> {
    o.run.status.as_ref()
}

fn state(o: &Observed) -> RunState<'_> {
    RunState::of(status(o))
}

fn attempts(o: &Observed) -> &[Attempt] {
    status(o).map_or(&[], |s| &s.attempts)
}

fn counted(o: &Observed) -> usize {
    attempts(o).iter().filter(|a| a.counted == Some(true)).count()
}

/// The pod that has authority: the one whose UID the current attempt records.
fn authoritative(o: &Observed) -> Option<&super::PodFacts> {
    let RunState::Working { pod_uid, .. } = state(o) else { return None };
    o.pod.as_ref().filter(|pod| pod.uid.as_str() == pod_uid)
}

fn blocked(finding: Finding) -> Decision {
    Decision::Report(finding.again_in(RECHECK))
}

fn finish(reason: RunReason, message: impl Into<String>) -> Decision {
    Decision::Finish { reason, message: message.into(), ending: None }
}

fn finished(o: &Observed, _: Timestamp) -> Option<Decision> {
    let left = if let Basis::Over(anchor) = &o.basis { anchor } else { return None };
    Some(left.clone().map_or(Decision::Leave, Decision::CleanUp))
}

fn being_deleted(o: &Observed, _: Timestamp) -> Option<Decision> {
    o.run.metadata.deletion_timestamp.is_some().then_some(Decision::Leave)
}

/// The last thing that a worker does is to report, so nothing of the run is left to wait for: its pod goes with the anchor.
fn outcome_reported(o: &Observed, _: Timestamp) -> Option<Decision> {
    let outcome = status(o)?.outcome.as_ref()?;
    let current = match state(o) {
        RunState::Working { attempt, .. } | RunState::Between(attempt) => attempt,
        RunState::Fresh | RunState::Announced(_) => return None,
    };
    let says_how = outcome.attempt == current.number && !outcome.reason.is_resumable() && !outcome.is_pending();
    says_how.then(|| accounted(o, outcome))
}

/// A run that says it succeeded must account for every row.
fn accounted(o: &Observed, outcome: &Outcome) -> Decision {
    let rows = status(o).and_then(|s| s.rows).unwrap_or_default();
    let ending = Some(Ending { reason: reasons::COMPLETED, counted: false, message: String::new() });
    if outcome.reason.is_success() && !rows.balanced() {
        let message = format!(
            "read {} rows, but {} filtered + {} deduplicated + {} not sampled + {} skipped + {} succeeded + {} failed + {} unprocessed do not add up to it",
            rows.read, rows.filtered, rows.deduplicated, rows.not_sampled, rows.skipped, rows.succeeded, rows.failed, rows.unprocessed
        );
        return Decision::Finish { reason: RunReason::AccountingMismatch, message, ending };
    }
    Decision::Finish { reason: outcome.reason, message: outcome.message.clone(), ending }
}

fn pod_over(o: &Observed, _: Timestamp) -> Option<Decision> {
    authoritative(o).filter(|pod| pod.is_over()).map(|pod| Decision::EndAttempt(ending_of(pod)))
}

fn pod_gone(o: &Observed, _: Timestamp) -> Option<Decision> {
    (matches!(state(o), RunState::Working { .. }) && authoritative(o).is_none()).then(|| Decision::EndAttempt(Ending::lost()))
}

fn node_silent(o: &Observed, now: Timestamp) -> Option<Decision> {
    let pod = authoritative(o)?;
    let overdue = now.duration_since(pod.deleted_by?);
    (overdue.is_positive() && overdue.unsigned_abs() > NODE_SILENCE)
        .then(|| Decision::EndAttempt(Ending::node_lost(pod.node.as_deref().unwrap_or("unknown"))))
}

/// What was promised when it began.
fn deadline(o: &Observed) -> Option<Timestamp> {
    begun(o).map(|begun| begun.frozen.deadline)
}

fn overdue(o: &Observed, now: Timestamp) -> Option<Decision> {
    let end = deadline(o)? + OVERTIME;
    let working = matches!(state(o), RunState::Working { .. } | RunState::Announced(_));
    (working && now >= end).then(|| Decision::Finish {
        reason: RunReason::Deadline,
        message: "the run was still working after guards.deadlineSeconds and was cut off: rows of its open chunks are unprocessed".into(),
        ending: Some(Ending { reason: reasons::DEADLINE, counted: true, message: String::new() }),
    })
}

fn cancelled_unscheduled(o: &Observed, _: Timestamp) -> Option<Decision> {
    let pod = authoritative(o)?;
    (o.run.spec.cancelled() && pod.node.is_none()).then(|| Decision::Finish {
        reason: RunReason::Cancelled,
        message: "cancelled before a worker began".into(),
        ending: Some(Ending { reason: reasons::CANCELLED, counted: false, message: String::new() }),
    })
}

fn pod_working(o: &Observed, now: Timestamp) -> Option<Decision> {
    let pod = authoritative(o)?;
    let finding = working(o, pod);
    let until = deadline(o).map_or(RECHECK, |end| (end + OVERTIME).duration_since(now).unsigned_abs());
    let finding = match pod.deleted_by {
        // When the rule above finds its time come, and not a minute after.
        Some(by) => finding.again_in((by + NODE_SILENCE).duration_since(now).unsigned_abs()),
        None => finding.again_in(until),
    };
    let RunState::Working { attempt, .. } = state(o) else { return None };
    Some(match &pod.node {
        Some(node) if attempt.node.as_ref() != Some(node) => Decision::NoteNode { node: node.clone(), finding },
        _ => Decision::Report(finding),
    })
}

fn working(o: &Observed, pod: &super::PodFacts) -> Finding {
    if o.run.spec.cancelled() {
        return Finding::progressing(reasons::CANCELLING, "no new chunk starts; committed ones are waited for, then results are written");
    }
    match (&pod.holdup, pod.phase.as_str()) {
        (Some((HoldUp::Unschedulable, why)), _) => Finding::progressing(reasons::UNSCHEDULABLE, format!("no node takes the worker: {why}")),
        (Some((HoldUp::Image, why)), _) => {
            Finding::progressing(reasons::IMAGE_NOT_PULLED, format!("the worker's image cannot be had: {why}"))
        }
        (None, "Running") => Finding::progressing(reasons::RUNNING, "a worker reads and loads"),
        (None, _) => starting(),
    }
}

/// From the announcement of an attempt until its pod runs: the same words throughout, so that nothing is written twice.
pub fn starting() -> Finding {
    Finding::progressing(reasons::STARTING, "a worker pod is being made")
}

fn cancelled(o: &Observed, _: Timestamp) -> Option<Decision> {
    // An announced attempt may have a pod that we do not know of: it is found first.
    let idle =
        matches!(state(o), RunState::Fresh | RunState::Between(_)) || (matches!(state(o), RunState::Announced(_)) && o.pod.is_none());
    (idle && o.run.spec.cancelled()).then(|| {
        let message = if attempts(o).is_empty() { "cancelled before it started" } else { "cancelled between two attempts" };
        finish(RunReason::Cancelled, message)
    })
}

/// A run goes on from the snapshot it began with, or not at all.
fn snapshot_lost(o: &Observed, _: Timestamp) -> Option<Decision> {
    matches!(o.basis, Basis::Lost).then(|| {
        finish(RunReason::Internal, "the snapshot this run works from is gone or differs from its digest: create another ImportRun")
    })
}

/// Why an attempt ended, with the worker's own words if it left some.
fn why(o: &Observed, attempt: &Attempt) -> String {
    let reason = attempt.reason.as_deref().unwrap_or("unknown");
    let said = status(o).and_then(|status| status.interruption.as_ref()).filter(|said| said.attempt == attempt.number);
    said.map_or_else(|| reason.to_owned(), |said| format!("{reason} ({})", said.message))
}

fn attempts_used_up(o: &Observed, _: Timestamp) -> Option<Decision> {
    let RunState::Between(last) = state(o) else { return None };
    let why = why(o, last);
    if counted(o) >= COUNTED_LIMIT {
        return Some(finish(RunReason::WorkerFailed, format!("{COUNTED_LIMIT} attempts failed, the last one with {why}")));
    }
    (attempts(o).len() >= TOTAL_LIMIT)
        .then(|| finish(RunReason::WorkerFailed, format!("{TOTAL_LIMIT} attempts were cut short, the last one with {why}")))
}

fn deadline_passed(o: &Observed, now: Timestamp) -> Option<Decision> {
    let RunState::Between(_) = state(o) else { return None };
    (now >= deadline(o)?).then(|| finish(RunReason::Deadline, "guards.deadlineSeconds passed between two attempts"))
}

fn too_late_to_start(o: &Observed, now: Timestamp) -> Option<Decision> {
    (state(o) == RunState::Fresh && now >= o.run.spec.start_before.0).then(|| {
        let why = status(o)
            .and_then(|s| conditions::find(&s.conditions, conditions::READY))
            .map_or(String::new(), |c| format!(" ({})", c.message));
        finish(RunReason::Stale, format!("it did not start before spec.startBefore{why}: create another ImportRun"))
    })
}

fn job_replaced(o: &Observed, _: Timestamp) -> Option<Decision> {
    let wanted = &o.run.spec.job_ref;
    let living = job_facts(o)?.job.as_ref();
    (!living.is_some_and(|job| has_uid(&job.metadata, &wanted.uid))).then(|| {
        let what = if living.is_none() { "does not exist" } else { "is another job of that name" };
        finish(RunReason::Stale, format!("ImportJob {} {what}: spec.jobRef.uid names the job this run was made for", wanted.name))
    })
}

fn tenant_leaving(o: &Observed, _: Timestamp) -> Option<Decision> {
    let tenant = o.tenant.as_ref().filter(|t| t.metadata.deletion_timestamp.is_some())?;
    Some(finish(RunReason::Cancelled, format!("Tenant {} is being deleted", labels::name(&tenant.metadata))))
}

/// Keys, places and files of a run are its tenant's.
fn tenant_changed(o: &Observed, _: Timestamp) -> Option<Decision> {
    let (tenant, began_for) = (o.tenant.as_ref()?, &begun(o)?.frozen.tenant_uid);
    (!has_uid(&tenant.metadata, began_for)).then(|| {
        let (namespace, name) = (&o.namespace, labels::name(&tenant.metadata));
        finish(RunReason::Cancelled, format!("namespace {namespace} belongs to Tenant {name} now, and this run began for another one"))
    })
}

fn too_many(o: &Observed, _: Timestamp) -> Option<Decision> {
    let crowd = job_facts(o).filter(|_| state(o) == RunState::Fresh)?.crowd;
    let Crowd { before, limit } = crowd.filter(|crowd| crowd.before >= crowd.limit)?;
    let name = labels::name(&o.tenant.as_ref()?.metadata);
    Some(finish(
        RunReason::LimitExceeded,
        format!(
            "Tenant {name} has {before} unfinished runs and its limit is {limit} (limits.objects.unfinishedRuns): wait until some have ended, then create another ImportRun"
        ),
    ))
}

/// A run that asks for something else than this version knows is not made a load of everything.
fn not_understood(o: &Observed, _: Timestamp) -> Option<Decision> {
    job_facts(o)?;
    let unknown = o.run.spec.action.as_ref().is_some_and(|action| action.kind().is_none());
    unknown.then(|| {
        blocked(Finding::stalled(
            reasons::NOT_UNDERSTOOD,
            "action has no key that this version knows, or more than one: set exactly one that it knows, or upgrade Dataimporter",
        ))
    })
}

fn no_place(o: &Observed, _: Timestamp) -> Option<Decision> {
    region_trouble(o.tenant.as_ref(), o.region.as_ref(), &o.namespace).map(blocked)
}

fn keys_not_ready(o: &Observed, _: Timestamp) -> Option<Decision> {
    let tenant = o.tenant.as_ref()?.status.as_ref()?;
    (!conditions::is_true(&tenant.conditions, KEYS_READY))
        .then(|| blocked(Finding::waiting(reasons::KEYS_NOT_READY, "the keeper has not made this tenant's keys yet")))
}

fn upload_expired_before_start(o: &Observed, now: Timestamp) -> Option<Decision> {
    let upload = job_facts(o)?.upload.as_ref().filter(|upload| upload_expired(upload, now))?;
    let name = labels::name(&upload.metadata);
    Some(finish(
        RunReason::UploadExpired,
        format!("Upload {name} is past its hour or has less than five minutes left: send the file again"),
    ))
}

/// The keeper would refuse every further attempt.
fn upload_over_between_attempts(o: &Observed, now: Timestamp) -> Option<Decision> {
    let (RunState::Between(last), begun) = (state(o), begun(o)?) else { return None };
    let expected = begun.frozen.upload.as_ref()?;
    // What came under its name since is another file.
    let living = begun.upload.as_ref().filter(|upload| has_uid(&upload.metadata, &expected.uid));
    let (reason, what) = match living {
        None => (RunReason::UploadGone, "was deleted"),
        Some(upload) if upload_over(upload, now) => (RunReason::UploadExpired, "passed its hour"),
        Some(_) => return None,
    };
    let (name, number, why) = (&expected.name, last.number, why(o, last));
    Some(finish(
        reason,
        format!(
            "Upload {name} {what} after attempt {number} had ended with {why}: rows that are loaded stay and are counted; send the file again for the rest"
        ),
    ))
}

fn connection_unusable(o: &Observed, _: Timestamp) -> Option<Decision> {
    match &o.basis {
        Basis::Job(facts) => connection_trouble(&uses(&facts.job.as_ref()?.spec), &facts.connections).map(blocked),
        Basis::Snapshot(begun) => connection_trouble(&begun.frozen.uses, &begun.connections).map(blocked),
        Basis::Lost | Basis::Over(_) => None,
    }
}

fn upload_not_ready(o: &Observed, _: Timestamp) -> Option<Decision> {
    let facts = job_facts(o)?;
    let source = facts.job.as_ref()?.spec.source.upload()?;
    upload_trouble(&source.name, facts.upload.as_ref()).map(blocked)
}

fn another_run_first(o: &Observed, _: Timestamp) -> Option<Decision> {
    let ahead = job_facts(o).filter(|_| state(o) == RunState::Fresh)?.ahead.as_ref()?;
    Some(blocked(Finding::waiting(reasons::OTHER_RUN_ACTIVE, format!("ImportRun {ahead} of the same job goes first"))))
}

fn backing_off(o: &Observed, now: Timestamp) -> Option<Decision> {
    let RunState::Between(last) = state(o) else { return None };
    let due = last.finished_at.as_ref()?.0 + backoff(counted(o), last.counted == Some(true));
    (now < due).then(|| {
        let message = format!("attempt {} ended with {}; the next one starts at {}", last.number, why(o, last), due.strftime("%H:%M:%SZ"));
        Decision::Report(Finding::progressing(reasons::BACKING_OFF, message).again_in(due.duration_since(now).unsigned_abs()))
    })
}

fn run_namespace_missing(o: &Observed, _: Timestamp) -> Option<Decision> {
    let recorded = o.tenant.as_ref()?.status.as_ref()?.run_namespace.as_ref();
    let ready = o.run_namespace.as_ref().is_some_and(|ns| !ns.terminating && recorded.is_some_and(|r| r.uid == ns.uid.as_str()));
    (!ready).then(|| blocked(Finding::progressing(reasons::PREPARING_NAMESPACE, "the tenant's run namespace is being made")))
}
