//! P7: reading a file of a server, rows and all, against the programs that only fetch it. Named only: its SFTP server needs root.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::data::{self, Header};
use super::readers::{Runner, Server, free_port, in_a_place, in_turns, program, shell, version};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::progress::Progress;
use crate::served;
use crate::{certificate, packages, process};

const TOKEN: &str = "a-token-of-a-benchmark";

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::OPENSSH, packages::NGINX, packages::OPENSSL, packages::CURL])?;
    in_a_place("sources", |place| compare(progress, folder, place, rows, rounds.unwrap_or(7)))
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let (port, secure_port) = (free_port()?, free_port()?);
    let (layout, host_key) = served::openssh(&place.join("sftp"), "unused", "127.0.0.1", port)?;
    let sftp = Server::start(&layout.command, &layout.files.with_extension("log"), port)?;
    let tls = certificate::of_server("sources", "127.0.0.1", place)?;
    let secure_layout = served::nginx(&place.join("https"), TOKEN, &tls, "127.0.0.1", secure_port)?;
    let https = Server::start(&secure_layout.command, &secure_layout.files.with_extension("log"), secure_port)?;
    for layout in [&layout, &secure_layout] {
        std::fs::copy(&file, layout.files.join("a.csv"))?;
    }
    let packed = secure_layout.files.join("a.csv.gz");
    let pack = format!("gzip -c '{}' > '{}'", file.display(), packed.display());
    progress.during("packing it", String::new, || process::output(Command::new("sh").args(["-c", &pack])))?;

    let (key, authority) = (place.join("sftp/user_key"), certificate::authority());
    let ours = |where_: &'static str, path: &'static str| {
        let (program, key, authority, host_key) = (&program, &key, &authority, &host_key);
        Box::new(move || {
            let mut read = Command::new(program);
            read.args([where_, path]).env("READ_USER", served::USER).env("READ_PORT", port.to_string()).env("READ_HOST_KEY", host_key);
            read.env("READ_KEY", key).env("READ_CA", authority).env("READ_SECRET", TOKEN);
            read.env("READ_URL", format!("https://127.0.0.1:{secure_port}/out"));
            read
        })
    };
    let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let fetch = format!("exec sftp -q -P {port} -i '{}' {options} {}@127.0.0.1:a.csv /dev/null", key.display(), served::USER);
    let curl = |name: &str| {
        let authority = authority.display();
        format!(
            "curl --silent --fail --noproxy '*' --cacert '{authority}' -H 'Authorization: Bearer {TOKEN}' \
             https://127.0.0.1:{secure_port}/out/{name}"
        )
    };
    let runners: [Runner<'_>; 6] = [
        ("sftp", shell(fetch)),
        ("a source, SFTP", ours("sftp", "a.csv")),
        ("curl", shell(format!("exec {} -o /dev/null", curl("a.csv")))),
        ("a source, HTTPS", ours("https", "a.csv")),
        ("curl | gzip -dc", shell(format!("{} | gzip -dc > /dev/null", curl("a.csv.gz")))),
        ("a source, HTTPS and gzip", ours("https", "a.csv.gz")),
    ];
    let [walls, peaks] = in_turns(progress, folder, &runners, rows, rounds)?;
    let figures = runners.iter().zip(&walls).map(|((name, _), wall)| Figure::of(name, "s", wall));
    let memory = [1, 3, 5].map(|number| Figure::of(&format!("{}, VmHWM", runners[number].0), "MiB", &peaks[number]));
    drop((sftp, https));
    Ok(Chapter {
        scenario: "sources".to_owned(),
        about: format!("a CSV file of {rows} rows from a server on the same machine: wall time of a process from its start to its end"),
        figures: figures.chain(memory).collect(),
        goals: vec![
            Goal::new("P7", "sftp ÷ a source, SFTP", Bound::AtLeast(1.5), walls[0].over(&walls[1]), "×"),
            Goal::new("P7", "a source, HTTPS and gzip ÷ curl | gzip -dc", Bound::AtMost(1.0), walls[5].over(&walls[4]), "×"),
        ],
        notes: vec![
            "a source makes rows of what it reads; the others throw the bytes away".to_owned(),
            version("ssh", &["-V"])?,
            version("curl", &["--version"])?,
            version("gzip", &["--version"])?,
        ],
    })
}
