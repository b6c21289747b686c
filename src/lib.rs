//! The processes of Dataimporter, one module per subcommand. They do I/O and call the crates; what they decide is in
//! `crates/domain`. `cli` reads the command line.

// They panic when nobody reads.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod check_installation;
pub mod cli;
pub mod drain;
pub mod file_grant;
pub mod keeper;
mod manifests;
pub mod operator;
mod output;
pub mod plugin;
pub mod run;
mod sealing;
mod sources;
mod systems;
pub mod terminal;
pub mod validate;
pub mod worker;
