//! Runs one chunk: its lane commits the rows and says what became of them; here they are written to the result files, counted, put on
//! record, and sent again where they were never tried.

use crate::row::Record;
use api::import_run::RunReason;

use super::builder::ChunkRows;
use super::context::{Interrupted, LoadContext};
use super::lane::{Remainder, Settled, Undecided, Verdict};
use super::record::Stage;
use super::stop::Directive;
use super::task::ChunkTask;
use crate::results::{ChunkResults, Tally};

/// How a chunk ended.
pub(crate) enum ChunkOutcome {
    /// Its rows are accounted for; some may go on as another chunk.
    Finished { resend: Option<Box<ChunkTask>> },
    /// Left as it is.
    Interrupted,
}

impl LoadContext {
    pub(crate) async fn run(&self, task: ChunkTask) -> ChunkOutcome {
        match self.account_for(task).await {
            Ok(resend) => ChunkOutcome::Finished { resend },
            Err(Interrupted) => ChunkOutcome::Interrupted,
        }
    }

    async fn account_for(&self, mut task: ChunkTask) -> Result<Option<Box<ChunkTask>>, Interrupted> {
        if task.sent == 0 && task.handle.is_none() {
            return self.finish(task, Tally::default(), Stage::Done).await.map(|()| None);
        }
        match self.lane.commit(&mut task, self).await? {
            Verdict::NothingCommitted => self.abandon(task).await.map(|()| None),
            Verdict::Settled(settled) => self.settle(task, settled).await,
            Verdict::Undecided(undecided) => self.leave_undecided(task, undecided).await.map(|()| None),
        }
    }

    async fn abandon(&self, mut task: ChunkTask) -> Result<(), Interrupted> {
        if let Some(rows) = &mut task.rows {
            rows.outcomes.all_unprocessed();
        }
        let tally = Tally { unprocessed: task.sent, ..Tally::default() };
        self.finish(task, tally, Stage::Abandoned).await
    }

    /// Acts on what the results mean. Returns the chunk of the rows that are sent again.
    async fn settle(&self, mut task: ChunkTask, settled: Settled) -> Result<Option<Box<ChunkTask>>, Interrupted> {
        let Settled { tally, untried, remainder, hopeless } = settled;
        let remainder = match self.directive() {
            // An earlier attempt has left rows to another chunk: they still go with it.
            Directive::Continue if task.was_handed_over() && tally.unprocessed == 0 => Remainder::SendAll,
            Directive::Continue if task.was_handed_over() => Remainder::SendUntried,
            _ => remainder,
        };
        let mut resend = None;
        match remainder {
            Remainder::Empty | Remainder::Leave(None) => {}
            Remainder::SendUntried => resend = self.resend(&mut task, Some(untried)),
            Remainder::SendAll if task.body.is_some() => resend = self.resend(&mut task, None),
            Remainder::SendAll => self.stop_signal.stop(RunReason::TargetFailed, hopeless),
            Remainder::Leave(Some((reason, text))) => self.stop_signal.stop(reason, text),
        }
        if let Some(child) = resend.as_mut().filter(|_| tally.succeeded + tally.failed > 0) {
            child.depth = 0;
        }
        let handed_over = resend.as_ref().map_or(0, |child| child.sent);
        // Rows without any result are unprocessed as far as anyone can tell.
        let unprocessed = task.sent.saturating_sub(tally.succeeded + tally.failed + handed_over);
        self.finish(task, Tally { unprocessed, ..tally }, Stage::Done).await?;
        Ok(resend)
    }

    /// Makes the chunk of the rows that were never tried (`None`: all); an earlier attempt may have made it before.
    fn resend(&self, task: &mut ChunkTask, untried: Option<Vec<(u32, Record)>>) -> Option<Box<ChunkTask>> {
        let earlier = self.ledger.take_resent(task.number);
        let number = earlier.as_ref().map_or_else(|| self.ledger.next_number(), |record| record.number);
        let mut child = match untried {
            Some(untried) => ChunkTask::resending(task, number, untried, self),
            None => ChunkTask::resending_all(task, number, self),
        }?;
        if let Some(earlier) = earlier {
            child = child.going_on_from(earlier);
        }
        // Before the parent's turn ends, so that no later chunk goes first.
        self.order.announce(number);
        Some(Box::new(child))
    }

    /// Writes the rows of the chunk to the result files, counts them and puts the chunk on record.
    async fn finish(&self, task: ChunkTask, tally: Tally, stage: Stage) -> Result<(), Interrupted> {
        self.write_results(&task).await?;
        let rows = task.rows_with(tally);
        let of_interest = task.under_way || stage != Stage::Abandoned;
        if of_interest && !task.was(stage) {
            self.write(task.record(stage, rows), task.last_key.as_deref()).await?;
        }
        self.ledger.update(|totals| {
            totals.finished(&rows);
            totals.show(task.failed_rows());
            totals.unmatched += task.rows.as_ref().map_or(0, |rows| rows.outcomes.unmatched_results().len() as u64);
        });
        self.check_guards();
        Ok(())
    }

    /// Nobody but a person can say what became of the rows.
    async fn leave_undecided(&self, mut task: ChunkTask, undecided: Undecided) -> Result<(), Interrupted> {
        let Undecided { look_for, why } = undecided;
        if let Some(done) = task.recorded.take_if(|record| record.stage == Stage::Done) {
            // Its rows are accounted for; only the result files lack them.
            tracing::warn!(chunk = task.number, why, "the results of an earlier attempt's chunk cannot be written again");
            self.order.done(task.number);
            self.ledger.update(|totals| {
                totals.finished(&done.rows);
                totals.unreported += 1;
            });
            return Ok(());
        }
        let named = look_for.map_or_else(String::new, |what| format!(" ({what})"));
        let (first, last) = (task.first_row, task.first_row + task.input_rows - 1);
        let text = format!("chunk {}{named}, rows {first} to {last}: {why}", task.number);
        self.stop_signal.stop(RunReason::NeedsDecision, format!("{text}; look for the rows in the org before loading them again"));
        self.ledger.update(|totals| totals.undecided.push(text));
        if let Some(rows) = &mut task.rows {
            rows.outcomes.forget_results();
        }
        let tally = Tally { unprocessed: task.sent, ..Tally::default() };
        self.finish(task, tally, Stage::NeedsDecision).await
    }

    /// Writes the chunk's rows to the result files when its turn comes.
    async fn write_results(&self, task: &ChunkTask) -> Result<(), Interrupted> {
        let written = match (&self.files, &task.rows) {
            (Some(files), Some(ChunkRows { kept: Some(kept), chosen, outcomes, .. })) => {
                self.unless_interrupted(self.order.turn(task.number)).await?;
                let results = ChunkResults { kept, chosen: chosen.as_deref(), outcomes };
                // Not cut short: with half a chunk in a file, the next attempt would write those rows twice.
                files.lock().await.write(results).await
            }
            _ => Ok(()),
        };
        self.order.done(task.number);
        written.or_else(|error| self.sink_failed(error))
    }
}
