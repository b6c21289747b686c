//! What a person does to an object, whatever state it is in: the whole installation, operator, keeper and workers, on a real API server,
//! with the emulator as the org. The test plays scheduler, kubelet and garbage collector, which an API server alone does not have.
//!
//! `docs/developing/states.md` has the table that is walked here.

mod cells;
mod installation;
mod kubelet;
mod tenant;

use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt as _, stream};

use cells::{CELLS, Cell};
use installation::Installation;
use testkit::in_own_network;

/// `STATES_ONLY=<word>` walks the cells with this word in their title alone.
const ONLY: &str = "STATES_ONLY";
const AT_ONCE: usize = 8;

/// A row of the table in the documentation.
fn row(cell: &Cell) -> String {
    format!("| {} | {} | {} | {} |", cell.kind, cell.verb, cell.state, cell.outcome)
}

#[test]
fn every_cell_comes_out_as_the_table_says() {
    in_own_network("every_cell_comes_out_as_the_table_says", async {
        let only = std::env::var(ONLY).ok();
        let chosen = |cell: &&Cell| only.as_deref().is_none_or(|word| format!("{} {} {}", cell.kind, cell.verb, cell.state).contains(word));
        let cells: Vec<&Cell> = CELLS.iter().filter(chosen).collect();
        let installation = Installation::start(cells.len()).await?;
        let walk = async |(number, cell): (usize, &&Cell<'static>)| {
            let tenant = installation.tenant(number);
            let outcome = tokio::time::timeout(Duration::from_secs(240), cell.walk(&tenant)).await;
            (**cell, outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("it came to no end"))))
        };
        // A process that crashes does so for everybody: one after the other, when the rest is through.
        let (crashes, rest): (Vec<_>, Vec<_>) = cells.iter().enumerate().partition(|(_, cell)| cell.verb == "crash");
        let mut walked: Vec<_> = stream::iter(rest).map(&walk).buffered(AT_ONCE).collect().await;
        walked.extend(stream::iter(crashes).map(&walk).buffered(1).collect::<Vec<_>>().await);
        let mut wrong = Vec::new();
        for (cell, outcome) in walked {
            match outcome {
                Ok((seen, took)) => {
                    println!("states: {} ({:.1} s)", row(&Cell { outcome: &seen, ..cell }), took.as_secs_f32());
                    if seen != cell.outcome {
                        wrong.push(format!("{}\n    but: {seen}", row(&cell)));
                    }
                }
                Err(error) => wrong.push(format!("{}\n    but: {error:#}", row(&cell))),
            }
        }
        println!("states: {} cells walked, {} other than the table says", cells.len(), wrong.len());
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        installation.end().await
    });
}

#[test]
fn the_table_in_the_documentation_is_the_one_that_is_walked() {
    let page = include_str!("../../docs/developing/states.md");
    let written: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| kind")).collect();
    let walked: Vec<String> = CELLS.iter().map(row).collect();
    assert_eq!(written, walked, "docs/developing/states.md; what it should say:\n{}", walked.join("\n"));
}
