//! What a real worker writes into the result files that people get from a real keeper.

use anyhow::ensure;
use api::import_job::JobResults;
use testkit::in_own_network;

use crate::worker_crash::{FEW, ONE_CHUNK, Round, Theatre};

#[test]
fn cells_that_a_spreadsheet_would_run_are_escaped_unless_the_job_says_otherwise() {
    in_own_network("worker_results::cells_that_a_spreadsheet_would_run_are_escaped_unless_the_job_says_otherwise", async {
        let theatre = Theatre::open().await?;
        for (name, escape_formulas, phone) in
            [("silent", None, "'+49 1"), ("escaped", Some(true), "'+49 1"), ("plain", Some(false), "+49 1")]
        {
            let results = escape_formulas.map(|escape| JobResults { escape_formulas: Some(escape), ..JobResults::default() });
            let round = Round::begin_as(&theatre, &theatre.lanes[0], name, FEW, |snapshot| snapshot.job_spec.results = results).await?;
            let mut process = round.start(ONE_CHUNK).await?;
            let code = process.ended().await?;
            ensure!(code == Some(0), "{name}: it ended with {code:?}: {}", process.said());
            let text = round.result("succeeded.csv").await?;
            let row = csv::Reader::from_reader(text.as_bytes()).records().next().transpose()?.unwrap_or_default();
            ensure!(row.get(0) == Some(&format!("{name}-0001")) && row.get(1) == Some(phone), "{name}: {row:?}");
        }
        Ok(())
    });
}
