//! The files whose paths match, each in its turn: the oldest that no run has read yet.

use std::collections::HashSet;
use std::sync::OnceLock;

use connect::RemoteFiles;

use super::BlobError;
use super::growth::first_whole;
use super::listing::{Found, NotChosen, TRIED, each_match};
use super::pattern::Pattern;

/// So many files that were read may still be there; what is known of each is kept sealed with the job.
pub(super) const MOST_READ: usize = 4096;

/// Which files of a pattern were read, and what one run adds to that.
#[derive(Debug, Default)]
pub struct Turns {
    /// Marks of the files that earlier runs have read.
    read: HashSet<String>,
    /// What this run has found; a later look at the same file changes nothing.
    found: OnceLock<Turn>,
}

/// The turn of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::source) struct Turn {
    /// Marks of what is read once this run has ended well: of files that are still there only.
    pub read: Vec<String>,
    /// So many files that match wait for their turn behind this one.
    pub left: u64,
}

impl Turns {
    /// `read`: the marks that an earlier [`Turn`] ended with.
    pub(in crate::source) fn of(read: &[String]) -> Self {
        Self { read: read.iter().cloned().collect(), found: OnceLock::new() }
    }

    pub(in crate::source) fn found(&self) -> Option<&Turn> {
        self.found.get()
    }

    /// Path and mark of the file whose turn it is. `name`: the one that an earlier attempt took; nobody overtakes it.
    pub(super) async fn next(&self, files: &dyn RemoteFiles, pattern: &Pattern, name: Option<&str>) -> Result<(String, String), NotChosen> {
        let (mut read, mut waiting, mut begun): (Vec<String>, Vec<Found>, Option<Found>) = Default::default();
        let mut unread = 0_u64;
        let looked_at = each_match(files, pattern, |file| {
            let mark = file.mark();
            if name == Some(&*file.path) {
                begun = Some(file);
            } else if self.read.contains(&mark) {
                // A server may name a file as often as it likes.
                if read.len() < MOST_READ {
                    read.push(mark);
                }
            } else {
                unread += 1;
                let at = waiting.partition_point(|older| *older < file);
                waiting.insert(at, file);
                waiting.truncate(TRIED);
            }
        })
        .await?;
        let (file, left) = match (name, begun) {
            (Some(_), Some(file)) => (file, unread),
            (Some(name), None) => return Err(NotChosen::Names(BlobError::Missing(format!("{name:?} is not there any more")))),
            (None, _) => (first_waiting(files, pattern, waiting, (read.len(), looked_at)).await?, unread - 1),
        };
        if read.len() >= MOST_READ {
            return Err(NotChosen::Names(BlobError::TooManyRead { pattern: pattern.to_string() }));
        }
        tracing::info!(file = file.path, left, looked_at, "the oldest file that matches and was not read yet is read");
        let mark = file.mark();
        read.push(mark.clone());
        let _ = self.found.set(Turn { read, left });
        Ok((file.path, mark))
    }
}

/// `read` and `looked_at`: how many there are beside those that wait.
async fn first_waiting(
    files: &dyn RemoteFiles,
    pattern: &Pattern,
    waiting: Vec<Found>,
    (read, looked_at): (usize, usize),
) -> Result<Found, NotChosen> {
    let none = waiting.is_empty();
    if let Some(file) = first_whole(files, waiting).await? {
        return Ok(file);
    }
    let pattern = pattern.to_string();
    Err(NotChosen::Names(if none { BlobError::AllRead { pattern, read, looked_at } } else { BlobError::Unfinished { pattern } }))
}

#[cfg(test)]
mod tests {
    use super::super::tree::{GONE, Tree, told};
    use super::*;

    async fn turn(tree: &Tree, read: &[String], name: Option<&str>) -> Result<(String, Turn), String> {
        let turns = Turns::of(read);
        let (path, mark) = turns.next(tree, &Pattern::of("in/*.csv").unwrap(), name).await.map_err(told)?;
        let turn = turns.found().expect("a turn that was taken").clone();
        assert_eq!(turn.read.last(), Some(&mark));
        Ok((path, turn))
    }

