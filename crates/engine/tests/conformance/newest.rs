//! A path with a `*`: the newest file that matches is read, a later attempt of the same run reads the same one, and a file that has changed
//! meanwhile is told; or each file is read in its turn. At every place that has lists; one that has none says so.

use std::collections::BTreeSet;
use std::time::Duration;

use api::import_run::RunReason;
use engine::row::Batch;
use engine::source::{FileSource, ReadError, Said, Source, Start};

use super::everywhere::Place;

/// Times of modification have seconds.
const APART: Duration = Duration::from_millis(1_100);

/// What the file says it is, the name by which it is told, and what a later attempt knows of it.
async fn read(source: &FileSource, start: &Start) -> Result<(String, Option<String>, Vec<String>), ReadError> {
    let mut rows = source.open(start, &BTreeSet::new()).await?;
    let mut batch = Batch::new();
    rows.next(&mut batch).await?;
    let cell = batch.rows().first().map(|row| String::from_utf8_lossy(&row.cells[0]).into_owned());
    Ok((cell.unwrap_or_default(), source.name(), source.origin()))
}

/// What is wrong.
pub(crate) async fn misses(places: &[Place<'_>]) -> Vec<String> {
    let mut misses = Vec::new();
    println!();
    for place in places {
        match try_at(place).await {
            Ok(told) => println!("{}, new-*.csv: {told}", place.name),
            Err(error) => misses.push(format!("{}, new-*.csv: {error}", place.name)),
        }
        if place.has_lists {
            match in_turn(place).await {
                Ok(told) => println!("{}, turn-*.csv: {told}", place.name),
                Err(error) => misses.push(format!("{}, turn-*.csv: {error}", place.name)),
            }
        }
        match left_alone(place).await {
            Ok(told) => println!("{}, same.csv: {told}", place.name),
            Err(error) => misses.push(format!("{}, same.csv: {error}", place.name)),
        }
    }
    misses
}

fn file(says: &str) -> Vec<u8> {
    format!("says\n{says}\n").into_bytes()
}

/// A file that the last run has read, and that nobody changed, is nothing new; to the run that has begun with it, it is not.
async fn left_alone(place: &Place<'_>) -> Result<String, String> {
    let told = |result: Result<_, ReadError>| result.map_err(|error| connect::explain(&error));
    let source = || (place.source)("same.csv", Said::default());
    (place.put)("same.csv", &file("one"));
    let (says, _, bookmark) = told(read(&source(), &Start::First).await)?;
    let next = || source().unless(&bookmark);
    let error = match read(&next(), &Start::First).await {
        Ok(found) => return Err(format!("{found:?} is read once more")),
        Err(error) if error.reason() == RunReason::NothingNew => connect::explain(&error),
        Err(error) => return Err(connect::explain(&error)),
    };
    let again = Start::Again { origin: bookmark.clone() };
    let (still, ..) = told(read(&next(), &again).await)?;
    tokio::time::sleep(APART).await;
    (place.put)("same.csv", &file("two"));
    let (changed, ..) = told(read(&next(), &Start::First).await)?;
    match (says.as_str(), still.as_str(), changed.as_str()) {
        ("one", "one", "two") => Ok(error),
        found => Err(format!("{found:?} was read")),
    }
}

/// Each file once, the oldest first, and again once it is written anew; a run that is killed goes on with the file that it began with.
async fn in_turn(place: &Place<'_>) -> Result<String, String> {
    let told = |result: Result<_, ReadError>| result.map_err(|error| connect::explain(&error));
    for name in ["turn-b.csv", "turn-a.csv"] {
        (place.put)(name, &file(name));
        tokio::time::sleep(APART).await;
    }
    let source = |bookmark: &[String]| (place.source)("turn-*.csv", Said::default()).in_turn(bookmark);
    let mut bookmark = Vec::new();
    let run = async |bookmark: &mut Vec<String>, killed_when: Option<&str>| {
        let first = source(bookmark);
        let mut found = told(read(&first, &Start::First).await)?;
        let mut last = first;
        if let Some(name) = killed_when {
            (place.put)(name, &file(name));
            last = source(bookmark);
            found = told(read(&last, &Start::Again { origin: found.2 }).await)?;
        }
        *bookmark = last.reached();
        Ok::<_, String>((found.0, last.left()))
    };
    let mut seen = vec![run(&mut bookmark, None).await?];
    seen.push(run(&mut bookmark, Some("turn-0.csv")).await?);
    seen.push(run(&mut bookmark, None).await?);
    let error = read(&source(&bookmark), &Start::First).await.err().ok_or("a file is read twice")?;
    if error.reason() != RunReason::NothingNew {
        return Err(connect::explain(&error));
    }
    tokio::time::sleep(APART).await;
    (place.put)("turn-b.csv", &file("anew"));
    seen.push(run(&mut bookmark, None).await?);
    let expected = [("turn-b.csv", 1), ("turn-a.csv", 1), ("turn-0.csv", 0), ("anew", 0)];
    let right = seen.iter().map(|(says, left)| (says.as_str(), *left)).eq(expected);
    if right { Ok(format!("each once, in order; {}", connect::explain(&error))) } else { Err(format!("{seen:?} is not {expected:?}")) }
}

async fn try_at(place: &Place<'_>) -> Result<String, String> {
    let source = || (place.source)("new-*.csv", Said::default());
    let told = |result: Result<_, ReadError>| result.map_err(|error| connect::explain(&error));
    if !place.has_lists {
        (place.put)("new-1.csv", &file("one"));
        return match read(&source(), &Start::First).await {
            Ok(_) => Err("a server without lists has one".to_owned()),
            Err(error) => Ok(connect::explain(&error)),
        };
    }
    let expect = |found: &(String, Option<String>, Vec<String>), says: &str, name: &str| {
        let right = found.0 == says && found.1.as_deref() == Some(name);
        if right { Ok(()) } else { Err(format!("{found:?} is not {says} of {name}")) }
    };
    let nothing = (place.source)("none-*.csv", Said::default());
    let error = read(&nothing, &Start::First).await.err().ok_or("what is not there was read")?;
    for (name, says) in
        [("new-3.csv", "three"), ("new-2.csv", "two"), ("other.csv", "other"), ("new-4.txt", "text"), (".new-5.csv", "hidden")]
    {
        (place.put)(name, &file(says));
        tokio::time::sleep(APART).await;
    }
    let first = told(read(&source(), &Start::First).await)?;
    expect(&first, "two", "new-2.csv")?;
    // A newer one comes, and the worker is killed.
    (place.put)("new-1.csv", &file("one"));
    let again = Start::Again { origin: first.2.clone() };
    expect(&told(read(&source(), &again).await)?, "two", "new-2.csv")?;
    expect(&told(read(&source(), &Start::First).await)?, "one", "new-1.csv")?;
    tokio::time::sleep(APART).await;
    (place.put)("new-2.csv", &file("another two"));
    match read(&source(), &again).await {
        Ok(found) => return Err(format!("{found:?} is read although it has changed")),
        Err(error) if error.to_string().starts_with("the file is not what it was") => {}
        Err(error) => return Err(connect::explain(&error)),
    }
    expect(&told(read(&source(), &Start::First).await)?, "another two", "new-2.csv")?;
    Ok(format!("the newest, the same one again, a change is told; {}", connect::explain(&error)))
}
