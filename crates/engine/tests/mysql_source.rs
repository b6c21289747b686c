//! The MySQL source against a real MariaDB, over TLS.

#[path = "support/mysql.rs"]
mod support;

use std::collections::BTreeSet;
use std::process::Command;

use api::import_job::Watermark;
use api::import_run::RunReason;
use engine::row::Batch;
use engine::source::mysql::MySqlSource;
use engine::source::mysql::error_code::{ErrorCode, NAMES};
use engine::source::{ReadError, Replay, Since, Source, Start, Zoneless};
use support::Server;

struct Found {
    cells: Vec<String>,
    key: Vec<String>,
    seen: bool,
    fault: Option<String>,
}

async fn read(server: &Server, query: &str, order_by: &[&str], start: Start) -> Result<(Vec<String>, Vec<Found>), ReadError> {
    let text = |record: &engine::row::Record| record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>();
    let mut rows = server.source(query, order_by).open(&start, &BTreeSet::new()).await?;
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
async fn every_type_arrives_as_salesforce_reads_it_whatever_the_servers_settings() {
    let server = Server::start();
    server.server.run(
        "SET GLOBAL time_zone = '+05:30'; SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'; \
         SET GLOBAL sql_select_limit = 1; SET GLOBAL max_statement_time = 1; SET GLOBAL character_set_results = latin1; SET time_zone = '+05:30'; \
         CREATE TABLE t (id INT PRIMARY KEY, big BIGINT UNSIGNED, exact DECIMAL(30, 10), tenth DOUBLE, huge DOUBLE, flag BIT(1), bits BIT(12), \
         yes BOOLEAN, day DATE, hour TIME(3), local DATETIME(6), at TIMESTAMP NULL, name VARCHAR(20) CHARACTER SET utf8mb4, old VARCHAR(9) \
         CHARACTER SET latin1, mood ENUM('sad', 'ok'), bytes BLOB, none TEXT, empty TEXT, odd TEXT, padded CHAR(5), year YEAR, json JSON); \
         INSERT INTO t VALUES (1, 18446744073709551615, 1234.5000000001, 0.1, 1e21, b'1', b'100000000001', TRUE, '2026-11-24', '09:30:00.5', \
         '2026-11-24 06:10:00.123456', '2026-11-24 06:10:00', 'Zoë 🛫', 'Zoë', 'ok', X'00FF', NULL, '', CONCAT('tab', CHAR(9), 'line', CHAR(10), \
         'back', CHAR(92), CHAR(92), 'N'), 'abc', 2026, '{\"a\": 1}')",
    );
    let (header, rows) = read(&server, "SELECT * FROM t -- the end", &["id"], Start::First).await.unwrap();
    let expected = [
        ("id", "1"),
        ("big", "18446744073709551615"),
        ("exact", "1234.5000000001"),
        ("tenth", "0.1"),
        ("huge", "1000000000000000000000"),
        ("flag", "1"),
        ("bits", "2049"),
        ("yes", "1"),
        ("day", "2026-11-24"),
        ("hour", "09:30:00.500Z"),
        ("local", "2026-11-24T06:10:00.123Z"),
        ("at", "2026-11-24T00:40:00.000Z"),
        ("name", "Zoë 🛫"),
        ("old", "Zoë"),
        ("mood", "ok"),
        ("bytes", "\\x00ff"),
        ("none", ""),
        ("empty", ""),
        ("odd", "tab\tline\nback\\\\N"),
        ("padded", "abc"),
        ("year", "2026"),
        ("json", "{\"a\": 1}"),
    ];
    let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    assert_eq!(row.fault, None);
    let found: Vec<(&str, &str)> = header.iter().map(String::as_str).zip(row.cells.iter().map(String::as_str)).collect();
    assert_eq!(found, expected);
    // A query in a query could not have two columns of one name; one that is not ordered can.
    let (header, rows) = read(&server, "SELECT id, id FROM t UNION ALL SELECT 2, 3", &[], Start::First).await.unwrap();
    assert_eq!((header, rows[1].cells.clone()), (vec!["id".to_owned(), "id".to_owned()], vec!["2".to_owned(), "3".to_owned()]));
}

#[tokio::test]
async fn values_that_salesforce_cannot_hold_fail_their_row_only() {
    let server = Server::start();
    server.server.run(
        "CREATE TABLE t (id INT PRIMARY KEY, day DATE, hour TIME); \
         INSERT INTO t VALUES (1, '2026-01-01', '01:00:00'), (2, '0000-00-00', NULL), (3, NULL, '25:00:00')",
    );
    let (_, rows) = read(&server, "SELECT * FROM t", &["id"], Start::First).await.unwrap();
    assert_eq!(rows[0].fault, None);
    let zero =
        "row 2: column \"day\" holds a value that is no day: a zero stands for its year, month or day, which Salesforce cannot store";
    assert_eq!(rows[1].fault.as_deref(), Some(zero));
    assert_eq!(rows[1].cells, ["2", "0000-00-00", ""]);
    assert!(rows[2].fault.as_ref().is_some_and(|fault| fault.contains("not a time of day")));
}

#[tokio::test]
async fn a_killed_run_goes_on_behind_its_last_key_and_loses_nothing() {
    let server = Server::start();
    server.server.run(
        "CREATE TABLE t (region VARCHAR(20) COLLATE utf8mb4_general_ci, at DATETIME(6), id BIGINT UNSIGNED, amount DECIMAL(30, 10), note TEXT); \
         INSERT INTO t SELECT CONCAT(ELT(1 + seq % 4, 'a', 'A', 'a ', 'ä''\\\\'), ''), TIMESTAMP'2026-01-01 00:00:00' + INTERVAL (seq DIV 7) MICROSECOND, \
         18446744073709551615 - seq, seq / 3, CONCAT('n', seq) FROM seq_1_to_3000",
    );
    for order in [["region", "at", "id"].as_slice(), &["id"], &["amount", "id"], &["at", "region", "id"]] {
        let query = "SELECT note, amount, at, id, region FROM t";
        let (_, all) = read(&server, query, order, Start::First).await.unwrap();
        assert_eq!(all.len(), 3_000);
        for stop in [0, 1, 749, 750, 1023, 1500, 2250, 2998, 2999] {
            let key: Vec<&str> = all[stop].key.iter().map(String::as_str).collect();
            let (_, rest) = read(&server, query, order, behind(&key, Replay::None)).await.unwrap();
            let notes = |rows: &[Found]| rows.iter().map(|row| row.cells[0].clone()).collect::<Vec<_>>();
            assert_eq!(notes(&rest), notes(&all[stop + 1..]), "{order:?} behind {key:?}");
        }
        let key: Vec<&str> = all[1_999].key.iter().map(String::as_str).collect();
        let (_, again) = read(&server, query, order, behind(&key, Replay::Seen)).await.unwrap();
        assert!(again.len() == 3_000 && again.iter().enumerate().all(|(at, row)| row.seen == (at < 2_000) && row.cells.len() == 5));
    }
    for (column, kind) in [("ratio", "an approximate number"), ("mood", "an ENUM or SET"), ("bytes", "bytes")] {
        let query = "SELECT 1e0 AS ratio, CAST('x' AS BINARY) AS bytes, m.mood FROM (SELECT 1) AS one, m";
        server.server.run("CREATE TABLE IF NOT EXISTS m (mood ENUM('z', 'a'))");
        let error = read(&server, query, &[column], Start::First).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("orderBy: {column} is {kind}")), "{error}");
    }
}

