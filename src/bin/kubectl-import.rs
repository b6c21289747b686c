//! `kubectl import …`: put this binary on the PATH and kubectl finds it.

use std::process::ExitCode;

use clap::Parser as _;
use dataimporter::plugin;

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    plugin::main(plugin::Cli::parse()).await
}
