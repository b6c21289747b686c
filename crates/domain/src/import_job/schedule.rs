//! Times of a schedule: five cron fields read in a time zone. An hour that the clock skips or repeats yields one run.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use api::UnknownZone;
use api::import_job::Schedule;

/// What is wrong with a schedule, and how it is written.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub(crate) enum ScheduleError {
    #[error("trigger.schedule.cron {cron:?}: {why}: five fields: minute, hour, day of month, month, day of week")]
    Cron { cron: String, why: String },
    #[error("trigger.schedule.{0}")]
    TimeZone(UnknownZone),
}

impl ScheduleError {
    /// The field of the spec that is wrong.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Cron { .. } => "trigger.schedule.cron",
            Self::TimeZone(_) => "trigger.schedule.timeZone",
        }
    }
}

/// The times of a schedule, in its time zone; UTC when it names none.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    cron: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// If the cron text is not five fields that make sense, or the time zone has no such name in the IANA database.
    pub(crate) fn parse(schedule: &Schedule) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let bad = |why: String| ScheduleError::Cron { cron: schedule.cron.clone(), why };
        let cron = parser.parse(&schedule.cron).map_err(|error| bad(error.to_string()))?;
        let zone = match &schedule.time_zone {
            Some(name) => api::zone(name).map_err(ScheduleError::TimeZone)?,
            None => TimeZone::UTC,
        };
        Ok(Self { cron, zone })
    }

    /// The first time after this one; none if there is none in sight (30 February).
    pub(crate) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok().map(|at| at.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, zone: Option<&str>, now: &str) -> String {
        let schedule = Schedule { cron: cron.into(), time_zone: zone.map(str::to_owned) };
        Cron::parse(&schedule).unwrap().next_after(now.parse().unwrap()).map_or("none".into(), |t| t.to_string())
    }

    #[test]
    fn the_zone_decides_the_hour_summer_and_winter() {
        assert_eq!(next("0 6 * * *", Some("Europe/Berlin"), "2026-01-10T00:00:00Z"), "2026-01-10T05:00:00Z");
        assert_eq!(next("0 6 * * *", Some("Europe/Berlin"), "2026-07-10T00:00:00Z"), "2026-07-10T04:00:00Z");
        assert_eq!(next("0 6 * * *", None, "2026-07-10T06:00:00Z"), "2026-07-11T06:00:00Z", "strictly after");
    }

    #[test]
    fn a_skipped_hour_runs_once_and_a_repeated_hour_runs_once() {
        // Berlin: 2026-03-29 02:00 → 03:00; 2026-10-25 03:00 → 02:00.
        let spring = next("30 2 * * *", Some("Europe/Berlin"), "2026-03-28T12:00:00Z");
        assert!(spring.starts_with("2026-03-29T01:"), "{spring}");
        let autumn = next("30 2 * * *", Some("Europe/Berlin"), "2026-10-24T12:00:00Z");
        assert_eq!(autumn, "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", Some("Europe/Berlin"), &autumn), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn six_fields_nonsense_and_unknown_zones_are_refused_with_words() {
        let parse = |cron: &str, zone: Option<&str>| Cron::parse(&Schedule { cron: cron.into(), time_zone: zone.map(str::to_owned) });
        for cron in ["0 0 6 * * *", "61 * * * *", "hello you"] {
            assert!(parse(cron, None).unwrap_err().to_string().contains(cron), "{cron}");
        }
        let unknown = parse("0 6 * * *", Some("Europe/Atlantis")).unwrap_err().to_string();
        assert!(unknown.starts_with("trigger.schedule.timeZone \"Europe/Atlantis\" is not a time zone: "), "{unknown}");
    }

    #[test]
    fn a_date_that_never_comes_has_no_next_time() {
        assert_eq!(next("0 0 30 2 *", None, "2026-01-01T00:00:00Z"), "none");
    }
}
