//! Names, addresses and places of one checkout's cluster. Pure: two checkouts never share a name, and the addresses are
//! the same for all because each cluster has a network namespace to itself.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A real node: its own containerd, kubelet, pod range and places under /var/lib, /var/log and /run.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) region: &'static str,
    number: u8,
}

pub(crate) const NODES: [Node; 3] = [
    Node { name: "frankfurt", region: "eu-frankfurt", number: 0 },
    Node { name: "dallas", region: "us-dallas", number: 1 },
    Node { name: "sydney", region: "ap-sydney", number: 2 },
];

pub(crate) const POD_NETWORK: &str = "10.244.0.0/16";
pub(crate) const SERVICE_NETWORK: &str = "10.96.0.0/16";
pub(crate) const API_SERVICE: &str = "10.96.0.1";
pub(crate) const DNS_SERVICE: &str = "10.96.0.10";
/// The port of the API server inside the namespace; the host sees it on a free port of its own loopback.
pub(crate) const API_PORT: u16 = 6443;
/// Of these, the part of node ports that Kubernetes leaves to those who ask for one by number, the cluster takes one that is
/// free on the host too.
pub(crate) const NODE_PORTS: std::ops::Range<u16> = 30000..30086;
/// Where nodes announce new pods to the policy engine, inside the namespace.
pub(crate) const POLICY_ENGINE: &str = "127.0.0.1:10300";
/// An address that pods reach and that is no node's: things beside the cluster, such as a database, listen on it.
pub(crate) const BESIDE: &str = "198.18.77.100";

impl Node {
    pub(crate) fn address(&self) -> String {
        format!("198.18.77.{}", 2 + self.number)
    }

    pub(crate) fn pod_range(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }
}

#[derive(Clone)]
pub(crate) struct Layout {
    /// Everything of the cluster that is a file.
    pub(crate) root: PathBuf,
    /// Names what is global to the machine: control groups.
    pub(crate) id: String,
}

impl Layout {
    pub(crate) fn of(workspace: &Path) -> Self {
        let digest = Sha256::digest(workspace.as_os_str().as_encoded_bytes());
        Self { root: workspace.join("target/cluster"), id: format!("dataimporter-{}", hex::encode(&digest[..4])) }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.root.join("pki").join(file)
    }

    pub(crate) fn configuration(&self, file: &str) -> PathBuf {
        self.root.join("configuration").join(file)
    }

    pub(crate) fn log(&self, daemon: &str) -> PathBuf {
        self.root.join("logs").join(format!("{daemon}.log"))
    }

    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.root.join("images").join(format!("{name}.tar"))
    }

    /// The folder that a node sees parts of as /var/lib and /var/log.
    pub(crate) fn node(&self, node: &Node) -> PathBuf {
        self.root.join("nodes").join(node.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_checkouts_share_no_name() {
        let (one, other) = (Layout::of(Path::new("/home/a/dataimporter")), Layout::of(Path::new("/home/b/dataimporter")));
        assert_ne!(one.id, other.id);
        assert_eq!(one.id, Layout::of(Path::new("/home/a/dataimporter")).id);
        assert_eq!(one.kubeconfig(), Path::new("/home/a/dataimporter/target/cluster/kubeconfig"));
    }

    #[test]
    fn nodes_share_no_address_and_no_range() {
        assert_eq!(NODES.iter().map(Node::address).collect::<BTreeSet<_>>().len(), NODES.len());
        assert_eq!(NODES.iter().map(Node::pod_range).collect::<BTreeSet<_>>().len(), NODES.len());
        assert!(NODES.iter().all(|node| node.address() != BESIDE));
    }
}
