//! From what was observed to how the job stands and whether a run starts now.

use std::time::Duration;

use api::import_job::{Choose, FileSource, ImportJobSpec, Schedule, SourceKind, TriggerKind};
use api::reasons::import_job as reasons;
use api::{ImportJob, Uid, names};
use jiff::Timestamp;

use super::references::{connection_trouble, region_trouble, upload_expired, upload_trouble, uses};
use super::{Cron, Observed};
use crate::finding::Finding;
use crate::import_run::{is_finished, reason_of};
use crate::labels;

/// A scheduled run that could not be created within this time after its minute is left out.
const SCHEDULE_GRACE: Duration = Duration::from_secs(600);
/// A run is followed by the next one within this time after its end, or not at all.
pub(crate) const FOLLOW_GRACE: Duration = Duration::from_secs(3600);
/// How long a run of a `once` trigger may wait for its start.
const ONCE_GRACE: Duration = Duration::from_secs(3600);
/// The id of a job that names no trigger.
pub(crate) const DEFAULT_ONCE_ID: &str = "1";

/// What follows from a look at a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// How the job stands.
    pub finding: Finding,
    /// The run to create, under a name that is the same every time.
    pub start: Option<Start>,
    /// When the schedule starts a run next; absent without a schedule, and while something is in the way.
    pub next_run_at: Option<Timestamp>,
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Name of the ImportRun: the same for the same trigger, so that a run is never created twice.
    pub name: String,
    /// A run that could not start by then does not start any more.
    pub start_before: Timestamp,
}

pub(crate) enum When<'a> {
    Once(&'a str),
    Manual,
    Schedule(&'a Schedule),
    /// In a way that this version does not know: none starts.
    Unknown,
}

pub(crate) fn when(spec: &ImportJobSpec) -> When<'_> {
    let Some(trigger) = &spec.trigger else { return When::Once(DEFAULT_ONCE_ID) };
    match trigger.kind() {
        Some(TriggerKind::Once(once)) => When::Once(&once.id),
        Some(TriggerKind::Manual) => When::Manual,
        Some(TriggerKind::Schedule(schedule)) => When::Schedule(schedule),
        None => When::Unknown,
    }
}

/// Name of the run of a `once` trigger, if the job has one.
pub fn once_name(job: &ImportJob) -> Option<String> {
    match when(&job.spec) {
        When::Once(id) => Some(names::once_run(labels::name(&job.metadata), id)),
        When::Manual | When::Schedule(_) | When::Unknown => None,
    }
}

type Rule = fn(&Observed, Timestamp) -> Option<Finding>;

const RULES: &[Rule] = &[
    suspended,           // a person said stop
    of_spec,             // nothing but an edit of the job helps
    namespace_or_region, // no tenant, no place
    connection,          // missing, of the wrong kind, suspended, unverified
    upload_too_old,      // past its hour, or nearly
    upload_not_there,    // not created, or no file sent yet
];