#[tokio::test]
async fn a_query_that_fails_says_so_without_telling_values_and_writes_nothing() {
    let server = Server::start();
    server.server.run(
        "CREATE TABLE t (n INT); INSERT INTO t VALUES (1);\nDELIMITER //\n\
         CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (2); RETURN 1; END//\nDELIMITER ;\n",
    );
    let failing = async |query: &str| read(&server, query, &[], Start::First).await.err().unwrap();
    let error = failing("SELECT nme FROM t").await;
    let told = error.to_string();
    assert!(told.starts_with("the database refused the query: Unknown column 'nme' in "), "{told}");
    assert!(told.ends_with(" (ER_BAD_FIELD_ERROR, error 1054)"), "{told}");
    assert_eq!(error.reason(), RunReason::SourceFailed);
    let error = failing("SELECT seq, IF(seq = 3000, (SELECT 'secret' UNION SELECT 'x'), 1) AS v FROM seq_1_to_4000").await;
    assert!(!error.to_string().contains("secret") && error.to_string().contains("ER_SUBQUERY_NO_1_ROW, error 1242"), "{error}");
    for (query, code) in [
        ("INSERT INTO t VALUES (3) RETURNING n", "1792"),
        ("SELECT f()", "1792"),
        ("SELECT 1; DROP TABLE t", "1064"),
        ("SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/never'", ""),
        ("DELETE FROM t", ""),
    ] {
        let error = failing(query).await;
        assert!(error.to_string().contains(code) && error.reason() == RunReason::SourceFailed, "{query}: {error}");
    }
    assert_eq!(server.server.run("SELECT COUNT(*) FROM t").trim(), "1");
}

