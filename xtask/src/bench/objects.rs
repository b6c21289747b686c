//! P7: reading an object of a bucket, rows and all, against a program that only fetches it. Named only: its server takes minutes to make.

use std::path::Path;

use anyhow::Result;

use super::data::{self, Header};
use super::readers::{Origin, Runner, filled_by, in_a_place, in_turns, program, shell, version};
use super::report::{Bound, Chapter, Goal};
use crate::minio::{self, Account};
use crate::progress::Progress;
use crate::{certificate, packages, pinned, process};

const BUCKET: &str = "bench";
pub(super) const KEY: &str = "a.csv";
const ACCOUNT: Account<'_> = Account { key_id: "a-benchmark", secret: "a-secret-of-a-benchmark", region: "us-east-1" };

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    packages::install(progress, &[packages::RCLONE, packages::OPENSSL])?;
    pinned::minio(progress)?;
    in_a_place("objects", |place| compare(progress, folder, place, rows, rounds.unwrap_or(7)))
}

fn compare(progress: &Progress, folder: &Path, place: &Path, rows: u64, rounds: u16) -> Result<Chapter> {
    let program = program(progress)?;
    let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let s3 = s3(place)?;
    s3.fill(progress, &file)?;
    let runners: [Runner<'_>; 2] = [
        ("rclone cat", shell(format!("exec {} cat {} > /dev/null", rclone(s3.port), object()))),
        ("a source, S3", s3.source(&program, KEY)),
    ];
    let used = in_turns(progress, folder, &runners, rows, rounds)?;
    Ok(Chapter {
        scenario: "objects".to_owned(),
        about: format!("a CSV file of {rows} rows in a bucket of an S3 server on the same machine, over TLS"),
        figures: runners.iter().zip(&used).flat_map(|((name, _), used)| used.figures(name)).collect(),
        goals: vec![Goal::new("P7", "rclone cat ÷ a source, S3", Bound::AtLeast(1.0), used[0].seconds.over(&used[1].seconds), "×")],
        notes: vec![
            "a source makes rows of what it reads; rclone throws the bytes away".to_owned(),
            version("rclone", &["version"])?,
            "the server is MinIO as xtask/minio/go.mod has it".to_owned(),
        ],
    })
}

/// A MinIO with an empty bucket.
pub(super) fn s3(place: &Path) -> Result<Origin> {
    let (folder, port) = (place.join("s3"), process::free_port()?);
    minio::lay_out(&folder, BUCKET, &certificate::of_server("s3", "127.0.0.1", place)?)?;
    let told = minio::environment(&folder, &ACCOUNT).map(|(name, value)| format!("{name}={value}"));
    let command = [&["env".to_owned()][..], &told, &minio::command(&folder, &format!("127.0.0.1:{port}"))].concat();
    let environment = vec![
        ("READ_URL", format!("https://127.0.0.1:{port}")),
        ("READ_BUCKET", BUCKET.to_owned()),
        ("READ_USER", ACCOUNT.key_id.to_owned()),
        ("READ_SECRET", ACCOUNT.secret.to_owned()),
        ("READ_CA", certificate::authority().display().to_string()),
    ];
    // In parts, as large objects are.
    let fill = filled_by(move |file| format!("{} copyto '{}' {}", rclone(port), file.display(), object()));
    Origin::start("s3", &command, &place.join("s3.log"), port, environment, fill)
}

fn object() -> String {
    format!("bench:{BUCKET}/{KEY}")
}

/// Reads no configuration of the person's own. Where the environment names a bundle for AWS, rclone would refuse it and end.
fn rclone(port: u16) -> String {
    let Account { key_id, secret, region } = ACCOUNT;
    let settings = [
        ("TYPE", "s3".to_owned()),
        ("PROVIDER", "Minio".to_owned()),
        ("ENDPOINT", format!("https://127.0.0.1:{port}")),
        ("REGION", region.to_owned()),
        ("ACCESS_KEY_ID", key_id.to_owned()),
        ("SECRET_ACCESS_KEY", secret.to_owned()),
    ];
    let settings: Vec<String> = settings.map(|(name, value)| format!("RCLONE_CONFIG_BENCH_{name}={value}")).into();
    format!(
        "env -u AWS_CA_BUNDLE NO_PROXY='*' RCLONE_CONFIG=/dev/null {} rclone --ca-cert '{}'",
        settings.join(" "),
        certificate::authority().display()
    )
}
