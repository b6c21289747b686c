//! Server certificates of the examples' authority, whose key is public on purpose (examples/emulator/README.md).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// Two PEM files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What clients have to trust.
pub(crate) fn authority() -> PathBuf {
    workspace::root().join("examples/emulator/demo-ca.crt")
}

/// Makes a certificate for a host, a name or an address; `name` begins the names of its files in `folder`.
pub(crate) fn of_server(name: &str, host: &str, folder: &Path) -> Result<Certificate> {
    let file = |ending: &str| -> PathBuf { folder.join(format!("{name}.{ending}")) };
    let openssl = |arguments: &[&str]| process::output(Command::new("openssl").args(arguments));
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let made = Certificate { certificate: file("crt"), key: file("key") };
    let (key, request, extensions) = (path(&made.key), path(&file("csr")), path(&file("ext")));
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", &key])?;
    openssl(&["req", "-new", "-key", &key, "-subj", &format!("/CN={host}"), "-out", &request])?;
    let kind = if host.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    std::fs::write(
        &extensions,
        format!("subjectAltName={kind}:{host}\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n"),
    )?;
    let authority = authority();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &path(&authority),
        "-CAkey",
        &path(&authority.with_extension("key")),
        "-CAserial",
        &path(&file("srl")),
        "-CAcreateserial",
        "-days",
        "365",
        "-extfile",
        &extensions,
        "-out",
        &path(&made.certificate),
    ])?;
    Ok(made)
}
