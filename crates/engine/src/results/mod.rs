//! Results: which row a result of Salesforce belongs to, what became of every row, and the files that say so.
//!
//! Nothing here talks to Salesforce or knows how a chunk came about; `load` brings the results and the rows.

#![warn(missing_docs)]

pub(crate) mod correlate;
mod escape;
mod files;
pub(crate) mod kept;
mod layout;
pub(crate) mod outcome;

pub use escape::Escape;
pub(crate) use files::{ChunkResults, ResultFiles};
pub use files::{FileKind, MemorySink, ResultsSink, SinkError, WrittenResult};
pub(crate) use layout::Layout;
pub(crate) use outcome::Tally;
