//! The SQL Server source against a server of TDS that says what a test tells it to, over TLS.

#[path = "../../connect/tests/support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod authority;
#[path = "../../connect/tests/support/tds.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod tds;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::import_job::Watermark;
use api::import_run::RunReason;
use authority::Authority;
use connect::{AddressPolicy, Dialer};
use engine::row::Batch;
use engine::source::sqlserver::SqlServerSource;
use engine::source::{ReadError, Replay, Since, Source, Start, Zoneless};
use tds::{INT, Manner, NVARCHAR, PASSWORD, Server, columns, done, int, nvarchar, row};

struct Database {
    server: Server,
    ca: String,
}

impl Database {
    /// Answers the statements of a session, and then these.
    async fn answering(answers: &[Vec<u8>]) -> Self {
        let yes = [columns(&[("allowed", INT)]), row(&[&int(1)]), done()].concat();
        Self::with(Manner { answers: [&[done(), yes, done()], answers].concat(), ..Manner::default() }).await
    }

    async fn with(manner: Manner) -> Self {
        let ca = Authority::new("ca");
        let leaf = ca.leaf("127.0.0.1");
        Self { server: Server::start(&leaf.certificate, &leaf.key, manner).await, ca: ca.pem() }
    }

    fn source(&self, query: &str, order_by: &[&str]) -> SqlServerSource {
        let query = serde_json::json!({"connectionRef": {"name": "db"}, "query": query, "orderBy": order_by});
        SqlServerSource {
            dialer: Dialer::new(AddressPolicy::unrestricted()),
            params: self.server.params(&self.ca),
            password: PASSWORD.into(),
            query: serde_json::from_value(query).expect("a query of a job"),
            since: None,
            zoneless: Zoneless::default(),
            time_left: Duration::from_secs(3_600),
        }
    }

    fn was_told(&self, statement: &str) -> bool {
        let text: Vec<u8> = statement.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.server.heard().windows(text.len()).any(|window| window == text)
    }
}

struct Found {
    cells: Vec<String>,
    key: Vec<String>,
    seen: bool,
    fault: Option<String>,
}

async fn read(source: &SqlServerSource, start: Start, used: &[&str]) -> Result<(Vec<String>, Vec<Found>), ReadError> {
    let text = |record: &engine::row::Record| record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>();
    let used: BTreeSet<String> = used.iter().map(ToString::to_string).collect();
    let mut rows = source.open(&start, &used).await?;
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    while rows.next(&mut batch).await? {
        for row in batch.rows() {
            assert_eq!(row.number, found.len() as u64 + 1);
            assert_eq!(row.fault.is_some(), !row.refused.is_empty());
            let fault = row.fault.as_ref().map(ToString::to_string);
            found.push(Found { cells: text(&row.cells), key: text(&row.key), seen: row.seen, fault });
        }
    }
    Ok((rows.header().names().to_vec(), found))
}

fn behind(key: &[&str], replay: Replay) -> Start {
    Start::Behind { key: key.iter().map(|text| text.to_string()).collect(), replay }
}

