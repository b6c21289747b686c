//! Loading rows into Salesforce, each exactly once.
//!
//! What is accounted for (chunks, rows, their order, results, what a restart reads again) is apart from the protocol that commits a chunk:
//! that is a lane's.
//!
//! | file | what |
//! |---|---|
//! | `loader`, `ending` | rows in, a few chunks at a time; how it ended |
//! | `builder`, `body`, `encode` | rows become chunks: what is sent, what is kept, what links results to rows |
//! | `task`, `run` | one chunk on its way, from its lane's verdict to rows that are counted and written down |
//! | `record`, `journal` | what is on record of a chunk, and where it goes |
//! | `resume` | what a new attempt makes of the records |
//! | `lane` | the seam: what a lane is, and `lane/bulk`, which commits a chunk as a job of Bulk API 2.0 |
//! | `context`, `retries`, `backoff` | what every step does: call unless interrupted, wait, give up |
//! | `stop`, `ledger`, `order` | how a run is stopped; what its rows came to; turns for result files |
//!
//! Nothing here reads a source, maps a row or knows where results are stored.

#![warn(missing_docs)]

mod body;
mod builder;
mod context;
pub(crate) mod encode;
mod ending;
mod journal;
mod lane;
mod ledger;
mod loader;
mod order;
mod record;
mod resume;
mod retries;
mod run;
mod stop;
mod task;
#[cfg(test)]
mod tests;

pub use body::Body;
pub use builder::{ChunkLimits, InputRow};
pub use ending::Ending;
pub use journal::{Journal, JournalError, NoJournal};
pub use lane::Lane;
pub use lane::bulk::{Bulk, BulkLane, EachResult, SalesforceBulk};
pub use ledger::{FailedRow, Ledger, Progress};
pub use loader::{LoadPorts, LoadSettings, Loader};
pub use resume::{Reread, Restart};
pub(crate) use retries::TROUBLE;
pub use stop::StopSignal;
