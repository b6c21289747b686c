//! Files that are still being written.

use std::time::Duration;

use connect::{FileError, RemoteFiles};

use super::listing::Found;

/// How far apart a file is looked at twice: one that has grown meanwhile is still being written.
const APART: Duration = Duration::from_secs(3);

/// The first of these that is whole.
pub(super) async fn first_whole(files: &dyn RemoteFiles, found: Vec<Found>) -> Result<Option<Found>, FileError> {
    for file in found {
        if !files.shows_unfinished() || !grows(files, &file).await? {
            return Ok(Some(file));
        }
        tracing::info!(file = file.path, "a file that is still being written is left alone");
    }
    Ok(None)
}

/// One that went since it was listed is left alone, too: who uploads may give it its name only then.
async fn grows(files: &dyn RemoteFiles, file: &Found) -> Result<bool, FileError> {
    let twice = async {
        let before = files.look(&file.path).await?;
        tokio::time::sleep(APART).await;
        Ok(files.look(&file.path).await? != before || before.length.is_some_and(|length| length != file.length))
    };
    match twice.await {
        Err(FileError::NotFound(_)) => Ok(true),
        looked => looked,
    }
}