    #[tokio::test(start_paused = true)]
    async fn each_file_is_read_once_the_oldest_first() {
        let tree = Tree::of(&[("in/b.csv", 200, 0), ("in/a.csv", 200, 0), ("in/z.csv", 100, 0), ("in/c.txt", 50, 0)]);
        let (mut read, mut order) = (Vec::new(), Vec::new());
        for left in [2, 1, 0] {
            let (path, turn) = turn(&tree, &read, None).await.unwrap();
            assert_eq!(turn.left, left, "{path}");
            order.push(path);
            read = turn.read;
        }
        assert_eq!(order, ["in/z.csv", "in/a.csv", "in/b.csv"]);
        assert_eq!(
            turn(&tree, &read, None).await.unwrap_err(),
            "no file that matches \"in/*.csv\" waits to be read: earlier runs have read 3 of them (4 names were looked at)"
        );
        // One comes that is older than all that were read, and one is written anew.
        tree.put("in/old.csv", 10);
        tree.put("in/a.csv", 300);
        let (path, old) = turn(&tree, &read, None).await.unwrap();
        assert_eq!((path.as_str(), old.left), ("in/old.csv", 1));
        let (path, anew) = turn(&tree, &old.read, None).await.unwrap();
        assert_eq!((path.as_str(), anew.left), ("in/a.csv", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_is_forgotten() {
        let tree = Tree::of(&[("in/a.csv", 100, 0), ("in/b.csv", 200, 0)]);
        let (_, first) = turn(&tree, &[], None).await.unwrap();
        tree.remove("in/a.csv");
        let (_, second) = turn(&tree, &first.read, None).await.unwrap();
        assert_eq!((first.read.len(), second.read.len()), (1, 1));
        assert_ne!(first.read, second.read);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_attempt_reads_what_the_first_one_began_with() {
        let tree = Tree::of(&[("in/a.csv", 100, 0), ("in/b.csv", 200, 0)]);
        tree.put("in/0.csv", 50);
        let (path, again) = turn(&tree, &[], Some("in/a.csv")).await.unwrap();
        assert_eq!((path.as_str(), again.left), ("in/a.csv", 2));
        tree.remove("in/a.csv");
        let error = turn(&tree, &[], Some("in/a.csv")).await.unwrap_err();
        assert!(error.starts_with("\"in/a.csv\" is not there any more"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_grows_waits_and_holds_nobody_up() {
        let tree = Tree::of(&[("in/a.csv", 100, 1), ("in/b.csv", 200, 0), ("in/c.csv", 50, GONE)]);
        let (path, one) = turn(&tree, &[], None).await.unwrap();
        assert_eq!((path.as_str(), one.left), ("in/b.csv", 2));
        let error = turn(&tree, &one.read, None).await.unwrap_err();
        assert!(error.contains("is still being written"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_can_be_remembered_is_told() {
        let files: Vec<(&'static str, i64, u64)> =
            (0..=MOST_READ as i64).map(|number| (&*Box::leak(format!("in/{number}.csv").into_boxed_str()), number, 0)).collect();
        let tree = Tree::of(&files);
        let all_but_one: Vec<String> = marks(&tree).await;
        let error = turn(&tree, &all_but_one, None).await.unwrap_err();
        assert!(error.starts_with("earlier runs have read 4096 files that match \"in/*.csv\" and are still there"), "{error}");
        tree.remove("in/0.csv");
        let (path, last) = turn(&tree, &all_but_one, None).await.unwrap();
        assert_eq!((path.as_str(), last.left, last.read.len()), ("in/4096.csv", 0, MOST_READ));
    }

    /// Of all files but the newest.
    async fn marks(tree: &Tree) -> Vec<String> {
        let mut found = Vec::new();
        each_match(tree, &Pattern::of("in/*.csv").unwrap(), |file| found.push(file)).await.unwrap();
        found.sort();
        found.pop();
        found.iter().map(Found::mark).collect()
    }
}
