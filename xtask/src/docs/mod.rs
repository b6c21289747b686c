//! `cargo xtask docs`: writes `docs/reference/` from the code, the README of the chart from its values and Argo CD's settings from their scripts, and looks at every link of every
//! document.

mod api;
mod argo_cd;
mod links;
mod markdown;
mod metrics;
mod reasons;
mod values;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a page is not what the code says
    #[arg(long)]
    check: bool,
}

/// A page below the project's folder, and what makes its text.
type Page = (&'static str, fn() -> Result<String>);

const PAGES: [Page; 5] = [
    ("docs/reference/api.md", api::page),
    ("docs/reference/reasons.md", reasons::page),
    ("docs/reference/metrics.md", metrics::page),
    ("charts/dataimporter/README.md", values::page),
    ("docs/gitops/argo-cd/argocd-cm.yaml", argo_cd::page),
];

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.check {
        check()?;
    } else {
        for (path, text) in PAGES {
            let file = workspace::root().join(path);
            fs::create_dir_all(file.parent().context("a page lies in a folder")?)?;
            fs::write(&file, text()?)?;
            println!("{path}");
        }
        links::check()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails when a generated page is not what the code says, or a link leads nowhere.
pub(crate) fn check() -> Result<()> {
    let mut stale = Vec::new();
    for (path, text) in PAGES {
        if fs::read_to_string(workspace::root().join(path)).ok() != Some(text()?) {
            stale.push(path);
        }
    }
    if !stale.is_empty() {
        bail!("not what the code says, run `cargo xtask docs`: {}", stale.join(", "));
    }
    links::check()
}

/// What stands above every generated page.
fn heading(title: &str, origin: &str) -> String {
    format!("# {title}\n\n<!-- Written by `cargo xtask docs` from {origin}; edit there. -->\n")
}