/// Rules that look at nothing but the spec, each with the part of it that it speaks of.
type SpecRule = fn(&ImportJobSpec) -> Option<(&'static str, Finding)>;

const SPEC_RULES: &[SpecRule] = &[
    not_understood, // written for a newer version
    schedule_unreadable,
    zone_unknown,
    moved_into_its_own_path,
];

/// All that a job is refused for by its spec alone, each with the field it is about: what a check before it is applied can tell.
pub fn refusals(spec: &ImportJobSpec, now: Timestamp) -> Vec<(&'static str, Finding)> {
    let never = || match when(spec) {
        When::Schedule(schedule) if Cron::parse(schedule).is_ok_and(|cron| cron.next_after(now).is_none()) => {
            Some(("trigger.schedule.cron", never_comes(schedule)))
        }
        _ => None,
    };
    SPEC_RULES.iter().filter_map(|rule| rule(spec)).chain(never()).collect()
}

/// How the job stands at `now`, and whether a run starts: the first rule that finds something in the way decides, else the trigger.
pub fn decide(o: &Observed, now: Timestamp) -> Decision {
    let blocked = RULES.iter().find_map(|rule| rule(o, now));
    let following = following(o, now).filter(|_| blocked.is_none());
    // Done, whatever became of its references since.
    if let Some(finding) = already_ran(o) {
        let finding = following.as_ref().map_or(finding, |start| starts(&start.name));
        return Decision { finding, start: following, next_run_at: None };
    }
    match (blocked, when(&o.job.spec)) {
        (Some(finding), _) => Decision { finding, start: None, next_run_at: None },
        (None, When::Manual) => {
            let finding = Finding::ready(reasons::ARMED, "runs start when somebody creates an ImportRun: `kubectl import run`");
            Decision { finding, start: following, next_run_at: None }
        }
        (None, When::Once(id)) => {
            let name = names::once_run(labels::name(&o.job.metadata), id);
            let start = Start { name: name.clone(), start_before: now + ONCE_GRACE };
            Decision { finding: starts(&name), start: Some(start), next_run_at: None }
        }
        (None, When::Schedule(schedule)) => {
            let decision = scheduled(o, schedule, now);
            Decision { start: decision.start.or(following), ..decision }
        }
        (None, When::Unknown) => Decision { finding: unknown("trigger"), start: None, next_run_at: None },
    }
}

fn starts(run: &str) -> Finding {
    Finding::ready(reasons::STARTED, format!("starts ImportRun {run}"))
}

fn scheduled(o: &Observed, schedule: &Schedule, now: Timestamp) -> Decision {
    // An unreadable schedule was found by its rule.
    let next = Cron::parse(schedule).ok().and_then(|cron| cron.next_after(now));
    let finding = match next {
        Some(at) => {
            let wait = at.duration_since(now).unsigned_abs();
            Finding::ready(reasons::ARMED, "runs start by the clock: see nextRunAt").again_in(wait)
        }
        None => never_comes(schedule),
    };
    Decision { start: due(o, now), finding, next_run_at: next }
}

fn never_comes(schedule: &Schedule) -> Finding {
    Finding::stalled(reasons::INVALID_SCHEDULE, format!("cron {:?} never comes: there is no such date", schedule.cron))
}

/// The minute that was announced for this very spec, has come, and is not long past. An edited schedule announces anew, so that editing
/// never starts a run.
fn due(o: &Observed, now: Timestamp) -> Option<Start> {
    let status = o.job.status.as_ref().filter(|s| s.observed_generation == o.job.metadata.generation)?;
    let at = status.next_run_at.as_ref()?.0;
    if at > now || now.duration_since(at).unsigned_abs() > SCHEDULE_GRACE || o.unfinished_run().is_some() {
        return None;
    }
    Some(Start { name: names::scheduled_run(labels::name(&o.job.metadata), at), start_before: at + SCHEDULE_GRACE })
}

/// The last run has ended well, and has left files to runs of their own.
fn following(o: &Observed, now: Timestamp) -> Option<Start> {
    let all = matches!(o.job.spec.source.kind(), Some(SourceKind::File(file)) if file.choose == Some(Choose::All));
    if !all || o.unfinished_run().is_some() {
        return None;
    }
    let run = o.last_run()?;
    let status = run.status.as_ref()?;
    let outcome = status.outcome.as_ref().filter(|outcome| outcome.reason.is_success() && outcome.files_left.is_some())?;
    let start_before = outcome.at.0 + FOLLOW_GRACE;
    let name = names::following_run(labels::name(&o.job.metadata), Uid::of_meta(&run.metadata)?.as_str());
    (now < start_before).then_some(Start { name, start_before })
}

fn already_ran(o: &Observed) -> Option<Finding> {
    let When::Once(id) = when(&o.job.spec) else { return None };
    let run = o.once_run.as_ref()?;
    let name = labels::name(&run.metadata);
    Some(if run.spec.job_ref.uid != o.uid.as_str() {
        Finding::ready(
            reasons::ALREADY_RAN,
            format!("ImportRun {name} of a former job has id {id:?}: to run again, change trigger.once.id"),
        )
    } else if let Some(following) = o.unfinished_run().filter(|_| is_finished(run)) {
        Finding::ready(reasons::STARTED, format!("ImportRun {} is under way", labels::name(&following.metadata)))
    } else if is_finished(run) {
        Finding::ready(reasons::DONE, format!("ImportRun {name} ended: {}: to run again, change trigger.once.id", reason_of(run)))
    } else {
        Finding::ready(reasons::STARTED, format!("ImportRun {name} is under way"))
    })
}

fn suspended(o: &Observed, _: Timestamp) -> Option<Finding> {
    o.job.spec.suspended().then(|| Finding::ready(reasons::SUSPENDED, "no run starts by itself until spec.suspend is false"))
}

fn of_spec(o: &Observed, _: Timestamp) -> Option<Finding> {
    SPEC_RULES.iter().find_map(|rule| rule(&o.job.spec)).map(|(_, finding)| finding)
}

/// What stands where this version finds nothing it knows would be passed over, and a run would do something else than was asked.
fn not_understood(spec: &ImportJobSpec) -> Option<(&'static str, Finding)> {
    let (format, said) = spec.source.format().unwrap_or((None, "source.format"));
    let after_success = spec.source.after_success();
    let parts = [
        ("source", spec.source.kind().is_some()),
        (said, format.is_none_or(|format| format.kind().is_some())),
        ("source.file.afterSuccess", after_success.is_none_or(|after| after.kind().is_some())),
        ("target", spec.target.kind().is_some()),
        ("trigger", !matches!(when(spec), When::Unknown)),
    ];
    parts.into_iter().find(|(_, known)| !known).map(|(part, _)| (part, unknown(part)))
}

fn unknown(part: &str) -> Finding {
    Finding::stalled(
        reasons::NOT_UNDERSTOOD,
        format!("{part} has no key that this version knows, or more than one: set exactly one that it knows, or upgrade Dataimporter"),
    )
}

fn schedule_unreadable(spec: &ImportJobSpec) -> Option<(&'static str, Finding)> {
    let When::Schedule(schedule) = when(spec) else { return None };
    Cron::parse(schedule).err().map(|error| (error.field(), Finding::stalled(reasons::INVALID_SCHEDULE, error.to_string())))
}

fn zone_unknown(spec: &ImportJobSpec) -> Option<(&'static str, Finding)> {
    spec.source.zone().err().map(|error| ("source.timeZone", Finding::stalled(reasons::INVALID_SPEC, format!("source.{error}"))))
}

/// Its files would be loaded for ever.
fn moved_into_its_own_path(spec: &ImportJobSpec) -> Option<(&'static str, Finding)> {
    let Some(SourceKind::File(file)) = spec.source.kind() else { return None };
    let finding = || ("source.file.afterSuccess.move.folder", Finding::stalled(reasons::INVALID_SPEC, FileSource::OWN_PATH));
    file.moves_into_its_own_path().then(finding)
}

fn namespace_or_region(o: &Observed, _: Timestamp) -> Option<Finding> {
    region_trouble(o.tenant.as_ref(), o.region.as_ref(), &o.namespace)
}

fn connection(o: &Observed, _: Timestamp) -> Option<Finding> {
    connection_trouble(&uses(&o.job.spec), &o.connections)
}

fn upload_too_old(o: &Observed, now: Timestamp) -> Option<Finding> {
    let upload = o.upload.as_ref().filter(|upload| upload_expired(upload, now))?;
    let name = labels::name(&upload.metadata);
    Some(Finding::waiting(
        reasons::UPLOAD_EXPIRED,
        format!("Upload {name} is past its hour: create another one and name it in source.upload"),
    ))
}

fn upload_not_there(o: &Observed, _: Timestamp) -> Option<Finding> {
    let source = o.job.spec.source.upload()?;
    upload_trouble(&source.name, o.upload.as_ref())
}
