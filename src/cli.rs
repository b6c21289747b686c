//! The command line: one subcommand per process, one module per subcommand.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::{check_installation, drain, keeper, operator, run, terminal, validate, worker};

/// Loads data from files and databases into Salesforce, declared as Kubernetes resources.
#[derive(Parser)]
#[command(name = "dataimporter", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch regions, tenants, jobs and runs, and start the worker pods.
    Operator(operator::Args),
    /// Keep credentials and files sealed, hand workers what their run may have, pass files in and out, erase what has had its time.
    Keeper(keeper::Args),
    /// Run one attempt of one import, in a pod that the operator made.
    Worker(worker::Args),
    /// Check chains of the keeper's audit: nothing changed, removed or added.
    VerifyAudit(keeper::VerifyAudit),
    Run(run::Args),
    Validate(validate::Args),
    /// Whether operator and keeper are ready and can be reached, as `helm test` asks.
    CheckInstallation(check_installation::Args),
    /// Before an uninstall: list, release or erase what would be left behind.
    Drain(drain::Args),
}

/// Does what the command line says. `tokio::main` makes this a plain function, so everything behind it is compiled in this library: the body
/// of an `async fn` would be compiled once more in each program that polls it.
#[tokio::main]
pub async fn main() -> ExitCode {
    // No core dump, and no look into our memory by another process of the same user: it may hold rows and secrets.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the process cannot be made undumpable") {
        terminal::error_line(format_args!("dataimporter: {error:#}"));
        return ExitCode::FAILURE;
    }
    terminal::keep_panics_quiet();
    // One cryptography provider for every TLS connection of the process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Operator(args) => operator::run(args).await,
        Command::Keeper(args) => keeper::run(args).await,
        Command::Worker(args) => return worker::run(args).await,
        Command::VerifyAudit(args) => args.run(),
        // Says more than whether it went well.
        Command::Run(args) => return run::run(args).await,
        Command::Validate(args) => return validate::run(args).await,
        Command::CheckInstallation(args) => check_installation::run(args).await,
        Command::Drain(args) => drain::run(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error_line(format_args!("dataimporter: {}", runtime::causes::chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
