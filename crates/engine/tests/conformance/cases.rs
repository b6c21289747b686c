//! The cases, each by the sentence that it proves.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use api::import_run::RunReason;
use engine::load::Reread;
use engine::row::{Batch, Row};
use engine::source::{ReadError, Remedy, Replay, Rows, Start};
use futures::FutureExt;

use super::{Held, Implementation, Kind, Made, Verdict};

type Case = for<'a> fn(&'a dyn Implementation) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

macro_rules! cases {
    ($($name:literal => $case:ident,)*) => {
        pub(crate) const ALL: &[(&str, Case)] = &[$(($name, |one| Box::pin($case(one)))),*];
    };
}

cases! {
    "the header is known before any row" => header,
    "every row comes once, in order, in batches" => batches,
    "a source without rows ends, and again" => empty,
    "a broken row is a fault of its own" => ragged,
    "NULL is an empty cell" => null,
    "a read that is dropped does no harm" => cancelled,
    "it is read again from its start" => again,
    "it is not read again as something else" => changed,
    "it goes on behind a key" => resumed,
    "rows up to the key are marked when asked" => replayed,
    "a key that does not identify is refused" => keys,
    "a record that is too long ends the run" => too_long,
    "only what is sent has Salesforce's limit" => too_much_to_send,
    "no more is read ahead than a bound" => back_pressure,
    "memory does not grow with the rows" => memory,
    "a connection that breaks is worth waiting" => broken,
    "bytes that end early are no end" => ended_early,
}

const TEXT_ONLY: &str = "only files have records of any shape";
const NO_NULLS: &str = "files have no NULL";
const ONCE: &str = "its bytes come once: another attempt gets them anew, from the keeper";
const COMPARED: &str = "rows have no identity as a whole: the loader compares them chunk by chunk, or goes on behind a key";
const NO_KEYS: &str = "files have no keys: they are read from their start, and a key is refused";

const ITS_MAKER: &str = "the maker of the stream knows its length and digest, and compares them at the end";

async fn open(made: &Made, start: &Start, used: &[&str]) -> Result<Box<dyn Rows>, ReadError> {
    let used: BTreeSet<String> = used.iter().map(|name| name.to_string()).collect();
    made.source.open(start, &used).await
}

async fn first(made: &Made) -> Result<Box<dyn Rows>, String> {
    open(made, &Start::First, &["id", "text"]).await.map_err(told)
}

/// Reads to the end; no more than the rows that are wanted are kept.
async fn count(rows: &mut dyn Rows) -> Result<u64, ReadError> {
    let (mut batch, mut count) = (Batch::new(), 0);
    while rows.next(&mut batch).await? {
        count += batch.rows().len() as u64;
    }
    Ok(count)
}

async fn all(rows: &mut dyn Rows) -> Result<Vec<Row>, ReadError> {
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    while rows.next(&mut batch).await? {
        found.extend_from_slice(batch.rows());
    }
    Ok(found)
}

fn told(error: ReadError) -> String {
    format!("{error}: {}", connect::explain(&error))
}

fn held(is_so: bool, what: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(Held::Yes) } else { Err(what()) }
}

