//! When runs start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::Empty;
use crate::schema::exactly_one;
use crate::union::union;

/// When runs start: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(TriggerKind::KEYS)]))]
pub struct Trigger {
    /// One run per id; another id starts another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once: Option<Once>,
    /// Runs start only when a person or program creates an ImportRun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manual: Option<Empty>,
    /// Runs start by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
}

/// One run for this id, whatever happens to the job.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Once {
    /// Any text; the run is named after it.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub id: String,
}

/// Minutes of the clock at which runs start.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Five fields: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// IANA time zone, e.g. `Europe/Berlin`. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

union! {
    /// When runs of a job start.
    pub enum TriggerKind<'a> = Trigger::kind {
        /// One run per id.
        "once" once => Once(&'a Once),
        /// When a person or program creates an ImportRun.
        "manual" manual => Manual,
        /// By the clock.
        "schedule" schedule => Schedule(&'a Schedule),
    }
}
