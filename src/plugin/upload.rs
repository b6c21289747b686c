//! `kubectl import upload FILE`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use api::keeper::UploadReceipt;
use api::{Upload, UploadSpec, names};
use domain::upload::accepts_file;
use futures::TryStreamExt as _;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::access::Access;
use super::gateway::{Gateway, refusal};
use super::{Common, Output};
use crate::output::{self, grouped};
use crate::terminal;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to send; `-` reads standard input.
    file: PathBuf,
    /// Name of the Upload object; made from the file's name when absent.
    #[arg(long)]
    name: Option<String>,
    /// Replace an Upload of that name.
    #[arg(long)]
    replace: bool,
    /// Address of the gateway, `host:port`, when the published one cannot be reached from here.
    #[arg(long, env = "DATAIMPORTER_GATEWAY")]
    gateway: Option<String>,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let from_stdin = args.file.as_os_str() == "-";
    let file_name = match from_stdin {
        true => "standard-input.csv".to_owned(),
        false => {
            args.file.file_name().and_then(|n| n.to_str()).ok_or_else(|| anyhow!("{} is not a file name", args.file.display()))?.to_owned()
        }
    };
    let (digest, size) = match from_stdin {
        true => (None, None),
        false => digest_of(&args.file).await.map(|(digest, size)| (Some(digest), Some(size)))?,
    };
    let name = args.name.unwrap_or_else(|| object_name(&file_name));

    let access = Access::open(common).await?;
    let namespace = access.namespace().to_owned();
    let gateway = Gateway::open(&access, &namespace, names::FILES_WRITER_ACCOUNT, args.gateway.as_deref()).await?;
    let uploads: Api<Upload> = Api::namespaced(access.client.clone(), &namespace);
    if args.replace {
        remove(&uploads, &name).await?;
    }
    let object = Upload::new(&name, UploadSpec { file_name });
    match uploads.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            // One that waits for its file is what an earlier try left, or what a manifest asked for.
            let found = uploads.get_opt(&name).await.with_context(|| format!("Upload {namespace}/{name} cannot be read"))?;
            let waits = |found: &Upload| accepts_file(found.status.as_ref()) && found.metadata.deletion_timestamp.is_none();
            if !found.is_some_and(|found| waits(&found)) {
                bail!("Upload {namespace}/{name} has its file; choose another --name, or pass --replace");
            }
        }
        made => drop(made.with_context(|| format!("Upload {namespace}/{name} cannot be created"))?),
    }

    let sent = Arc::new(AtomicU64::new(0));
    let body = body(&args.file, from_stdin, Arc::clone(&sent)).await?;
    let mut request = gateway
        .http
        .put(format!("{}/v1/namespaces/{namespace}/uploads/{name}", gateway.base))
        .bearer_auth(gateway.token.expose())
        .body(body);
    if let Some(digest) = &digest {
        request = request.header("x-content-sha256", digest);
    }
    let progress = (common.output == Output::Text).then(|| tokio::spawn(show_progress(sent, size)));
    let answer = request.send().await;
    if let Some(task) = progress {
        task.abort();
    }
    let response = answer.map_err(|error| gateway.unreachable(error))?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let receipt: UploadReceipt = response.json().await.context("the gateway's receipt cannot be read")?;
    output::either(common.output, &receipt, || {
        format!(
            "Upload {namespace}/{name}: {} bytes, sha256 {}\nreadable until {}",
            grouped(receipt.bytes as i64),
            receipt.sha256,
            receipt.expires_at
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn digest_of(path: &PathBuf) -> Result<(String, u64)> {
    let mut file = tokio::fs::File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?;
    let (mut digest, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let count = file.read(&mut buffer).await.with_context(|| format!("{} cannot be read", path.display()))?;
        if count == 0 {
            return Ok((hex::encode(digest.finalize()), size));
        }
        digest.update(&buffer[..count]);
        size += count as u64;
    }
}

async fn body(path: &PathBuf, from_stdin: bool, sent: Arc<AtomicU64>) -> Result<reqwest::Body> {
    let reader: Box<dyn tokio::io::AsyncRead + Send + Unpin> = match from_stdin {
        true => Box::new(tokio::io::stdin()),
        false => Box::new(tokio::fs::File::open(path).await.with_context(|| format!("{} cannot be read", path.display()))?),
    };
    let stream = tokio_util::io::ReaderStream::with_capacity(reader, 256 * 1024).inspect_ok(move |part| {
        sent.fetch_add(part.len() as u64, Ordering::Relaxed);
    });
    Ok(reqwest::Body::wrap_stream(stream))
}

async fn show_progress(sent: Arc<AtomicU64>, size: Option<u64>) {
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let done = sent.load(Ordering::Relaxed);
        match size.filter(|s| *s > 0) {
            Some(size) => {
                terminal::error_line(format_args!("  {} of {} bytes ({} %)", grouped(done as i64), grouped(size as i64), done * 100 / size))
            }
            None => terminal::error_line(format_args!("  {} bytes", grouped(done as i64))),
        }
    }
}

async fn remove(uploads: &Api<Upload>, name: &str) -> Result<()> {
    if uploads.get_opt(name).await?.is_some() {
        uploads.delete(name, &DeleteParams::default()).await?;
        while uploads.get_opt(name).await?.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// `Große Liste (2).csv` → `gro-e-liste-2-csv`: what Kubernetes takes as a name.
fn object_name(file_name: &str) -> String {
    let mut name = String::new();
    for c in file_name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.truncate(63);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "upload".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::object_name;

    #[test]
    fn any_file_name_gives_an_object_name() {
        assert_eq!(object_name("airports.csv"), "airports-csv");
        assert_eq!(object_name("Große Liste (2).csv"), "gro-e-liste-2-csv");
        assert_eq!(object_name("…"), "upload");
        assert!(object_name(&"x".repeat(300)).len() <= 63);
    }
}
