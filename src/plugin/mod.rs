//! `kubectl import`: what people do with imports that plain `kubectl` cannot: send a file, start and follow a run, fetch
//! results. One file per verb; each does its work as the person who calls it, with their kubeconfig.

mod access;
mod audit;
mod disconnect;
mod gateway;
mod intake;
mod keys;
mod messages;
mod results;
mod run;
mod seal;
mod status;
mod stop;
mod tree;
mod upload;
mod wait;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::output::{self, Output};
use crate::terminal;

/// Load data into Salesforce from Kubernetes.
#[derive(Parser)]
#[command(name = "kubectl-import", bin_name = "kubectl import", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed (the message says what to do); 2 wrong usage; \
3 the run ended without success; 4 the run succeeded with failed rows (only with --fail-on-rows); 5 timed out; 6 the audit is not whole.";

#[derive(Args)]
pub(crate) struct Common {
    /// Namespace of the objects; the current context's when absent.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    /// Namespace that Dataimporter itself is installed in.
    #[arg(long, global = true, default_value = "dataimporter-system", env = "DATAIMPORTER_NAMESPACE")]
    system_namespace: String,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Subcommand)]
enum Verb {
    /// Send a file: it is encrypted on arrival and gone after one hour.
    Upload(upload::Args),
    /// Start a run of an ImportJob.
    Run(run::Args),
    /// Show a run: where it runs, its rows, chunks and result files.
    Status(status::Args),
    /// Wait until a run has ended, successfully or not.
    Wait(wait::Args),
    /// Stop a run: chunks already committed are finished, no new one starts.
    Stop(stop::Args),
    /// List or fetch the result files of a run.
    Results(results::Args),
    /// Print what a Secret's owner allows before a Connection may have it, its consent and a Role, and say how far intake is.
    Intake(intake::Args),
    /// Seal credentials into their Connections, so that both may lie in Git.
    Seal(seal::Args),
    /// Print the key that credentials of a Region are sealed to, for `seal` without a cluster.
    SealKey(seal::KeyArgs),
    /// Keys after a restore.
    Keys(keys::Args),
    /// Disconnect: stop runs, revoke every token issued, destroy the stored credential, delete the Connection.
    Disconnect(disconnect::Args),
    /// Check or fetch the audit of a tenant or a region.
    Audit(audit::Args),
}

/// Parses the command line and does it; a plain function for the reason that `cli::main` gives.
#[tokio::main]
pub async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Cli { common, verb } = Cli::parse();
    let done = match verb {
        Verb::Upload(args) => upload::run(&common, args).await,
        Verb::Run(args) => run::run(&common, args).await,
        Verb::Status(args) => status::run(&common, args).await,
        Verb::Wait(args) => wait::run(&common, args).await,
        Verb::Stop(args) => stop::run(&common, args).await,
        Verb::Results(args) => results::run(&common, args).await,
        Verb::Intake(args) => intake::run(&common, args).await,
        Verb::Seal(args) => seal::run(&common, args).await,
        Verb::SealKey(args) => seal::key(&common, args).await,
        Verb::Keys(args) => keys::run(&common, args).await,
        Verb::Disconnect(args) => disconnect::run(&common, args).await,
        Verb::Audit(args) => audit::run(&common, args).await,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            terminal::error_line(format_args!("error: {}", messages::of(&error, &common).await));
            ExitCode::FAILURE
        }
    }
}

/// A run ended in a way that scripts want to tell apart.
pub(crate) const RUN_FAILED: u8 = 3;
pub(crate) const ROWS_FAILED: u8 = 4;
pub(crate) const TIMED_OUT: u8 = 5;
/// Told apart from a gateway that cannot be reached or refuses, which is 1.
pub(crate) const AUDIT_BROKEN: u8 = 6;

/// `namespace/name`, or a name in the current namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ObjectName {
    namespace: Option<String>,
    pub(crate) name: String,
}

impl std::str::FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) if !name.is_empty() => Ok(Self { namespace: None, name: name.to_owned() }),
            (Some(ns), Some(name), None) if !ns.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: Some(ns.to_owned()), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} is neither NAME nor NAMESPACE/NAME")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_target_may_name_its_namespace() {
        assert_eq!("acme/crm".parse(), Ok(ObjectName { namespace: Some("acme".into()), name: "crm".into() }));
        assert_eq!("crm".parse(), Ok(ObjectName { namespace: None, name: "crm".into() }));
        for wrong in ["", "/", "a/b/c", "a/", "/b"] {
            assert!(wrong.parse::<ObjectName>().is_err(), "{wrong:?}");
        }
    }
}
