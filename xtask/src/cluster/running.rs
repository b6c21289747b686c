//! A cluster that runs: what is known about it, and what can be asked of it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::cgroup::Groups;
use super::control_plane;
use super::daemon::{Daemon, Inside};
use super::layout::{API_PORT, Layout, NODES};
use super::node;
use super::toolchain::Tools;
use crate::image::Image;
use crate::workspace;

/// What `up` leaves behind for the commands that come later.
#[derive(Serialize, Deserialize)]
pub(crate) struct ClusterState {
    /// Names the machine's run: process numbers of an earlier one mean nothing.
    pub(crate) boot: String,
    pub(crate) tools: PathBuf,
    /// On the host's loopback.
    pub(crate) api_port: u16,
    /// A Service that takes this node port is reached by the same port of the host's loopback.
    pub(crate) node_port: u16,
    pub(crate) daemons: Vec<Daemon>,
}

impl ClusterState {
    pub(crate) fn load(layout: &Layout) -> Option<Self> {
        let state: Self = serde_json::from_slice(&fs::read(layout.state()).ok()?).ok()?;
        (state.boot == boot()).then_some(state)
    }

    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        fs::write(layout.state(), serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", layout.state().display()))
    }

    pub(crate) fn daemon(&self, name: &str) -> Result<&Daemon> {
        self.daemons.iter().find(|daemon| daemon.name == name).with_context(|| format!("the cluster has no {name}"))
    }
}

pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

pub(crate) fn layout() -> Layout {
    Layout::of(workspace::root())
}

pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) state: ClusterState,
}

impl Cluster {
    /// The cluster that `up` started, if its processes run.
    pub(crate) fn find() -> Result<Self> {
        let layout = layout();
        let Some(state) = ClusterState::load(&layout) else { bail!("no cluster runs here; start one with: cargo xtask cluster up") };
        for daemon in &state.daemons {
            daemon.check(&layout).context("the cluster is broken; start it anew with: cargo xtask cluster up")?;
        }
        Ok(Self { layout, state })
    }

    pub(crate) fn tools(&self) -> Tools {
        Tools { directory: self.state.tools.clone() }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// kubectl as the cluster's administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.tool("kubectl", arguments)
    }

    /// A kubeconfig of somebody else of the cluster, by the name of the certificate: `kubelet-dallas`.
    pub(crate) fn kubeconfig_of(&self, user: &str) -> Result<PathBuf> {
        let file = self.layout.configuration(&format!("host-{user}.kubeconfig"));
        let server = format!("https://127.0.0.1:{}", self.state.api_port);
        control_plane::write_kubeconfig(&file, &server, &self.layout.root.join("pki"), user)?;
        Ok(file)
    }

    /// A command that runs on this machine and sees the cluster's network.
    pub(crate) fn in_network(&self, arguments: &[&str]) -> Result<Command> {
        Ok(Inside::NetworkOf(self.state.daemon("network")?).command(arguments))
    }

    /// What etcd keeps on disk.
    pub(crate) fn etcd_database(&self) -> PathBuf {
        self.layout.root.join("etcd/member/snap/db")
    }

    /// Everything that is on the disk of a node, and logs of the cluster's own processes.
    pub(crate) fn disks(&self) -> Vec<PathBuf> {
        vec![self.layout.root.join("nodes"), self.layout.root.join("logs")]
    }

    /// The API server in the cluster's own network, and the certificate of who vouches for it.
    pub(crate) fn api_server(&self) -> (String, PathBuf) {
        (format!("https://{}:{API_PORT}", NODES[0].address()), self.layout.pki("ca.crt"))
    }

    /// What a node keeps where only it can look: its `/run`, and volumes of its pods that are in memory.
    pub(crate) fn hidden_places(&self) -> Result<Vec<PathBuf>> {
        let places = NODES.iter().map(|node| {
            let containerd = self.state.daemon(&format!("containerd-{}", node.name))?;
            Ok(["/run", "/var/lib/kubelet/pods"].map(|place| containerd.path(place)))
        });
        Ok(places.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Folders of a container in the hierarchies of control groups.
    pub(crate) fn groups_of_container(&self, id: &str) -> Result<Vec<PathBuf>> {
        Ok(Groups::named(&self.layout.id)?.folders_named(id))
    }

    /// Processor time of everything that belongs to the cluster, containers too.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        Ok(Groups::named(&self.layout.id)?.processor_seconds())
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) -> Result<()> {
        let mut kubectl = self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("kubectl reads its standard input")?.write_all(manifests.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        Ok(())
    }

    /// Puts an image archive into every node's store.
    pub(crate) fn load_image(&self, archive: &Path) -> Result<()> {
        thread::scope(|scope| {
            let import = |name: &str| node::import(self.state.daemon(&format!("containerd-{name}"))?, archive);
            let imports: Vec<_> = NODES.iter().map(|node| scope.spawn(move || import(node.name))).collect();
            imports.into_iter().try_for_each(|import| import.join().expect("an import does not panic"))
        })
    }

    /// Makes an image of a static program, with the machine's certificate authorities, and puts it into every node's
    /// store. Pods use it with `imagePullPolicy: Never` or `IfNotPresent`.
    pub(crate) fn load_program(&self, reference: &str, program: &Path) -> Result<()> {
        let archive = self.layout.image(&reference.replace(['/', ':'], "_"));
        Image::of_program(reference, program)?.with_certificate_authorities().write(&archive)?;
        self.load_image(&archive)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.tools().program(name));
        command.env("KUBECONFIG", self.layout.kubeconfig()).args(arguments);
        command
    }
}
