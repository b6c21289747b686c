//! What a real worker writes into the result files that people get from a real keeper.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use api::import_job::JobResults;
use http::Method;
use testkit::{ADDRESS, Side, in_own_network};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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

/// The way from workers to a keeper. It goes on after it broke, as when a keeper is started anew at its address.
struct Way {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    _accepting: JoinSet<()>,
}

impl Way {
    async fn to(keeper: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let connections = connections.clone();
            async move {
                while let Ok((mut worker, _)) = listener.accept().await {
                    connections.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                        if let Ok(mut keeper) = TcpStream::connect(keeper).await {
                            let _ = tokio::io::copy_bidirectional(&mut worker, &mut keeper).await;
                        }
                    });
                }
            }
        });
        Ok(Self { address, connections, _accepting: accepting })
    }

    fn breaks(&self) {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner) = JoinSet::new();
    }
}

#[test]
fn a_small_result_file_is_sent_again_when_the_way_to_the_keeper_breaks() {
    in_own_network("worker_results::a_small_result_file_is_sent_again_when_the_way_to_the_keeper_breaks", async {
        let theatre = Theatre::open().await?;
        let way = Way::to(theatre.world.keeper.worker_address).await?;
        for (name, side) in [("untold", Side::Answer), ("undone", Side::Request)] {
            let round = Round::begin(&theatre, &theatre.lanes[0], name, FEW).await?;
            let mut held = theatre.line.hold(side, 0, |call| call.method == Method::PUT && call.path.contains("/secrets/file-"));
            let mut process = round.start_with_keeper_at(way.address, ONE_CHUNK).await?;
            held.reached().await;
            way.breaks();
            // The keeper goes on with what it has, and the worker comes again meanwhile.
            drop(held);
            let code = process.ended().await?;
            ensure!(code == Some(0), "{name}: it ended with {code:?}: {}", process.said());
            let status = round.end_status().await?;
            round.check(&status, 0).await?;
        }
        Ok(())
    });
}
