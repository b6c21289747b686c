//! Flags of `dataimporter validate`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Check manifests before they are applied or merged: what an API server would refuse, what a job would stall or end for, and what refers to
/// nothing. No cluster is asked and nothing is written.
#[derive(Debug, Parser)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Files or folders; `-` is standard input. Of a folder, every *.yaml, *.yml and *.json in it and below.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The same, as kubectl takes it.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required_unless_present = "paths")]
    filenames: Vec<PathBuf>,
    /// Warnings count: exit code 1 if there is one.
    #[arg(long)]
    pub(super) strict: bool,
    /// Log in to the org of each job whose Connection and Secret are among the files, and compare the job's mapping with the object's fields.
    /// Nothing is written there.
    #[arg(long)]
    pub(super) ask_orgs: bool,
    /// How findings are printed: for people, for programs, or as annotations of a workflow on GitHub.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub(super) output: Form,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
    Github,
}

impl Args {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.filenames)
    }
}

const AFTER_HELP: &str = "\
The files are taken for those of one cluster. Kustomizations, Helm charts and objects of other kinds are passed over; to check what is made
of them: `kustomize build DIR | dataimporter validate -f -`, `helm template CHART | dataimporter validate -f -`.

Exit codes: 0 nothing is wrong, though there may be warnings; 1 something is wrong, or with --strict there are warnings; 2 wrong usage.";
