//! All or none: a log of rows as they were, kept only while somebody may want them back.

use super::recycle::Binned;
use super::{Row, RowState, Store};

/// A row before a change; no row when the change made it.
struct Before {
    object: usize,
    number: u32,
    row: Option<Row>,
    binned: Option<Binned>,
}

#[derive(Default)]
pub(super) struct Undo {
    log: Vec<Before>,
    recording: bool,
}

/// A point to return to, or to leave behind.
pub(crate) struct Checkpoint {
    length: usize,
    was_recording: bool,
}

impl Store {
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        let was_recording = std::mem::replace(&mut self.undo.recording, true);
        Checkpoint { length: self.undo.log.len(), was_recording }
    }

    /// Whether the changes that follow belong to a transaction begun earlier.
    pub(crate) fn record(&mut self, recording: bool) {
        self.undo.recording = recording;
    }

    /// Keeps everything since the checkpoint.
    pub(crate) fn forget(&mut self, checkpoint: Checkpoint) {
        self.undo.recording = checkpoint.was_recording;
        if !checkpoint.was_recording {
            self.undo.log.truncate(checkpoint.length);
        }
    }

    /// Takes everything back since the checkpoint, last change first.
    pub(crate) fn roll_back(&mut self, checkpoint: Checkpoint) {
        while self.undo.log.len() > checkpoint.length {
            let Some(before) = self.undo.log.pop() else { break };
            self.restore(before);
        }
        self.undo.recording = checkpoint.was_recording;
    }

    /// Called before row `number` is made or changed.
    pub(super) fn touch(&mut self, object: usize, number: u32) {
        if self.undo.recording {
            let row = self.tables[object].rows.get(number as usize).cloned();
            let binned = self.bin.get(&(object, number)).copied();
            self.undo.log.push(Before { object, number, row, binned });
        }
    }

    fn restore(&mut self, before: Before) {
        let Before { object, number, row, binned } = before;
        let is_live = |row: &Row| row.state == RowState::Live;
        if self.tables[object].rows.get(number as usize).is_some_and(is_live) {
            self.remove_from_indexes(object, number);
            self.tables[object].live -= 1;
        }
        match row {
            None => {
                self.tables[object].rows.pop();
            }
            Some(row) => {
                let live = is_live(&row);
                self.tables[object].rows[number as usize] = row;
                if live {
                    self.add_to_indexes(object, number);
                    self.tables[object].live += 1;
                }
            }
        }
        match binned {
            Some(binned) => self.bin.insert((object, number), binned),
            None => self.bin.remove(&(object, number)),
        };
    }
}
