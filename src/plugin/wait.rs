//! `kubectl import wait RUN`: returns when a run has ended, successfully or not (`kubectl wait` returns on success only).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use api::{ImportRun, conditions};
use kube::Api;

use super::access::Access;
use super::{Common, ObjectName, Output, ROWS_FAILED, RUN_FAILED, TIMED_OUT, output, tree};
use crate::terminal;

const POLL: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: ObjectName,
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args)]
pub(crate) struct Limits {
    /// Seconds to wait at most.
    #[arg(long, default_value_t = 21_600)]
    timeout: u64,
    /// Exit with 4 when the run succeeded but rows failed.
    #[arg(long)]
    fail_on_rows: bool,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let namespace = access.namespace_of(&args.run).to_owned();
    access.get::<ImportRun>(&args.run).await?;
    follow(&access, common.output, &namespace, &args.run.name, &args.limits).await
}

/// Follows a run to its end, with a line for every change that a person would want to see.
pub(crate) async fn follow(access: &Access, format: Output, namespace: &str, name: &str, limits: &Limits) -> Result<ExitCode> {
    let runs: Api<ImportRun> = Api::namespaced(access.client.clone(), namespace);
    let (until, mut shown) = (Instant::now() + Duration::from_secs(limits.timeout), String::new());
    loop {
        let run = runs.get_opt(name).await?.ok_or_else(|| anyhow!("ImportRun {namespace}/{name} was deleted"))?;
        if format == Output::Text {
            show_change(&run, &mut shown);
        }
        if let Some(code) = ended(&run, limits.fail_on_rows) {
            output::either(format, &run, || tree::text(&run))?;
            return Ok(ExitCode::from(code));
        }
        if Instant::now() > until {
            terminal::error_line(format_args!("error: ImportRun {namespace}/{name} has not ended after {} s; it goes on", limits.timeout));
            return Ok(ExitCode::from(TIMED_OUT));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn show_change(run: &ImportRun, shown: &mut String) {
    let status = run.status.clone().unwrap_or_default();
    let reason = conditions::find(&status.conditions, conditions::READY).map_or("waiting for the operator", |c| c.reason.as_str());
    let line = match &status.rows {
        Some(rows) => format!("  {reason}: {}", output::rows(rows)),
        None => format!("  {reason}"),
    };
    if *shown != line {
        terminal::error_line(&line);
        *shown = line;
    }
}

/// The exit code of a run that has ended.
fn ended(run: &ImportRun, fail_on_rows: bool) -> Option<u8> {
    let status = run.status.as_ref()?;
    if conditions::is_false(&status.conditions, conditions::SUCCEEDED) {
        return Some(RUN_FAILED);
    }
    if !conditions::is_true(&status.conditions, conditions::SUCCEEDED) {
        return None;
    }
    let failed = status.rows.is_some_and(|r| r.failed > 0);
    Some(if fail_on_rows && failed { ROWS_FAILED } else { 0 })
}
