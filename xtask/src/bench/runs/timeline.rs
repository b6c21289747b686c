//! When what happened to a run, from what the API server showed and what the worker said. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bench::figures::Series;

/// Seconds since midnight UTC.
pub(super) type Moment = f64;

const DAY: f64 = 86_400.0;

/// From one moment to a later one, also over midnight; a little before it is a little less than nothing.
pub(super) fn between(from: Moment, to: Moment) -> f64 {
    (to - from + DAY / 2.0).rem_euclid(DAY) - DAY / 2.0
}

/// Of a timestamp such as `2026-11-27T21:45:28.123456Z`.
pub(super) fn moment(timestamp: &str) -> Option<Moment> {
    let (_, time) = timestamp.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(hours * 3600.0 + minutes * 60.0 + seconds)
}

/// What the API server showed of an object, and when.
pub(super) struct Shown {
    pub(super) at: Moment,
    pub(super) deleted: bool,
    pub(super) object: Value,
}

impl Shown {
    /// One line of a watch.
    pub(super) fn of(line: &str, at: Moment) -> Option<Self> {
        let mut event: Value = serde_json::from_str(line).ok()?;
        let deleted = match event["type"].as_str()? {
            "ADDED" | "MODIFIED" => false,
            "DELETED" => true,
            _ => return None,
        };
        Some(Self { at, deleted, object: event["object"].take() })
    }

    pub(super) fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// UID of the run that a pod works for.
    pub(super) fn run_uid(&self) -> &str {
        self.object["metadata"]["labels"]["dataimporter.io/run-uid"].as_str().unwrap_or_default()
    }
}

/// One run. What was not seen is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Timeline {
    pub(super) created: Option<Moment>,
    pub(super) pod: Option<Moment>,
    pub(super) scheduled: Option<Moment>,
    /// The worker's first words: it asks for its lease.
    pub(super) asks: Option<Moment>,
    pub(super) leased: Option<Moment>,
    /// The first chunk is written ahead: all that the import needs of its source is there.
    pub(super) chunk: Option<Moment>,
    /// The worker has what it reports.
    pub(super) imported: Option<Moment>,
    pub(super) outcome: Option<Moment>,
    pub(super) finished: Option<Moment>,
    /// Its pod takes no place any more.
    pub(super) ended: Option<Moment>,
    pub(super) gone: Option<Moment>,
}

impl Timeline {
    fn run_shown(&mut self, shown: &Shown) {
        let (at, status) = (shown.at, &shown.object["status"]);
        self.created.get_or_insert(at);
        if status["chunks"]["listed"].as_array().is_some_and(|chunks| !chunks.is_empty()) {
            self.chunk.get_or_insert(at);
        }
        if status["outcome"].is_object() {
            self.outcome.get_or_insert(at);
        }
        if status["finishedAt"].is_string() {
            self.finished.get_or_insert(at);
        }
    }

    fn pod_shown(&mut self, shown: &Shown) {
        let (at, pod) = (shown.at, &shown.object);
        self.pod.get_or_insert(at);
        if pod["spec"]["nodeName"].is_string() {
            self.scheduled.get_or_insert(at);
        }
        if shown.deleted || matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            self.ended.get_or_insert(at);
        }
        if shown.deleted {
            self.gone.get_or_insert(at);
        }
    }

    /// One line of the worker's log, as the node keeps it: time, stream, a flag, what was said.
    fn said(&mut self, line: &str) {
        let Some((said_at, words)) = line.split_once(' ') else { return };
        let Some(at) = moment(said_at) else { return };
        for (words_of, place) in [
            ("the worker asks the keeper for its lease", &mut self.asks),
            ("the keeper gave the lease", &mut self.leased),
            ("the import ended", &mut self.imported),
        ] {
            if words.contains(words_of) {
                place.get_or_insert(at);
            }
        }
    }
}

/// By UID of the run: of all that was shown, the runs in `wanted`. `logs`: by UID of the run, what its worker said.
pub(super) fn timelines(wanted: &[String], runs: &[Shown], pods: &[Shown], logs: &BTreeMap<String, String>) -> BTreeMap<String, Timeline> {
    let mut found: BTreeMap<String, Timeline> = wanted.iter().map(|uid| (uid.clone(), Timeline::default())).collect();
    for shown in runs {
        if let Some(timeline) = found.get_mut(shown.uid()) {
            timeline.run_shown(shown);
        }
    }
    for shown in pods {
        if let Some(timeline) = found.get_mut(shown.run_uid()) {
            timeline.pod_shown(shown);
        }
    }
    for (run, log) in logs {
        if let Some(timeline) = found.get_mut(run) {
            log.lines().for_each(|line| timeline.said(line));
        }
    }
    found
}

/// Milliseconds from one mark to another, of all runs that have both.
pub(super) fn stage<'a>(
    timelines: impl IntoIterator<Item = &'a Timeline>,
    from: fn(&Timeline) -> Option<Moment>,
    to: fn(&Timeline) -> Option<Moment>,
) -> Series {
    let took = |timeline: &Timeline| Some(between(from(timeline)?, to(timeline)?) * 1e3);
    timelines.into_iter().filter_map(took).collect()
}

