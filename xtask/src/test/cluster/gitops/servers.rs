//! Programs that run for as long as a check, and what they say in files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::process;

/// They end with it.
pub(super) struct Servers {
    running: Vec<Child>,
    logs: PathBuf,
}

impl Servers {
    pub(super) fn with_logs_in(folder: &Path) -> Self {
        Self { running: Vec::new(), logs: folder.to_owned() }
    }

    /// One more; what it says is in `<name>.log`.
    pub(super) fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = File::create(self.logs.join(name).with_extension("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.running.push(command.spawn().with_context(|| format!("cannot start {name}"))?);
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.running {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// An address of the loopback with a port that nobody has.
pub(super) fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", process::free_port()?))
}
