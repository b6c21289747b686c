//! A server that behaves like Salesforce, for the demo, tests and rehearsals.
//!
//! ```no_run
//! # async fn example() -> Result<(), salesforce_emulator::StartError> {
//! let emulator = salesforce_emulator::Emulator::builder().start().await?;
//! println!("{} {}", emulator.url, emulator.client_id);
//! assert_eq!(emulator.count("Account"), 0);
//! # Ok(())
//! # }
//! ```
//!
//! `docs` of what it does differently from the real service, and why, are in `differences.toml` beside this crate.

#![warn(missing_docs)]

mod admin;
mod app;
mod authority;
mod bulk;
mod call;
mod collections;
mod composite;
mod config;
mod describe;
mod emulator;
mod faults;
mod journal;
mod oauth;
mod org;
mod reply;
mod rest;
mod schema;
mod serve;
mod soap;
mod soql;
mod store;

pub use config::{Behaviour, Client, Config, Limits, SecondPut};
pub use emulator::{Emulator, JobSummary, Running, StartError};
pub use faults::{Action, Fault};
pub use journal::Entry;
pub use oauth::IssuedToken;
pub use schema::{DEFAULT_SCHEMA, SchemaError};
pub use soql::refusal;
