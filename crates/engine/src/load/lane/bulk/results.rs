//! Reads the result sets of a job that is over, and writes down what became of each row.

use crate::row::Record;
use salesforce::Error;
use salesforce::bulk::{JobInfo, JobState, ResultKind, ResultRow};

use super::calls::Bulk;
use super::settle::Ended;
use crate::load::task::RowsAtHand;
use crate::results::Tally;
use crate::results::outcome::{RecordId, Unmatched};

/// Longest echo of a result that fits no row.
const ECHO: usize = 500;

#[derive(Default)]
pub(super) struct Readback {
    pub(super) tally: Tally,
    /// Places and cells of rows never tried, places ascending.
    pub(super) untried: Vec<(u32, Record)>,
}

/// May be called again after an error: it starts over.
pub(super) async fn read_results(bulk: &dyn Bulk, ended: &Ended, sent: &Record, mut rows: RowsAtHand<'_>) -> Result<Readback, Error> {
    if let Some((outcomes, expected)) = &mut rows {
        outcomes.forget_results();
        expected.forget_taken();
    }
    // Rows that are in Salesforce are told of in result files only.
    let told = rows.as_ref().is_some_and(|(outcomes, _)| outcomes.are_told());
    let mut echo = Echo { sent, rows, order: None, cells: Record::new(), untried: Vec::new() };
    let mut read = async |kind, expected| bulk.results(&ended.job, kind, expected, &mut |columns, row| echo.take(kind, columns, row)).await;
    let counted = Counted::of(&ended.info);
    let tally = Tally {
        succeeded: match told {
            true => read(ResultKind::Successful, counted.succeeded).await?,
            false => bulk.count(&ended.job, ResultKind::Successful, counted.succeeded).await?,
        },
        failed: if counted.failed == Some(0) { 0 } else { read(ResultKind::Failed, counted.failed).await? },
        unprocessed: if counted.all_tried { 0 } else { read(ResultKind::Unprocessed, None).await? },
    };
    let mut untried = echo.untried;
    untried.sort_unstable_by_key(|(place, _)| *place);
    Ok(Readback { tally, untried })
}

/// What the job's own counters promise; only those of a completed job are final.
struct Counted {
    succeeded: Option<u64>,
    failed: Option<u64>,
    all_tried: bool,
}

impl Counted {
    fn of(info: &JobInfo) -> Self {
        let complete = info.state == JobState::JobComplete;
        Self {
            succeeded: complete.then(|| info.number_records_succeeded()),
            failed: complete.then_some(info.number_records_failed),
            all_tried: complete,
        }
    }
}

struct Echo<'a> {
    /// Columns as we sent them.
    sent: &'a Record,
    rows: RowsAtHand<'a>,
    /// Where each sent column stands in the echo; `None` while it is unknown.
    order: Option<(ResultKind, ColumnOrder)>,
    cells: Record,
    untried: Vec<(u32, Record)>,
}

enum ColumnOrder {
    AsSent,
    Moved(Vec<Option<usize>>),
}

impl Echo<'_> {
    fn take(&mut self, kind: ResultKind, columns: &Record, row: &ResultRow) {
        let Some((outcomes, expected)) = &mut self.rows else { return };
        if self.order.as_ref().is_none_or(|(of, _)| *of != kind) {
            self.order = Some((kind, order_of(self.sent, columns)));
        }
        let cells = match &self.order {
            Some((_, ColumnOrder::Moved(places))) => {
                self.cells.clear();
                places.iter().for_each(|place| self.cells.push_field(place.and_then(|at| row.cells.get(at)).unwrap_or_default()));
                &self.cells
            }
            _ => &row.cells,
        };
        let id = RecordId::new(&row.id);
        match (expected.take(cells), kind) {
            (Some(place), ResultKind::Successful) => outcomes.succeeded(place, id, row.created),
            (Some(place), ResultKind::Failed) => outcomes.failed(place, id, &row.error),
            (Some(place), ResultKind::Unprocessed) => {
                outcomes.unprocessed(place);
                self.untried.push((place, cells.clone()));
            }
            // Its row keeps waiting, and the files say so.
            (None, ResultKind::Unprocessed) => {}
            (None, _) => {
                let succeeded = kind == ResultKind::Successful;
                outcomes.unmatched(Unmatched { succeeded, created: row.created, id, text: shown(&row.error, cells) });
            }
        }
    }
}

fn order_of(sent: &Record, columns: &Record) -> ColumnOrder {
    let same = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    if sent.len() == columns.len() && sent.iter().zip(columns).all(|(a, b)| same(a, b)) {
        return ColumnOrder::AsSent;
    }
    ColumnOrder::Moved(sent.iter().map(|name| columns.iter().position(|column| same(name, column))).collect())
}

fn shown(error: &str, cells: &Record) -> String {
    let mut text = error.to_owned();
    for cell in cells {
        text.push_str(if text.is_empty() { "" } else { " | " });
        text.push_str(&String::from_utf8_lossy(cell));
    }
    text.chars().take(ECHO).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoed_columns_may_move_and_change_case() {
        let sent = Record::from(vec!["Name", "Phone"]);
        assert!(matches!(order_of(&sent, &Record::from(vec!["NAME", "phone"])), ColumnOrder::AsSent));
        let ColumnOrder::Moved(places) = order_of(&sent, &Record::from(vec!["Phone", "Other", "Name"])) else { panic!() };
        assert_eq!(places, [Some(2), Some(0)]);
        let ColumnOrder::Moved(places) = order_of(&sent, &Record::from(vec!["Name"])) else { panic!() };
        assert_eq!(places, [Some(0), None]);
    }
}
