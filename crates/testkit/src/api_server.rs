//! One etcd and one kube-apiserver on free ports of the loopback, started in seconds and gone with the test that started them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::Line;

/// One that ends is noticed at once; this is for one that hangs, and is long because a busy machine may give a start few turns.
const READY_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);
/// A port that was free a moment ago may be taken when a server asks for it.
const ATTEMPTS: usize = 3;
const ADDRESS_TAKEN: &str = "address already in use";

/// Supervises both servers. It works in their folder, says which processes they are, and when its standard input closes,
/// which happens however the test's process ends, it ends them and removes the folder.
const SUPERVISOR: &str = r#"
"$KUBE" etcd --data-dir=etcd --unsafe-no-fsync --log-level=error \
    --listen-client-urls=http://127.0.0.1:$ETCD --advertise-client-urls=http://127.0.0.1:$ETCD \
    --listen-peer-urls=http://127.0.0.1:$PEER --initial-advertise-peer-urls=http://127.0.0.1:$PEER \
    --initial-cluster=default=http://127.0.0.1:$PEER >etcd.log 2>&1 &
etcd=$!
(
    "$KUBE" pki pki <certificates.json && exec "$KUBE" kube-apiserver --etcd-servers=http://127.0.0.1:$ETCD \
        --bind-address=127.0.0.1 --secure-port=$API --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
        --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file=pki/sa.pub --service-account-signing-key-file=pki/sa.key \
        --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction --allow-privileged=true
) >kube-apiserver.log 2>&1 &
api=$!
echo $etcd $api
read -r never
kill -KILL $etcd $api
wait
folder=$PWD
cd /
rm -rf "$folder"
"#;

/// A running API server. It ends when this is dropped, and when the process ends.
pub struct ApiServer {
    folder: PathBuf,
    supervisor: Child,
    /// The numbers of both servers' processes.
    processes: Vec<String>,
    kubeconfig: Kubeconfig,
}

impl ApiServer {
    /// Starts a server that nobody else uses.
    pub async fn start() -> Result<Self> {
        let kube = kube_binary(Path::new(env!("CARGO_MANIFEST_DIR")))?;
        for attempt in 1.. {
            let server = Self::spawn(&kube)?;
            match server.ready().await {
                Ok(()) => return Ok(server),
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains(ADDRESS_TAKEN) => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The one server that all tests of a process share; it ends with the process. For tests that keep to a namespace
    /// of their own.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A client of the cluster's administrator. It belongs to the runtime that this is called on.
    pub async fn client(&self) -> Result<Client> {
        self.client_of(self.kubeconfig.clone()).await
    }

    /// The same, with all its calls on a line.
    pub async fn client_on(&self, line: &Line) -> Result<Client> {
        self.client_of_on(self.kubeconfig.clone(), line).await
    }

    /// A client of somebody else, by impersonation; every user is also in the group `system:authenticated`.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        self.client_of(self.impersonating(user, groups)).await
    }

    fn impersonating(&self, user: &str, groups: &[&str]) -> Kubeconfig {
        let mut kubeconfig = self.kubeconfig.clone();
        for auth in &mut kubeconfig.auth_infos {
            let auth = auth.auth_info.get_or_insert_default();
            auth.impersonate = Some(user.to_owned());
            auth.impersonate_groups = Some(groups.iter().copied().chain(["system:authenticated"]).map(str::to_owned).collect());
        }
        kubeconfig
    }

    /// A client of a service account, by impersonation.
    pub async fn client_as_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        self.client_of(self.impersonating_account(namespace, name)).await
    }

    /// The same, with all its calls on a line.
    pub async fn client_as_service_account_on(&self, namespace: &str, name: &str, line: &Line) -> Result<Client> {
        self.client_of_on(self.impersonating_account(namespace, name), line).await
    }

    /// How clients of a service account are made, for those that make their own.
    pub async fn config_of_service_account(&self, namespace: &str, name: &str) -> Result<Config> {
        let kubeconfig = self.impersonating_account(namespace, name);
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    fn impersonating_account(&self, namespace: &str, name: &str) -> Kubeconfig {
        let user = format!("system:serviceaccount:{namespace}:{name}");
        self.impersonating(&user, &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")])
    }

    /// A file that lets programs in as the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Creates a namespace with the default service account that a controller would put there, so that pods are accepted.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let client = self.client().await?;
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
        Api::namespaced(client, name).create(&PostParams::default(), &account).await?;
        Ok(())
    }

    async fn client_of(&self, kubeconfig: Kubeconfig) -> Result<Client> {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    async fn client_of_on(&self, kubeconfig: Kubeconfig, line: &Line) -> Result<Client> {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(ClientBuilder::try_from(config)?.with_layer(line).build())
    }

    fn spawn(kube: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("api-server-").tempdir()?.keep();
        fs::create_dir(folder.join("pki"))?;
        fs::write(folder.join("certificates.json"), certificates())?;
        let [etcd, peer, api] = free_ports()?;
        let kubeconfig = kubeconfig(&folder, api);
        fs::write(folder.join("kubeconfig"), &kubeconfig)?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .env("KUBE", kube)
            // A server lives for seconds: it collects garbage seldom, which saves an eighth of the processor time that it takes. One
            // that lives longer stays at half a gigabyte.
            .env("GOGC", "400")
            .env("GOMEMLIMIT", "512MiB")
            .env("ETCD", etcd.to_string())
            .env("PEER", peer.to_string())
            .env("API", api.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let mut line = String::new();
        BufReader::new(supervisor.stdout.take().context("the supervisor's output is piped")?).read_line(&mut line)?;
        let processes = line.split_whitespace().map(str::to_owned).collect();
        Ok(Self { folder, supervisor, processes, kubeconfig: Kubeconfig::from_yaml(&kubeconfig)? })
    }

    async fn ready(&self) -> Result<()> {
        let began = Instant::now();
        while !self.folder.join("pki/sa.key").exists() {
            self.still_starting(began)?;
            tokio::time::sleep(POLL).await;
        }
        let client = self.client().await?;
        let ask = || http::Request::get("/readyz").body(Vec::new()).map(|request| client.request_text(request));
        while ask()?.await.is_err() {
            self.still_starting(began)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn still_starting(&self, began: Instant) -> Result<()> {
        let what = match self.processes.iter().any(|pid| has_ended(pid)) {
            true => "the API server for tests has ended",
            false if began.elapsed() > READY_LIMIT => "the API server for tests is not ready in time",
            false => return Ok(()),
        };
        let tail = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{name}:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"))
        };
        bail!("{what}\n{}\n{}", tail("etcd.log"), tail("kube-apiserver.log"))
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // The supervisor has nothing left to wait for but the servers it kills; what it returns says nothing.
        let _ = self.supervisor.wait();
    }
}

/// The multi-call binary that `cargo xtask cluster build` links into the workspace's target folder.
fn kube_binary(crate_folder: &Path) -> Result<PathBuf> {
    let workspace = crate_folder.ancestors().nth(2).context("the crate sits in the workspace")?;
    let kube = workspace.join("target/kube/kube");
    if !kube.exists() {
        bail!("{} is missing, which API server tests need; build it with: cargo xtask cluster build", kube.display());
    }
    Ok(kube)
}

fn certificates() -> String {
    json!([
        {"name": "apiserver", "commonName": "kube-apiserver", "hosts": ["127.0.0.1", "localhost"]},
        {"name": "admin", "commonName": "admin", "organizations": ["system:masters"]},
    ])
    .to_string()
}

fn kubeconfig(folder: &Path, port: u16) -> String {
    let pki = folder.join("pki");
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": pki.join("ca.crt"),
        }}],
        "users": [{"name": "admin", "user": {"client-certificate": pki.join("admin.crt"), "client-key": pki.join("admin.key")}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    })
    .to_string()
}

/// Ports that are free and differ: all are held until all are chosen.
fn free_ports() -> Result<[u16; 3]> {
    let mut ports = [0; 3];
    let listeners = ports.map(|_: u16| TcpListener::bind("127.0.0.1:0"));
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.as_ref().map_err(|error| anyhow::anyhow!("no free port: {error}"))?.local_addr()?.port();
    }
    Ok(ports)
}

/// A process that is gone, or that only waits to be collected.
fn has_ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use kube::api::ListParams;

