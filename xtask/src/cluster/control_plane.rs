//! What a cluster has once: its certificates, etcd, the API server and the controllers. Arguments only; the processes
//! are started by `up`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::layout::{API_PORT, API_SERVICE, Layout, NODES, Node, POD_NETWORK, POLICY_ENGINE, SERVICE_NETWORK};
use super::toolchain::Tools;

/// The API server as processes of the cluster's own network see it.
pub(crate) fn server() -> String {
    format!("https://127.0.0.1:{API_PORT}")
}

/// Certificates of everybody who talks to the API server, and of those it talks to.
pub(crate) fn write_certificates(layout: &Layout, tools: &Tools) -> Result<()> {
    let mut requests = vec![
        json!({"name": "apiserver", "commonName": "kube-apiserver", "hosts": [
            "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
            "127.0.0.1", NODES[0].address(), API_SERVICE,
        ]}),
        client("admin", "admin", &["system:masters"]),
        client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", &["system:masters"]),
        client("front-proxy-client", "front-proxy-client", &[]),
        client("kube-controller-manager", "system:kube-controller-manager", &[]),
        client("kube-scheduler", "system:kube-scheduler", &[]),
        client("kube-proxy", "system:kube-proxy", &[]),
        client("netpol", "netpol", &[]),
    ];
    for node in &NODES {
        let user = format!("system:node:{}", node.name);
        requests.push(client(&format!("kubelet-{}", node.name), &user, &["system:nodes"]));
        requests.push(json!({"name": format!("kubelet-{}-serving", node.name), "commonName": user, "organizations": ["system:nodes"],
            "hosts": [node.name, node.address()]}));
    }
    let mut pki =
        Command::new(tools.kube()).arg("pki").arg(layout.root.join("pki")).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    pki.stdin.take().context("pki reads its standard input")?.write_all(Value::from(requests).to_string().as_bytes())?;
    let output = pki.wait_with_output()?;
    ensure!(output.status.success(), "certificates were not written: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn client(name: &str, user: &str, groups: &[&str]) -> Value {
    json!({"name": name, "commonName": user, "organizations": groups})
}

/// A kubeconfig whose certificates are files named PKI/USER.{crt,key}.
pub(crate) fn write_kubeconfig(file: &Path, server: &str, pki: &Path, user: &str) -> Result<()> {
    let name = "dataimporter";
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": pki.join("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate": pki.join(format!("{user}.crt")), "client-key": pki.join(format!("{user}.key"))}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    fs::write(file, serde_json::to_vec_pretty(&kubeconfig)?).with_context(|| format!("cannot write {}", file.display()))
}

pub(crate) fn etcd(layout: &Layout) -> Vec<String> {
    let mut flags = Flags::of("etcd");
    flags.path("data-dir", &layout.root.join("etcd"));
    flags.set("listen-client-urls", "http://127.0.0.1:2379");
    flags.set("advertise-client-urls", "http://127.0.0.1:2379");
    flags.set("listen-peer-urls", "http://127.0.0.1:2380");
    flags.set("initial-advertise-peer-urls", "http://127.0.0.1:2380");
    flags.set("initial-cluster", "default=http://127.0.0.1:2380");
    // Nothing in it outlives the machine's power anyway.
    flags.set("unsafe-no-fsync", "true");
    flags.set("log-level", "warn");
    flags.0
}

pub(crate) fn api_server(layout: &Layout) -> Vec<String> {
    let mut flags = Flags::of("kube-apiserver");
    flags.set("etcd-servers", "http://127.0.0.1:2379");
    flags.set("bind-address", "0.0.0.0");
    flags.set("secure-port", &API_PORT.to_string());
    flags.set("advertise-address", &NODES[0].address());
    flags.path("tls-cert-file", &layout.pki("apiserver.crt"));
    flags.path("tls-private-key-file", &layout.pki("apiserver.key"));
    flags.path("client-ca-file", &layout.pki("ca.crt"));
    flags.path("kubelet-client-certificate", &layout.pki("apiserver-kubelet-client.crt"));
    flags.path("kubelet-client-key", &layout.pki("apiserver-kubelet-client.key"));
    flags.path("kubelet-certificate-authority", &layout.pki("ca.crt"));
    flags.set("kubelet-preferred-address-types", "InternalIP");
    flags.path("requestheader-client-ca-file", &layout.pki("ca.crt"));
    flags.set("requestheader-allowed-names", "front-proxy-client");
    flags.set("requestheader-username-headers", "X-Remote-User");
    flags.set("requestheader-group-headers", "X-Remote-Group");
    flags.set("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    flags.path("proxy-client-cert-file", &layout.pki("front-proxy-client.crt"));
    flags.path("proxy-client-key-file", &layout.pki("front-proxy-client.key"));
    flags.set("service-account-issuer", "https://kubernetes.default.svc.cluster.local");
    flags.path("service-account-key-file", &layout.pki("sa.pub"));
    flags.path("service-account-signing-key-file", &layout.pki("sa.key"));
    flags.set("service-cluster-ip-range", SERVICE_NETWORK);
    flags.set("authorization-mode", "Node,RBAC");
    flags.set("enable-admission-plugins", "NodeRestriction");
    flags.set("allow-privileged", "true");
    flags.0
}

pub(crate) fn controller_manager(layout: &Layout) -> Vec<String> {
    let mut flags = Flags::of("kube-controller-manager");
    flags.kubeconfig(layout, "kube-controller-manager");
    flags.set("bind-address", "127.0.0.1");
    flags.set("leader-elect", "false");
    flags.set("use-service-account-credentials", "true");
    flags.path("service-account-private-key-file", &layout.pki("sa.key"));
    flags.path("root-ca-file", &layout.pki("ca.crt"));
    flags.path("cluster-signing-cert-file", &layout.pki("ca.crt"));
    flags.path("cluster-signing-key-file", &layout.pki("ca.key"));
    flags.path("flex-volume-plugin-dir", &layout.root.join("volume-plugins"));
    // With a credential for each controller the default limits delay the first service account by seconds.
    flags.set("kube-api-qps", "300");
    flags.set("kube-api-burst", "600");
    flags.0
}

pub(crate) fn scheduler(layout: &Layout) -> Vec<String> {
    let mut flags = Flags::of("kube-scheduler");
    flags.kubeconfig(layout, "kube-scheduler");
    flags.set("bind-address", "127.0.0.1");
    flags.set("leader-elect", "false");
    flags.set("kube-api-qps", "300");
    flags.set("kube-api-burst", "600");
    flags.0
}

/// One proxy serves all nodes, since they share the network namespace that it writes its rules into.
pub(crate) fn kube_proxy(layout: &Layout) -> Result<Vec<String>> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": layout.configuration("kube-proxy.kubeconfig")},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODES[0].name,
        "bindAddress": NODES[0].address(),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "100ms"},
    });
    let file = layout.configuration("kube-proxy.json");
    fs::write(&file, serde_json::to_vec_pretty(&configuration)?)?;
    let mut flags = Flags::of("kube-proxy");
    flags.path("config", &file);
    Ok(flags.0)
}

