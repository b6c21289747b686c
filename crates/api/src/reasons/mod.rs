//! The reasons that conditions, events and attempts have: one list per kind, with what each means and what to do about it.
//!
//! The operator and the keeper take their words from here, and `docs/reference/reasons.md` is written from it: `cargo xtask docs` fails when
//! code of a kind writes a word that its list lacks, and when a list has a word that nothing writes. Reasons that an error gives stand in
//! a list beside it (`reasons.rs` of `envelope`, `connect`, `salesforce` and of the keeper), because those crates do not know Kubernetes.

pub mod connection;
pub mod import_job;
pub mod import_run;
pub mod rebind;
pub mod region;
pub mod rotation;
pub mod tenant;
pub mod upload;
