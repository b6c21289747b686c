//! What the last successful run of a job has read up to, for jobs that read only what is new. Which run may begin where is decided here;
//! the keeper seals and keeps it.

use api::Uid;
use api::import_job::{Choose, SourceKind, Unchanged};
use api::import_run::RunReason;
use api::keeper::SecretText;
use api::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is kept of a job. It holds values of rows or names of files, so it is only ever sealed.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bookmark {
    /// UID of the run that has read up to it.
    run: Uid,
    /// Where that run began: another attempt of it, whose outcome is not on record, begins there again.
    began: Vec<SecretText>,
    /// Where the next run begins.
    reached: Vec<SecretText>,
}

impl Bookmark {
    /// Where this run begins; empty: at the beginning.
    pub fn start_of(&self, run: &Uid) -> &[SecretText] {
        if self.run == *run { &self.began } else { &self.reached }
    }

    /// What is kept once `run`, which `began` there as its lease said and found `kept`, has `reached` this. `None`: another run has moved it
    /// meanwhile, and where that one ended stays; what this one has read beyond it is read once more, which is better than to go back.
    pub fn after(kept: Option<&Self>, run: &Uid, began: Vec<SecretText>, reached: Vec<SecretText>) -> Option<Self> {
        let found = kept.map(|kept| kept.start_of(run)).unwrap_or_default();
        let same = found.len() == began.len() && found.iter().zip(&began).all(|(found, began)| found.expose() == began.expose());
        same.then(|| Self { run: run.clone(), began, reached })
    }
}

/// Whether a run that ended so has read all that there was.
pub fn moves(reason: RunReason) -> bool {
    reason.is_success() && reason != RunReason::NothingNew
}

