//! The processes of Dataimporter, one module per subcommand. They do I/O and call the crates; what they decide is in
//! `crates/domain`. `cli` reads the command line. What runs in pods runs on Linux; for other systems only `plugin` is compiled, and what it
//! stands on.

// They panic when nobody reads.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(target_os = "linux")]
pub mod check_installation;
#[cfg(target_os = "linux")]
pub mod cli;
#[cfg(target_os = "linux")]
pub mod drain;
#[cfg(target_os = "linux")]
pub mod file_grant;
#[cfg(target_os = "linux")]
pub mod keeper;
#[cfg(target_os = "linux")]
mod manifests;
#[cfg(target_os = "linux")]
pub mod operator;
mod output;
pub mod plugin;
#[cfg(target_os = "linux")]
pub mod run;
mod sealing;
#[cfg(target_os = "linux")]
mod sources;
#[cfg(target_os = "linux")]
mod systems;
pub mod terminal;
#[cfg(target_os = "linux")]
pub mod validate;
#[cfg(target_os = "linux")]
pub mod worker;
