//! What the pages of all columns may take together. It is asked before memory is set aside, and given back when that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::error::ParquetError;

/// Bytes that are still free.
#[derive(Clone)]
pub(super) struct Budget {
    limit: usize,
    left: Arc<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, left: Arc::new(AtomicUsize::new(limit)) }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes so many bytes until the share is dropped.
    pub(super) fn take(&self, bytes: usize) -> Result<Share, ParquetError> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_| ParquetError::PagesTooLarge { limit: self.limit })?;
        Ok(Share { budget: self.clone(), bytes })
    }
}

/// A part of the budget.
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    /// Bytes that have this share for as long as anything shows a part of them.
    pub(super) fn hold(self, bytes: Vec<u8>) -> Bytes {
        struct Held(Vec<u8>, #[expect(dead_code, reason = "it is dropped with the bytes")] Share);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Held(bytes, self))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let budget = Budget::new(1 << 20);
        let all = budget.take(1 << 20).unwrap();
        assert!(budget.take(1).is_err());
        let bytes = all.hold(vec![1, 2, 3]);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert!(budget.take(1).is_err(), "a part of it is still shown");
        drop(part);
        assert!(budget.take(1 << 20).is_ok());
    }
}