#[tokio::test]
async fn every_type_arrives_as_salesforce_reads_it() {
    // 2026-11-28 is the day 739,947 since 0001-01-01 and 46,352 since 1900-01-01; 09:30:00.5.
    let day = &739_947_u32.to_le_bytes()[..3];
    let half_past_nine = 342_005_000_000_u64.to_le_bytes();
    let time = &half_past_nine[..5];
    let table: &[(&str, &[u8], Vec<u8>, &str)] = &[
        ("id", INT, int(-7), "-7"),
        ("tiny", &[0x26, 1], vec![1, 255], "255"),
        ("big", &[0x26, 8], [&[8][..], &i64::MIN.to_le_bytes()].concat(), "-9223372036854775808"),
        ("flag", &[0x68, 1], vec![1, 1], "1"),
        ("exact", &[0x6C, 9, 19, 4], [&[9, 0][..], &12_345_678_u64.to_le_bytes()].concat(), "-1234.5678"),
        ("money", &[0x6E, 8], [&[8][..], &(-1_i32).to_le_bytes(), &(-12_345_i32).to_le_bytes()].concat(), "-1.2345"),
        ("tenth", &[0x6D, 8], [&[8][..], &0.1_f64.to_le_bytes()].concat(), "0.1"),
        ("huge", &[0x6D, 8], [&[8][..], &1e21_f64.to_le_bytes()].concat(), "1000000000000000000000"),
        ("single", &[0x6D, 4], [&[4][..], &0.1_f32.to_le_bytes()].concat(), "0.1"),
        ("day", &[0x28], [&[3][..], day].concat(), "2026-11-28"),
        ("hour", &[0x29, 7], [&[5][..], time].concat(), "09:30:00.500Z"),
        ("local", &[0x2A, 7], [&[8][..], time, day].concat(), "2026-11-28T09:30:00.500Z"),
        // The instant comes in UTC, with the offset that it was written with.
        ("at", &[0x2B, 7], [&[10][..], time, day, &330_i16.to_le_bytes()].concat(), "2026-11-28T09:30:00.500Z"),
        (
            "old",
            &[0x6F, 8],
            [&[8][..], &46_352_i32.to_le_bytes(), &(34_200_u32 * 300 + 1).to_le_bytes()].concat(),
            "2026-11-28T09:30:00.003Z",
        ),
        ("small", &[0x6F, 4], [&[4][..], &46_352_u16.to_le_bytes(), &570_u16.to_le_bytes()].concat(), "2026-11-28T09:30:00.000Z"),
        ("name", NVARCHAR, nvarchar("Zoë 🛫 "), "Zoë 🛫 "),
        ("latin", &[0xA7, 10, 0, 0x09, 0x04, 0xD0, 0, 0x34], vec![3, 0, b'Z', b'o', 0xEB], "Zoë"),
        ("padded", &[0xEF, 10, 0, 0x09, 0x04, 0xD0, 0, 0x34], nvarchar("ab   "), "ab"),
        (
            "guid",
            &[0x24, 16],
            vec![16, 0xFF, 0x19, 0x96, 0x6F, 0x86, 0x8B, 0x11, 0xD0, 0xB4, 0x2D, 0, 0xC0, 0x4F, 0xC9, 0x64, 0xFF],
            "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        ),
        ("none", NVARCHAR, vec![0xFF, 0xFF], ""),
        ("bytes", &[0xA5, 10, 0], vec![2, 0, 0, 0xFF], "\\x00ff"),
    ];
    let kinds: Vec<(&str, &[u8])> = table.iter().map(|(name, kind, ..)| (*name, *kind)).collect();
    let values: Vec<&[u8]> = table.iter().map(|(_, _, value, _)| value.as_slice()).collect();
    let answer = [columns(&kinds), row(&values), done()].concat();
    let database = Database::answering(&[answer]).await;
    let (header, rows) = read(&database.source("SELECT * FROM t", &[]), Start::First, &["name"]).await.unwrap();
    let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    assert_eq!(row.fault, None);
    let found: Vec<(&str, &str)> = header.iter().map(String::as_str).zip(row.cells.iter().map(String::as_str)).collect();
    let expected: Vec<(&str, &str)> = table.iter().map(|(name, _, _, cell)| (*name, *cell)).collect();
    assert_eq!(found, expected);
    for statement in ["SET LOCK_TIMEOUT 30000", "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION", "SELECT * FROM t"] {
        assert!(database.was_told(statement), "{statement}");
    }
}

#[tokio::test]
async fn times_of_a_zone_that_the_job_names_say_none_and_keys_are_the_databases_own() {
    let day = &739_947_u32.to_le_bytes()[..3];
    let half_past_nine = 342_000_000_001_u64.to_le_bytes();
    let time = &half_past_nine[..5];
    let kinds: [(&str, &[u8]); 3] = [("local", &[0x2A, 7]), ("at", &[0x2B, 7]), ("hour", &[0x29, 7])];
    let values = [[&[8][..], time, day].concat(), [&[10][..], time, day, &330_i16.to_le_bytes()].concat(), [&[5][..], time].concat()];
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let described = [columns(&kinds), done()].concat();
    let none_is_null = [columns(&[("found", INT)]), row(&[&int(0)]), done()].concat();
    let answer = [columns(&kinds), row(&values), done()].concat();
    let database = Database::answering(&[described, none_is_null, answer]).await;
    let source = SqlServerSource { zoneless: Zoneless::Local, ..database.source("SELECT * FROM t", &["local"]) };
    let (_, rows) = read(&source, Start::First, &[]).await.unwrap();
    assert_eq!(rows[0].cells, ["2026-11-28T09:30:00.000", "2026-11-28T09:30:00.000Z", "09:30:00.000Z"]);
    assert_eq!(rows[0].key, ["2026-11-28T09:30:00.0000001"]);
}

#[tokio::test]
async fn what_is_no_text_is_refused_before_the_first_row_with_the_words_to_write() {
    let bytes: (&str, &[u8]) = ("photo", &[0xA5, 10, 0]);
    let variant: (&str, &[u8]) = ("any", &[0x62, 0x49, 0x1F, 0, 0]);
    for (column, used, words) in [
        (bytes, &["photo"][..], "column \"photo\" is bytes, which is no text: write CONVERT("),
        (variant, &[], "column \"any\" is sql_variant"),
    ] {
        let answer = [columns(&[("id", INT), column]), done()].concat();
        let database = Database::answering(&[answer]).await;
        let error = read(&database.source("SELECT * FROM t", &[]), Start::First, used).await.err().unwrap();
        assert!(error.to_string().starts_with(words), "{error}");
        assert_eq!(error.reason(), RunReason::SourceFailed);
    }
    // Money that the library cannot tell exactly fails its row only.
    let rich = [&[8][..], &0x7FFF_FFFF_i32.to_le_bytes(), &(-1_i32).to_le_bytes()].concat();
    let answer = [columns(&[("amount", &[0x6E, 8])]), row(&[&rich]), row(&[&[8, 0, 0, 0, 0, 16, 39, 0, 0]]), done()].concat();
    let database = Database::answering(&[answer]).await;
    let (_, rows) = read(&database.source("SELECT amount FROM t", &[]), Start::First, &[]).await.unwrap();
    assert!(rows[0].fault.as_ref().is_some_and(|fault| fault.contains("CAST(column AS decimal(19, 4))")), "{:?}", rows[0].fault);
    assert_eq!((rows[1].fault.as_deref(), rows[1].cells[0].as_str()), (None, "1.0000"));
}

#[tokio::test]
async fn keys_are_looked_at_before_the_first_row_and_gone_on_behind() {
    let described = [columns(&[("id", INT), ("name", NVARCHAR)]), done()].concat();
    let said = |number: i32| [columns(&[("found", INT)]), row(&[&int(number)]), done()].concat();
    let two =
        [columns(&[("id", INT), ("name", NVARCHAR)]), row(&[&int(1), &nvarchar("a ")]), row(&[&int(2), &nvarchar("b")]), done()].concat();
    let query = "SELECT id, name FROM t -- all";
    let database = Database::answering(&[described.clone(), said(0), said(0), two.clone()]).await;
    let (_, rows) = read(&database.source(query, &["name", "id"]), Start::First, &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), [["a ", "1"], ["b", "2"]]);
    assert!(database.was_told("SELECT TOP (0) q.* FROM (\nSELECT id, name FROM t -- all\n) AS q"));
    assert!(database.was_told("WHERE q.[name] IS NULL) THEN 1 ELSE 0 END") && database.was_told("WHERE q.[id] IS NULL) THEN 1 ELSE 0 END"));

    let database = Database::answering(&[described.clone(), said(1), two.clone()]).await;
    let error = read(&database.source(query, &["id"]), Start::First, &[]).await.err().unwrap();
    assert!(error.to_string().starts_with("orderBy: id is NULL in some rows"), "{error}");

    let marked = [
        columns(&[("id", INT), ("name", NVARCHAR), ("seen", INT)]),
        row(&[&int(1), &nvarchar("a"), &int(1)]),
        row(&[&int(2), &nvarchar("b"), &int(0)]),
        done(),
    ]
    .concat();
    let database = Database::answering(&[described.clone(), marked]).await;
    let (_, rows) = read(&database.source(query, &["id"]), behind(&["1"], Replay::Seen), &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.seen, row.cells.len())).collect::<Vec<_>>(), [(true, 2), (false, 2)]);
    let database = Database::answering(&[described.clone(), two.clone()]).await;
    read(&database.source(query, &["id"]), behind(&["1"], Replay::None), &[]).await.unwrap();
    assert!(database.was_told("WHERE (q.[id] > CONVERT(bigint, '1') OR q.[id] IS NULL) ORDER BY q.[id]"));

    // Only what is new, in the order of what says so.
    let database = Database::answering(&[described.clone(), said(0), said(0), two.clone()]).await;
    let mut source = database.source(query, &["id"]);
    source.query.watermark = Some(Watermark { column: "name".to_owned(), from: None });
    source.since = Some(Since::Kept("A".to_owned()));
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await.unwrap();
    while rows.next(&mut Batch::new()).await.unwrap() {}
    assert_eq!(rows.watermark().as_deref(), Some("b"));
    let name = "CONVERT(varbinary(max), CONVERT(nvarchar(max), q.[name]) + N'|')";
    assert!(database.was_told(&format!("WHERE ({name} > 0x41007C00 OR q.[name] IS NULL) ORDER BY {name}, q.[id]")));

    // Two rows with one key.
    let twice = [columns(&[("id", INT)]), row(&[&int(1)]), row(&[&int(1)]), done()].concat();
    let database = Database::answering(&[[columns(&[("id", INT)]), done()].concat(), said(0), twice]).await;
    let error = read(&database.source(query, &["id"]), Start::First, &[]).await.err().unwrap();
    assert!(error.to_string().starts_with("row 2: the row before has the same id"), "{error}");
}

