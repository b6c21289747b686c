//! P1: how long a load takes, as a multiple of what `curl` takes to bring the same bytes in and the results out.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::child::measured;
use super::data::{self, Header};
use super::figures::Series;
use super::import::{Import, Ran, Results};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::process;

/// Of one client: wall time, and processor time on both sides of the wire.
#[derive(Default)]
struct Times {
    wall: Series,
    client: Series,
    server: Series,
    both: Series,
}

impl Times {
    fn add(&mut self, wall: f64, client: f64, server: f64) {
        self.wall.push(wall);
        self.client.push(client);
        self.server.push(server);
        self.both.push(client + server);
    }

    fn add_import(&mut self, ran: &Ran) {
        self.add(ran.process.seconds, ran.process.processor_seconds, ran.server_processor_seconds);
    }

    fn figures(&self, name: &str) -> [Figure; 3] {
        [
            Figure::of(&format!("{name}: wall time"), "s", &self.wall),
            Figure::of(&format!("{name}: its processor time"), "s", &self.client),
            Figure::of(&format!("{name}: the server's processor time"), "s", &self.server),
        ]
    }
}

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let (rows, rounds) = (bench.rows, bench.rounds.unwrap_or(5));
    let file = bench.data(rows, Header::Columns)?;
    // Whoever maps nothing needs Salesforce's names in the first line.
    let unmapped = bench.data(rows, Header::Fields)?;
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let [mut curl, mut bytes, mut files, mut none] = [Times::default(), Times::default(), Times::default(), Times::default()];
    for round in 1..=rounds {
        bench.progress.say(&format!("bulk: round {round} of {rounds}"));
        // One server process for all, and a fresh one each round, so that none works for an org that has grown.
        let org = bench.org.start()?;
        files.add_import(&import.run(&org, &file, rows, Results::Files)?);
        let (log, before) = (bench.folder.join("curl.log"), org.processor_seconds()?);
        let loaded = org.load(&unmapped, rows, &log)?;
        curl.add(loaded.seconds, loaded.processor_seconds, org.processor_seconds()? - before);
        let (job, before) = (org.new_job()?, org.processor_seconds()?);
        let put = measured(&mut org.put(&job, &file), &log, &[0])?;
        bytes.add(put.seconds, put.processor_seconds, org.processor_seconds()? - before);
        org.forget(&job)?;
        none.add_import(&import.run(&org, &file, rows, Results::None)?);
    }
    Ok(Chapter {
        scenario: "bulk".to_owned(),
        about: format!("{rows} rows × 10 columns, {:.0} MB, mapped and inserted by Bulk API 2.0", data::bytes(&file)? as f64 / 1e6),
        figures: [
            curl.figures("curl: the bytes put, results thrown away"),
            bytes.figures("curl -T alone, into a job never closed"),
            files.figures("dataimporter run, result files"),
            none.figures("dataimporter run, results counted"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        goals: vec![Goal::new(
            "P1",
            "dataimporter run with result files ÷ an import by curl, wall time",
            Bound::AtMost(3.0),
            files.wall.over(&curl.wall),
            "×",
        )],
        notes: vec![
            format!("the peer is {}", curl_version()?),
            format!("with results counted only the ratio is {:.2}", none.wall.over(&curl.wall)),
            format!(
                "in processor time, both sides together, which a busy machine distorts less: {:.2} with result files, {:.2} without",
                files.both.over(&curl.both),
                none.both.over(&curl.both)
            ),
            "curl maps nothing, checks nothing and keeps nothing: one job as large as the file, which Salesforce would not take".to_owned(),
            format!(
                "of the mere transport of the bytes, which no row is read of, the import with result files takes {:.1} times the wall time",
                files.wall.over(&bytes.wall)
            ),
            format!("spread of curl {:.0} %, of dataimporter {:.0} %", curl.wall.spread() * 100.0, files.wall.spread() * 100.0),
        ],
    })
}

fn curl_version() -> Result<String> {
    let said = process::output(Command::new("curl").arg("--version"))?;
    let words: Vec<&str> = said.split_whitespace().take(2).collect();
    let library = said.split_whitespace().find(|word| word.contains("SSL/")).unwrap_or("unknown TLS library");
    Ok(format!("{} with {library}", words.join(" ")))
}
