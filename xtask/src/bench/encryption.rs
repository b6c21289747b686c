//! P4: file streams against the same cipher in OpenSSL.

use std::process::Command;

use anyhow::{Context, Result};

use super::Bench;
use super::figures::Series;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::{process, workspace};

/// One step of our streams, and so of OpenSSL's measurement.
const STEP: &str = "16384";

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let rounds = bench.rounds.unwrap_or(5);
    let (mut seal, mut open, mut peer) = (Series::default(), Series::default(), Series::default());
    let ours = || process::output(cargo().args(["bench", "--quiet", "--locked", "-p", "envelope", "--bench", "stream"]));
    bench.progress.during("building the measurement of file streams", String::new, || {
        process::output(cargo().args(["bench", "--quiet", "--locked", "-p", "envelope", "--bench", "stream", "--no-run"]))
    })?;
    for round in 1..=rounds {
        bench.progress.say(&format!("encryption: round {round} of {rounds}"));
        let said = ours()?;
        seal.push(ours_mb(&said, "seal").with_context(|| format!("the bench of crate envelope said {said}"))?);
        open.push(ours_mb(&said, "open").with_context(|| format!("the bench of crate envelope said {said}"))?);
        let mut openssl = Command::new("openssl");
        openssl.args(["speed", "-elapsed", "-mr", "-seconds", "1", "-bytes", STEP, "-evp", "aes-256-gcm"]);
        let said = process::output(&mut openssl)?;
        peer.push(openssl_mb(&said).with_context(|| format!("openssl said {said}"))?);
    }
    Ok(Chapter {
        scenario: "encryption".to_owned(),
        about: "file streams (crates/envelope) on one core, in steps of 16 KiB".to_owned(),
        figures: vec![
            Figure::of("openssl speed -evp aes-256-gcm", "MB/s", &peer),
            Figure::of("seal a stream", "MB/s", &seal),
            Figure::of("open a stream", "MB/s", &open),
        ],
        goals: vec![
            Goal::new("P4", "seal ÷ openssl", Bound::AtLeast(1.0), seal.over(&peer), "×"),
            Goal::new("P4", "open ÷ openssl", Bound::AtLeast(1.0), open.over(&peer), "×"),
        ],
        notes: vec![
            format!("the peer is {}", process::output(Command::new("openssl").arg("version"))?.trim()),
            "openssl encrypts the same 16 KiB over and over; ours moves through a file of 256 MB, twice as many bytes as any cache"
                .to_owned(),
        ],
    })
}

fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    cargo
}

/// `seal 1234.5 MB/s`
fn ours_mb(said: &str, what: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(' '))?;
    line.strip_suffix(" MB/s")?.trim().parse().ok()
}

/// `+F:25:AES-256-GCM:3064854755.56`: bytes a second.
fn openssl_mb(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.starts_with("+F:"))?;
    let bytes: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
    Some(bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_saying_how_fast_are_understood() {
        assert_eq!(ours_mb("file of 256 MB\nseal 2000.5 MB/s\nopen 1999.0 MB/s\n", "open"), Some(1999.0));
        assert_eq!(ours_mb("sealed 1 MB/s\n", "seal"), None);
        assert_eq!(openssl_mb("+H:16384\n+F:25:AES-256-GCM:3064854755.56\n"), Some(3_064.854_755_56));
        assert_eq!(openssl_mb("+H:16384\n"), None);
    }
}
