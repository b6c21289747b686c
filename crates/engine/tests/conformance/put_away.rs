//! A file that was loaded is moved or deleted at every place where that can be done; one that may not be stays, and says why.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use connect::{FileError, RemoteFiles, Removed};
use engine::row::Batch;
use engine::source::blob::{Fate, Loaded, PutAway};
use engine::source::{Said, Source, Start};
use serde_json::{Value, json};

use super::everywhere::Place;

const NAME: &str = "loaded one.csv";
const MOVED: &str = "done/of today/loaded one.csv";

/// What is wrong. `sftp`: the folder of that server, to which its user may not write yet.
pub(crate) async fn misses(places: &[Place<'_>], sftp: &Path) -> Vec<String> {
    let mut misses = Vec::new();
    println!();
    for place in places {
        let result = match place.name {
            "HTTPS" => only_read(place).await,
            "GCS" => without_copies(place).await,
            "SFTP" => denied(place, sftp).await.and(try_at(place).await),
            _ => try_at(place).await,
        };
        match result {
            Ok(told) => println!("{}, after success: {told}", place.name),
            Err(error) => misses.push(format!("{}, after success: {error}", place.name)),
        }
    }
    misses
}

struct File {
    files: Arc<dyn RemoteFiles>,
    origin: Vec<String>,
}

impl File {
    /// One that was put there and read.
    async fn read(place: &Place<'_>, says: &str) -> Result<Self, String> {
        (place.put)(NAME, format!("says\n{says}\n").as_bytes());
        let source = (place.source)(NAME, Said::default());
        let mut rows = source.open(&Start::First, &Default::default()).await.map_err(|error| connect::explain(&error))?;
        let mut batch = Batch::new();
        while rows.next(&mut batch).await.map_err(|error| connect::explain(&error))? {}
        Ok(Self { files: place.files.as_ref().expect("a place with files")(), origin: source.origin() })
    }

    async fn fate(&self, after: Value) -> Fate {
        let file = json!({"connectionRef": {"name": "lake"}, "path": NAME, "afterSuccess": after});
        let put_away = PutAway::new(self.files.clone(), &serde_json::from_value(file).expect("a source")).expect("something to do");
        put_away.put_away(Loaded { origin: &self.origin, has_failed_rows: false, again: false }).await
    }

    async fn is_there(&self, path: &str) -> Result<bool, String> {
        match self.files.look(path).await {
            Ok(_) => Ok(true),
            Err(FileError::NotFound(_)) => Ok(false),
            Err(error) => Err(connect::explain(&error)),
        }
    }
}

fn delete() -> Value {
    json!({"delete": {}})
}

fn rename() -> Value {
    json!({"move": {"folder": "done/of today"}})
}

fn expect(fate: &Fate, done: bool, words: &str) -> Result<(), String> {
    if fate.done == done && fate.message.contains(words) { Ok(()) } else { Err(format!("{fate:?}, and {words:?} is meant")) }
}

async fn try_at(place: &Place<'_>) -> Result<String, String> {
    let file = File::read(place, "one").await?;
    expect(&file.fate(delete()).await, true, "was deleted")?;
    if file.is_there(NAME).await? {
        return Err("it is there after it was deleted".into());
    }
    expect(&file.fate(delete()).await, false, "somebody else has moved or deleted it")?;
    // Two that look at it at once both ask for it to be deleted: S3 tells neither that it was too late.
    let again = file.files.remove(NAME).await.map_err(|error| format!("{error:?}"))?;
    if (again == Removed::Deleted) != (place.name == "S3") {
        return Err(format!("one that is gone is {again:?}"));
    }
    let file = File::read(place, "two").await?;
    expect(&file.fate(rename()).await, true, &format!("{NAME:?} was moved to {MOVED:?}"))?;
    if file.is_there(NAME).await? || !file.is_there(MOVED).await? {
        return Err("it is not moved".into());
    }
    // Another one of its name, which is longer, stays beside the one that is there.
    let third = File::read(place, "three, which is longer").await?;
    expect(&third.fate(rename()).await, false, "is there already")?;
    expect(&file.fate(delete()).await, false, "written anew since it was read")?;
    if !third.is_there(NAME).await? {
        return Err("it is gone although its place was taken".into());
    }
    let length = third.files.look(MOVED).await.map_err(|error| connect::explain(&error))?.length;
    if length != Some(9) {
        return Err(format!("the one that was moved before has {length:?} bytes"));
    }
    Ok("deleted, moved, kept".into())
}

/// fake-gcs-server does not know the requests with which objects are copied: the file stays.
async fn without_copies(place: &Place<'_>) -> Result<String, String> {
    let file = File::read(place, "one").await?;
    expect(&file.fate(rename()).await, false, "stays where it is")?;
    if !file.is_there(NAME).await? {
        return Err("it is gone although it was not copied".into());
    }
    expect(&file.fate(delete()).await, true, "was deleted")?;
    if file.is_there(NAME).await? { Err("it is there after it was deleted".into()) } else { Ok("deleted; it knows no copies".into()) }
}

async fn only_read(place: &Place<'_>) -> Result<String, String> {
    let file = File::read(place, "one").await?;
    for after in [delete(), rename()] {
        expect(&file.fate(after).await, false, "files there are only read")?;
    }
    Ok("kept".into())
}

async fn denied(place: &Place<'_>, folder: &Path) -> Result<String, String> {
    let file = File::read(place, "one").await?;
    for after in [delete(), rename()] {
        expect(&file.fate(after).await, false, "needs a credential that may write and delete there")?;
    }
    if !file.is_there(NAME).await? {
        return Err("it is gone all the same".into());
    }
    let writable = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777));
    writable.map(|()| "denied".to_owned()).map_err(|error| error.to_string())
}
