//! Loading rows into Salesforce through Bulk API 2.0, each exactly once.
//!
//! | file | what |
//! |---|---|
//! | `builder` | rows become chunks: what is sent, what is kept, what links results to rows |
//! | `machine` | the life of one chunk as states by value; why nothing is doubled or lost |
//! | `task` | drives one chunk through the machine |
//! | `context` | what every step does: call unless interrupted, wait, put on record |
//! | `readback` | result sets become outcomes of rows |
//! | `resume` | what a new attempt makes of the journal |
//! | `loader` | a few chunks at a time, guards, the end |
//! | `stop`, `ledger`, `order`, `backoff` | how a run is stopped; what its rows came to; turns for result files; waits |
//! | `bulk`, `journal` | the outside world, as traits |
//!
//! Nothing here reads a source, maps a row or knows where results are stored.

mod backoff;
mod body;
mod builder;
mod bulk;
mod context;
pub(crate) mod encode;
mod journal;
mod ledger;
mod loader;
mod machine;
mod order;
mod readback;
mod resume;
mod stop;
mod task;
#[cfg(test)]
mod tests;

pub use body::Body;
pub use builder::{ChunkLimits, InputRow};
pub use bulk::{Bulk, EachResult, SalesforceBulk};
pub use journal::{Journal, JournalError, NoJournal};
pub use ledger::{FailedRow, Ledger, Progress};
pub use loader::{Ending, LoadPorts, LoadSettings, Loader};
pub use resume::{Reread, Restart};
pub use stop::StopSignal;
