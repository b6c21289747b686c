//! What becomes of a file at its server once it is loaded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{FileSource, whole_path};
use crate::meta::Empty;
use crate::schema::{PATH, exactly_one, rule};
use crate::text::matches;
use crate::union::union;

/// What becomes of a file at its server once it is loaded: exactly one of delete and move is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(AfterSuccessKind::KEYS)]))]
pub struct AfterSuccess {
    /// It is deleted, unless a row of it failed: then it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<Empty>,
    /// It is moved to another folder under its own name, failed rows or not. Where a file of that name is already, it stays.
    #[serde(default, rename = "move", skip_serializing_if = "Option::is_none")]
    move_to: Option<MoveTo>,
}

/// Where a loaded file goes.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [whole_path("folder"), rule("!self.folder.contains('*')", "folder has no *")]))]
pub struct MoveTo {
    /// The folder, seen from where `path` begins: in the same bucket, container or directory. On an SFTP server it is made if it is not there.
    #[schemars(length(min = 1, max = 512), regex(pattern = PATH))]
    pub folder: String,
}

union! {
    /// What becomes of a loaded file.
    pub enum AfterSuccessKind<'a> = AfterSuccess::kind {
        /// It is deleted.
        "delete" delete => Delete(&'a Empty),
        /// It goes to another folder.
        "move" move_to => Move(&'a MoveTo),
    }
}

impl MoveTo {
    /// Where the file with this path goes.
    pub fn target(&self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        format!("{}/{name}", self.folder)
    }
}

impl FileSource {
    /// What is said of a job whose files [move into its own path](Self::moves_into_its_own_path).
    pub const OWN_PATH: &str = "source.file.afterSuccess.move.folder is one that source.file.path reads: files would be loaded again and again, name another folder";

    /// Whether a file that was moved would be one that the job reads.
    pub fn moves_into_its_own_path(&self) -> bool {
        let to = match self.after_success.as_ref().and_then(AfterSuccess::kind) {
            Some(AfterSuccessKind::Move(to)) => to,
            Some(AfterSuccessKind::Delete(_)) | None => return false,
        };
        let Some((folders, _)) = self.path.rsplit_once('/') else { return false };
        let (read, moved): (Vec<&str>, Vec<&str>) = (folders.split('/').collect(), to.folder.split('/').collect());
        read.len() == moved.len() && read.iter().zip(moved).all(|(pattern, name)| matches(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, folder: &str) -> FileSource {
        let text =
            format!(r#"{{"connectionRef": {{"name": "lake"}}, "path": "{path}", "afterSuccess": {{"move": {{"folder": "{folder}"}}}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_moved_file_is_not_one_that_the_job_reads() {
        for (path, folder, expected) in [
            ("in/a.csv", "in", true),
            ("in/*.csv", "in", true),
            ("*/a.csv", "done", true),
            ("in-*/*.csv", "in-done", true),
            ("in/*/a*.csv", "in/done", true),
            ("in/*.csv", "done", false),
            ("in/*.csv", "in/done", false),
            ("in-*/*.csv", "done", false),
            ("a.csv", "done", false),
            ("*.csv", "done", false),
        ] {
            assert_eq!(file(path, folder).moves_into_its_own_path(), expected, "{path} {folder}");
        }
    }

    #[test]
    fn a_file_keeps_its_name() {
        let to = MoveTo { folder: "in/done".into() };
        assert_eq!((to.target("in/2026/a.csv").as_str(), to.target("a.csv").as_str()), ("in/done/a.csv", "in/done/a.csv"));
    }
}
