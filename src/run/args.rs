//! Flags of `dataimporter run`.

use std::path::PathBuf;

use clap::Parser;

use crate::output::Output;

/// Run one import here and now, without a cluster: the same engine, the same protocol and the same manifests.
///
/// The manifests hold an ImportJob, its Connections and, as plain Secrets, their credentials; other kinds are passed over, so the files
/// of a cluster can be used as they are.
#[derive(Debug, Parser)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// File with manifests, several in one file or several files; `-` is standard input.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE")]
    pub(super) manifests: Vec<PathBuf>,
    /// Which ImportJob, when the manifests hold several: its name, or namespace/name.
    #[arg(long)]
    pub(super) job: Option<String>,
    /// The file that stands for the job's upload.
    #[arg(long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,
    /// Where result files go, overwriting earlier ones; `<job>-results` when absent. A job with `results: {none: {}}` writes none.
    #[arg(long, value_name = "DIR")]
    pub(super) results_dir: Option<PathBuf>,
    /// Leave cells that begin like a formula as they are, as `results: {escapeFormulas: false}` in the job does. Do not open such files in a
    /// spreadsheet. Files without this flag can be imported again, too: the apostrophes that were added are taken away.
    #[arg(long)]
    pub(super) results_for_reimport: bool,
    /// How the summary is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
    /// No progress on standard error.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

const AFTER_HELP: &str = "\
What a cluster adds and this command lacks:
  - credentials stand in clear in the manifests and in this process, instead of encrypted with the keeper
  - the file and the results lie unencrypted on this machine, for as long as you leave them there
  - every address may be dialed, and nothing keeps data in a region
  - a run that is killed is not resumed: rows of chunks that were committed are in Salesforce, the rest is not
  - the API server's own checks of manifests; unknown fields are refused here, too

Exit codes: 0 every row that was sent is in Salesforce; 2 wrong usage or manifest, nothing was sent; 3 the run failed or was stopped;
4 completed, but some rows failed.";
