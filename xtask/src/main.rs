//! `cargo xtask …`: the commands a developer runs. One module a command; this file only picks one.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod certificate;
mod cluster;
mod crds;
mod demo;
mod docs;
mod emulator;
mod fuzz;
mod image;
mod kubectl;
mod mariadb;
mod minio;
mod packages;
mod pinned;
mod previous;
mod process;
mod programs;
mod progress;
mod python;
mod release;
mod served;
mod tar;
mod test;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real Kubernetes on this machine: three nodes, one each for Frankfurt, Dallas and Sydney
    Cluster(cluster::Arguments),
    /// From here to two real imports in two regions, on a cluster of this machine; with --local to one without any cluster
    Demo(demo::Choice),
    /// Every level of tests, or those named
    Test(test::Arguments),
    /// Speed and memory against named peers, goals beside results; needs no cluster
    Bench(bench::Arguments),
    /// Everything that a version consists of, in one folder: image, chart, plugin, bills of materials, checksums
    Release(release::Arguments),
    /// Writes the generated CustomResourceDefinitions
    Crds,
    /// Writes the generated reference, and looks at every link of the documents
    Docs(docs::Arguments),
    /// Made-up input for what reads bytes of strangers; no level of the tests
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Cluster(arguments) => cluster::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Release(arguments) => release::run(arguments),
        Command::Crds => crds::run(),
        Command::Docs(arguments) => docs::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
