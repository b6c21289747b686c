//! `kubectl import stop RUN`

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use api::{ImportRun, conditions};
use domain::import_run::is_finished;
use kube::api::{Patch, PatchParams};

use super::access::Access;
use super::{Common, ObjectName, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: ObjectName,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let found: ImportRun = access.get(&args.run).await?;
    let namespace = access.namespace_of(&args.run);
    if is_finished(&found) {
        let ready = found.status.as_ref().and_then(|status| conditions::find(&status.conditions, conditions::READY));
        let how = ready.map(|ready| format!(" ({})", ready.reason)).unwrap_or_default();
        bail!("ImportRun {namespace}/{} has ended{how}: there is nothing to stop", args.run.name);
    }
    // One that ends just now: the API server refuses.
    let patch = Patch::Merge(serde_json::json!({"spec": {"cancel": true}}));
    let run = access
        .api::<ImportRun>(&args.run)
        .patch(&args.run.name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("ImportRun {namespace}/{} cannot be stopped", args.run.name))?;
    output::either(common.output, &run, || {
        format!("ImportRun {namespace}/{} is asked to stop: committed chunks are finished, results are written", args.run.name)
    })?;
    Ok(ExitCode::SUCCESS)
}
