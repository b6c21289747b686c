//! Rows: read → filter → dedupe → map → load → results. Knows CSV, PostgreSQL rows, formulas and Salesforce fields;
//! knows no Kubernetes client, no HTTP server and no clock but the one it is given.

mod cells;
mod dedupe;
mod filter;
pub mod finding;
pub mod load;
mod map;
mod own;
mod packed;
pub mod pipeline;
pub mod read;
pub mod results;
pub mod row;
pub mod taken;
pub mod used;
