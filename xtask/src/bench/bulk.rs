//! P1: how long a load takes, as a multiple of what it takes to send the same bytes and do nothing else.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::child::measured;
use super::data::{self, Header};
use super::figures::Series;
use super::import::{Import, Results};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::process;

#[derive(Default)]
struct Times {
    curl: Series,
    files: Series,
    none: Series,
    client: Series,
    server: Series,
}

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let (rows, rounds) = (bench.rows, bench.rounds.unwrap_or(5));
    let file = bench.data(rows, Header::Columns)?;
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let mut times = Times::default();
    for round in 1..=rounds {
        bench.progress.say(&format!("bulk: round {round} of {rounds}"));
        // One server process for both, and a fresh one each round, so that none works for an org that has grown.
        let org = bench.org.start()?;
        let ran = import.run(&org, &file, rows, Results::Files)?;
        times.files.push(ran.process.seconds);
        times.client.push(ran.process.processor_seconds);
        times.server.push(ran.server_processor_seconds);
        let job = org.new_job()?;
        times.curl.push(measured(&mut org.put(&job, &file), &bench.folder.join("curl.log"), &[0])?.seconds);
        org.forget(&job)?;
        times.none.push(import.run(&org, &file, rows, Results::None)?.process.seconds);
    }
    let Times { curl, files, none, client, server } = times;
    Ok(Chapter {
        scenario: "bulk".to_owned(),
        about: format!("{rows} rows × 10 columns, {:.0} MB, mapped and inserted by Bulk API 2.0", data::bytes(&file)? as f64 / 1e6),
        figures: vec![
            Figure::of("curl -T of the same bytes", "s", &curl),
            Figure::of("dataimporter run, results read and written to files", "s", &files),
            Figure::of("dataimporter run, results read and counted", "s", &none),
            Figure::of("processor time of dataimporter (with files)", "s", &client),
            Figure::of("processor time of the server meanwhile", "s", &server),
        ],
        goals: vec![Goal::new("P1", "dataimporter run with result files ÷ curl -T", Bound::AtMost(3.0), files.over(&curl), "×")],
        notes: vec![
            format!("the peer is {}", curl_version()?),
            format!("with results counted only the ratio is {:.2}", none.over(&curl)),
            "curl sends the bytes and ends: no row of them is parsed, checked or answered, by either side".to_owned(),
            format!("spread of curl {:.0} %, of dataimporter {:.0} %", curl.spread() * 100.0, files.spread() * 100.0),
        ],
    })
}

fn curl_version() -> Result<String> {
    let said = process::output(Command::new("curl").arg("--version"))?;
    let words: Vec<&str> = said.split_whitespace().take(2).collect();
    let library = said.split_whitespace().find(|word| word.contains("SSL/")).unwrap_or("unknown TLS library");
    Ok(format!("{} with {library}", words.join(" ")))
}
