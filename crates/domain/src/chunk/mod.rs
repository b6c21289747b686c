//! Which chunk writes are accepted, and how the list stays short. The list is the memory of a run: a restart trusts it, so a write that
//! would make it say less or something else about a finished chunk is refused.

mod fold;
mod write;

pub use fold::{LISTED_LIMIT, counted, fold};
pub use write::{ChunkRefusal, accept};
