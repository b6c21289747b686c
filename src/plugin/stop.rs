//! `kubectl import stop RUN`

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use api::ImportRun;
use kube::api::{Patch, PatchParams};

use super::access::Access;
use super::{Common, Target, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: Target,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    access.get::<ImportRun>(&args.run).await?;
    let patch = Patch::Merge(serde_json::json!({"spec": {"cancel": true}}));
    let namespace = access.namespace_of(&args.run);
    let run = access
        .api::<ImportRun>(&args.run)
        .patch(&args.run.name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("ImportRun {namespace}/{} cannot be stopped", args.run.name))?;
    output::either(common.output, &run, || {
        format!("ImportRun {namespace}/{} is asked to stop: committed chunks are finished, results are written", args.run.name)
    });
    Ok(ExitCode::SUCCESS)
}