#[tokio::test]
async fn what_one_run_reads_is_one_state_of_the_data() {
    let server = Server::start();
    server.server.run("CREATE TABLE t (n INT PRIMARY KEY, v TEXT); INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_20000");
    let mut rows = server.source("SELECT * FROM t", &["n"]).open(&Start::First, &BTreeSet::new()).await.unwrap();
    let mut batch = Batch::new();
    assert!(rows.next(&mut batch).await.unwrap());
    let mut count = batch.rows().len();
    server.server.run("DELETE FROM t WHERE n > 10000; INSERT INTO t VALUES (30000, 'new')");
    while rows.next(&mut batch).await.unwrap() {
        count += batch.rows().len();
    }
    assert_eq!(count, 20_000);
}

#[tokio::test]
async fn a_query_ends_with_its_run_and_a_dropped_one_at_once() {
    let server = Server::start();
    let mut source = server.source("SELECT SLEEP(30) AS n", &[]);
    source.time_left = std::time::Duration::from_secs(1);
    let begun = std::time::Instant::now();
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await.unwrap();
    let _ = rows.next(&mut Batch::new()).await;
    assert!(begun.elapsed().as_secs() < 10);

    let mut rows = server.source("SELECT seq, REPEAT('x', 1000) AS v FROM seq_1_to_10000000", &[]);
    rows.time_left = std::time::Duration::from_secs(600);
    let mut rows = rows.open(&Start::First, &BTreeSet::new()).await.unwrap();
    rows.next(&mut Batch::new()).await.unwrap();
    drop(rows);
    let running = || server.server.run("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'reader'").trim().to_owned();
    for _ in 0..50 {
        if running() == "0" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the server still sends");
}

#[test]
fn every_error_has_the_name_that_the_server_knows_it_by() {
    for (code, name) in NAMES {
        let said = Command::new("perror").arg(code).output().expect("this test needs MariaDB: apt-get install mariadb-server").stdout;
        let said = String::from_utf8(said).unwrap();
        // MySQL's own, of which MariaDB knows nothing.
        assert!(said.contains(&format!("({name})")) || *code == "3024", "{code} is not {name}: {said}");
        assert_eq!(ErrorCode(code).to_string(), format!("{name}, error {code}"));
    }
    assert!(NAMES.is_sorted());
    assert_eq!(ErrorCode("9999").to_string(), "error 9999");
}

#[tokio::test]
async fn a_watermark_reads_what_is_beyond_it_and_tells_how_far_it_came() {
    let server = Server::start();
    server.server.run(
        "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(6), name VARCHAR(9)); INSERT INTO t VALUES (1, '2026-01-01 00:00:00.000001', 'b'), \
         (2, '2026-01-01 00:00:00.000002', 'a'), (3, '2026-01-01 00:00:00.000002', 'B')",
    );
    let source = |column: &str, since: Option<Since>| {
        let mut source = server.source("SELECT id, at, name FROM t", &["id"]);
        source.query.watermark = Some(Watermark { column: column.to_owned(), from: None });
        MySqlSource { since, ..source }
    };
    let ids = async |source: &MySqlSource, start: &Start| {
        let mut rows = source.open(start, &BTreeSet::new()).await?;
        let (mut batch, mut ids) = (Batch::new(), Vec::new());
        while rows.next(&mut batch).await? {
            ids.extend(batch.rows().iter().map(|row| String::from_utf8(row.cells[0].to_vec()).unwrap()));
        }
        Ok::<_, ReadError>((ids.join(" "), rows.watermark().unwrap_or_default()))
    };
    let reached = "2026-01-01 00:00:00.000002";
    assert_eq!(ids(&source("at", None), &Start::First).await.unwrap(), ("1 2 3".into(), reached.into()));
    let kept = || Some(Since::Kept(reached.to_owned()));
    assert_eq!(ids(&source("at", kept()), &Start::First).await.unwrap(), (String::new(), String::new()));
    server.server.run("INSERT INTO t VALUES (4, '2026-02-01', 'c'), (5, '2026-02-01', 'd')");
    assert_eq!(ids(&source("at", kept()), &Start::First).await.unwrap(), ("4 5".into(), "2026-02-01 00:00:00.000000".into()));
    let key = behind(&["2026-02-01 00:00:00.000000", "4"], Replay::None);
    assert_eq!(ids(&source("at", kept()), &key).await.unwrap().0, "5");
    let key = behind(&["2026-02-01 00:00:00.000000", "4"], Replay::Seen);
    assert_eq!(ids(&source("at", kept()), &key).await.unwrap().0, "4 5");
    let told = |text: &str| Some(Since::Told(text.to_owned()));
    assert_eq!(ids(&source("at", told("2026-01-31")), &Start::First).await.unwrap().0, "4 5");
    assert_eq!(
        ids(&source("name", told("a")), &Start::First).await.unwrap(),
        ("1 4 5".into(), "d".into()),
        "by the bytes: B comes before a"
    );
    let error = ids(&source("at", told("yesterday")), &Start::First).await.unwrap_err();
    assert!(error.to_string().starts_with("watermark.from: \"yesterday\" is not compared with at; "), "{error}");
    server.server.run("INSERT INTO t VALUES (6, NULL, 'e')");
    let error = ids(&source("at", kept()), &Start::First).await.unwrap_err();
    assert!(error.to_string().starts_with("row 1: at is NULL; watermark.column needs"), "{error}");
}

#[tokio::test]
async fn a_table_is_read_by_its_name_as_the_database_has_it() {
    let server = Server::start();
    server.server.run("CREATE TABLE `odd ``name` (id INT PRIMARY KEY, name TEXT); INSERT INTO `odd ``name` VALUES (2, 'b'), (1, 'a')");
    let mut source = server.source("", &["id"]);
    (source.query.query, source.query.table) = (None, Some("odd `name".to_owned()));
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await.unwrap();
    let mut batch = Batch::new();
    assert!(rows.next(&mut batch).await.unwrap());
    let names: Vec<&[u8]> = batch.rows().iter().map(|row| &row.cells[1]).collect();
    assert_eq!(names, [b"a", b"b"]);
}

#[tokio::test]
async fn times_of_a_zone_that_the_job_names_say_none_and_keys_and_watermark_are_the_databases_own() {
    let server = Server::start();
    server.server.run(
        "SET GLOBAL time_zone = '+05:30'; SET time_zone = '+05:30'; \
         CREATE TABLE t (local DATETIME(6) PRIMARY KEY, at TIMESTAMP NULL, day DATE, hour TIME); \
         INSERT INTO t VALUES ('2026-03-29 02:30:00', '2026-11-24 06:10:00', '2026-11-24', '09:30:00'), \
         ('2026-10-25 02:30:00.000001', NULL, NULL, NULL), ('2026-10-25 02:30:00.000002', NULL, NULL, NULL)",
    );
    let source = |since: Option<&str>| {
        let mut source = server.source("SELECT *, CAST(at AS DATETIME) AS cast, IFNULL(at, at) AS calculated FROM t", &["local"]);
        source.query.watermark = Some(Watermark { column: "local".to_owned(), from: None });
        MySqlSource { since: since.map(|since| Since::Kept(since.to_owned())), zoneless: Zoneless::Local, ..source }
    };
    let read = async |source: &MySqlSource, start: &Start| {
        let mut rows = source.open(start, &BTreeSet::new()).await.unwrap();
        let (mut batch, mut found) = (Batch::new(), Vec::new());
        while rows.next(&mut batch).await.unwrap() {
            let text = |record: &engine::row::Record| {
                record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>().join(" ")
            };
            found.extend(batch.rows().iter().map(|row| (text(&row.cells), text(&row.key))));
        }
        (found, rows.watermark().unwrap_or_default())
    };
    let first = source(None);
    let (found, reached) = read(&first, &Start::First).await;
    // What a TIMESTAMP is made into tells the clock of UTC, and nobody can see that any more.
    let cells =
        "2026-03-29T02:30:00.000 2026-11-24T00:40:00.000Z 2026-11-24 09:30:00.000Z 2026-11-24T00:40:00.000 2026-11-24T00:40:00.000Z";
    assert_eq!(found[0], (cells.to_owned(), "2026-03-29 02:30:00.000000".to_owned()));
    assert_eq!(reached, "2026-10-25 02:30:00.000002");
    let killed = behind(&["2026-10-25 02:30:00.000001"], Replay::None);
    let (rest, _) = read(&first, &killed).await;
    assert_eq!(rest.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>(), ["2026-10-25 02:30:00.000002"]);
    assert!(rest[0].0.starts_with("2026-10-25T02:30:00.000 "), "{rest:?}");
    assert_eq!(read(&source(Some(&reached)), &Start::First).await, (Vec::new(), String::new()));
}
