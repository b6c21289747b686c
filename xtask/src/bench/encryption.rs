//! P4: file streams against the same cipher in OpenSSL.

use std::process::Command;

use anyhow::{Context, Result};

use super::Bench;
use super::figures::Series;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::{process, workspace};

/// One step of our streams, and so of OpenSSL's measurement.
const STEP: &str = "16384";

/// What the bench of crate envelope measures, and what that is. The first two are compared with the peer.
const MEASURES: [(&str, &str); 5] = [
    ("seal", "seal files of 1 MB"),
    ("open", "open files of 1 MB"),
    ("seal-large", "seal a file of 256 MB"),
    ("open-large", "open a file of 256 MB"),
    ("cipher", "ring's cipher alone"),
];

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let rounds = bench.rounds.unwrap_or(5);
    let mut ours_by_measure = MEASURES.map(|(measure, _)| (measure, Series::default()));
    let mut peer = Series::default();
    let ours = || process::output(cargo().args(["bench", "--quiet", "--locked", "-p", "envelope", "--bench", "stream"]));
    bench.progress.during("building the measurement of file streams", String::new, || {
        process::output(cargo().args(["bench", "--quiet", "--locked", "-p", "envelope", "--bench", "stream", "--no-run"]))
    })?;
    for round in 1..=rounds {
        bench.progress.say(&format!("encryption: round {round} of {rounds}"));
        let said = ours()?;
        for (measure, series) in &mut ours_by_measure {
            series.push(ours_mb(&said, measure).with_context(|| format!("the bench of crate envelope said {said}"))?);
        }
        let mut openssl = Command::new("openssl");
        openssl.args(["speed", "-elapsed", "-mr", "-seconds", "1", "-bytes", STEP, "-evp", "aes-256-gcm"]);
        let said = process::output(&mut openssl)?;
        peer.push(openssl_mb(&said).with_context(|| format!("openssl said {said}"))?);
    }
    Ok(Chapter {
        scenario: "encryption".to_owned(),
        about: "file streams (crates/envelope) on one core, in steps of 16 KiB".to_owned(),
        figures: [Figure::of("openssl speed -evp aes-256-gcm", "MB/s", &peer)]
            .into_iter()
            .chain(MEASURES.iter().zip(&ours_by_measure).map(|((_, what), (_, series))| Figure::of(what, "MB/s", series)))
            .collect(),
        goals: ours_by_measure[..2]
            .iter()
            .map(|(measure, series)| Goal::new("P4", &format!("{measure} ÷ openssl"), Bound::AtLeast(1.5), series.over(&peer), "×"))
            .collect(),
        notes: vec![
            format!("the peer is {}", process::output(Command::new("openssl").arg("version"))?.trim()),
            "openssl encrypts the same 16 KiB over and over, and finds them in the cache; so do ours with small files. Through a large file \
             the same code waits for main memory"
                .to_owned(),
        ],
    })
}

fn cargo() -> Command {
    let mut cargo = process::cargo();
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
