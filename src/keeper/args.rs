//! Flags and environment of the keeper.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use domain::lease::PeerIpCheck;
use domain::limits::Plans;

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
    use super::bytes;

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        assert_eq!(["512", "4Ki", "256Mi", "2Gi"].map(bytes), [Ok(512), Ok(4096), Ok(256 << 20), Ok(2 << 30)]);
        for bad in ["", "Mi", "-1", "1.5Gi", "1M", "99999999999Gi"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