pub(crate) fn netpol(layout: &Layout) -> Vec<String> {
    let mut flags = Flags::of("netpol");
    flags.path("kubeconfig", &layout.configuration("netpol.kubeconfig"));
    flags.set("pod-network", POD_NETWORK);
    flags.set("listen", POLICY_ENGINE);
    flags.0
}

/// Kubeconfigs of the components above.
pub(crate) fn write_kubeconfigs(layout: &Layout) -> Result<()> {
    for user in ["kube-controller-manager", "kube-scheduler", "kube-proxy", "netpol"] {
        let file = layout.configuration(&format!("{user}.kubeconfig"));
        write_kubeconfig(&file, &server(), &layout.root.join("pki"), user)?;
    }
    Ok(())
}

/// The nodes as the administrator declares them: a kubelet may not set the label that placement trusts.
pub(crate) fn node_objects() -> Value {
    let node = |node: &Node| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": {
            "kubernetes.io/hostname": node.name,
            "topology.kubernetes.io/region": node.region,
            "node-restriction.kubernetes.io/dataimporter-region": node.region,
        }}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": NODES.iter().map(node).collect::<Vec<_>>()})
}

struct Flags(Vec<String>);

impl Flags {
    fn of(component: &str) -> Self {
        Self(vec![component.to_owned()])
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.push(format!("--{name}={value}"));
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.set(name, &path.to_string_lossy());
    }

    fn kubeconfig(&mut self, layout: &Layout, user: &str) {
        let file = layout.configuration(&format!("{user}.kubeconfig"));
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            self.path(flag, &file);
        }
    }
}
