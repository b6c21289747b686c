//! From nothing, or from the remains of something, to a cluster that works; and back to nothing.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cgroup::{DAEMONS, Groups};
use super::control_plane;
use super::daemon::{Daemon, Inside, start};
use super::layout::{API_PORT, BESIDE, Layout, NODE_PORTS, NODES};
use super::node;
use super::running::{Cluster, ClusterState, boot, layout};
use super::status;
use super::toolchain::Tools;
use crate::image::Image;
use crate::process;
use crate::progress::Progress;

const BASE: &str = include_str!("manifests/base.yaml");
const DNS_IMAGE: &str = "localhost/kube:1";

/// Keeps the cluster that runs if it is healthy and of the same programs; starts one otherwise.
pub(crate) fn up(progress: &Progress, tools: &Tools) -> Result<Cluster> {
    let layout = layout();
    let _lock = lock(&layout)?;
    let groups = Groups::named(&layout.id)?;
    if let Some(state) = ClusterState::load(&layout) {
        let same = state.tools == tools.directory;
        let status = status::of(&layout);
        if same && status.is_up() {
            progress.say("the cluster runs already");
            return Ok(Cluster { layout, state });
        }
        let reason = status.trouble().unwrap_or_else(|| "its programs were built anew".to_owned());
        progress.say(&format!("the cluster has to start anew: {reason}"));
    }
    if groups.exist() || layout.root.exists() {
        progress.say("clearing the remains of an earlier cluster");
        clear(&layout, &groups)?;
    }
    let cluster = Starting { progress, layout, groups, tools, daemons: Vec::new() }.run().context("the cluster did not come up")?;
    progress.say("the cluster is ready");
    Ok(cluster)
}

pub(crate) fn down(progress: &Progress) -> Result<()> {
    let layout = layout();
    let _lock = lock(&layout)?;
    let groups = Groups::named(&layout.id)?;
    if !groups.exist() && !layout.root.exists() {
        progress.say("no cluster to end");
        return Ok(());
    }
    clear(&layout, &groups)?;
    progress.say("the cluster is gone");
    Ok(())
}

/// One command at a time works on a checkout's cluster.
fn lock(layout: &Layout) -> Result<File> {
    let file = layout.root.with_extension("lock");
    fs::create_dir_all(layout.root.parent().expect("the cluster's folder has a parent"))?;
    let lock = File::create(&file)?;
    lock.lock().with_context(|| format!("cannot lock {}", file.display()))?;
    Ok(lock)
}

/// Namespaces and mounts go with the last process that is in them; what is left then are files.
fn clear(layout: &Layout, groups: &Groups) -> Result<()> {
    groups.end()?;
    if layout.root.exists() {
        fs::remove_dir_all(&layout.root).with_context(|| format!("cannot remove {}", layout.root.display()))?;
    }
    Ok(())
}

struct Starting<'a> {
    progress: &'a Progress,
    layout: Layout,
    groups: Groups,
    tools: &'a Tools,
    daemons: Vec<Daemon>,
}

