//! One real node: containerd and kubelet with a private view of /var/lib, /var/log and /run, so that each finds its
//! files where a real machine has them, several fit on one machine, and none leaves anything on it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::cgroup::Groups;
use super::control_plane;
use super::daemon::{Daemon, Inside, start};
use super::layout::{DNS_SERVICE, Layout, Node, POLICY_ENGINE};
use super::toolchain::Tools;
use crate::process;

const SOCKET: &str = "/run/containerd/containerd.sock";
/// The node's copy of the one binary: the place of the real one may be hidden from the node.
const KUBE: &str = "/var/lib/node/kube";
const NETWORK_PLUGINS: &str = "/usr/lib/cni";
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";

/// Kernel settings that a kubelet insists on. The machine keeps its own: the node sees files with these values instead.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Arguments: the node's folder, the one binary, then the program to become. /mnt is only a stepping stone, for the
/// case that the checkout itself is in one of the places that change.
const ENTER: &str = r#"set -e
folder=$1 kube=$2; shift 2
mount --bind "$kube" "$folder/lib/node/kube"
mount --rbind "$folder" /mnt
mount --rbind /mnt/lib /var/lib
mount --rbind /mnt/log /var/log
mount -t tmpfs -o mode=755 tmpfs /run
for file in /mnt/kernel/*/*; do
    [ -d "$file" ] && continue
    mount --bind "$file" "/proc/sys/${file#/mnt/kernel/}"
done
for file in /mnt/kernel/kernel/keys/*; do mount --bind "$file" "/proc/sys/${file#/mnt/kernel/}"; done
umount --recursive /mnt
exec "$@""#;

/// Writes what the node's programs read.
pub(crate) fn prepare(layout: &Layout, tools: &Tools, node: &Node) -> Result<()> {
    let folder = layout.node(node);
    for directory in
        ["lib/node", "lib/kubelet/pki", "lib/containerd", "lib/cni/net.d", "lib/cni/bin", "log", "kernel/kernel/keys", "kernel/vm"]
    {
        fs::create_dir_all(folder.join(directory))?;
    }
    File::create(folder.join("lib/node/kube"))?;
    for (setting, value) in KERNEL_SETTINGS {
        fs::write(folder.join("kernel").join(setting), value)?;
    }
    fs::write(folder.join("lib/containerd/config.toml"), containerd_configuration())?;
    fs::write(folder.join("lib/cni/net.d/10-bridge.conflist"), serde_json::to_vec_pretty(&pod_network(node))?)?;
    for plugin in fs::read_dir(NETWORK_PLUGINS).with_context(|| format!("cannot list {NETWORK_PLUGINS}"))? {
        let plugin = plugin?;
        symlink(plugin.path(), folder.join("lib/cni/bin").join(plugin.file_name()))?;
    }
    fs::copy(tools.program("walls"), folder.join("lib/cni/bin/walls"))?;
    fs::write(folder.join("lib/kubelet/config.json"), serde_json::to_vec_pretty(&kubelet_configuration(layout, node))?)?;
    fs::write(folder.join("lib/kubelet/resolv.conf"), "")?;
    let pki = folder.join("lib/kubelet/pki");
    fs::copy(layout.pki("ca.crt"), pki.join("ca.crt"))?;
    for (from, to) in [("", "kubelet"), ("-serving", "serving")] {
        for kind in ["crt", "key"] {
            fs::copy(layout.pki(&format!("kubelet-{}{from}.{kind}", node.name)), pki.join(format!("{to}.{kind}")))?;
        }
    }
    control_plane::write_kubeconfig(
        &folder.join("lib/kubelet/kubeconfig"),
        &control_plane::server(),
        Path::new("/var/lib/kubelet/pki"),
        "kubelet",
    )
}

pub(crate) fn start_containerd(layout: &Layout, groups: &Groups, tools: &Tools, node: &Node, network: &Daemon) -> Result<Daemon> {
    let folder = layout.node(node).to_string_lossy().into_owned();
    let kube = tools.kube().to_string_lossy().into_owned();
    let program = ["containerd", "--config", "/var/lib/containerd/config.toml"];
    let arguments = [["sh", "-c", ENTER, "enter", &folder, &kube].as_slice(), &program].concat();
    let name = format!("containerd-{}", node.name);
    start(layout, groups, &name, Inside::NewMounts { network_of: network }, &arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())
}

pub(crate) fn wait_for_containerd(layout: &Layout, containerd: &Daemon) -> Result<()> {
    let socket = containerd.path(SOCKET);
    process::wait_until(&containerd.name, Duration::from_secs(30), || {
        UnixStream::connect(&socket).map(|_| ()).with_context(|| format!("{} does not answer", socket.display()))
    })
    .or_else(|error| containerd.check(layout).and(Err(error)))
}

pub(crate) fn start_kubelet(layout: &Layout, groups: &Groups, node: &Node, containerd: &Daemon) -> Result<Daemon> {
    let arguments = [
        KUBE,
        "kubelet",
        "--config=/var/lib/kubelet/config.json",
        "--kubeconfig=/var/lib/kubelet/kubeconfig",
        &format!("--hostname-override={}", node.name),
        &format!("--node-ip={}", node.address()),
    ]
    .map(str::to_owned);
    start(layout, groups, &format!("kubelet-{}", node.name), Inside::Of(containerd), &arguments)
}

/// Puts an image archive into the node's store.
pub(crate) fn import(containerd: &Daemon, archive: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("cannot read image archive {}", archive.display()))?;
    let output = Inside::Of(containerd)
        .command(&["ctr", "--namespace", "k8s.io", "images", "import", "-"])
        .stdin(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} did not take {}: {said}", containerd.name, archive.display());
    Ok(())
}

fn containerd_configuration() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  # Where the machine withholds CAP_SYS_RESOURCE, runc cannot lower an OOM score and would fail to start any pod.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/var/lib/cni/bin"
    conf_dir = "/var/lib/cni/net.d"
"#
    )
}

fn pod_network(node: &Node) -> serde_json::Value {
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [
        {
            "type": "bridge", "bridge": format!("pods-{}", node.name), "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pod_range()}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": true}},
        {"type": "walls", "engine": POLICY_ENGINE},
    ]})
}

fn kubelet_configuration(layout: &Layout, node: &Node) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}/{}", layout.id, node.name),
        "failSwapOn": false,
        "protectKernelDefaults": true,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "address": node.address(),
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true, "cacheTTL": "10s"},
            "x509": {"clientCAFile": "/var/lib/kubelet/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/var/lib/kubelet/pki/serving.crt",
        "tlsPrivateKeyFile": "/var/lib/kubelet/pki/serving.key",
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE],
        "resolvConf": "/var/lib/kubelet/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        // The disk is the developer's and as full as they like; nothing is evicted or collected because of it.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
    })
}
