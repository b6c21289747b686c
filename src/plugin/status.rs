//! `kubectl import status RUN`

use std::process::ExitCode;

use anyhow::Result;
use api::ImportRun;

use super::access::Access;
use super::{Common, ObjectName, output, tree};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: ObjectName,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let found: ImportRun = Access::open(common).await?.get(&args.run).await?;
    output::either(common.output, &found, || tree::text(&found))?;
    Ok(ExitCode::SUCCESS)
}