fn id(row: &Row) -> u64 {
    std::str::from_utf8(&row.cells[0]).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

async fn header(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(3, 3, &[]).await;
    let rows = first(&made).await?;
    let names = rows.header().names();
    held(names == ["id", "text"], || format!("{names:?}"))
}

async fn batches(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(5_000, 10, &["id"]).await;
    let mut rows = first(&made).await?;
    let (mut batch, mut read) = (Batch::new(), 0);
    while rows.next(&mut batch).await.map_err(told)? {
        if batch.rows().is_empty() || batch.rows().len() > 1_024 {
            return Err(format!("a batch of {} rows", batch.rows().len()));
        }
        for row in batch.rows() {
            read += 1;
            if row.number != read || id(row) != read || &row.cells[1] != b"xxxxxxxxxx" || row.fault.is_some() {
                return Err(format!("row {read} came as number {} with {:?}", row.number, row.cells));
            }
        }
    }
    held(read == 5_000, || format!("{read} rows"))
}

async fn empty(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(0, 1, &[]).await;
    let mut rows = first(&made).await?;
    let mut batch = Batch::new();
    for _ in 0..3 {
        if rows.next(&mut batch).await.map_err(told)? || !batch.is_empty() {
            return Err(format!("{} rows", batch.rows().len()));
        }
    }
    held(rows.header().len() == 2, || "the header is not there".into())
}

async fn ragged(one: &dyn Implementation) -> Verdict {
    if one.kind() == Kind::Database {
        return Ok(Held::NotHere(TEXT_ONLY));
    }
    let made = one.written(one.broken_rows(), &[]).await;
    let rows = all(&mut *first(&made).await?).await.map_err(told)?;
    let faults: Vec<bool> = rows.iter().map(|row| row.fault.is_some()).collect();
    held(faults == [false, true, true, false], || format!("{faults:?}"))
}

async fn null(one: &dyn Implementation) -> Verdict {
    if one.kind() != Kind::Database {
        return Ok(Held::NotHere(NO_NULLS));
    }
    let made = one.written("SELECT 1 AS id, NULL AS text UNION ALL SELECT 2, '' UNION ALL SELECT 3, 'NULL'", &["id"]).await;
    let rows = all(&mut *first(&made).await?).await.map_err(told)?;
    let cells: Vec<&[u8]> = rows.iter().map(|row| &row.cells[1]).collect();
    held(cells == [b"".as_slice(), b"", b"NULL"], || format!("{cells:?}"))
}

async fn cancelled(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(200_000, 100, &[]).await;
    let mut rows = first(&made).await?;
    let mut batch = Batch::new();
    rows.next(&mut batch).await.map_err(told)?;
    // Polled once and dropped, as a run does that is stopped.
    let _ = rows.next(&mut Batch::new()).now_or_never();
    drop(rows);
    let other = one.numbers(10, 1, &[]).await;
    let read = tokio::time::timeout(Duration::from_secs(20), async { count(&mut *first(&other).await?).await.map_err(told) }).await;
    let read = read.map_err(|_| "the next source does not open".to_owned())??;
    held(read == 10, || format!("{read} rows"))
}

async fn again(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(3_000, 10, &["id"]).await;
    let mut before = first(&made).await?;
    before.next(&mut Batch::new()).await.map_err(told)?;
    drop(before);
    match (one.kind(), open(&made, &Start::First, &[]).await) {
        (Kind::Stream, Err(error)) if error.to_string().contains("opened before") => Ok(Held::NotHere(ONCE)),
        (Kind::Stream, _) => Err("bytes that come once came twice".into()),
        (_, Err(error)) => Err(told(error)),
        (_, Ok(mut rows)) => {
            let rows = all(&mut *rows).await.map_err(told)?;
            held(rows.iter().map(id).eq(1..=3_000), || format!("{} rows", rows.len()))
        }
    }
}

async fn changed(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(10, 10, &["id"]).await;
    drop(first(&made).await?);
    match one.kind() {
        Kind::Stream => return Ok(Held::NotHere(ONCE)),
        Kind::Database => return Ok(Held::NotHere(COMPARED)),
        Kind::File => {}
    }
    if !made.wire.replace() {
        return Err("it cannot be replaced".into());
    }
    match open(&made, &Start::First, &[]).await {
        Ok(_) => Err("another file is read as this one".into()),
        Err(error) => held(error.reason() == RunReason::SourceFailed && error.to_string().contains("not what it was"), || told(error)),
    }
}

fn behind(key: &[&str], replay: Replay) -> Start {
    Start::Behind { key: key.iter().map(|part| part.to_string()).collect(), replay }
}

async fn resumed(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(3_000, 10, &["id"]).await;
    let reread = made.source.reread();
    let opened = open(&made, &behind(&["1024"], Replay::None), &[]).await;
    if one.kind() != Kind::Database {
        let refused = opened.is_err_and(|error| error.remedy() == Remedy::Correct);
        return if refused && reread == Reread::FromStart { Ok(Held::NotHere(NO_KEYS)) } else { Err("it claims to have keys".into()) };
    }
    let rows = all(&mut *opened.map_err(told)?).await.map_err(told)?;
    let keyed = rows.iter().all(|row| row.key.len() == 1 && row.key[0] == row.cells[0] && !row.seen);
    if !keyed || !rows.iter().map(id).eq(1_025..=3_000) {
        return Err(format!("{} rows, the first is {:?}", rows.len(), rows.first().map(|row| &row.cells)));
    }
    let unordered = one.numbers(1, 1, &[]).await.source.reread();
    held((reread, unordered) == (Reread::BeyondKey, Reread::Never), || format!("{reread:?}, {unordered:?}"))
}

async fn replayed(one: &dyn Implementation) -> Verdict {
    if one.kind() != Kind::Database {
        return Ok(Held::NotHere(NO_KEYS));
    }
    let made = one.numbers(3_000, 10, &["id"]).await;
    let mut rows = open(&made, &behind(&["1024"], Replay::Seen), &[]).await.map_err(told)?;
    let rows = all(&mut *rows).await.map_err(told)?;
    held(rows.len() == 3_000 && rows.iter().all(|row| row.seen == (id(row) <= 1_024) && row.cells.len() == 2), || {
        format!("{} rows, {} of them seen", rows.len(), rows.iter().filter(|row| row.seen).count())
    })
}

async fn keys(one: &dyn Implementation) -> Verdict {
    if one.kind() != Kind::Database {
        return Ok(Held::NotHere(NO_KEYS));
    }
    let null = "SELECT 1 AS id, 'a' AS text UNION ALL SELECT NULL, 'b'";
    let twice = "SELECT 1 AS id, 'a' AS text UNION ALL SELECT 2, 'b' UNION ALL SELECT 2, 'c'";
    for (query, key, start, expected) in [
        (null, "id", Start::First, "id is NULL"),
        (null, "id", behind(&["1"], Replay::None), "id is NULL; orderBy needs"),
        (twice, "id", Start::First, "has the same id; orderBy needs"),
        (twice, "ID_", Start::First, "there is no column \"ID_\", did you mean \"id\"?"),
        (twice, "id", behind(&["1", "2"], Replay::None), "the recorded key has 2 values, orderBy 1 columns"),
    ] {
        let made = one.written(query, &[key]).await;
        let read = async { count(&mut *open(&made, &start, &[]).await?).await };
        match read.await {
            Err(error) if error.to_string().contains(expected) && error.reason() == RunReason::SourceFailed => {}
            Err(error) => return Err(told(error)),
            Ok(rows) => return Err(format!("{rows} rows of {query} by {key}")),
        }
    }
    Ok(Held::Yes)
}

async fn too_long(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(1, 9 << 20, &[]).await;
    let read = async { count(&mut *open(&made, &Start::First, &["id"]).await?).await };
    match read.await {
        Ok(rows) => Err(format!("{rows} rows")),
        Err(error) => held(error.remedy() == Remedy::Shorten && error.reason() == RunReason::FileTooComplex, || told(error)),
    }
}

async fn too_much_to_send(one: &dyn Implementation) -> Verdict {
    for (used, fits) in [(["id"].as_slice(), true), (&["id", "text"], false)] {
        let made = one.numbers(2, 450_000, &[]).await;
        let read = async { count(&mut *open(&made, &Start::First, used).await?).await };
        match read.await {
            Ok(2) if fits => {}
            Err(error) if !fits && error.remedy() == Remedy::Shorten && error.to_string().contains("400000 characters") => {}
            Ok(rows) => return Err(format!("{used:?}: {rows} rows")),
            Err(error) => return Err(told(error)),
        }
    }
    Ok(Held::Yes)
}

/// What a source may have fetched before it is asked for a second batch: one batch, and what the buffers of a connection hold.
const READ_AHEAD: u64 = 16 << 20;

async fn back_pressure(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(100_000, 1_000, &[]).await;
    let mut rows = first(&made).await?;
    rows.next(&mut Batch::new()).await.map_err(told)?;
    // Long enough for a source that would go on by itself.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let carried = made.wire.carried();
    if carried > READ_AHEAD {
        return Err(format!("{carried} bytes for one batch"));
    }
    let read = 1 + count(&mut *rows).await.map_err(told)?;
    let whole = made.wire.carried();
    held(read > 90 && whole > 100_000_000, || format!("control: {read} rows, {whole} bytes in all"))
}

/// More than the buffers of a connection, much less than the rows.
const MEMORY: u64 = 48 << 20;

async fn memory(one: &dyn Implementation) -> Verdict {
    let made = one.numbers(100_000, 1_000, &[]).await;
    let mut rows = first(&made).await?;
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| format!("the peak cannot be reset: {error}"))?;
    let before = status("VmRSS:")?;
    let read = count(&mut *rows).await.map_err(told)?;
    let grown = status("VmHWM:")?.saturating_sub(before);
    held(read == 100_000 && grown < MEMORY, || format!("{read} rows of 100 MB took {grown} bytes"))
}

pub(crate) fn status(field: &str) -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("{field} cannot be read"))?;
    Ok(kibibytes << 10)
}

/// Reads a first batch, lets something happen, and reads on.
async fn after(one: &dyn Implementation, happens: fn(&Made)) -> Result<ReadError, String> {
    let made = one.numbers(100_000, 1_000, &[]).await;
    let mut rows = first(&made).await?;
    rows.next(&mut Batch::new()).await.map_err(told)?;
    happens(&made);
    match count(&mut *rows).await {
        Ok(rows) => Err(format!("it ends after {rows} more rows, as if they were all")),
        Err(error) => Ok(error),
    }
}

async fn broken(one: &dyn Implementation) -> Verdict {
    let error = after(one, |made| made.wire.cut()).await?;
    held(error.is_transient() && error.reason() == RunReason::Interrupted, || told(error))
}

async fn ended_early(one: &dyn Implementation) -> Verdict {
    if one.kind() == Kind::Stream {
        return Ok(Held::NotHere(ITS_MAKER));
    }
    let error = after(one, |made| made.wire.end_early()).await?;
    held(error.is_transient() && error.reason() == RunReason::Interrupted, || told(error))
}
