//! `kubectl import results RUN [FILE]`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use api::{ImportRun, names};
use tokio::io::AsyncWriteExt as _;

use super::access::Access;
use super::gateway::{Gateway, refusal};
use super::{Common, Output, Target, output};
use crate::terminal;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: Target,
    /// The file to fetch, e.g. `failed.csv`; all are listed when absent.
    file: Option<String>,
    /// Where to write it; standard output when absent. A folder takes the file's own name.
    #[arg(long)]
    to: Option<PathBuf>,
    /// Address of the gateway, `host:port`, when the published one cannot be reached from here.
    #[arg(long, env = "DATAIMPORTER_GATEWAY")]
    gateway: Option<String>,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let run: ImportRun = access.get(&args.run).await?;
    let files = run.status.map(|s| s.results).unwrap_or_default();
    let Some(name) = args.file else {
        list(common.output, &files)?;
        return Ok(ExitCode::SUCCESS);
    };
    if !files.iter().any(|f| f.name == name) {
        let known: Vec<_> = files.iter().map(|f| f.name.as_str()).collect();
        bail!(
            "ImportRun {}/{} has no result file {name:?}; it has: {}",
            access.namespace_of(&args.run),
            args.run.name,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        );
    }
    let namespace = access.namespace_of(&args.run);
    let gateway = Gateway::open(&access, namespace, names::FILES_READER_ACCOUNT, args.gateway.as_deref()).await?;
    let url = format!("{}/v1/namespaces/{namespace}/importruns/{}/results/{name}", gateway.base, args.run.name);
    let response = gateway.http.get(url).bearer_auth(gateway.token.expose()).send().await.map_err(|error| gateway.unreachable(error))?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    save(response, args.to, &name).await?;
    Ok(ExitCode::SUCCESS)
}

fn list(format: Output, files: &[api::import_run::ResultFile]) -> Result<()> {
    output::either(format, &files, || {
        if files.is_empty() {
            return "no result files: the run has not ended, wrote none, or they have expired".to_owned();
        }
        let line = |f: &api::import_run::ResultFile| format!("{:<20} {:>12} rows", f.name, output::grouped(f.rows));
        files.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

pub(crate) async fn save(mut response: reqwest::Response, to: Option<PathBuf>, name: &str) -> Result<()> {
    let path = to.map(|path| if path.is_dir() { path.join(name) } else { path });
    let mut out: Box<dyn tokio::io::AsyncWrite + Unpin> = match &path {
        None => Box::new(tokio::io::stdout()),
        Some(path) => Box::new(tokio::fs::File::create(path).await.with_context(|| format!("{} cannot be written", path.display()))?),
    };
    while let Some(part) = response.chunk().await.context("the file was cut off; fetch it again")? {
        match out.write_all(&part).await {
            // Whoever read it has had enough.
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.with_context(|| target(path.as_deref()))?,
        }
    }
    let flushed = out.flush().await;
    if path.is_none() { terminal::read_by_somebody(flushed) } else { flushed }.with_context(|| target(path.as_deref()))?;
    if let Some(path) = path {
        terminal::tell(format_args!("{} written", path.display()));
    }
    Ok(())
}

fn target(path: Option<&std::path::Path>) -> String {
    format!("{} cannot be written", path.map_or("standard output".to_owned(), |path| path.display().to_string()))
}
