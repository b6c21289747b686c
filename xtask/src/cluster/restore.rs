//! Snapshots of etcd, taken and restored with etcd's own tools.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::cgroup::Groups;
use super::control_plane;
use super::daemon::{Daemon, Inside, start};
use super::running::Cluster;
use crate::process;

/// What keeps, or remembers, what etcd holds. Started in this order, ended in the other one.
const REMEMBERS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

impl Cluster {
    /// Writes what etcd holds into a file. `tools`: the folder of `etcdctl` and `etcdutl`.
    pub(crate) fn snapshot(&self, tools: &Path, file: &Path) -> Result<()> {
        let (etcdctl, file) = (tools.join("etcdctl"), file.to_string_lossy());
        let save = [&etcdctl.to_string_lossy(), "--endpoints=http://127.0.0.1:2379", "snapshot", "save", &file];
        process::output(&mut self.in_network(&save)?).map(drop)
    }

    /// Has the control plane begin again with what is in the file. Revisions go on far behind those that anybody has seen, and the ones
    /// before count as compacted, so that whoever watches lists anew: as etcd's guide has it for Kubernetes.
    pub(crate) fn restore(&mut self, tools: &Path, file: &Path) -> Result<()> {
        for name in REMEMBERS.iter().rev() {
            end(self.state.daemon(name)?)?;
        }
        let data = self.layout.root.join("etcd");
        fs::remove_dir_all(&data)?;
        let mut restore = Command::new(tools.join("etcdutl"));
        restore.args(["snapshot", "restore"]).arg(file).arg("--data-dir").arg(&data);
        restore.args(["--bump-revision", "1000000000", "--mark-compacted"]);
        process::output(&mut restore)?;
        let network = self.state.daemon("network")?.clone();
        let groups = Groups::named(&self.layout.id)?;
        let kube = self.tools().kube().to_string_lossy().into_owned();
        for name in REMEMBERS {
            let arguments = match name {
                "etcd" => control_plane::etcd(&self.layout),
                "kube-apiserver" => control_plane::api_server(&self.layout),
                "kube-controller-manager" => control_plane::controller_manager(&self.layout),
                _ => control_plane::scheduler(&self.layout),
            };
            let arguments = [vec![kube.clone()], arguments].concat();
            let daemon = start(&self.layout, &groups, name, Inside::NetworkOf(&network), &arguments)?;
            self.state.daemons.retain(|other| other.name != name);
            self.state.daemons.push(daemon);
            self.state.save(&self.layout)?;
            if name == "kube-apiserver" {
                // The others give up when nobody answers them.
                process::wait_until("the API server", Duration::from_secs(60), || {
                    process::output(&mut self.kubectl(&["get", "--raw", "/readyz"])).map(drop)
                })?;
            }
        }
        Ok(())
    }
}

fn end(daemon: &Daemon) -> Result<()> {
    process::output(Command::new("kill").args(["-KILL", &daemon.pid.to_string()]))?;
    process::wait_until(&format!("the end of {}", daemon.name), Duration::from_secs(20), || {
        ensure!(!daemon.is_alive(), "it is alive");
        Ok(())
    })
}
