//! `cargo xtask cluster`: a real Kubernetes on one machine, in a network namespace and a control group of its own.
//! docs/developing/cluster.md tells how it is laid out.

mod cgroup;
mod control_plane;
mod daemon;
mod layout;
mod node;
mod restore;
mod running;
mod status;
mod toolchain;
mod up;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

pub(crate) use layout::{API_PORT, API_SERVICE, BESIDE, NODES};
pub(crate) use running::Cluster;
use status::Format;
pub(crate) use toolchain::{FLAGS, PACKAGES, Tools, go};

use crate::progress::Progress;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs and builds what a cluster and the API server tests need, and starts nothing
    Build,
    /// Starts the cluster, or keeps the one that runs
    Up,
    /// Ends the cluster and removes everything of it
    Down,
    /// Tells whether the cluster runs; fails when it does not
    Status {
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Proves that the running cluster enforces what tests rely on
    Verify,
    /// Container images of the nodes
    #[command(subcommand)]
    Image(ImageCommand),
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Puts image archives (as `docker save` writes them) into every node's store
    Load {
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Packs a static program, with the machine's certificate authorities, and puts the image into every node's store
    Pack {
        /// The image's name, such as dataimporter:dev
        reference: String,
        program: PathBuf,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let progress = Progress::begin();
    match arguments.command {
        Command::Build => drop(build(&progress)?),
        Command::Up => {
            let cluster = up(&progress)?;
            println!("{}", status::of(&cluster.layout).human());
        }
        Command::Down => down(&progress)?,
        Command::Status { output } => {
            let status = status::of(&running::layout());
            println!("{}", status.shown(output)?);
            return Ok(if status.is_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Verify => verify::verify(&Cluster::find()?, &progress)?,
        Command::Image(command) => image(&progress, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn image(progress: &Progress, command: ImageCommand) -> Result<()> {
    let cluster = Cluster::find()?;
    match command {
        ImageCommand::Load { archives } => {
            for archive in archives {
                cluster.load_image(&archive)?;
                progress.say(&format!("{} is on every node", archive.display()));
            }
        }
        ImageCommand::Pack { reference, program } => {
            cluster.load_program(&reference, &program)?;
            progress.say(&format!("{reference} is on every node"));
        }
    }
    Ok(())
}

/// Installs the Debian packages that a cluster is made of.
pub(crate) fn install(progress: &Progress) -> Result<()> {
    toolchain::install(progress)
}

/// Makes sure that everything is built and installed.
pub(crate) fn build(progress: &Progress) -> Result<Tools> {
    let tools = toolchain::build(progress)?;
    toolchain::install(progress)?;
    Ok(tools)
}

/// Makes sure that a healthy cluster runs.
pub(crate) fn up(progress: &Progress) -> Result<Cluster> {
    check_machine()?;
    let tools = toolchain::build(progress)?;
    toolchain::install(progress)?;
    up::up(progress, &tools)
}

pub(crate) fn down(progress: &Progress) -> Result<()> {
    check_machine()?;
    up::down(progress)
}

fn check_machine() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a local cluster runs containers and needs Linux; use an existing cluster with --context NAME instead");
    }
    if !is_root() {
        bail!("a local cluster needs root, for containers and a network namespace of its own: sudo cargo xtask cluster …");
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