impl Starting<'_> {
    fn run(mut self) -> Result<Cluster> {
        for directory in ["", "logs", "pki", "configuration", "images", "etcd"] {
            fs::create_dir_all(self.layout.root.join(directory))?;
        }
        fs::set_permissions(self.layout.root.join("pki"), PermissionsExt::from_mode(0o700))?;
        fs::set_permissions(self.layout.root.join("etcd"), PermissionsExt::from_mode(0o700))?;
        let children: Vec<&str> = NODES.iter().map(|node| node.name).chain([DAEMONS]).collect();
        self.groups.create(&children)?;
        load_kernel_modules();

        let network = self.start_network()?;
        control_plane::write_certificates(&self.layout, self.tools)?;
        control_plane::write_kubeconfigs(&self.layout)?;
        let inside = Inside::NetworkOf(&network);
        self.start("etcd", inside, control_plane::etcd(&self.layout))?;
        self.start("kube-apiserver", inside, control_plane::api_server(&self.layout))?;
        let api_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        self.open_door("api", &network, api_port, &format!("127.0.0.1:{API_PORT}"))?;
        self.write_admins_kubeconfig(api_port)?;
        let node_port = free_node_port()?;
        self.open_door("service", &network, node_port, &format!("{}:{node_port}", NODES[0].address()))?;
        let mut containerds = Vec::new();
        for node in &NODES {
            node::prepare(&self.layout, self.tools, node)?;
            let containerd = node::start_containerd(&self.layout, &self.groups, self.tools, node, &network)?;
            containerds.push(self.keep(containerd));
        }
        let state = ClusterState { boot: boot(), tools: self.tools.directory.clone(), api_port, node_port, daemons: self.daemons.clone() };
        let mut cluster = Cluster { layout: self.layout.clone(), state };
        self.progress.say("namespace, certificates, etcd, API server and three times containerd are started");

        self.import_images(&containerds)?;
        self.progress.say("images are on the nodes");
        self.wait_for_api(&cluster)?;
        self.progress.say("the API server answers");
        cluster.apply(&control_plane::node_objects().to_string())?;
        cluster.apply(BASE)?;

        self.start("kube-controller-manager", inside, control_plane::controller_manager(&self.layout))?;
        self.start("kube-scheduler", inside, control_plane::scheduler(&self.layout))?;
        self.start("kube-proxy", inside, control_plane::kube_proxy(&self.layout)?)?;
        self.start("netpol", inside, control_plane::netpol(&self.layout))?;
        for (node, containerd) in NODES.iter().zip(&containerds) {
            let kubelet = node::start_kubelet(&self.layout, &self.groups, node, containerd)?;
            self.keep(kubelet);
        }
        self.wait_for_nodes(&cluster)?;
        self.progress.say("three nodes are ready");
        self.wait_for_dns(&cluster)?;
        self.progress.say("cluster DNS is ready");
        cluster.state.daemons = self.daemons;
        cluster.state.save(&cluster.layout)?;
        Ok(cluster)
    }

    fn keep(&mut self, daemon: Daemon) -> Daemon {
        self.daemons.push(daemon.clone());
        daemon
    }

    /// Starts a component of the one binary.
    fn start(&mut self, name: &str, inside: Inside, mut arguments: Vec<String>) -> Result<Daemon> {
        arguments.insert(0, self.tools.kube().to_string_lossy().into_owned());
        let daemon = start(&self.layout, &self.groups, name, inside, &arguments)?;
        Ok(self.keep(daemon))
    }

    /// A namespace that reaches nothing outside, with the nodes' addresses on a bridge that has no other member.
    fn start_network(&mut self) -> Result<Daemon> {
        let sleep = ["sleep", "infinity"].map(str::to_owned);
        let network = start(&self.layout, &self.groups, "network", Inside::NewNetwork, &sleep)?;
        process::wait_until("a network namespace", Duration::from_secs(5), || {
            let (mine, its) = (fs::read_link("/proc/self/ns/net")?, fs::read_link(format!("/proc/{}/ns/net", network.pid))?);
            network.check(&self.layout)?;
            ensure!(mine != its, "the process is not in a namespace of its own yet");
            Ok(())
        })?;
        let addresses: String = NODES
            .iter()
            .map(|node| node.address())
            .chain([BESIDE.to_owned()])
            .map(|a| format!("ip address add {a}/32 dev nodes\n"))
            .collect();
        // The default route leads nowhere; service routing wants one to exist.
        let script = format!(
            "set -e\nip link set lo up\nip link add nodes type bridge\n{addresses}ip link set nodes up\n\
             ip route add default dev nodes src {}\necho 1 >/proc/sys/net/ipv4/ip_forward\n\
             echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
            NODES[0].address()
        );
        process::output(&mut Inside::NetworkOf(&network).command(&["sh", "-c", &script])).context("cannot set up the cluster's network")?;
        Ok(self.keep(network))
    }

    /// Lets the host reach an address of the namespace: a port of its loopback, through a socket in the cluster's folder
    /// (named by a relative path, since the name of a socket must be short).
    fn open_door(&mut self, name: &str, network: &Daemon, port: u16, target: &str) -> Result<()> {
        let socket = format!("{name}.sock");
        let inner = [format!("UNIX-LISTEN:{socket},fork,mode=600"), format!("TCP4:{target},nodelay")];
        let outer = [format!("TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay"), format!("UNIX-CONNECT:{socket}")];
        for (side, inside, ends) in [("door-inside", Inside::NetworkOf(network), inner), ("door", Inside::Host, outer)] {
            let arguments = [vec!["socat".to_owned()], ends.to_vec()].concat();
            let daemon = start(&self.layout, &self.groups, &format!("{name}-{side}"), inside, &arguments)?;
            self.keep(daemon);
        }
        Ok(())
    }

    fn write_admins_kubeconfig(&self, api_port: u16) -> Result<()> {
        let server = format!("https://127.0.0.1:{api_port}");
        control_plane::write_kubeconfig(&self.layout.kubeconfig(), &server, &self.layout.root.join("pki"), "admin")?;
        fs::set_permissions(self.layout.kubeconfig(), PermissionsExt::from_mode(0o600))?;
        Ok(())
    }

    /// The pause image goes everywhere, the one for cluster DNS to the first node, where it is to run.
    fn import_images(&self, containerds: &[Daemon]) -> Result<()> {
        let (pause, dns) = (self.layout.image("pause"), self.layout.image("kube"));
        Image::of_program(node::PAUSE_IMAGE, &self.tools.program("pause"))?.write(&pause)?;
        Image::of_program(DNS_IMAGE, &self.tools.kube())?.write(&dns)?;
        for containerd in containerds {
            node::wait_for_containerd(&self.layout, containerd)?;
        }
        let import = |containerd: &Daemon, archives: &[&Path]| archives.iter().try_for_each(|archive| node::import(containerd, archive));
        thread::scope(|scope| {
            let mut imports = Vec::new();
            for (number, containerd) in containerds.iter().enumerate() {
                let archives = if number == 0 { vec![pause.as_path(), dns.as_path()] } else { vec![pause.as_path()] };
                imports.push(scope.spawn(move || import(containerd, &archives)));
            }
            imports.into_iter().try_for_each(|import| import.join().expect("an import does not panic"))
        })?;
        fs::remove_file(dns)?;
        Ok(())
    }

    fn wait_for_api(&self, cluster: &Cluster) -> Result<()> {
        self.wait("the API server", 60, || process::output(&mut cluster.kubectl(&["get", "--raw", "/readyz"])).map(|_| ()))
    }

    fn wait_for_nodes(&self, cluster: &Cluster) -> Result<()> {
        let arguments = ["wait", "--for=condition=Ready", "node", "--all", "--timeout=5s"];
        self.wait("all nodes ready", 60, || process::output(&mut cluster.kubectl(&arguments)).map(|_| ()))
    }

    fn wait_for_dns(&self, cluster: &Cluster) -> Result<()> {
        let arguments = ["--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=5s"];
        self.wait("cluster DNS", 60, || process::output(&mut cluster.kubectl(&arguments)).map(|_| ()))
    }

    /// Waits, and gives up at once when a daemon has ended: it will not come back by itself.
    fn wait(&self, what: &str, seconds: u64, mut ask: impl FnMut() -> Result<()>) -> Result<()> {
        let mut ended = None;
        let outcome = process::wait_until(what, Duration::from_secs(seconds), || {
            ended = self.daemons.iter().find_map(|daemon| daemon.check(&self.layout).err());
            if ended.is_some() { Ok(()) } else { ask() }
        });
        match ended {
            Some(error) => Err(error),
            None => outcome.with_context(|| format!("logs are in {}", self.layout.root.join("logs").display())),
        }
    }
}

fn free_node_port() -> Result<u16> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    NODE_PORTS.into_iter().find(free).with_context(|| format!("every port from {} to {} is taken", NODE_PORTS.start, NODE_PORTS.end - 1))
}

/// On a machine that has them as modules. Where they are built in, or missing, what needs them says so.
fn load_kernel_modules() {
    let _ = Command::new("modprobe").args(["--all", "--quiet", "overlay", "br_netfilter", "nf_conntrack", "nf_tables"]).status();
    if !Path::new("/proc/sys/net/bridge").exists() {
        let _ = Command::new("modprobe").args(["--quiet", "bridge"]).status();
    }
}
