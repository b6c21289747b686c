//! P7: reading a table of a database, rows and all, against the client that comes with it. Named only: its servers take a minute to fill.

use std::path::Path;

use anyhow::Result;

use super::data::{self, COLUMNS, Header};
use super::readers::{Origin, Runner, filled_by, in_a_place, in_turns, program, shell, version};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::certificate;
use crate::demo::postgres;
use crate::progress::Progress;
use crate::{packages, process};

const PASSWORD: &str = "a-password-of-a-benchmark";
pub(super) const QUERY: &str = "SELECT * FROM customers";

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::POSTGRESQL, packages::MARIADB, packages::OPENSSL])?;
    in_a_place("databases", |place| compare(progress, folder, place, rows, rounds.unwrap_or(7)))
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let (postgres, mariadb) = (postgresql(place)?, mariadb(place)?);
    postgres.fill(progress, &file)?;
    mariadb.fill(progress, &file)?;

    let psql = format!("{} -c '\\copy ({QUERY}) TO /dev/null'", psql(postgres.port));
    let client = format!("{} --batch --quick -e '{QUERY}' bench > /dev/null", maria_client(mariadb.port));
    let runners: [Runner<'_>; 4] = [
        ("psql \\copy", shell(psql)),
        ("a source, PostgreSQL", postgres.source(&program, QUERY)),
        ("mariadb --batch --quick", shell(client)),
        ("a source, MariaDB", mariadb.source(&program, QUERY)),
    ];
    let used = in_turns(progress, folder, &runners, rows, rounds)?;
    let figures = runners.iter().zip(&used).map(|((name, _), used)| Figure::of(name, "s", &used.seconds));
    let memory = [1, 3].map(|number| Figure::of(&format!("{}, VmHWM", runners[number].0), "MiB", &used[number].peak_mib));
    let wall = |number: usize| &used[number].seconds;
    Ok(Chapter {
        scenario: "databases".to_owned(),
        about: format!(
            "a table of {rows} rows of a server on the same machine, over TLS: wall time of a process from its start to its end"
        ),
        figures: figures.chain(memory).collect(),
        goals: vec![
            Goal::new("P7", "a source, PostgreSQL ÷ psql \\copy", Bound::AtMost(1.1), wall(1).over(wall(0)), "×"),
            Goal::new("P7", "a source, MariaDB ÷ mariadb --batch --quick", Bound::AtMost(1.3), wall(3).over(wall(2)), "×"),
        ],
        notes: vec![
            "a source makes rows of what it reads; the others throw the bytes away".to_owned(),
            version("psql", &["--version"])?,
            version("mariadb", &["--version"])?,
        ],
    })
}

/// Names of columns that need no quotes anywhere.
fn columns() -> String {
    COLUMNS.map(|(_, field)| format!("{} text", field.to_lowercase())).join(", ")
}

fn psql(port: u16) -> String {
    format!("PGPASSWORD={PASSWORD} PGSSLMODE=require psql -q -h 127.0.0.1 -p {port} -U importer warehouse")
}

fn environment(port: u16) -> Vec<(&'static str, String)> {
    vec![("READ_CA", certificate::authority().display().to_string()), ("READ_PORT", port.to_string()), ("READ_SECRET", PASSWORD.to_owned())]
}

/// A PostgreSQL with an empty table.
pub(super) fn postgresql(place: &Path) -> Result<Origin> {
    let (folder, port) = (place.join("postgres"), process::free_port()?);
    std::fs::create_dir_all(&folder)?;
    let tls = certificate::of_server("postgres", "127.0.0.1", place)?;
    let schema = format!("CREATE TABLE customers ({});\nCREATE ROLE importer LOGIN SUPERUSER PASSWORD '{PASSWORD}';\n", columns());
    postgres::lay_out(&folder, &schema, &tls)?;
    let (here, start) = (folder.display(), folder.join("start"));
    let told = [format!("FOLDER={here}"), "ADDRESS=127.0.0.1".to_owned(), format!("PGPORT={port}")];
    let command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env"].map(str::to_owned);
    let command = [&command[..], &told, &["sh".to_owned(), start.display().to_string()]].concat();
    let fill = filled_by(move |file| {
        let copy = format!("\\copy customers FROM '{}' CSV HEADER", file.display());
        format!("{} -c 'TRUNCATE customers' -c \"{copy}\" -c VACUUM", psql(port))
    });
    Origin::start("postgres", &command, &place.join("postgres.log"), port, environment(port), fill)
}

fn maria_client(port: u16) -> String {
    format!("MYSQL_PWD={PASSWORD} mariadb --no-defaults --ssl --local-infile=1 -h 127.0.0.1 -P {port} -u importer")
}

/// A MariaDB with an empty table.
pub(super) fn mariadb(place: &Path) -> Result<Origin> {
    let port = process::free_port()?;
    let tls = certificate::of_server("mariadb", "127.0.0.1", place)?;
    let statements = [
        "CREATE DATABASE bench;".to_owned(),
        format!("CREATE TABLE bench.customers ({}) ENGINE=InnoDB;", columns()),
        format!("CREATE USER importer@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;"),
        "GRANT ALL ON bench.* TO importer@'%';".to_owned(),
        "SET GLOBAL local_infile = ON;".to_owned(),
    ];
    let command = crate::mariadb::lay_out(&place.join("mariadb"), &statements, &tls, "127.0.0.1", port)?;
    let fill = filled_by(move |file| {
        let (client, file) = (maria_client(port), file.display());
        format!(
            "{client} bench -e \"TRUNCATE customers; LOAD DATA LOCAL INFILE '{file}' INTO TABLE customers CHARACTER SET utf8mb4 \
             FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\\\"' IGNORE 1 LINES\""
        )
    });
    Origin::start("mysql", &command, &place.join("mariadb.log"), port, environment(port), fill)
}
