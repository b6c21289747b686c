//! `kubectl import results RUN [FILE]`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use api::import_run::ResultFile;
use api::{ImportRun, names};
use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;

use super::access::Access;
use super::gateway::{Gateway, refusal};
use super::{Common, ObjectName, Output, output};
use crate::terminal;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportRun, as NAME or NAMESPACE/NAME.
    run: ObjectName,
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
    let (files, gone) = alive(run.status.map(|s| s.results).unwrap_or_default(), Timestamp::now());
    let Some(name) = args.file else {
        list(common.output, &files, gone.len())?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(file) = gone.iter().find(|f| f.name == name) {
        bail!("{name} of run {} had its time{}: it is erased", args.run.name, ended(file));
    }
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

/// Those that may be read still, and those that had their time, whether or not the status says so yet.
fn alive(files: Vec<ResultFile>, now: Timestamp) -> (Vec<ResultFile>, Vec<ResultFile>) {
    files.into_iter().partition(|file| file.erased_at.is_none() && file.expires_at.as_ref().is_none_or(|end| now < end.0))
}

/// At what time.
fn ended(file: &ResultFile) -> String {
    file.erased_at.as_ref().or(file.expires_at.as_ref()).map_or_else(String::new, |at| format!(" at {}", at.0))
}

fn list(format: Output, files: &[ResultFile], gone: usize) -> Result<()> {
    output::either(format, &files, || {
        if files.is_empty() && gone > 0 {
            return "no result files any more: they had their time and are erased".to_owned();
        }
        if files.is_empty() {
            return "no result files: the run has not ended, or wrote none".to_owned();
        }
        let line = |f: &ResultFile| format!("{:<20} {:>12} rows", f.name, output::grouped(f.rows));
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
            // The program that read it has had enough.
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.with_context(|| target(path.as_deref()))?,
        }
    }
    let flushed = out.flush().await;
    if path.is_none() { terminal::read_by_somebody(flushed) } else { flushed }.with_context(|| target(path.as_deref()))?;
    if let Some(path) = path {
        terminal::error_line(format_args!("{} written", path.display()));
    }
    Ok(())
}

fn target(path: Option<&std::path::Path>) -> String {
    format!("{} cannot be written", path.map_or("standard output".to_owned(), |path| path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_had_its_time_is_not_listed() {
        let file = |name: &str, expires: &str, erased: Option<&str>| -> ResultFile {
            let value = serde_json::json!({"name": name, "file": "f", "rows": 1, "bytes": 1, "expiresAt": expires, "erasedAt": erased});
            serde_json::from_value(value).unwrap()
        };
        let files = vec![
            file("alive", "2026-11-26T12:00:01Z", None),
            file("over", "2026-11-26T12:00:00Z", None),
            file("erased", "2026-11-27T12:00:00Z", Some("2026-11-26T11:00:00Z")),
        ];
        let (files, gone) = alive(files, "2026-11-26T12:00:00Z".parse().unwrap());
        let names = |files: &[ResultFile]| files.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&files), names(&gone)), (vec!["alive".to_owned()], vec!["over".to_owned(), "erased".to_owned()]));
        assert_eq!(ended(&gone[1]), " at 2026-11-26T11:00:00Z");
    }
}
