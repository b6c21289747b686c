//! The cluster of the demo as a bystander sees it: two watches, the logs of workers while their nodes have them, and the API server's own
//! count of what it was asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::timeline::{Moment, Shown};
use crate::kubectl::Kubectl;

/// How often a node's folder of logs is looked through.
const LOOK: Duration = Duration::from_millis(20);
const DAY: f64 = 86_400.0;

fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() % DAY)
}

/// A watch: everything that was shown since it began. Ends when it is dropped.
pub(super) struct Watch {
    child: Child,
    shown: Arc<Mutex<Vec<Shown>>>,
}

impl Watch {
    pub(super) fn of(kubectl: &Kubectl, path: &str) -> Result<Self> {
        let mut child = kubectl
            .command(&["get", "--raw", &format!("{path}?watch=true&allowWatchBookmarks=false")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start kubectl")?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = shown.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(event) = Shown::of(&line, now()) {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                }
            }
        });
        Ok(Self { child, shown })
    }

    pub(super) fn shown<T>(&self, look: impl FnOnce(&[Shown]) -> T) -> T {
        look(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs of the pods of a namespace, opened while their node has them; what is open stays readable when the pod is gone.
pub(super) struct Logs {
    open: Arc<Mutex<BTreeMap<String, File>>>,
    over: Arc<AtomicBool>,
}

impl Logs {
    pub(super) fn of(folder: PathBuf, namespace: &str) -> Self {
        let (open, over) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
        let (files, stop, prefix) = (open.clone(), over.clone(), format!("{namespace}_"));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
                    // NAMESPACE_POD_UID
                    let name = entry.file_name().to_string_lossy().rsplit('_').next().unwrap_or_default().to_owned();
                    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                    if let std::collections::btree_map::Entry::Vacant(place) = files.entry(name)
                        && let Ok(file) = File::open(entry.path().join("worker/0.log"))
                    {
                        place.insert(file);
                    }
                }
                thread::sleep(LOOK);
            }
        });
        Self { open, over }
    }

    /// By UID of the run.
    pub(super) fn by_run(&self, pods: &[Shown]) -> BTreeMap<String, String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |file: &File| {
            let (mut file, mut text) = (file, String::new());
            file.seek(SeekFrom::Start(0)).ok()?;
            file.read_to_string(&mut text).ok().map(|_| text)
        };
        pods.iter().filter_map(|pod| Some((pod.run_uid().to_owned(), read(open.get(pod.uid())?)?))).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The API server without a client's start for every call.
pub(super) struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    pub(super) fn start(kubectl: &Kubectl) -> Result<Self> {
        let mut child = kubectl
            .command(&["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start kubectl proxy")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        // "Starting to serve on 127.0.0.1:40123"
        let address = line.split_whitespace().last().unwrap_or_default().to_owned();
        let proxy = Self { child, address };
        ensure!(proxy.address.contains(':'), "kubectl proxy did not start: {}", line.trim());
        Ok(proxy)
    }

    pub(super) fn get(&self, path: &str) -> Result<String> {
        self.ask("GET", path, "")
    }

    pub(super) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask("POST", path, &object.to_string())?)?)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        // HTTP/1.0: the answer comes in one piece and ends with the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the API server's answer has no end of its head")?;
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {status}: {body}");
        Ok(body.to_owned())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network of its own, because a worker dials no loopback. What listens hands on what it is told; "go" is said just before the worker begins.
const WITH_A_WORKER: &str = "set -e
ip link set lo up
ip address add 10.99.0.1/32 dev lo
socat -u TCP-LISTEN:8443,bind=10.99.0.1 STDOUT 2>/dev/null &
until ss -Htln | grep -q 8443; do sleep 0.01; done
echo go
exec \"$0\" worker 2>/dev/null";

/// How long a worker takes from its start to its first byte to the keeper.
pub(super) fn start_of_a_worker(program: &Path, folder: &Path, authority: &str) -> Result<f64> {
    let token = folder.join("token");
    std::fs::write(&token, "a-token")?;
    let mut worker = Command::new("unshare")
        .args(["--net", "sh", "-c", WITH_A_WORKER])
        .arg(program)
        .env("KEEPER_URL", "https://10.99.0.1:8443")
        .env("KEEPER_CA", authority)
        .env("RUN_UID", "run")
        .env("ATTEMPT", "1")
        .env("TOKEN_PATH", &token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start unshare")?;
    let mut said = worker.stdout.take().expect("it is piped");
    let mut go = [0; 3];
    let first = said.read_exact(&mut go).and_then(|()| {
        let began = Instant::now();
        said.read_exact(&mut [0])?;
        Ok(began.elapsed())
    });
    worker.kill()?;
    worker.wait()?;
    Ok(first.context("a worker said nothing to its keeper")?.as_secs_f64() * 1e3)
}

/// Requests that the API server has answered so far, by what was asked; those that last are left out.
pub(super) fn requests(metrics: &str) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
        let Some((labels, count)) = line.rsplit_once("} ") else { continue };
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else { continue };
        if !matches!(verb, "WATCH" | "CONNECT") && !resource.is_empty() {
            *counts.entry(format!("{verb} {resource}")).or_default() += count.parse::<f64>().unwrap_or_default();
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_verb_and_resource() {
        let metrics = "# TYPE apiserver_request_total counter\n\
            apiserver_request_total{code=\"200\",component=\"apiserver\",resource=\"pods\",verb=\"GET\"} 3\n\
            apiserver_request_total{code=\"404\",component=\"apiserver\",resource=\"pods\",verb=\"GET\"} 1\n\
            apiserver_request_total{code=\"200\",component=\"apiserver\",resource=\"pods\",verb=\"WATCH\"} 9\n\
            apiserver_request_total{code=\"200\",component=\"apiserver\",resource=\"\",verb=\"GET\"} 9\n";
        assert_eq!(requests(metrics), [("GET pods".to_owned(), 4.0)].into());
    }
}
