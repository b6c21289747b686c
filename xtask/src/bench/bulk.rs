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
    // A client that maps nothing needs Salesforce's names in the first line.
    let unmapped = bench.data(rows, Header::Fields)?;
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let earlier = bench.before.as_deref().map(|program| Import { program, folder: &bench.folder });
    let [mut curl, mut bytes, mut files, mut none] = [Times::default(), Times::default(), Times::default(), Times::default()];
    let [mut files_before, mut none_before] = [Times::default(), Times::default()];
    for round in 1..=rounds {
        bench.progress.say(&format!("bulk: round {round} of {rounds}"));
        // One server process for all, and a fresh one each round, so that none works for an org that has grown.
        let org = bench.org.start()?;
        let load = |import: &Import<'_>, results, times: &mut Times| -> Result<()> {
            times.add_import(&import.run(&org, &file, rows, results)?);
            Ok(())
        };
        // Of two builds the first one has the emptier org: they take turns at it.
        let earlier_goes_first = round % 2 == 0;
        let (first, second) = (earlier.as_ref().filter(|_| earlier_goes_first), earlier.as_ref().filter(|_| !earlier_goes_first));
        first.map_or(Ok(()), |earlier| load(earlier, Results::Files, &mut files_before))?;
        load(&import, Results::Files, &mut files)?;
        second.map_or(Ok(()), |earlier| load(earlier, Results::Files, &mut files_before))?;
        let (log, before) = (bench.folder.join("curl.log"), org.processor_seconds()?);
        let loaded = org.load(&unmapped, rows, &log)?;
        curl.add(loaded.seconds, loaded.processor_seconds, org.processor_seconds()? - before);
        let (job, before) = (org.new_job()?, org.processor_seconds()?);
        let put = measured(&mut org.put(&job, &file), &log, &[0])?;
        bytes.add(put.seconds, put.processor_seconds, org.processor_seconds()? - before);
        org.forget(&job)?;
        first.map_or(Ok(()), |earlier| load(earlier, Results::None, &mut none_before))?;
        load(&import, Results::None, &mut none)?;
        second.map_or(Ok(()), |earlier| load(earlier, Results::None, &mut none_before))?;
    }
    let mut compared = Vec::new();
    let mut goals = Vec::new();
    if earlier.is_some() {
        compared.extend(files_before.figures("before, result files"));
        compared.extend(none_before.figures("before, results counted"));
        for (what, now, then) in [
            ("result files, wall time", &files.wall, &files_before.wall),
            ("result files, its processor time", &files.client, &files_before.client),
            ("results counted, wall time", &none.wall, &none_before.wall),
            ("results counted, its processor time", &none.client, &none_before.client),
        ] {
            goals.push(Goal::new("before", &format!("this build ÷ the one before, {what}"), Bound::AtMost(1.03), now.over(then), "×"));
        }
    }
    let millions = rows as f64 / 1e6;
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
        .chain(compared)
        .collect(),
        goals: [
            Goal::new("P1", "result files ÷ an import by curl, wall time", Bound::AtMost(1.25), files.wall.over(&curl.wall), "×"),
            Goal::new("P1", "results counted ÷ an import by curl, wall time", Bound::AtMost(1.25), none.wall.over(&curl.wall), "×"),
            Goal::new("P1", "result files, processor time of a million rows", Bound::AtMost(1.6), files.client.median() / millions, "s"),
            Goal::new("P1", "results counted, processor time of a million rows", Bound::AtMost(1.1), none.client.median() / millions, "s"),
        ]
        .into_iter()
        .chain(goals)
        .collect(),
        notes: vec![
            format!("the peer is {}", curl_version()?),
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
