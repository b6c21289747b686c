//! Which row a result belongs to. Bulk 2.0 gives results in no order and without row numbers, but echoes the cells that were sent:
//! they are the only link. A result that fits no row, or more than one row in ways that matter, is never guessed.

use crate::row::Record;
use polyval::Polyval;
use polyval::universal_hash::UniversalHash;

/// What the hash takes at a time: four blocks at once cost little more than one.
const STRIDE: usize = 64;

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

    /// The text, where each cell ends, and how much there is of both, padded with zeros to whole strides.
    fn hash(&self, text: &[u8], ends: &[u32]) -> (u64, u64) {
        let mut hash = self.keyed.clone();
        let (whole, rest) = text.split_at(text.len() / STRIDE * STRIDE);
        hash.update_padded(whole);
        let mut buffer = [0; 4 * STRIDE];
        buffer[..rest.len()].copy_from_slice(rest);
        let mut filled = rest.len().next_multiple_of(size_of::<u32>());
        // The last word is never 0, so that it shows where the padding begins.
        let mut words = ends.iter().copied().chain([text.len() as u32, ends.len() as u32 + 1]);
        loop {
            for (to, word) in buffer[filled..].as_chunks_mut().0.iter_mut().zip(words.by_ref()) {
                *to = word.to_le_bytes();
                filled += size_of::<u32>();
            }
            if filled < buffer.len() {
                break;
            }
            hash.update_padded(&buffer);
            (buffer, filled) = ([0; 4 * STRIDE], 0);
        }
        hash.update_padded(&buffer[..filled.next_multiple_of(STRIDE)]);
        let value = u128::from_be_bytes(hash.finalize().into());
        ((value >> 64) as u64, value as u64)
    }
}

/// The rows of one chunk, waiting for their results.
pub(crate) struct Expected {
    fingerprinter: Fingerprinter,
    /// In the order of the input until the first is looked for, then sorted: equal ones are handed out in input order.
    rows: Vec<Waiting>,
    /// Where the rows of each of as many equal shares of all possible fingerprints begin: a search then looks at a row or two. Empty until
    /// the first is looked for: where results are only counted, nobody does.
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

    /// The same rows, each now standing where its place is in `places`, which ascend: their order stays.
    pub(crate) fn renumber(&mut self, places: &[u32]) {
        for row in &mut self.rows {
            row.place = places.partition_point(|known| *known < row.place) as u32;
        }
        self.forget_taken();
    }

    /// The row that these echoed cells belong to, once.
    pub(crate) fn take(&mut self, cells: &Record) -> Option<u32> {
        if self.shares.is_empty() {
            self.sort();
        }
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
    fn rows_that_wait_again_are_taken_again() {
        let mut rows = expected(None, &[["a", "1"]]);
        assert_eq!(rows.take(&cells(["a", "1"])), Some(0));
        rows.forget_taken();
        assert_eq!(rows.take(&cells(["a", "1"])), Some(0));
    }

    #[test]
    fn rows_are_the_same_only_cell_by_cell() {
        let fingerprinter = Fingerprinter::new(None);
        let row = |cells: &[&str]| fingerprinter.fingerprint(&Record::from(cells.to_vec()));
        let mut wide = vec!["a"; 300];
        let mut seen = vec![
            row(&wide),
            row(&wide[1..]),
            row(&["ab", ""]),
            row(&["a", "b"]),
            row(&["", "ab"]),
            row(&["ab"]),
            row(&[""]),
            row(&["", ""]),
        ];
        seen.extend([1, 3, 4, 60, 63, 64, 65, 127, 128].map(|length| row(&["x".repeat(length).as_str(), "y"])));
        seen.extend([1, 64].map(|length| row(&["\0".repeat(length).as_str()])));
        // Only where the last cell begins differs.
        (wide[298], wide[299]) = ("aa", "");
        seen.push(row(&wide));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
        assert_eq!(row(&wide), row(&wide.clone()));
    }

    proptest! {
        #[test]
        fn shuffled_echoes_of_all_rows_take_all_rows(rows in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..60), seed in any::<u64>(), key in prop::option::of(0..2usize)) {
            let mut expected = Expected::new(Fingerprinter::new(key));
            let records: Vec<Record> = rows.iter().map(|(a, b)| cells([a, b])).collect();
            records.iter().enumerate().for_each(|(n, r)| expected.push(n as u32, r));
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