/// For each place that became free while somebody waited: how many milliseconds it stayed so. A run holds its place until it is over and
/// its pod has ended; the first `places` pods waited for nobody.
pub(super) fn idle_places<'a>(timelines: impl IntoIterator<Item = &'a Timeline> + Clone, places: usize) -> Series {
    let Some(began) = timelines.clone().into_iter().filter_map(|t| t.created).min_by(|a, b| between(*b, *a).total_cmp(&0.0)) else {
        return Series::default();
    };
    let sorted = |mark: fn(&Timeline) -> Option<Moment>| {
        let mut moments: Vec<f64> = timelines.clone().into_iter().filter_map(|t| Some(between(began, mark(t)?))).collect();
        moments.sort_by(f64::total_cmp);
        moments
    };
    let free = sorted(|t| {
        let (finished, ended) = (t.finished?, t.ended?);
        Some(if between(finished, ended) > 0.0 { ended } else { finished })
    });
    let created = sorted(|t| t.created);
    let pods = sorted(|t| t.pod);
    // The n-th place that became free goes to the pod behind the first ones; who came later than it was not waited for.
    let taken = pods.iter().enumerate().skip(places);
    taken.filter_map(|(n, pod)| Some((pod - free.get(n - places)?.max(*created.get(n)?)) * 1e3)).map(|idle| idle.max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(at: Moment, object: Value) -> Shown {
        Shown { at, deleted: false, object }
    }

    #[test]
    fn moments_are_told_apart_over_midnight() {
        assert_eq!(moment("2026-11-27T01:02:03.5Z"), Some(3723.5));
        assert_eq!(moment("yesterday"), None);
        assert_eq!((between(10.0, 12.5), between(DAY - 1.0, 1.5), between(2.0, 1.0)), (2.5, 2.5, -1.0));
    }

    #[test]
    fn a_run_is_put_together_from_its_own_events_its_pod_and_its_workers_words() {
        let run = |status: Value| json!({"metadata": {"uid": "r"}, "status": status});
        let pod = |phase: &str, node: Value| {
            json!({"metadata": {"uid": "p", "labels": {"dataimporter.io/run-uid": "r"}},
                   "spec": {"nodeName": node}, "status": {"phase": phase}})
        };
        let runs = [
            shown(1.0, run(json!({}))),
            shown(3.0, run(json!({"chunks": {"listed": [{"number": 0}]}}))),
            shown(4.0, run(json!({"outcome": {"attempt": 1}}))),
            shown(5.0, run(json!({"outcome": {"attempt": 1}, "finishedAt": "t"}))),
            shown(9.0, json!({"metadata": {"uid": "another"}})),
        ];
        let last = Shown { deleted: true, ..shown(7.0, pod("Succeeded", "n".into())) };
        let pods = [
            shown(1.5, pod("Pending", Value::Null)),
            shown(1.75, pod("Pending", "n".into())),
            shown(6.0, pod("Succeeded", "n".into())),
            last,
        ];
        let log = "1970-01-01T00:00:02.25Z stderr F {\"message\":\"the worker asks the keeper for its lease\"}\n\
                   1970-01-01T00:00:02.5Z stderr F {\"message\":\"the keeper gave the lease, the import begins\"}\n\
                   1970-01-01T00:00:03.5Z stderr F {\"message\":\"the import ended\"}\n";
        let found = timelines(&["r".into()], &runs, &pods, &[("r".to_owned(), log.to_owned())].into());
        let timeline = Timeline {
            created: Some(1.0),
            pod: Some(1.5),
            scheduled: Some(1.75),
            asks: Some(2.25),
            leased: Some(2.5),
            chunk: Some(3.0),
            imported: Some(3.5),
            outcome: Some(4.0),
            finished: Some(5.0),
            ended: Some(6.0),
            gone: Some(7.0),
        };
        assert_eq!(found, [("r".to_owned(), timeline)].into());
        assert_eq!(stage(found.values(), |t| t.created, |t| t.finished).median(), 4000.0);
    }

    #[test]
    fn a_place_is_idle_from_its_end_to_the_next_pod_unless_nobody_waited() {
        let run = |created: f64, pod: f64, finished: f64, ended: f64| Timeline {
            created: Some(created),
            pod: Some(pod),
            finished: Some(finished),
            ended: Some(ended),
            ..Timeline::default()
        };
        // One place: the second run waited for the pod of the first, the third came when nobody was there.
        let runs = [run(0.0, 0.0, 1.0, 1.5), run(0.5, 1.75, 3.0, 2.5), run(4.0, 4.125, 5.0, 6.0)];
        let idle = idle_places(&runs, 1);
        assert_eq!((idle.len(), idle.max(), idle.min()), (2, 250.0, 125.0));
    }

    #[test]
    fn only_changes_count() {
        assert!(Shown::of(r#"{"type":"BOOKMARK","object":{}}"#, 0.0).is_none() && Shown::of("", 0.0).is_none());
        assert!(Shown::of(r#"{"type":"DELETED","object":{"metadata":{"uid":"a"}}}"#, 0.0).is_some_and(|s| s.deleted && s.uid() == "a"));
    }
}
