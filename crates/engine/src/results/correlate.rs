//! Which row a result belongs to. Bulk 2.0 gives results in no order and without row numbers, but echoes the cells that were sent:
//! they are the only link. A result that fits no row, or more than one row in ways that matter, is never guessed.

use crate::row::Record;
use polyval::universal_hash::UniversalHash;
use polyval::{Block, Polyval};

/// 128 bits under a key of this run, by a universal hash whose key and values stay in this process: nobody can prepare two rows that meet.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Fingerprint {
    /// Of the key column if there is one, else the first half of all cells'.
    key: u64,
    /// Of all cells, or the second half of it.
    all: u64,
}

/// Makes fingerprints of rows as they are sent, and of results as they are echoed.
#[derive(Clone)]
pub(crate) struct Fingerprinter {
    keyed: Polyval,
    /// Column that identifies a row by itself: the external id of an upsert, the id of an update or delete.
    key_column: Option<usize>,
}

impl Fingerprinter {
    pub(crate) fn new(key_column: Option<usize>) -> Self {
        Self { keyed: Polyval::new(&rand::random::<[u8; 16]>().into()), key_column }
    }

    fn fingerprint(&self, cells: &Record) -> Fingerprint {
        // All cells at once, then where each ends: two rows are the same only cell by cell.
        let (first, second) = self.hash(cells.as_slice(), cells.ends());
        match self.key_column.and_then(|column| cells.get(column)) {
            Some(key) => Fingerprint { key: self.hash(key, &[]).0, all: first },
            None => Fingerprint { key: first, all: second },
        }
    }

    fn hash(&self, text: &[u8], ends: &[u32]) -> (u64, u64) {
        let mut hash = self.keyed.clone();
        hash.update_padded(text);
        let mut bytes = [0; 256];
        for some in ends.chunks(bytes.len() / size_of::<u32>()) {
            bytes.as_chunks_mut().0.iter_mut().zip(some).for_each(|(to, end)| *to = end.to_le_bytes());
            hash.update_padded(&bytes[..size_of_val(some)]);
        }
        // What does not fill its last block is padded with zeros, so the lengths count too.
        let mut last = Block::default();
        last[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
        last[8..].copy_from_slice(&(ends.len() as u64).to_le_bytes());
        hash.update(&[last]);
        let value = u128::from_be_bytes(hash.finalize().into());
        ((value >> 64) as u64, value as u64)
    }
}

/// The rows of one chunk, waiting for their results.
pub(crate) struct Expected {
    fingerprinter: Fingerprinter,
    /// Sorted once sealed.
    rows: Vec<Waiting>,
    /// Where the rows of each of as many equal shares of all possible fingerprints begin: a search then looks at a row or two.
    shares: Vec<u32>,
}

/// All that a search reads of a row stands together: results come in any order, and each is a walk to memory.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    fingerprint: Fingerprint,
    place: u32,
    /// How many of the rows with this fingerprint are taken; counted at the first of them.
    taken: u32,
}

impl Expected {
    pub(crate) fn new(fingerprinter: Fingerprinter) -> Self {
        Self { fingerprinter, rows: Vec::new(), shares: Vec::new() }
    }

    pub(crate) fn push(&mut self, place: u32, cells: &Record) {
        self.rows.push(Waiting { fingerprint: self.fingerprinter.fingerprint(cells), place, taken: 0 });
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// No more rows; equal ones are then handed out in input order. Also forgets what was taken.
    pub(crate) fn seal(&mut self) {
        self.forget_taken();
        self.sort();
    }

    /// All rows wait again.
    pub(crate) fn forget_taken(&mut self) {
        self.rows.iter_mut().for_each(|row| row.taken = 0);
    }

    /// By share first: what is left to sort is then a row or two at a time.
    fn sort(&mut self) {
        let rows = self.rows.len();
        self.shares.clear();
        self.shares.resize(rows + 1, 0);
        for row in &self.rows {
            self.shares[share(row.fingerprint.key, rows) + 1] += 1;
        }
        (1..=rows).for_each(|share| self.shares[share] += self.shares[share - 1]);
        let mut next = self.shares.clone();
        let mut sorted = self.rows.clone();
        for row in &self.rows {
            let at = &mut next[share(row.fingerprint.key, rows)];
            sorted[*at as usize] = *row;
            *at += 1;
        }
        self.rows = sorted;
        for bounds in self.shares.windows(2) {
            let share = &mut self.rows[bounds[0] as usize..bounds[1] as usize];
            if share.len() > 1 {
                share.sort_unstable();
            }
        }
    }

    /// Where a row with this key stands, if there is one.
    fn first(&self, key: u64, is_before: impl Fn(&Fingerprint) -> bool) -> usize {
        let share = share(key, self.rows.len());
        let Some([from, to]) = self.shares.get(share..share + 2) else { return 0 };
        let (from, to) = (*from as usize, *to as usize);
        from + self.rows[from..to].partition_point(|row| is_before(&row.fingerprint))
    }

    /// The places of all rows, ascending.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.rows.iter().map(|row| row.place).collect();
        places.sort_unstable();
        places
    }