#[tokio::test]
async fn a_query_that_fails_says_so_without_telling_values() {
    let failing = async |answer: Vec<u8>, order_by: &[&str]| {
        let database = Database::answering(&[answer]).await;
        read(&database.source("SELECT nme FROM t", order_by), Start::First, &[]).await.err().unwrap()
    };
    let error = failing(tds::error(207, "Invalid column name 'nme'."), &[]).await;
    assert_eq!(error.to_string(), "the database refused the query: Invalid column name 'nme'. (error 207)");
    assert_eq!(error.reason(), RunReason::SourceFailed);
    let error = failing(tds::error(1033, "The ORDER BY clause is invalid in views."), &["id"]).await;
    assert!(error.to_string().contains("leave ORDER BY out of the query"), "{error}");
    let error = failing(tds::error(245, "Conversion failed when converting the varchar value 'secret' to data type int."), &[]).await;
    assert_eq!(error.to_string(), "the database stopped the query: error 245");
    for passing in [1205, 1222, 40501] {
        let error = failing(tds::error(passing, "secret"), &[]).await;
        assert_eq!(
            (error.reason(), error.to_string()),
            (RunReason::Interrupted, format!("the database stopped the query: error {passing}"))
        );
    }
    // Among rows.
    let answer = [columns(&[("n", INT)]), row(&[&int(1)]), tds::error(245, "… 'secret' …")].concat();
    assert_eq!(failing(answer, &[]).await.to_string(), "the database stopped the query: error 245");
    let answer = [columns(&[("n", INT)]), row(&[&int(1)]), tds::done_and_more(), columns(&[("m", INT)]), done()].concat();
    assert!(failing(answer, &[]).await.to_string().contains("more than one result"));
    assert_eq!(failing(done(), &[]).await.to_string(), "the query returns no columns");

    let database = Database::answering(&[done()]).await;
    let error = read(&database.source("SELECT 1; ", &[]), Start::First, &[]).await.err().unwrap();
    assert!(error.to_string().contains("semicolon") && database.server.heard().is_empty(), "{error}");
}

