//! Rows: read → filter → dedupe → map → load → results; `import` tells this story, the other modules its parts. Knows
//! CSV, PostgreSQL rows, formulas and Salesforce fields; knows no Kubernetes client, no HTTP server, no driver of a
//! database and no clock but the one it is given.

#![warn(missing_docs)]

mod cells;
pub mod check;
mod dedupe;
mod filter;
pub mod finding;
pub mod import;
pub mod load;
mod map;
mod memory;
mod own;
pub mod pipeline;
pub mod results;
pub mod row;
pub mod source;
pub mod taken;
pub mod used;

pub use self::memory::Memory;
