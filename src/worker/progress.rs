//! What people see while a run runs: coarse on purpose, every five seconds, every thirty after five minutes. The answer may say
//! that the run was cancelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::import_run::RunReason;
use api::keeper::Progress;
use engine::load::{Ledger, StopSignal};

use super::keeper::Keeper;

const AT_FIRST: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(30);
const FIRST: Duration = Duration::from_secs(300);

/// Reports until the process ends.
pub(super) fn report(keeper: Arc<Keeper>, stop_signal: StopSignal, ledger: Arc<Ledger>) {
    tokio::spawn(async move {
        let began = Instant::now();
        loop {
            tokio::time::sleep(if began.elapsed() < FIRST { AT_FIRST } else { LATER }).await;
            let progress = Progress { attempt: keeper.attempt(), rows: ledger.progress().rows, interrupted: None };
            match keeper.progress(&progress).await {
                Ok(control) if control.cancel => stop_signal.stop(RunReason::Cancelled, "the run was cancelled"),
                Ok(_) => {}
                // Another attempt has taken over: the next write-ahead meets the same answer and stops in order.
                Err(error) => error.stop_run(&stop_signal),
            }
        }
    });
}
