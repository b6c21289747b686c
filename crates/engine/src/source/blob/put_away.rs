//! What becomes of a file at its server once it is loaded. Nothing that was not read is ever moved or deleted, and nothing is written over.

use std::sync::Arc;
use std::time::Duration;

use api::import_job::{AfterSuccess, AfterSuccessKind, FileSource};
use connect::{ChangeError, FileError, FileState, RemoteFiles, Removed, Renamed, reasons};
use formula::Shown;

use super::Identity;
use super::remote::Troubles;

/// So long may a server take for it all.
const LONGEST: Duration = Duration::from_secs(600);

/// Moves or deletes a file that was loaded, as the job says.
pub struct PutAway {
    files: Arc<dyn RemoteFiles>,
    path: String,
    after: AfterSuccess,
}

/// The file that was loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a> {
    /// What [`Source::origin`](crate::source::Source::origin) was.
    pub origin: &'a [String],
    /// Rows of it have failed.
    pub has_failed_rows: bool,
    /// An earlier attempt may have moved or deleted it.
    pub again: bool,
}

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fate {
    /// It was moved or deleted.
    pub done: bool,
    /// Where it is, and why if it is where it was.
    pub message: String,
}

impl Fate {
    fn done(message: String) -> Self {
        Self { done: true, message }
    }

    /// It is where it was.
    pub fn kept(message: impl Into<String>) -> Self {
        Self { done: false, message: message.into() }
    }
}

/// Why it is where it was.
enum Kept {
    /// Nobody has read what is there now.
    Changed,
    /// The copy of it is not whole.
    CopyDiffers,
    /// The server takes its time.
    Late,
    Failed(ChangeError),
}

impl<E: Into<ChangeError>> From<E> for Kept {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl PutAway {
    /// `None`: the job leaves its files where they are.
    pub fn new(files: Arc<dyn RemoteFiles>, file: &FileSource) -> Option<Self> {
        Some(Self { files, path: file.path.clone(), after: file.after_success.clone()? })
    }

    /// Moves or deletes it. Whatever happens is in the answer.
    pub async fn put_away(&self, loaded: Loaded<'_>) -> Fate {
        let Some(identity) = Identity::of(loaded.origin) else {
            return Fate::kept("the file stays where it is, as nothing tells it from another one");
        };
        let path = identity.name.as_deref().unwrap_or(&self.path);
        let read = FileState { length: identity.length, version: identity.version.clone() };
        let fate = match self.after.kind() {
            None => {
                return Fate::kept(format!(
                    "{} stays where it is: this version does not know what source.file.afterSuccess asks for",
                    Shown(path)
                ));
            }
            Some(AfterSuccessKind::Delete(_)) if loaded.has_failed_rows => {
                return Fate::kept(format!("{} is not deleted, as rows of it have failed", Shown(path)));
            }
            Some(AfterSuccessKind::Delete(_)) => tokio::time::timeout(LONGEST, self.delete(path, &read, loaded.again)).await,
            Some(AfterSuccessKind::Move(to)) => {
                tokio::time::timeout(LONGEST, self.rename(path, &to.target(path), &read, loaded.again)).await
            }
        };
        let fate = fate.unwrap_or(Err(Kept::Late)).unwrap_or_else(|kept| Fate::kept(explained(path, &kept)));
        tracing::info!(done = fate.done, "the file is dealt with as the job says");
        fate
    }

    async fn delete(&self, path: &str, read: &FileState, again: bool) -> Result<Fate, Kept> {
        match self.unchanged(path, read).await {
            Err(Kept::Failed(ChangeError::File(FileError::NotFound(_)))) if again => {
                return Ok(Fate::done(format!("{} is not there any more: an earlier attempt was about to delete it", Shown(path))));
            }
            looked => looked?,
        }
        match self.remove(path).await? {
            Removed::Deleted => Ok(Fate::done(format!("{} was deleted", Shown(path)))),
            Removed::Absent => Err(FileError::NotFound(path.to_owned()).into()),
        }
    }

    async fn rename(&self, path: &str, to: &str, read: &FileState, again: bool) -> Result<Fate, Kept> {
        let done = || Fate::done(format!("{} was moved to {}", Shown(path), Shown(to)));
        match self.unchanged(path, read).await {
            Err(Kept::Failed(ChangeError::File(FileError::NotFound(_)))) if again && self.is_there(to, read).await => return Ok(done()),
            looked => looked?,
        }
        let mut troubles = Troubles::default();
        let renamed = loop {
            match self.files.rename(path, to).await {
                Ok(renamed) => break renamed,
                Err(ChangeError::File(error)) => troubles.wait_after(error).await?,
                // An answer was lost.
                Err(ChangeError::Taken { .. }) if troubles.had_any() && self.is_gone(path).await => break Renamed::Moved,
                Err(error) => return Err(error.into()),
            }
        };
        if renamed == Renamed::Copied {
            if !self.is_there(to, read).await {
                return Err(Kept::CopyDiffers);
            }
            self.unchanged(path, read).await?;
            self.remove(path).await?;
        }
        Ok(done())
    }

