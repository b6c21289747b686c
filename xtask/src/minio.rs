//! A MinIO with TLS and one bucket, from the program that `crate::pinned` makes.

use std::path::Path;

use anyhow::Result;

use crate::certificate::Certificate;
use crate::workspace;

/// Who owns its buckets, and where it says that it is.
pub(crate) struct Account<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) region: &'a str,
}

/// What it needs in `folder`, with an empty bucket.
pub(crate) fn lay_out(folder: &Path, bucket: &str, tls: &Certificate) -> Result<()> {
    let certificates = folder.join("certs");
    std::fs::create_dir_all(certificates.join("CAs"))?;
    std::fs::create_dir_all(folder.join("data").join(bucket))?;
    std::fs::copy(&tls.certificate, certificates.join("public.crt"))?;
    std::fs::copy(&tls.key, certificates.join("private.key"))?;
    Ok(())
}

/// The command that serves it.
pub(crate) fn command(folder: &Path, listen: &str) -> Vec<String> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let program = workspace::target().join("minio/minio").to_string_lossy().into_owned();
    vec![
        program,
        "server".to_owned(),
        "--quiet".to_owned(),
        "--address".to_owned(),
        listen.to_owned(),
        "--certs-dir".to_owned(),
        path("certs"),
        path("data"),
    ]
}

/// What that command has to have in its environment.
pub(crate) fn environment(folder: &Path, account: &Account<'_>) -> [(&'static str, String); 6] {
    [
        ("HOME", folder.to_string_lossy().into_owned()),
        ("MINIO_ROOT_USER", account.key_id.to_owned()),
        ("MINIO_ROOT_PASSWORD", account.secret.to_owned()),
        ("MINIO_SITE_REGION", account.region.to_owned()),
        ("MINIO_BROWSER", "off".to_owned()),
        ("MINIO_UPDATE", "off".to_owned()),
    ]
}