#[tokio::test]
async fn a_database_without_snapshots_is_read_as_it_is_committed() {
    for answer in [[columns(&[("allowed", INT)]), row(&[&int(0)]), done()].concat(), tds::error(229, "denied")] {
        let rows = [columns(&[("n", INT)]), row(&[&int(1)]), done()].concat();
        let manner = Manner { answers: vec![done(), answer, done(), rows], ..Manner::default() };
        let database = Database::with(manner).await;
        let (_, found) = read(&database.source("SELECT n FROM t", &[]), Start::First, &[]).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(database.was_told("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION"));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_any_more_is_left_when_the_run_is_over() {
    // The answer begins, and then there is only what a client takes for a row that is under way.
    let begun = [columns(&[("n", INT)]), row(&[&int(1)]), vec![0xD1]].concat();
    let manner = Manner { answers: vec![done(), done(), done(), begun], ..Manner::default() };
    let database = Database::with(manner).await;
    let mut source = database.source("SELECT n FROM t", &[]);
    source.time_left = Duration::from_secs(2);
    let asked = Instant::now();
    let error = read(&source, Start::First, &[]).await.err().unwrap();
    assert!(matches!(error, ReadError::Lost(_)) && asked.elapsed() < Duration::from_secs(20), "{error}");
}