/// Digest of what a bookmark is true of: the place that is read, who we are there, and by what newer is told from older. What was reached in
/// one says nothing about another. `None`: the job reads everything each time.
pub fn subject(snapshot: &Snapshot) -> Option<String> {
    let source = &snapshot.job_spec.source;
    let told: Vec<&str> = match source.kind()? {
        SourceKind::Sql(query) => {
            let watermark = query.watermark.as_ref()?;
            vec!["watermark", &watermark.column, watermark.from.as_deref().unwrap_or_default(), query.table.as_deref().unwrap_or_default()]
        }
        SourceKind::File(file) if file.unchanged == Some(Unchanged::Skip) => vec!["file", &file.path],
        SourceKind::File(file) if file.choose == Some(Choose::All) => vec!["files", &file.path],
        SourceKind::File(_) | SourceKind::Upload(_) => return None,
    };
    let name = &source.connection()?.name;
    let system = snapshot.connections.get(name)?.spec.system()?;
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    told.into_iter().for_each(&mut add);
    add(name);
    add(system.kind().key());
    // Not how it is proved who answers: a new authority does not make old rows new.
    system.external().endpoint().parts.iter().for_each(|part| add(part));
    Some(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures;

    fn uid(text: &str) -> Uid {
        Uid::new(text).unwrap()
    }

    fn texts(values: &[&str]) -> Vec<SecretText> {
        values.iter().map(|text| SecretText::new(*text)).collect()
    }

    fn shown(values: &[SecretText]) -> Vec<&str> {
        values.iter().map(SecretText::expose).collect()
    }

    #[test]
    fn the_next_run_begins_where_the_last_one_ended_and_a_run_where_it_began() {
        let after = |kept: Option<&Bookmark>, run: &str, began: &[&str], reached: &str| {
            Bookmark::after(kept, &uid(run), texts(began), texts(&[reached])).expect("nobody else has moved it")
        };
        let first = after(None, "one", &[], "10");
        assert!(first.start_of(&uid("one")).is_empty(), "another attempt of the first run");
        assert_eq!(shown(first.start_of(&uid("two"))), ["10"]);
        let second = after(Some(&first), "two", &["10"], "20");
        assert_eq!(shown(second.start_of(&uid("two"))), ["10"]);
        assert_eq!(shown(second.start_of(&uid("three"))), ["20"]);
        let repeated = after(Some(&second), "two", &["10"], "20");
        assert_eq!((shown(repeated.start_of(&uid("two"))), shown(repeated.start_of(&uid("three")))), (vec!["10"], vec!["20"]));
    }

    #[test]
    fn of_runs_at_the_same_time_the_later_one_does_not_move_it_back() {
        let begun = |run: &str, kept: Option<&Bookmark>, began: &[&str]| Bookmark::after(kept, &uid(run), texts(began), texts(&["15"]));
        let kept = Bookmark::after(None, &uid("fast"), Vec::new(), texts(&["20"])).unwrap();
        assert!(begun("slow", Some(&kept), &[]).is_none(), "it began before the other one ended");
        assert!(begun("next", Some(&kept), &["20"]).is_some(), "control");
        assert!(begun("first", None, &[]).is_some(), "control");
    }

    #[test]
    fn only_a_run_that_read_everything_moves_it() {
        for reason in [RunReason::Completed, RunReason::CompletedWithFailedRows] {
            assert!(moves(reason), "{reason}");
        }
        for reason in [RunReason::NothingNew, RunReason::Cancelled, RunReason::NeedsDecision, RunReason::TooManyFailedRows] {
            assert!(!moves(reason), "{reason}");
        }
    }

    fn snapshot(source: serde_json::Value) -> Snapshot {
        let mut snapshot = fixtures::snapshot();
        snapshot.job_spec.source = serde_json::from_value(source).unwrap();
        snapshot
    }

    #[test]
    fn what_was_reached_counts_for_the_same_place_and_column_only() {
        let connection = fixtures::snapshot().connections.keys().next().unwrap().clone();
        let query = |text: &str, watermark: Option<serde_json::Value>| {
            let mut sql = serde_json::json!({"connectionRef": {"name": connection}, "query": text, "orderBy": ["id"]});
            if let Some(watermark) = watermark {
                sql["watermark"] = watermark;
            }
            subject(&snapshot(serde_json::json!({"sql": sql})))
        };
        let by = |column: &str, from: Option<&str>| {
            let mut watermark = serde_json::json!({"column": column});
            if let Some(from) = from {
                watermark["from"] = from.into();
            }
            Some(watermark)
        };
        let known = query("SELECT 1", by("at", None)).unwrap();
        assert_eq!(query("SELECT 1", None), None);
        assert_eq!(query("SELECT 2", by("at", None)), Some(known.clone()), "another query goes on");
        let table = |name: &str| {
            let sql =
                serde_json::json!({"connectionRef": {"name": connection}, "table": name, "orderBy": ["id"], "watermark": {"column": "at"}});
            subject(&snapshot(serde_json::json!({"sql": sql}))).unwrap()
        };
        assert_ne!(table("a"), table("b"));
        assert_ne!(query("SELECT 1", by("id", None)), Some(known.clone()));
        assert_ne!(query("SELECT 1", by("at", Some("2026-01-01"))), Some(known.clone()));
        let file = |path: &str, unchanged: &str| {
            let file = serde_json::json!({"connectionRef": {"name": connection}, "path": path, "unchanged": unchanged});
            subject(&snapshot(serde_json::json!({"file": file})))
        };
        assert_eq!(file("a.csv", "Read"), None);
        assert_ne!(file("a.csv", "Skip").unwrap(), file("b.csv", "Skip").unwrap());
        let files = |choose: &str| {
            let file = serde_json::json!({"connectionRef": {"name": connection}, "path": "*.csv", "choose": choose});
            subject(&snapshot(serde_json::json!({"file": file})))
        };
        assert_eq!(files("Newest"), None);
        assert_ne!(files("All").unwrap(), file("*.csv", "Skip").unwrap());
        let gone = serde_json::json!({"sql": {"connectionRef": {"name": "other"}, "query": "SELECT 1", "watermark": {"column": "at"}}});
        assert_eq!(subject(&snapshot(gone)), None, "a Connection that the snapshot does not know");
        let mut other =
            snapshot(serde_json::json!({"file": {"connectionRef": {"name": connection}, "path": "a.csv", "unchanged": "Skip"}}));
        let spec = &mut other.connections.get_mut(&connection).unwrap().spec;
        *spec = serde_json::from_value(serde_json::json!({
            "postgres": {"host": "elsewhere", "database": "d", "user": "u"},
            "credentials": {"secretRef": {"name": "s", "afterIntake": "Keep"}},
        }))
        .unwrap();
        assert_ne!(subject(&other), file("a.csv", "Skip"), "another endpoint");
    }
}
