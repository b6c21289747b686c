//! Query results that did not fit on one page, kept until they are read or crowded out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::org::serial_id;
use crate::soql::Plan;

const KEPT: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Cursor {
    pub(crate) plan: Arc<Plan>,
    pub(crate) rows: Arc<Vec<u32>>,
    pub(crate) page: usize,
}

#[derive(Default)]
pub(crate) struct Cursors {
    cursors: HashMap<String, Cursor>,
    order: VecDeque<String>,
    next: u64,
}

impl Cursors {
    pub(crate) fn add(&mut self, cursor: Cursor) -> String {
        self.next += 1;
        let id = serial_id("01g", self.next);
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.cursors.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.cursors.insert(id.clone(), cursor);
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<Cursor> {
        self.cursors.get(id).cloned()
    }
}
