//! The newest of the files whose paths match.

use connect::RemoteFiles;

use super::BlobError;
use super::growth::first_whole;
use super::listing::{Found, NotChosen, TRIED, each_match};
use super::pattern::Pattern;

/// Its path.
pub(super) async fn newest(files: &dyn RemoteFiles, pattern: &Pattern) -> Result<String, NotChosen> {
    let mut found: Vec<Found> = Vec::new();
    let looked_at = each_match(files, pattern, |file| {
        let at = found.partition_point(|newer| *newer > file);
        found.insert(at, file);
        found.truncate(TRIED);
    })
    .await?;
    let none = found.is_empty();
    if let Some(file) = first_whole(files, found).await? {
        tracing::info!(file = file.path, looked_at, "the newest file that matches is read");
        return Ok(file.path);
    }
    let pattern = pattern.to_string();
    Err(NotChosen::Names(if none { BlobError::NoMatch { pattern, looked_at } } else { BlobError::Unfinished { pattern } }))
}

#[cfg(test)]
mod tests {
    use super::super::tree::{GONE, Tree, told};
    use super::*;

    async fn chosen(tree: &Tree, path: &str) -> Result<String, String> {
        newest(tree, &Pattern::of(path).unwrap()).await.map_err(told)
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_that_matches_is_chosen_and_of_equals_the_last_name() {
        let files = Tree::of(&[
            ("in/a-1.csv", 100, 0),
            ("in/a-2.csv", 300, 0),
            ("in/a-3.csv", 300, 0),
            ("in/a-4.csv.part", 900, 0),
            ("in/b-9.csv", 900, 0),
            ("in/.a-5.csv", 900, 0),
            ("in/a-old/a-6.csv", 900, 0),
            ("other/a-7.csv", 950, 0),
        ]);
        assert_eq!(chosen(&files, "in/a-*.csv").await.unwrap(), "in/a-3.csv");
        assert_eq!(chosen(&files, "in/*.csv").await.unwrap(), "in/b-9.csv");
        assert_eq!(*files.listed.lock().unwrap(), ["in", "in"], "nothing else was listed");
        assert_eq!(chosen(&files, "*/a-*.csv").await.unwrap(), "other/a-7.csv");
        assert_eq!(chosen(&files, "in/*/a-*.csv").await.unwrap(), "in/a-old/a-6.csv");
        assert_eq!(
            chosen(&files, "in/c-*.csv").await.unwrap_err(),
            "no file matches \"in/c-*.csv\" (0 names were looked at): correct source.file.path, or put the file there"
        );
        assert_eq!(chosen(&files, "nowhere/c-*.csv").await.unwrap_err(), "there is no folder \"nowhere\"");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_grows_is_left_alone() {
        let files = Tree::of(&[("in/a.csv", 100, 0), ("in/b.csv", 200, 1), ("in/c.csv", 300, 1), ("in/d.csv", 400, GONE)]);
        assert_eq!(chosen(&files, "in/*.csv").await.unwrap(), "in/a.csv");
        let files = Tree::of(&[("in/b.csv", 200, 1)]);
        let error = chosen(&files, "in/*.csv").await.unwrap_err();
        assert!(error.starts_with("every file that matches \"in/*.csv\" is still being written"), "{error}");
    }
}
