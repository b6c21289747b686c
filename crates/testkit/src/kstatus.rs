//! Does a status say what waiting tools understand? Numbered checks after the conventions of kstatus and fluxcd's condition
//! checker. An object is judged in one of two modes: finished, or in progress.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::DynamicObject;
use serde_json::Value;

/// What a waiting tool would think: in progress while `Reconciling` stands or the spec has not been looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// The controller has looked at the spec and has nothing under way.
    Finished,
    /// `Reconciling` stands, or the spec has not been looked at.
    InProgress,
}

struct Judged {
    generation: i64,
    observed: Option<i64>,
    conditions: Vec<Condition>,
}

type Check = (u8, &'static str, fn(&Judged) -> bool);

/// These hold in both modes.
const ALWAYS: &[Check] = &[
    (1, "Ready is present once the spec was looked at", |j| j.observed.is_none() || j.find("Ready").is_some()),
    (2, "Reconciling and Stalled stand only while True", |j| {
        ["Reconciling", "Stalled"].iter().all(|t| j.find(t).is_none_or(|c| c.status == "True"))
    }),
    (3, "Reconciling and Stalled exclude each other", |j| !(j.is("Reconciling", "True") && j.is("Stalled", "True"))),
    (4, "nothing was observed that is not there yet", |j| {
        j.observed.is_none_or(|o| o <= j.generation) && j.conditions.iter().all(|c| c.observed_generation.is_none_or(|o| o <= j.generation))
    }),
    (5, "Ready=True means that nothing is under way and nothing is stuck", |j| {
        !j.is("Ready", "True") || (j.find("Reconciling").is_none() && j.find("Stalled").is_none())
    }),
    (6, "Stalled goes with Ready=False", |j| !j.is("Stalled", "True") || j.is("Ready", "False")),
    (7, "Ready=Unknown goes with Reconciling=True", |j| !j.is("Ready", "Unknown") || j.is("Reconciling", "True")),
    (8, "a type stands once", |j| j.conditions.iter().all(|c| j.conditions.iter().filter(|d| d.type_ == c.type_).count() == 1)),
    (9, "a reason is one word in CamelCase", |j| {
        j.conditions
            .iter()
            .all(|c| c.reason.starts_with(|l: char| l.is_ascii_uppercase()) && c.reason.chars().all(|l| l.is_ascii_alphanumeric()))
    }),
];

const FINISHED: &[Check] = &[
    (10, "the whole spec was looked at", |j| j.observed == Some(j.generation)),
    (11, "Ready is True or False", |j| j.is("Ready", "True") || j.is("Ready", "False")),
    (12, "Ready=False is Stalled: else a tool would wait for ever", |j| !j.is("Ready", "False") || j.is("Stalled", "True")),
    (13, "Ready speaks of this spec", |j| j.find("Ready").is_some_and(|c| c.observed_generation == Some(j.generation))),
];

const IN_PROGRESS: &[Check] =
    &[(14, "Reconciling=True, or nobody has looked yet", |j| j.is("Reconciling", "True") || j.observed.is_none_or(|o| o < j.generation))];

impl Judged {
    fn of(object: &DynamicObject) -> Self {
        let status = &object.data["status"];
        let conditions = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
        Self { generation: object.metadata.generation.unwrap_or_default(), observed: status["observedGeneration"].as_i64(), conditions }
    }

    fn find(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }

    fn is(&self, type_: &str, status: &str) -> bool {
        self.find(type_).is_some_and(|c| c.status == status)
    }

    fn mode(&self) -> Mode {
        if self.is("Reconciling", "True") || self.observed.is_none_or(|o| o < self.generation) { Mode::InProgress } else { Mode::Finished }
    }
}

/// What a waiting tool would think of an object as it is.
pub fn mode(object: &DynamicObject) -> Mode {
    Judged::of(object).mode()
}

/// The checks that do not hold, in the mode that the object itself shows.
pub fn violations(object: &DynamicObject) -> Vec<String> {
    let judged = Judged::of(object);
    let mode = judged.mode();
    let more = match mode {
        Mode::Finished => FINISHED,
        Mode::InProgress => IN_PROGRESS,
    };
    let broken = ALWAYS.iter().chain(more).filter(|(_, _, holds)| !holds(&judged));
    broken.map(|(number, words, _)| describe(object, mode, &format!("check {number}: {words}"))).collect()
}

/// Check 15, between two versions of one object: the transition time moves exactly with the status.
pub fn transition_violations(before: &DynamicObject, after: &DynamicObject) -> Vec<String> {
    let (old, new) = (Judged::of(before), Judged::of(after));
    let pairs = new.conditions.iter().filter_map(|c| old.find(&c.type_).map(|o| (o, c)));
    let wrong = pairs.filter(|(o, c)| o.status == c.status && o.last_transition_time != c.last_transition_time);
    wrong
        .map(|(_, c)| describe(after, new.mode(), &format!("check 15: lastTransitionTime of {} moved without its status", c.type_)))
        .collect()
}

fn describe(object: &DynamicObject, mode: Mode, what: &str) -> String {
    let kind = object.types.as_ref().map_or("object", |t| &t.kind);
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let conditions: Vec<String> = object.data["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| format!("{}={} ({})", text(&c["type"]), text(&c["status"]), text(&c["reason"])))
        .collect();
    format!("{kind} {name}, {mode:?}: {what}; conditions: {}", conditions.join(", "))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(observed: i64, conditions: &[(&str, &str)]) -> DynamicObject {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status)| {
                json!({"type": type_, "status": status, "reason": "Because", "message": "", "observedGeneration": observed, "lastTransitionTime": "2026-11-24T06:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme", "generation": 2},
            "status": {"observedGeneration": observed, "conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table reads best with its shape beside it")]
    fn good_and_bad_statuses() {
        let table: [(&[(&str, &str)], i64, &[u8]); 9] = [
            (&[("Ready", "True")], 2, &[]),
            (&[("Ready", "Unknown"), ("Reconciling", "True")], 2, &[]),
            (&[("Ready", "False"), ("Reconciling", "True")], 2, &[]),
            (&[("Ready", "False"), ("Stalled", "True")], 2, &[]),
            (&[("Ready", "False")], 2, &[12]),
            (&[("Ready", "Unknown")], 2, &[7, 11]),
            (&[("Ready", "True"), ("Reconciling", "True")], 2, &[5]),
            (&[("Ready", "False"), ("Stalled", "True"), ("Reconciling", "True")], 2, &[3]),
            (&[("Ready", "True")], 3, &[4, 10, 13]),
        ];
        for (conditions, observed, expected) in table {
            let found = violations(&object(observed, conditions));
            let missing: Vec<&u8> = expected.iter().filter(|n| !found.iter().any(|f| f.contains(&format!("check {n}:")))).collect();
            assert!(missing.is_empty() && found.len() == expected.len(), "{conditions:?}: {found:?}");
        }
    }

    #[test]
    fn a_transition_time_that_moves_by_itself_is_noticed() {
        let before = object(2, &[("Ready", "True")]);
        let mut after = before.clone();
        after.data["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-24T07:00:00Z");
        assert_eq!(transition_violations(&before, &after).len(), 1);
        after.data["status"]["conditions"][0]["status"] = json!("False");
        assert!(transition_violations(&before, &after).is_empty());
    }
}
