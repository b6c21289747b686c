//! P7: reading a file of a server, rows and all, against the programs that only fetch it. Named only: its SFTP server needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::data::{self, Header};
use super::readers::{Fill, Origin, Runner, in_a_place, in_turns, program, shell, version};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::progress::Progress;
use crate::served;
use crate::{certificate, packages, process};

pub(super) const FILE: &str = "a.csv";
const TOKEN: &str = "a-token-of-a-benchmark";

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::OPENSSH, packages::NGINX, packages::OPENSSL, packages::CURL])?;
    in_a_place("sources", |place| compare(progress, folder, place, rows, rounds.unwrap_or(7)))
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let (sftp, (https, files)) = (sftp(place)?, https(place)?);
    sftp.fill(progress, &file)?;
    https.fill(progress, &file)?;
    let packed = files.join("a.csv.gz");
    let pack = format!("gzip -c '{}' > '{}'", file.display(), packed.display());
    progress.during("packing it", String::new, || process::output(Command::new("sh").args(["-c", &pack])))?;

    let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let (port, key) = (sftp.port, user_key(place));
    let fetch = format!("exec sftp -q -P {port} -i '{}' {options} {}@127.0.0.1:{FILE} /dev/null", key.display(), served::USER);
    let curl = |name: &str| {
        let (authority, port) = (certificate::authority(), https.port);
        format!(
            "curl --silent --fail --noproxy '*' --cacert '{}' -H 'Authorization: Bearer {TOKEN}' https://127.0.0.1:{port}/out/{name}",
            authority.display()
        )
    };
    let runners: [Runner<'_>; 6] = [
        ("sftp", shell(fetch)),
        ("a source, SFTP", sftp.source(&program, FILE)),
        ("curl", shell(format!("exec {} -o /dev/null", curl(FILE)))),
        ("a source, HTTPS", https.source(&program, FILE)),
        ("curl | gzip -dc", shell(format!("{} | gzip -dc > /dev/null", curl("a.csv.gz")))),
        ("a source, HTTPS and gzip", https.source(&program, "a.csv.gz")),
    ];
    let used = in_turns(progress, folder, &runners, rows, rounds)?;
    let figures = runners.iter().zip(&used).map(|((name, _), used)| Figure::of(name, "s", &used.seconds));
    let memory = [1, 3, 5].map(|number| Figure::of(&format!("{}, VmHWM", runners[number].0), "MiB", &used[number].peak_mib));
    let wall = |number: usize| &used[number].seconds;
    Ok(Chapter {
        scenario: "sources".to_owned(),
        about: format!("a CSV file of {rows} rows from a server on the same machine: wall time of a process from its start to its end"),
        figures: figures.chain(memory).collect(),
        goals: vec![
            Goal::new("P7", "sftp ÷ a source, SFTP", Bound::AtLeast(1.5), wall(0).over(wall(1)), "×"),
            Goal::new("P7", "a source, HTTPS and gzip ÷ curl | gzip -dc", Bound::AtMost(1.0), wall(5).over(wall(4)), "×"),
        ],
        notes: vec![
            "a source makes rows of what it reads; the others throw the bytes away".to_owned(),
            version("ssh", &["-V"])?,
            version("curl", &["--version"])?,
            version("gzip", &["--version"])?,
        ],
    })
}

fn user_key(place: &Path) -> PathBuf {
    place.join("sftp/user_key")
}

fn copied_to(files: PathBuf) -> Fill {
    Box::new(move |file| Ok(std::fs::copy(file, files.join(FILE)).map(drop)?))
}

/// An SFTP server.
pub(super) fn sftp(place: &Path) -> Result<Origin> {
    let port = process::free_port()?;
    let (layout, host_key) = served::openssh(&place.join("sftp"), "unused", "127.0.0.1", port)?;
    let environment = vec![
        ("READ_USER", served::USER.to_owned()),
        ("READ_PORT", port.to_string()),
        ("READ_HOST_KEY", host_key),
        ("READ_KEY", user_key(place).display().to_string()),
    ];
    let log = layout.files.with_extension("log");
    Origin::start("sftp", &layout.command, &log, port, environment, copied_to(layout.files))
}

/// An HTTPS server, and the folder whose files it gives.
pub(super) fn https(place: &Path) -> Result<(Origin, PathBuf)> {
    let port = process::free_port()?;
    let tls = certificate::of_server("sources", "127.0.0.1", place)?;
    let layout = served::nginx(&place.join("https"), TOKEN, &tls, "127.0.0.1", port)?;
    let environment = vec![
        ("READ_URL", format!("https://127.0.0.1:{port}/out")),
        ("READ_CA", certificate::authority().display().to_string()),
        ("READ_SECRET", TOKEN.to_owned()),
    ];
    let log = layout.files.with_extension("log");
    let server = Origin::start("https", &layout.command, &log, port, environment, copied_to(layout.files.clone()))?;
    Ok((server, layout.files))
}
