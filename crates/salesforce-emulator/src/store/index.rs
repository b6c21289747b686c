//! Finds rows by the value of a key field: hash of the folded value to row numbers. The caller compares the values
//! themselves, so a collision costs a look and never an answer.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

#[derive(Clone, Debug)]
enum Bucket {
    One(u32),
    Many(Vec<u32>),
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    buckets: HashMap<u64, Bucket>,
}

impl Index {
    pub(crate) fn add(&mut self, key: u64, row: u32) {
        match self.buckets.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Bucket::One(row));
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => match entry.get_mut() {
                Bucket::One(first) => {
                    let pair = vec![*first, row];
                    entry.insert(Bucket::Many(pair));
                }
                Bucket::Many(rows) => rows.push(row),
            },
        }
    }

    pub(crate) fn remove(&mut self, key: u64, row: u32) {
        match self.buckets.get_mut(&key) {
            Some(Bucket::One(only)) if *only == row => {
                self.buckets.remove(&key);
            }
            Some(Bucket::Many(rows)) => {
                rows.retain(|other| *other != row);
                if rows.is_empty() {
                    self.buckets.remove(&key);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn rows(&self, key: u64) -> &[u32] {
        match self.buckets.get(&key) {
            None => &[],
            Some(Bucket::One(row)) => std::slice::from_ref(row),
            Some(Bucket::Many(rows)) => rows,
        }
    }
}

/// Equal values of a field have equal keys: letters fold unless the field is case-sensitive.
pub(crate) fn key(text: &str, case_sensitive: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    if case_sensitive {
        hasher.write(text.as_bytes());
    } else if text.is_ascii() {
        let mut folded = [0; 64];
        for part in text.as_bytes().chunks(64) {
            let folded = &mut folded[..part.len()];
            folded.copy_from_slice(part);
            folded.make_ascii_lowercase();
            hasher.write(folded);
        }
    } else {
        hasher.write(text.to_lowercase().as_bytes());
    }
    hasher.finish()
}

pub(crate) fn equal(a: &str, b: &str, case_sensitive: bool) -> bool {
    if case_sensitive {
        a == b
    } else if a.is_ascii() && b.is_ascii() {
        a.eq_ignore_ascii_case(b)
    } else {
        a.to_lowercase() == b.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fold_case_unless_told_not_to() {
        assert_eq!(key("EDDF", false), key("eddf", false));
        assert_eq!(key("ÄÖ", false), key("äö", false));
        assert_ne!(key("EDDF", true), key("eddf", true));
    }

    #[test]
    fn rows_come_and_go() {
        let mut index = Index::default();
        index.add(7, 1);
        index.add(7, 2);
        assert_eq!(index.rows(7), [1, 2]);
        index.remove(7, 1);
        assert_eq!(index.rows(7), [2]);
        index.remove(7, 2);
        assert!(index.rows(7).is_empty());
    }
}