    /// The same rows, each now standing where its place is in `places`.
    pub(crate) fn renumber(&mut self, places: &[u32]) {
        for row in &mut self.rows {
            row.place = places.partition_point(|known| *known < row.place) as u32;
        }
        self.seal();
    }

    /// The row that these echoed cells belong to, once.
    pub(crate) fn take(&mut self, cells: &Record) -> Option<u32> {
        let fingerprint = self.fingerprinter.fingerprint(cells);
        let first = self.first(fingerprint.key, |known| *known < fingerprint);
        if self.rows.get(first).is_some_and(|row| row.fingerprint == fingerprint) {
            let at = first + self.rows[first].taken as usize;
            let place = self.rows.get(at).filter(|row| row.fingerprint == fingerprint)?.place;
            self.rows[first].taken += 1;
            return Some(place);
        }
        self.take_by_key_alone(fingerprint)
    }

    /// Cells came back changed (an org may trim or fold them); the key still tells, if only one row has it.
    fn take_by_key_alone(&mut self, fingerprint: Fingerprint) -> Option<u32> {
        self.fingerprinter.key_column?;
        let first = self.first(fingerprint.key, |known| known.key < fingerprint.key);
        let mut same_key = self.rows[first..].iter_mut().take_while(|row| row.fingerprint.key == fingerprint.key);
        let (only, another) = (same_key.next()?, same_key.next());
        if another.is_some() || only.taken > 0 {
            return None;
        }
        only.taken = 1;
        Some(only.place)
    }
}

/// Fingerprints are spread evenly, so equal shares of their range hold about one row each.
fn share(key: u64, rows: usize) -> usize {
    ((u128::from(key) * rows as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected(key: Option<usize>, rows: &[[&str; 2]]) -> Expected {
        let mut expected = Expected::new(Fingerprinter::new(key));
        rows.iter().enumerate().for_each(|(n, row)| expected.push(n as u32, &Record::from(row.to_vec())));
        expected.seal();
        expected
    }

    fn cells(row: [&str; 2]) -> Record {
        Record::from(row.to_vec())
    }

    #[test]
    fn a_result_finds_its_row_in_any_order() {
        let mut rows = expected(None, &[["a", "1"], ["b", "2"], ["ab", ""]]);
        assert_eq!(rows.take(&cells(["b", "2"])), Some(1));
        assert_eq!(rows.take(&cells(["ab", ""])), Some(2));
        assert_eq!(rows.take(&cells(["a", "1"])), Some(0));
    }

    #[test]
    fn equal_rows_are_each_taken_once_and_then_no_more() {
        let mut rows = expected(None, &[["a", "1"], ["a", "1"], ["b", "1"]]);
        assert_eq!([rows.take(&cells(["a", "1"])), rows.take(&cells(["a", "1"])), rows.take(&cells(["a", "1"]))], [Some(0), Some(1), None]);
    }

    #[test]
    fn a_changed_cell_is_forgiven_only_where_one_row_has_the_key() {
        let mut rows = expected(Some(0), &[["k1", " x"], ["k2", "y"], ["k2", "z"]]);
        assert_eq!(rows.take(&cells(["k1", "x"])), Some(0));
        assert_eq!(rows.take(&cells(["k1", "x"])), None);
        assert_eq!(rows.take(&cells(["k2", "z"])), Some(2));
        assert_eq!(rows.take(&cells(["k2", "other"])), None);
        let mut keyless = expected(None, &[["k1", " x"]]);
        assert_eq!(keyless.take(&cells(["k1", "x"])), None);
    }

    #[test]
    fn sealing_again_forgets_what_was_taken() {
        let mut rows = expected(None, &[["a", "1"]]);
        assert_eq!(rows.take(&cells(["a", "1"])), Some(0));
        rows.seal();
        assert_eq!(rows.take(&cells(["a", "1"])), Some(0));
    }

    proptest! {
        #[test]
        fn shuffled_echoes_of_all_rows_take_all_rows(rows in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..60), seed in any::<u64>(), key in prop::option::of(0..2usize)) {
            let mut expected = Expected::new(Fingerprinter::new(key));
            let records: Vec<Record> = rows.iter().map(|(a, b)| cells([a, b])).collect();
            records.iter().enumerate().for_each(|(n, r)| expected.push(n as u32, r));
            expected.seal();
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by_key(|n| (*n as u64).wrapping_mul(seed | 1).rotate_left(17));
            let mut seen = vec![false; rows.len()];
            for n in order {
                let row = expected.take(&records[n]).unwrap() as usize;
                prop_assert_eq!(&rows[row], &rows[n]);
                prop_assert!(!std::mem::replace(&mut seen[row], true));
            }
        }
    }
}