    use super::*;
    use crate::wait_for;

    async fn namespaces(client: Client) -> Result<Vec<String>, kube::Error> {
        let list = Api::<Namespace>::all(client).list(&ListParams::default()).await?;
        Ok(list.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn servers_side_by_side_share_nothing() {
        let (one, other) = tokio::try_join!(ApiServer::start(), ApiServer::start()).unwrap();
        one.create_namespace("only-here").await.unwrap();
        assert!(namespaces(one.client().await.unwrap()).await.unwrap().contains(&"only-here".to_owned()));
        assert!(!namespaces(other.client().await.unwrap()).await.unwrap().contains(&"only-here".to_owned()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_left_of_a_dropped_server() {
        let server = ApiServer::start().await.unwrap();
        let (folder, processes) = (server.folder.clone(), server.processes.clone());
        assert!(folder.exists() && !processes.iter().any(|pid| has_ended(pid)));
        drop(server);
        assert!(!folder.exists(), "{} is still there", folder.display());
        assert!(processes.iter().all(|pid| has_ended(pid)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_may_do_what_they_are_allowed_to() {
        let server = ApiServer::shared().await.unwrap();
        let refused = namespaces(server.client_as("somebody", &[]).await.unwrap()).await.unwrap_err();
        assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
        let refused = namespaces(server.client_as_service_account("default", "robot").await.unwrap()).await.unwrap_err();
        assert!(refused.to_string().contains("system:serviceaccount:default:robot"), "{refused}");
        namespaces(server.client_as("root", &["system:masters"]).await.unwrap()).await.unwrap();
    }

    const HELD: &str = "TESTKIT_HOLD_A_SERVER";

    /// Not a test of its own: the process that the next test kills.
    #[tokio::test(flavor = "multi_thread")]
    async fn held_until_killed() {
        if std::env::var_os(HELD).is_some() {
            let server = ApiServer::start().await.unwrap();
            println!("folder {}", server.folder.display());
            std::future::pending::<()>().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_left_when_the_tests_process_is_killed() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "api_server::tests::held_until_killed", "--nocapture"])
            .env(HELD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let folder =
            lines.map_while(Result::ok).find_map(|line| line.split_once("folder ").map(|(_, folder)| PathBuf::from(folder))).unwrap();
        assert!(folder.join("kubeconfig").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for("the folder to go", Duration::from_secs(10), async || Ok((!folder.exists()).then_some(()))).await.unwrap();
    }

    #[test]
    fn a_missing_binary_is_an_error_that_names_the_command() {
        let error = kube_binary(Path::new("/nowhere/crates/testkit")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/target/kube/kube is missing") && error.contains("cargo xtask cluster build"), "{error}");
    }
}
