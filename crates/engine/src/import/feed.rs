//! Rows, one by one: read → steps → map → wherever they go.

use crate::load::{InputRow, Loader, StopSignal};
use crate::pipeline::{Outcome, Pipeline};
use crate::row::{Batch, Record, Row};
use crate::source::Rows;

/// Where rows go: to the loader, or to a benchmark that only counts them.
pub trait Destination: Send {
    /// A row to send.
    fn send(&mut self, input: InputRow<'_>, mapped: &Record);
    /// A row that a filter left out.
    fn filtered(&mut self, input: InputRow<'_>);
    /// A row that repeats an earlier one.
    fn deduplicated(&mut self, input: InputRow<'_>);
    /// A record that is no row.
    fn skipped(&mut self, input: InputRow<'_>);
    /// A row that fails before it is sent.
    fn rejected(&mut self, input: InputRow<'_>, reason: &str);
    /// Whether `dispatch` is due before the next row.
    fn is_full(&self) -> bool;
    /// For progress; not called for every row.
    fn note_read(&self);
    /// Waits until there is room for more rows.
    fn dispatch(&mut self) -> impl Future<Output = ()> + Send;
}

/// Reads, maps and hands over rows until the source ends or the run is being stopped; a source that fails stops it.
pub async fn feed(rows: &mut dyn Rows, pipeline: &mut Pipeline, to: &mut impl Destination, stop_signal: &StopSignal) {
    let mut batch = Batch::new();
    let mut mapped = Record::new();
    loop {
        let more = tokio::select! {
            biased;
            () = stop_signal.raised() => return,
            more = rows.next(&mut batch) => more,
        };
        match more {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                stop_signal.stop(error.reason(), connect::explain(&error));
                return;
            }
        }
        for row in batch.rows() {
            hand_over(row, pipeline, &mut mapped, to);
            if to.is_full() {
                to.note_read();
                to.dispatch().await;
                if stop_signal.is_raised() {
                    return;
                }
            }
        }
        to.note_read();
    }
}

#[inline]
fn hand_over(row: &Row, pipeline: &mut Pipeline, mapped: &mut Record, to: &mut impl Destination) {
    if row.seen {
        // Of an earlier attempt: only what later rows are compared with is of interest.
        if row.fault.is_none() {
            pipeline.process(row.number, &row.cells, mapped);
        }
        return;
    }
    let input = InputRow { cells: &row.cells, key: &row.key, refused: &row.refused };
    match &row.fault {
        _ if row.skipped => to.skipped(input),
        Some(error) => to.rejected(input, &error.result_text()),
        None => match pipeline.process(row.number, &row.cells, mapped) {
            Outcome::Mapped => to.send(input, mapped),
            Outcome::Filtered => to.filtered(input),
            Outcome::Deduplicated => to.deduplicated(input),
            Outcome::Failed(error) => to.rejected(input, &error.result_text()),
        },
    }
}

impl Destination for Loader {
    fn send(&mut self, input: InputRow<'_>, mapped: &Record) {
        Self::send(self, input, mapped);
    }

    fn filtered(&mut self, input: InputRow<'_>) {
        Self::filtered(self, input);
    }

    fn deduplicated(&mut self, input: InputRow<'_>) {
        Self::deduplicated(self, input);
    }

    fn skipped(&mut self, input: InputRow<'_>) {
        Self::skipped(self, input);
    }

    fn rejected(&mut self, input: InputRow<'_>, reason: &str) {
        Self::rejected(self, input, reason);
    }

    fn is_full(&self) -> bool {
        Self::is_full(self)
    }

    fn note_read(&self) {
        Self::note_read(self);
    }

    fn dispatch(&mut self) -> impl Future<Output = ()> + Send {
        Self::dispatch(self)
    }
}