    /// It is still the one that was read.
    async fn unchanged(&self, path: &str, read: &FileState) -> Result<(), Kept> {
        let mut troubles = Troubles::default();
        loop {
            match self.files.look(path).await {
                Ok(state) if state == *read => return Ok(()),
                Ok(_) => return Err(Kept::Changed),
                Err(error) => troubles.wait_after(error).await?,
            }
        }
    }

    /// Who finds nothing after an answer was lost has deleted it.
    async fn remove(&self, path: &str) -> Result<Removed, Kept> {
        let mut troubles = Troubles::default();
        loop {
            match self.files.remove(path).await {
                Ok(Removed::Absent) if troubles.had_any() => return Ok(Removed::Deleted),
                Ok(removed) => return Ok(removed),
                Err(ChangeError::File(error)) => troubles.wait_after(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A file as long as the one that was read; what a copy has of its own is its version.
    async fn is_there(&self, to: &str, read: &FileState) -> bool {
        self.files.look(to).await.is_ok_and(|state| state.length == read.length)
    }

    async fn is_gone(&self, path: &str) -> bool {
        matches!(self.files.look(path).await, Err(FileError::NotFound(_)))
    }
}

fn explained(path: &str, kept: &Kept) -> String {
    let path = Shown(path);
    match kept {
        Kept::Changed => format!("{path} stays where it is, as it was written anew since it was read"),
        Kept::CopyDiffers => format!("{path} stays where it is, as its copy is not as long as it: delete the copy"),
        Kept::Late => {
            format!("{path} may still be where it was, as its server took longer than {} minutes: look there", LONGEST.as_secs() / 60)
        }
        Kept::Failed(ChangeError::File(FileError::NotFound(_))) => {
            format!("{path} is not there any more: somebody else has moved or deleted it")
        }
        Kept::Failed(error @ ChangeError::Taken { .. }) => format!("{path} stays where it is: {error}; move or delete one of them"),
        Kept::Failed(ChangeError::File(FileError::Failed(error))) if error.reason() == reasons::ACCESS_DENIED => {
            format!(
                "{path} stays where it is: {}; source.file.afterSuccess needs a credential that may write and delete there",
                connect::explain(error)
            )
        }
        Kept::Failed(error) => format!("{path} stays where it is: {}; move or delete it by hand", connect::explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::{Fault, GONE, Tree};
    use super::*;

    const DELETE: &str = r#"{"delete": {}}"#;
    const MOVE: &str = r#"{"move": {"folder": "done"}}"#;

    struct Case {
        tree: Arc<Tree>,
        after: &'static str,
        origin: Vec<String>,
        has_failed_rows: bool,
        again: bool,
    }

    impl Case {
        /// The file `in/a.csv` was read by a job of `in/*.csv`.
        async fn of(after: &'static str) -> Self {
            let tree = Arc::new(Tree::of(&[("in/a.csv", 100, 0)]));
            let FileState { length, version } = tree.look("in/a.csv").await.unwrap();
            let origin = Identity { length, version, name: Some("in/a.csv".into()), mark: None }.texts();
            Self { tree, after, origin, has_failed_rows: false, again: false }
        }

        async fn fate(&self) -> Fate {
            let file = json!({
                "connectionRef": {"name": "lake"}, "path": "in/*.csv", "afterSuccess": serde_json::from_str::<serde_json::Value>(self.after).unwrap(),
            });
            let put_away = PutAway::new(self.tree.clone(), &serde_json::from_value(file).unwrap()).unwrap();
            let Self { origin, has_failed_rows, again, .. } = self;
            put_away.put_away(Loaded { origin, has_failed_rows: *has_failed_rows, again: *again }).await
        }
    }

    fn kept(message: &str) -> Fate {
        Fate::kept(message)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loaded_file_is_deleted_or_moved() {
        for (after, told, left) in
            [(DELETE, "\"in/a.csv\" was deleted", vec![]), (MOVE, "\"in/a.csv\" was moved to \"done/a.csv\"", vec!["done/a.csv"])]
        {
            for copies in [false, true] {
                let case = Case::of(after).await;
                case.tree.copies(copies);
                assert_eq!(case.fate().await, Fate::done(told.into()), "{copies}");
                assert_eq!(case.tree.paths(), left, "{copies}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_says_nothing_leaves_its_file() {
        let file = json!({"connectionRef": {"name": "lake"}, "path": "in/*.csv"});
        assert!(PutAway::new(Arc::new(Tree::of(&[])), &serde_json::from_value(file).unwrap()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_read_is_not_touched() {
        for after in [DELETE, MOVE] {
            let case = Case::of(after).await;
            case.tree.put("in/a.csv", 101);
            assert_eq!(case.fate().await, kept("\"in/a.csv\" stays where it is, as it was written anew since it was read"));
            assert_eq!(case.tree.paths(), ["in/a.csv"]);
            let unknown = Case { origin: Vec::new(), ..Case::of(after).await };
            assert_eq!(unknown.fate().await, kept("the file stays where it is, as nothing tells it from another one"));
            assert_eq!(unknown.tree.paths(), ["in/a.csv"]);
        }
        // It is written anew while it is copied.
        let case = Case::of(MOVE).await;
        case.tree.copies(true);
        case.tree.fails(Fault::WrittenAnew);
        assert_eq!(case.fate().await, kept("\"in/a.csv\" stays where it is, as it was written anew since it was read"));
        assert_eq!(case.tree.paths(), ["done/a.csv", "in/a.csv"]);
        // The copy is cut off.
        let case = Case::of(MOVE).await;
        case.tree.copies(true);
        case.tree.fails(Fault::CutCopy);
        assert_eq!(case.fate().await, kept("\"in/a.csv\" stays where it is, as its copy is not as long as it: delete the copy"));
        assert_eq!(case.tree.paths(), ["done/a.csv", "in/a.csv"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_over() {
        let case = Case::of(MOVE).await;
        case.tree.put("done/a.csv", 1);
        assert_eq!(case.fate().await, kept("\"in/a.csv\" stays where it is: \"done/a.csv\" is there already; move or delete one of them"));
        assert_eq!(case.tree.paths(), ["done/a.csv", "in/a.csv"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_with_failed_rows_is_moved_and_not_deleted() {
        let case = Case { has_failed_rows: true, ..Case::of(DELETE).await };
        assert_eq!(case.fate().await, kept("\"in/a.csv\" is not deleted, as rows of it have failed"));
        assert_eq!(case.tree.paths(), ["in/a.csv"]);
        let case = Case { has_failed_rows: true, ..Case::of(MOVE).await };
        assert!(case.fate().await.done);
        assert_eq!(case.tree.paths(), ["done/a.csv"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_attempt_finds_what_an_earlier_one_has_done() {
        let gone = "\"in/a.csv\" is not there any more";
        for (after, again, told, done) in [
            (DELETE, true, format!("{gone}: an earlier attempt was about to delete it"), true),
            (DELETE, false, format!("{gone}: somebody else has moved or deleted it"), false),
            (MOVE, true, "\"in/a.csv\" was moved to \"done/a.csv\"".to_owned(), true),
            (MOVE, false, format!("{gone}: somebody else has moved or deleted it"), false),
        ] {
            let case = Case { again, ..Case::of(after).await };
            case.tree.remove("in/a.csv");
            case.tree.put("done/a.csv", 100);
            assert_eq!(case.fate().await, Fate { done, message: told }, "{after} {again}");
        }
        let case = Case { again: true, ..Case::of(MOVE).await };
        case.tree.remove("in/a.csv");
        assert_eq!(case.fate().await, kept(&format!("{gone}: somebody else has moved or deleted it")));
        // Somebody takes it between our look at it and our request.
        for after in [DELETE, MOVE] {
            let case = Case::of(after).await;
            case.tree.fails(Fault::Overtaken);
            assert_eq!(case.fate().await, kept(&format!("{gone}: somebody else has moved or deleted it")), "{after}");
        }
        // Nothing of it was done yet.
        let case = Case { again: true, ..Case::of(MOVE).await };
        assert!(case.fate().await.done);
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_a_lost_answer_is_no_loss() {
        for after in [DELETE, MOVE] {
            for fault in [Fault::Busy, Fault::LostAnswer] {
                let case = Case::of(after).await;
                case.tree.fails(fault);
                let fate = case.fate().await;
                assert!(fate.done, "{after}: {}", fate.message);
                assert!(!case.tree.paths().contains(&"in/a.csv".to_owned()), "{after}");
            }
            let case = Case::of(after).await;
            case.tree.fails(Fault::Denied);
            let fate = case.fate().await;
            assert!(
                !fate.done && fate.message.ends_with("needs a credential that may write and delete there"),
                "{after}: {}",
                fate.message
            );
            assert_eq!(case.tree.paths(), ["in/a.csv"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_somebody_else_took_is_told() {
        let case = Case::of(MOVE).await;
        let tree = Tree::of(&[("in/a.csv", 100, GONE)]);
        let case = Case { tree: Arc::new(tree), ..case };
        assert_eq!(case.fate().await, kept("\"in/a.csv\" is not there any more: somebody else has moved or deleted it"));
    }
}
