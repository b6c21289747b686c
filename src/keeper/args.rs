//! Flags and environment of the keeper.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use api::keeper::{EgressLogin, EgressProxy, SecretText};
use domain::lease::PeerIpCheck;
use domain::limits::Plans;
use zeroize::Zeroizing;

use super::audit::Verifier;
use crate::terminal;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Namespace that the keeper runs in and keeps its Secrets in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "dataimporter-system")]
    pub namespace: String,
    /// Name of this process among its replicas; its audit chains carry it.
    #[arg(long, env = "POD_NAME", default_value = "keeper")]
    pub identity: String,
    /// Address that serves /livez, /readyz and /metrics, plain.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address that serves workers, TLS.
    #[arg(long, env = "WORKER_LISTEN", default_value = "0.0.0.0:8443")]
    pub worker_listen: SocketAddr,
    /// Address of the file gateway for people, TLS.
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "0.0.0.0:8444")]
    pub gateway_listen: SocketAddr,
    /// Names and addresses by which people reach the gateway; the first one is published.
    #[arg(long, env = "GATEWAY_HOSTS", value_delimiter = ',')]
    pub gateway_hosts: Vec<String>,
    /// Port by which people reach the gateway.
    #[arg(long, env = "GATEWAY_PORT", default_value_t = 443)]
    pub gateway_port: u16,
    /// Folder with one folder per storage volume that Regions name.
    #[arg(long, env = "STORAGE_DIR", default_value = "/storage")]
    pub storage_dir: PathBuf,
    /// What files leave free on every volume, for the audit: bytes, or a number with Ki, Mi or Gi.
    #[arg(long, env = "STORAGE_RESERVE", default_value = "256Mi", value_parser = bytes)]
    pub storage_reserve: u64,
    /// Folder with one entry per root key that Regions name: a file, or a folder with the file `key`.
    #[arg(long, env = "ROOT_KEY_DIR", default_value = "/root-keys")]
    pub root_key_dir: PathBuf,
    /// Limits of tenants by plan, as JSON: `{"Standard": {"uploads": {"files": 4}}}`. What is absent is built in.
    #[arg(long, env = "PLANS", default_value = "{}")]
    pub plans: Plans,
    /// What happens when a worker's call comes from an address that is not its pod's: Enforce or Report (for service meshes).
    #[arg(long, env = "PEER_IP_CHECK", default_value = "Enforce", value_parser = peer_ip_check)]
    pub peer_ip_check: PeerIpCheck,
    /// Told to stop, it says that it is not ready and serves for so long still, so that callers find another one first.
    #[arg(long, env = "SHUTDOWN_DELAY_SECONDS", default_value_t = 0)]
    pub shutdown_delay_seconds: u64,
    #[command(flatten)]
    pub egress: EgressArgs,
}

impl Args {
    pub(super) fn shutdown_delay(&self) -> Duration {
        Duration::from_secs(self.shutdown_delay_seconds)
    }
}

/// The proxy of the installation.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct EgressArgs {
    /// HTTP proxy through which the keeper and workers reach public addresses, as `http://host:port`. Empty: they dial them.
    #[arg(long, env = "EGRESS_PROXY_URL", default_value = "")]
    pub egress_proxy_url: String,
    /// Hosts that are dialed past the proxy, in the words of NO_PROXY.
    #[arg(long, env = "EGRESS_PROXY_NO_PROXY", value_delimiter = ',')]
    pub egress_proxy_no_proxy: Vec<String>,
    /// Folder with the files `username` and `password`, by which the proxy knows the installation.
    #[arg(long, env = "EGRESS_PROXY_LOGIN_DIR")]
    pub egress_proxy_login_dir: Option<PathBuf>,
}

impl EgressArgs {
    /// What is said, with the login as it is there now.
    pub(super) fn proxy(&self) -> anyhow::Result<Option<EgressProxy>> {
        if self.egress_proxy_url.is_empty() {
            return Ok(None);
        }
        let login = self.egress_proxy_login_dir.as_deref().map(login).transpose()?;
        let no_proxy = self.egress_proxy_no_proxy.iter().filter(|entry| !entry.is_empty()).cloned().collect();
        Ok(Some(EgressProxy { url: self.egress_proxy_url.clone(), no_proxy, login }))
    }
}

fn login(folder: &Path) -> anyhow::Result<EgressLogin> {
    let entry = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).map(Zeroizing::new);
        let text = text.with_context(|| format!("the Secret of egress.proxy.secretName: its entry {name} cannot be read"))?;
        // As `kubectl create secret --from-file` puts it there.
        Ok::<_, anyhow::Error>(SecretText::new(text.trim_end_matches(['\r', '\n'])))
    };
    Ok(EgressLogin { username: entry("username")?.expose().to_owned(), password: entry("password")? })
}

/// `dataimporter verify-audit FILE…`
#[derive(clap::Args, Clone, Debug)]
pub struct VerifyAudit {
    /// Chains of the audit, as they lie in `<volume>/<region>/audit/` or as they were exported. Of a chain that lies in several files those
    /// are named in their order: `audit/keeper-0.jsonl audit/keeper-0/*`.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

impl VerifyAudit {
    /// Says for each chain how far it goes, to be compared with `status.audit` of the Region; fails at the first that is not whole. Who
    /// wrote the lines is for the keeper to say: `kubectl import audit verify`.
    pub fn run(self) -> anyhow::Result<()> {
        let mut verifier = Verifier::default();
        for path in self.files {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            for (chain, (lines, hash)) in verifier.take(&text).with_context(|| path.display().to_string())? {
                terminal::print(format_args!("{}: chain {chain} is whole up to line {lines}, hash {hash}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let (digits, shift) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    let number: u64 = digits.parse().map_err(|_| "say a number of bytes, or one with Ki, Mi or Gi".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too much".to_owned())
}

fn peer_ip_check(text: &str) -> Result<PeerIpCheck, String> {
    match text {
        "Enforce" => Ok(PeerIpCheck::Enforce),
        "Report" => Ok(PeerIpCheck::Report),
        _ => Err("say Enforce or Report".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        assert_eq!(["512", "4Ki", "256Mi", "2Gi"].map(bytes), [Ok(512), Ok(4096), Ok(256 << 20), Ok(2 << 30)]);
        for bad in ["", "Mi", "-1", "1.5Gi", "1M", "99999999999Gi"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_login_of_a_proxy_is_read_from_files_and_told_when_it_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut args = EgressArgs { egress_proxy_no_proxy: vec![String::new()], ..EgressArgs::default() };
        assert!(args.proxy().unwrap().is_none());
        args.egress_proxy_url = "http://proxy.corp:3128".into();
        let proxy = args.proxy().unwrap().unwrap();
        assert!(proxy.login.is_none() && proxy.no_proxy.is_empty());

        args.egress_proxy_login_dir = Some(folder.path().to_owned());
        std::fs::write(folder.path().join("username"), "importer\n").unwrap();
        let error = format!("{:#}", args.proxy().err().unwrap());
        assert!(error.contains("egress.proxy.secretName") && error.contains("password"), "{error}");
        std::fs::write(folder.path().join("password"), "correct horse\r\n").unwrap();
        let login = args.proxy().unwrap().unwrap().login.unwrap();
        assert_eq!((login.username.as_str(), login.password.expose()), ("importer", "correct horse"));
    }
}
