//! The crate that decodes, at arm's length.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Lets the crate work. `None`: it panicked. It indexes by what a file says in many places and asserts what a good file has, which its
/// documentation tells of some functions only, so a panic of it is a damaged file. Nobody uses again what it worked on: an error ends the rows.
pub(super) fn safely<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
