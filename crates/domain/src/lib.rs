//! Decisions without I/O: observed state and time in, plan and status out.
//!
//! One folder per subject. Nothing here has a client, a clock or a source of randomness: what was read and what time it is come as arguments.
//!
//! The operator's kinds (`region`, `tenant`, `import_job`, `import_run`) have the same files each: `observed` (everything that was read,
//! parts may be absent), `rules` (an ordered list of named rules, the first that speaks decides), `plan` (one file per child kind) and
//! `status`. The others are the keeper's.

#![warn(missing_docs)]

pub mod bookmark;
pub mod chunk;
pub mod connection;
pub mod finding;
pub mod import_job;
pub mod import_run;
pub mod labels;
pub mod lease;
pub mod limits;
pub mod reach;
pub mod region;
pub mod retention;
pub mod settings;
pub mod tenant;
#[cfg(test)]
mod testing;
pub mod upload;
