//! `dataimporter keeper`: the one process that opens credentials and files. It takes secrets in, keeps them sealed, hands workers what
//! their run may have and nothing else, passes files in and out, and erases what has had its time.
//!
//! Rooms, each of which may use those above it and none below (`cargo xtask test boundaries` reads the source for that):
//!
//! | room | one idea |
//! |---|---|
//! | `base` | the cluster, the time, our own Secrets as sealed bytes, what can go wrong |
//! | `identity` | who we are, the certificate that proves it, and the end of the installation |
//! | `storage` | volumes that may hang, and ciphertext on them |
//! | `audit` | what was decided and opened, in chains that nobody else can write |
//! | `vault` | the one room with opened keys and credentials; no opening without a line in the audit |
//! | `files` | what is known of tenants' files, how much there may be, their end |
//! | `admission` | who is let in, and to what |
//! | `controllers` | one for each kind |
//! | `listeners` | HTTP for workers and for people |
//!
//! `args`, `wiring`, `lead` and `start` put them together.

mod admission;
mod args;
mod audit;
mod base;
mod controllers;
mod files;
mod identity;
mod lead;
mod listeners;
mod start;
mod storage;
mod vault;
mod wiring;

pub use args::{Args, EgressArgs, VerifyAudit};
pub use audit::{Broken, verify as verify_audit};
pub use start::{Running, keep, run, start, start_later};
