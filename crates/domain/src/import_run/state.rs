//! The phase of a run, read from its status, and the transitions between phases. A transition takes the record by value and
//! gives the next one; nothing else writes attempts.

use api::import_run::{Attempt, ImportRunStatus, Placement};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Ending, owned_part};

/// The phase of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState<'a> {
    /// No worker was ever asked for.
    Fresh,
    /// An attempt is written down; whether its pod exists is not.
    Announced(&'a Attempt),
    /// The pod of the attempt is known.
    Working {
        /// The attempt, not over yet.
        attempt: &'a Attempt,
        /// UID of its pod.
        pod_uid: &'a str,
    },
    /// The last attempt ended, the run did not.
    Between(&'a Attempt),
}

impl<'a> RunState<'a> {
    /// Reads the phase from a run's status; without a status it is `Fresh`.
    pub fn of(status: Option<&'a ImportRunStatus>) -> Self {
        match status.and_then(ImportRunStatus::current_attempt) {
            None => Self::Fresh,
            Some(attempt) if attempt.finished_at.is_some() => Self::Between(attempt),
            Some(attempt) => match &attempt.pod_uid {
                Some(pod_uid) => Self::Working { attempt, pod_uid },
                None => Self::Announced(attempt),
            },
        }
    }
}

/// The operator's part of a run's status, on its way to the next write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(ImportRunStatus);

impl Record {
    /// Begins with the operator's part of what was written last.
    pub fn of(status: Option<&ImportRunStatus>) -> Self {
        Self(status.map(owned_part).unwrap_or_default())
    }

    /// The record as it is written.
    pub fn status(self) -> ImportRunStatus {
        self.0
    }

    /// Write-ahead: a worker of this number may exist from now on.
    pub fn announce(mut self, digest: String, placement: Placement, now: Timestamp) -> Self {
        let number = self.0.current_attempt().map_or(1, |last| last.number + 1);
        self.0.snapshot_digest = Some(digest);
        self.0.placement = Some(placement);
        self.0.started_at.get_or_insert(Time(now));
        self.0.attempts.push(Attempt {
            number,
            pod_uid: None,
            node: None,
            created_at: Time(now),
            finished_at: None,
            reason: None,
            counted: None,
        });
        self
    }

    /// The first attempt works from another snapshot than was announced, which nobody has made or seen.
    pub fn announced_anew(mut self, digest: String, now: Timestamp) -> Self {
        self.0.snapshot_digest = Some(digest);
        self.0.started_at = Some(Time(now));
        self
    }

    /// The attempt's pod is this one; only it has authority.
    pub fn joined(mut self, pod_uid: &str) -> Self {
        if let Some(attempt) = self.current() {
            attempt.pod_uid = Some(pod_uid.to_owned());
        }
        self
    }

    /// The pod was bound to this node.
    pub fn placed_on(mut self, node: &str) -> Self {
        if let Some(attempt) = self.current() {
            attempt.node = Some(node.to_owned());
        }
        if let Some(placement) = &mut self.0.placement {
            placement.node = Some(node.to_owned());
        }
        self
    }

    /// The attempt is over; its pod has no authority any more.
    pub fn ended(mut self, ending: &Ending, now: Timestamp) -> Self {
        if let Some(attempt) = self.current().filter(|a| a.finished_at.is_none()) {
            attempt.finished_at = Some(Time(now));
            attempt.reason = Some(ending.reason.to_owned());
            attempt.counted = Some(ending.counted);
        }
        self
    }

    /// The run is over.
    pub fn finished(mut self, now: Timestamp) -> Self {
        self.0.finished_at.get_or_insert(Time(now));
        self
    }

    fn current(&mut self) -> Option<&mut Attempt> {
        self.0.attempts.iter_mut().max_by_key(|a| a.number)
    }
}
