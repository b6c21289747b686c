//! P7: reading a table of a database, rows and all, against the client that comes with it. Named only: its servers take a minute to fill.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::data::{self, COLUMNS, Header};
use super::readers::{Runner, Server, free_port, in_a_place, in_turns, program, shell, version};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::certificate::{self, Certificate};
use crate::demo::postgres;
use crate::progress::Progress;
use crate::{mariadb, packages, process};

const PASSWORD: &str = "a-password-of-a-benchmark";
const QUERY: &str = "SELECT * FROM customers";

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::POSTGRESQL, packages::MARIADB, packages::OPENSSL])?;
    in_a_place("databases", |place| compare(progress, folder, place, rows, rounds.unwrap_or(7)))
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let tls = certificate::of_server("databases", "127.0.0.1", place)?;
    let (port, other_port) = (free_port()?, free_port()?);
    let _postgres = progress.during("filling PostgreSQL", String::new, || postgresql(place, &file, &tls, port))?;
    let _mariadb = progress.during("filling MariaDB", String::new, || maria(place, &file, &tls, other_port))?;

    let authority = certificate::authority();
    let ours = |system: &'static str, port: u16| {
        let (program, authority) = (&program, &authority);
        Box::new(move || {
            let mut read = Command::new(program);
            read.args([system, QUERY]).env("READ_CA", authority).env("READ_PORT", port.to_string()).env("READ_SECRET", PASSWORD);
            read
        })
    };
    let psql = format!("{} -c '\\copy ({QUERY}) TO /dev/null'", psql(port));
    let client = format!("{} --batch --quick -e '{QUERY}' bench > /dev/null", maria_client(other_port));
    let runners: [Runner<'_>; 4] = [
        ("psql \\copy", shell(psql)),
        ("a source, PostgreSQL", ours("postgres", port)),
        ("mariadb --batch --quick", shell(client)),
        ("a source, MariaDB", ours("mysql", other_port)),
    ];
    let [walls, peaks] = in_turns(progress, folder, &runners, rows, rounds)?;
    let figures = runners.iter().zip(&walls).map(|((name, _), wall)| Figure::of(name, "s", wall));
    let memory = [1, 3].map(|number| Figure::of(&format!("{}, VmHWM", runners[number].0), "MiB", &peaks[number]));
    Ok(Chapter {
        scenario: "databases".to_owned(),
        about: format!(
            "a table of {rows} rows of a server on the same machine, over TLS: wall time of a process from its start to its end"
        ),
        figures: figures.chain(memory).collect(),
        goals: vec![
            Goal::new("P7", "a source, PostgreSQL ÷ psql \\copy", Bound::AtMost(1.1), walls[1].over(&walls[0]), "×"),
            Goal::new("P7", "a source, MariaDB ÷ mariadb --batch --quick", Bound::AtMost(1.3), walls[3].over(&walls[2]), "×"),
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

fn postgresql(place: &Path, file: &Path, tls: &Certificate, port: u16) -> Result<Server> {
    let folder = place.join("postgres");
    std::fs::create_dir_all(&folder)?;
    let schema = format!("CREATE TABLE customers ({});\nCREATE ROLE importer LOGIN SUPERUSER PASSWORD '{PASSWORD}';\n", columns());
    postgres::lay_out(&folder, &schema, tls)?;
    let (here, start) = (folder.display(), folder.join("start"));
    let environment = [format!("FOLDER={here}"), "ADDRESS=127.0.0.1".to_owned(), format!("PGPORT={port}")];
    let command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env"].map(str::to_owned);
    let command = [&command[..], &environment, &["sh".to_owned(), start.display().to_string()]].concat();
    let server = Server::start(&command, &place.join("postgres.log"), port)?;
    let load = format!("{} -c \"\\copy customers FROM '{}' CSV HEADER\" -c VACUUM", psql(port), file.display());
    process::output(Command::new("sh").args(["-c", &load])).context("cannot fill PostgreSQL")?;
    Ok(server)
}

fn maria_client(port: u16) -> String {
    format!("MYSQL_PWD={PASSWORD} mariadb --no-defaults --ssl --local-infile=1 -h 127.0.0.1 -P {port} -u importer")
}

fn maria(place: &Path, file: &Path, tls: &Certificate, port: u16) -> Result<Server> {
    let statements = [
        "CREATE DATABASE bench;".to_owned(),
        format!("CREATE TABLE bench.customers ({}) ENGINE=InnoDB;", columns()),
        format!("CREATE USER importer@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;"),
        "GRANT ALL ON bench.* TO importer@'%';".to_owned(),
        "SET GLOBAL local_infile = ON;".to_owned(),
    ];
    let command = mariadb::lay_out(&place.join("mariadb"), &statements, tls, "127.0.0.1", port)?;
    let server = Server::start(&command, &place.join("mariadb.log"), port)?;
    let statement = format!(
        "LOAD DATA LOCAL INFILE '{}' INTO TABLE customers CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\\\"' IGNORE 1 LINES",
        file.display()
    );
    let load = format!("{} bench -e \"{statement}\"", maria_client(port));
    process::output(Command::new("sh").args(["-c", &load])).context("cannot fill MariaDB")?;
    Ok(server)
}
