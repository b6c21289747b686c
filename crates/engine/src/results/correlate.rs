//! Which row a result belongs to. Bulk 2.0 gives results in no order and without row numbers, but echoes the cells that were sent:
//! they are the only link. A result that fits no row, or more than one row in ways that matter, is never guessed.

use std::hash::{BuildHasher, Hasher, RandomState};

use csv::ByteRecord;
use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

/// 128 bits under a key of this run: nobody can prepare two rows that meet.
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
    keyed: SipHasher13,
    /// Column that identifies a row by itself: the external id of an upsert, the id of an update or delete.
    key_column: Option<usize>,
}

impl Fingerprinter {
    pub(crate) fn new(key_column: Option<usize>) -> Self {
        let [first, second] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        Self { keyed: SipHasher13::new_with_keys(first, second), key_column }
    }

    fn fingerprint(&self, cells: &ByteRecord) -> Fingerprint {
        let Hash128 { h1, h2 } = self.of_cells(cells);
        match self.key_column.and_then(|column| cells.get(column)) {
            Some(key) => Fingerprint { key: self.keyed.hash(key).h1, all: h1 },
            None => Fingerprint { key: h1, all: h2 },
        }
    }

    /// All cells at once, then where each ends: two rows are the same only cell by cell.
    fn of_cells(&self, cells: &ByteRecord) -> Hash128 {
        let mut hasher = self.keyed;
        hasher.write(cells.as_slice());
        // Two lengths to a word: a word is what the hash takes at a time.
        let mut lengths = cells.iter().map(|cell| cell.len() as u64);
        while let Some(length) = lengths.next() {
            hasher.write_u64(length << 32 | lengths.next().unwrap_or_default());
        }
        hasher.write_u64(cells.len() as u64);
        hasher.finish128()
    }
}

/// The rows of one chunk, waiting for their results.
pub(crate) struct Expected {
    fingerprinter: Fingerprinter,
    /// Fingerprint and row, sorted once sealed.
    rows: Vec<(Fingerprint, u32)>,
    /// Where the rows of each of as many equal shares of all possible fingerprints begin: a search then looks at a row or two.
    shares: Vec<u32>,
    /// How many of the rows with this fingerprint are taken; counted at the first of them.
    taken: Vec<u32>,
}

impl Expected {
    pub(crate) fn new(fingerprinter: Fingerprinter) -> Self {
        Self { fingerprinter, rows: Vec::new(), shares: Vec::new(), taken: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: u32, cells: &ByteRecord) {
        self.rows.push((self.fingerprinter.fingerprint(cells), row));
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// No more rows; equal ones are then handed out in input order. Also forgets what was taken.
    pub(crate) fn seal(&mut self) {
        self.rows.sort_unstable();
        self.taken = vec![0; self.rows.len()];
        self.shares.clear();
        for (at, (fingerprint, _)) in (0..).zip(&self.rows) {
            self.shares.resize(share(fingerprint.key, self.rows.len()) + 1, at);
        }
        self.shares.resize(self.rows.len() + 1, self.rows.len() as u32);
    }

    /// Where a row with this key stands, if there is one.
    fn first(&self, key: u64, is_before: impl Fn(&Fingerprint) -> bool) -> usize {
        let share = share(key, self.rows.len());
        let Some([from, to]) = self.shares.get(share..share + 2) else { return 0 };
        let (from, to) = (*from as usize, *to as usize);
        from + self.rows[from..to].partition_point(|(fingerprint, _)| is_before(fingerprint))
    }

    /// The places of all rows, ascending.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.rows.iter().map(|(_, place)| *place).collect();
        places.sort_unstable();
        places
    }

    /// The same rows, each now standing where its place is in `places`.
    pub(crate) fn renumber(&mut self, places: &[u32]) {
        for (_, place) in &mut self.rows {
            *place = places.partition_point(|known| known < place) as u32;
        }
        self.seal();
    }

    /// The row that these echoed cells belong to, once.
    pub(crate) fn take(&mut self, cells: &ByteRecord) -> Option<u32> {
        let fingerprint = self.fingerprinter.fingerprint(cells);
        let first = self.first(fingerprint.key, |m| *m < fingerprint);
        if self.rows.get(first).is_some_and(|(m, _)| *m == fingerprint) {
            let at = first + self.taken[first] as usize;
            let row = self.rows.get(at).filter(|(m, _)| *m == fingerprint)?.1;
            self.taken[first] += 1;
            return Some(row);
        }
        self.take_by_key_alone(fingerprint)
    }

    /// Cells came back changed (an org may trim or fold them); the key still tells, if only one row has it.
    fn take_by_key_alone(&mut self, fingerprint: Fingerprint) -> Option<u32> {
        self.fingerprinter.key_column?;
        let first = self.first(fingerprint.key, |m| m.key < fingerprint.key);
        let mut same_key = self.rows[first..].iter().take_while(|(m, _)| m.key == fingerprint.key);
        let (only, another) = (same_key.next()?, same_key.next());
        if another.is_some() || self.taken[first] > 0 {
            return None;
        }
        self.taken[first] = 1;
        Some(only.1)
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
        rows.iter().enumerate().for_each(|(n, row)| expected.push(n as u32, &ByteRecord::from(row.to_vec())));
        expected.seal();
        expected
    }

    fn cells(row: [&str; 2]) -> ByteRecord {
        ByteRecord::from(row.to_vec())
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
            let records: Vec<ByteRecord> = rows.iter().map(|(a, b)| cells([a, b])).collect();
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
