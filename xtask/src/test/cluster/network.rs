//! What a worker reaches: by the network policies alone, with a program in its place that dials everything; and by its own
//! dialer alone, with a network that lets everything through.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, point};
use super::pods::{OPERATOR, WithoutPodPolicy};
use crate::cluster::{API_PORT, API_SERVICE, BESIDE, Cluster, NODES};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::{Kubectl, condition};
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("the network lets a worker nowhere but where the Region lists, whatever program runs there", the_policies_stand_alone),
    ("the network lets the keeper and the operator nowhere but where they have work", the_keepers_walls_stand),
    ("a worker dials nothing but what the Region lists, whatever the network lets through", the_dialer_stands_alone),
];

pub(super) const PROBE: &str = "probe:dev";
/// Stands for the internet: no list of ours knows it.
const PUBLIC: &str = "11.11.11.11";
/// The metadata services of the clouds: everybody's, and one more of Azure's hosts.
const METADATA: [&str; 2] = ["169.254.169.254", "168.63.129.16"];
/// How the dialer says no.
const REFUSED: &str = "may be dialed only when the Region's privateEndpoints list it";
const LIMIT: Duration = Duration::from_secs(60);

/// Servers at addresses that clouds and the internet have and a test cluster has not.
struct World {
    server: Child,
}

impl World {
    fn start(cluster: &Cluster) -> Result<Self> {
        for address in METADATA.iter().chain([&PUBLIC]) {
            // Already there when an earlier check was cut short.
            let _ = cluster.in_network(&["ip", "address", "add", &format!("{address}/32"), "dev", "nodes"])?.stderr(Stdio::null()).status();
        }
        let listen = [
            format!("{}:80", METADATA[0]),
            format!("{}:443", METADATA[0]),
            format!("{}:443", METADATA[1]),
            format!("{PUBLIC}:443"),
            format!("{PUBLIC}:5432"),
            format!("{PUBLIC}:3306"),
            format!("{PUBLIC}:1433"),
            format!("{PUBLIC}:22"),
            format!("{PUBLIC}:23"),
            format!("{BESIDE}:443"),
        ];
        let probe = cluster.tools().program("probe").to_string_lossy().into_owned();
        let mut server = cluster.in_network(&[&probe, "serve"])?;
        Ok(Self { server: server.args(listen).stdin(Stdio::null()).spawn().context("cannot start the servers of the world")? })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if let Ok(cluster) = Cluster::find() {
            for address in METADATA.iter().chain([&PUBLIC]) {
                let _ = cluster
                    .in_network(&["ip", "address", "delete", &format!("{address}/32"), "dev", "nodes"])
                    .map(|mut delete| delete.status());
            }
        }
    }
}

/// Runs the probe as a pod with these labels and tells which targets it reaches.
pub(super) fn reached(
    kubectl: &Kubectl,
    namespace: &str,
    region: &str,
    name: &str,
    labels: &Value,
    targets: &BTreeMap<String, &'static str>,
) -> Result<BTreeMap<&'static str, bool>> {
    let mut arguments = vec!["dial".to_owned()];
    arguments.extend(targets.keys().cloned());
    let account = if namespace.starts_with("dataimporter-run-") { "worker" } else { "default" };
    kubectl.fed(&["create", "-f", "-"], &json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "restartPolicy": "Never", "serviceAccountName": account, "automountServiceAccountToken": false,
            "nodeSelector": {"node-restriction.kubernetes.io/dataimporter-region": region},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            // Never ready: no Service sends it what is meant for those whose labels it bears.
            "containers": [{"name": "worker", "image": PROBE, "imagePullPolicy": "Never", "args": arguments,
                "readinessProbe": {"tcpSocket": {"port": 1}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}}}],
        },
    }).to_string())?;
    let said = process::wait_until(&format!("probe {namespace}/{name} at its end"), LIMIT, || {
        let phase = kubectl.run(&["get", "pod", name, "-n", namespace, "-o", "jsonpath={.status.phase}"])?;
        ensure!(phase == "Succeeded", "it is {phase}");
        Ok(())
    })
    .and_then(|()| kubectl.run(&["logs", name, "-n", namespace]));
    kubectl.run(&["delete", "pod", name, "-n", namespace, "--grace-period=1"])?;
    let said = said?;
    let verdicts = said.lines().filter_map(|line| line.split_once(' '));
    let reached: BTreeMap<&'static str, bool> =
        verdicts.filter_map(|(verdict, address)| Some((*targets.get(address)?, verdict == "open"))).collect();
    ensure!(reached.len() == targets.len(), "the probe said only {said}");
    Ok(reached)
}

pub(super) fn address_of(kubectl: &Kubectl, namespace: &str, selector: &str) -> Result<String> {
    let address = kubectl.run(&["get", "pods", "-n", namespace, "-l", selector, "-o", "jsonpath={.items[0].status.podIP}"])?;
    ensure!(!address.is_empty(), "no pod {selector} in {namespace} has an address");
    Ok(address)
}

/// Labels of a worker as the operator makes it. `system`: the kind of the one that it reads on a port of its own, if it reads any.
pub(super) fn worker_labels(system: Option<&str>) -> Value {
    let mut labels = json!({
        "app.kubernetes.io/name": "dataimporter", "app.kubernetes.io/managed-by": "dataimporter", "app.kubernetes.io/component": "worker",
        "dataimporter.io/tenant": "acme", "dataimporter.io/region": "eu-frankfurt",
    });
    if let Some(kind) = system {
        labels[format!("dataimporter.io/egress-{kind}")] = json!("true");
    }
    labels
}

fn the_policies_stand_alone(demo: &Demo) -> Result<()> {
    let (kubectl, cluster) = (&demo.kubectl, Cluster::find()?);
    cluster.load_program(PROBE, &cluster.tools().program("probe"))?;
    let _world = World::start(&cluster)?;
    let service = |namespace: &str, name: &str| kubectl.run(&["get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"]);
    let keeper = address_of(kubectl, SYSTEM, "app.kubernetes.io/component=keeper")?;
    // Where it is, what it is, and whether acme's workers may go there.
    let places: Vec<(String, &'static str, bool)> = vec![
        (format!("{keeper}:8443"), "the keeper", true),
        (format!("{}:8443", address_of(kubectl, "demo", "app=salesforce-emulator")?), "what the Region lists for acme", true),
        (format!("{PUBLIC}:443"), "a public address", true),
        (format!("{keeper}:8080"), "the keeper's metrics", false),
        (format!("{}:8080", address_of(kubectl, SYSTEM, "app.kubernetes.io/component=operator")?), "the operator", false),
        (format!("{API_SERVICE}:443"), "the API server by its service", false),
        (format!("{}:{API_PORT}", NODES[0].address()), "the API server by its node", false),
        (format!("{}:10250", NODES[1].address()), "a kubelet", false),
        (format!("{}:5432", address_of(kubectl, "demo", "app=postgres")?), "another tenant's database", false),
        (format!("{}:5432", service("demo", "postgres")?), "another tenant's database by its service", false),
        (format!("{BESIDE}:443"), "a private address that no Region lists for acme", false),
        (format!("{}:80", METADATA[0]), "the metadata service", false),
        (format!("{}:443", METADATA[0]), "the metadata service over TLS", false),
        (format!("{}:443", METADATA[1]), "Azure's host", false),
        (format!("{PUBLIC}:23"), "another port of a public address", false),
        (format!("{PUBLIC}:22"), "a public SFTP server", false),
        (format!("{PUBLIC}:5432"), "a public PostgreSQL", false),
        (format!("{PUBLIC}:3306"), "a public MySQL", false),
        (format!("{PUBLIC}:1433"), "a public SQL Server", false),
    ];
    let targets: BTreeMap<String, &'static str> = places.iter().map(|(address, what, _)| (address.clone(), *what)).collect();
    let expected = |database: Option<&str>| -> BTreeMap<&'static str, bool> {
        places.iter().map(|(_, what, open)| (*what, *open || database == Some(*what))).collect()
    };

    // Where no policy is, all of it is there and answers; only the keeper and its neighbours have a wall of their own.
    let free = reached(kubectl, "demo", "eu-frankfurt", "probe", &worker_labels(Some("postgres")), &targets)?;
    let closed: Vec<&str> = free.iter().filter(|(_, open)| !**open).map(|(what, _)| *what).collect();
    ensure!(closed == ["the keeper"], "control: without policies, out of reach are {closed:?}");

    let off = WithoutPodPolicy::begin(kubectl)?;
    let namespace = "dataimporter-run-acme";
    let file = reached(kubectl, namespace, "eu-frankfurt", "probe-file", &worker_labels(None), &targets)?;
    let postgres = reached(kubectl, namespace, "eu-frankfurt", "probe-postgres", &worker_labels(Some("postgres")), &targets)?;
    let mysql = reached(kubectl, namespace, "eu-frankfurt", "probe-mysql", &worker_labels(Some("mysql")), &targets)?;
    let sql_server = reached(kubectl, namespace, "eu-frankfurt", "probe-sqlserver", &worker_labels(Some("sqlserver")), &targets)?;
    let sftp = reached(kubectl, namespace, "eu-frankfurt", "probe-sftp", &worker_labels(Some("sftp")), &targets)?;
    off.end()?;
    differences("a worker that reads a file", &file, &expected(None))?;
    differences("a worker that reads PostgreSQL", &postgres, &expected(Some("a public PostgreSQL")))?;
    differences("a worker that reads MySQL", &mysql, &expected(Some("a public MySQL")))?;
    differences("a worker that reads SQL Server", &sql_server, &expected(Some("a public SQL Server")))?;
    differences("a worker that reads SFTP", &sftp, &expected(Some("a public SFTP server")))
}

/// A program in the place of the keeper, or of the operator.
fn the_keepers_walls_stand(demo: &Demo) -> Result<()> {
    let (kubectl, cluster) = (&demo.kubectl, Cluster::find()?);
    cluster.load_program(PROBE, &cluster.tools().program("probe"))?;
    let _world = World::start(&cluster)?;
    let labels = |component: &str| json!({"app.kubernetes.io/name": "dataimporter", "app.kubernetes.io/component": component});
    let system = |component: &str| address_of(kubectl, SYSTEM, &format!("app.kubernetes.io/component={component}"));
    // Where it is, what it is, and whether the keeper and whether the operator may go there.
    let places: Vec<(String, &'static str, bool, bool)> = vec![
        (format!("{}:{API_PORT}", NODES[0].address()), "the API server by its node", true, true),
        (format!("{}:8443", address_of(kubectl, "demo", "app=salesforce-emulator")?), "what the values list", true, false),
        (format!("{PUBLIC}:443"), "a public address", true, false),
        (format!("{PUBLIC}:5432"), "a public PostgreSQL", true, false),
        (format!("{PUBLIC}:3306"), "a public MySQL", true, false),
        (format!("{PUBLIC}:1433"), "a public SQL Server", true, false),
        (format!("{PUBLIC}:22"), "a public SFTP server", true, false),
        (format!("{PUBLIC}:23"), "another port of a public address", false, false),
        (format!("{}:10250", NODES[1].address()), "a kubelet", false, false),
        (format!("{BESIDE}:443"), "a private address that nobody lists", false, false),
        (format!("{}:80", METADATA[0]), "the metadata service", false, false),
        (format!("{}:443", METADATA[0]), "the metadata service over TLS", false, false),
        (format!("{}:443", METADATA[1]), "Azure's host", false, false),
        (format!("{}:8080", system("operator")?), "the operator", false, false),
    ];
    let targets: BTreeMap<String, &'static str> = places.iter().map(|(address, what, ..)| (address.clone(), *what)).collect();
    let free = reached(kubectl, "demo", "eu-frankfurt", "probe-free", &json!({}), &targets)?;
    differences("control: a pod without policies", &free, &free.keys().map(|what| (*what, true)).collect())?;
    let keeper = reached(kubectl, SYSTEM, "eu-frankfurt", "probe-keeper", &labels("keeper"), &targets)?;
    let operator = reached(kubectl, SYSTEM, "eu-frankfurt", "probe-operator", &labels("operator"), &targets)?;
    differences("a program in the keeper's place", &keeper, &places.iter().map(|(_, what, keeper, _)| (*what, *keeper)).collect())?;
    differences("a program in the operator's place", &operator, &places.iter().map(|(_, what, _, operator)| (*what, *operator)).collect())
}

pub(super) fn differences(who: &str, seen: &BTreeMap<&'static str, bool>, expected: &BTreeMap<&'static str, bool>) -> Result<()> {
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(what, open)| seen.get(*what) != Some(open))
        .map(|(what, open)| format!("{what} is {}", if *open { "out of reach" } else { "within reach" }))
        .collect();
    ensure!(wrong.is_empty(), "for {who}: {}", wrong.join("; "));
    Ok(())
}

/// Names that lead to a listed address until the credential is verified, and somewhere else when a worker dials them.
fn the_dialer_stands_alone(demo: &Demo) -> Result<()> {
    const TENANT: &str = "moving";
    let (kubectl, cluster) = (&demo.kubectl, Cluster::find()?);
    let targets = [
        ("to-api", NODES[0].address(), API_PORT, "the API server"),
        ("to-database", address_of(kubectl, "demo", "app=postgres")?, 5432, "another tenant's database"),
        ("to-node", NODES[2].address(), 10250, "a kubelet"),
    ];
    cluster.load_program(PROBE, &cluster.tools().program("probe"))?;
    let beside = Beside::start(demo)?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    for (name, ..) in &targets {
        point(kubectl, name, BESIDE, 5432)?;
        beside.database_at(TENANT, name, &format!("{name}.beside.svc"))?;
        beside.job(TENANT, name, name, "SELECT id, first_name, last_name FROM contacts")?;
    }
    beside.intake(TENANT, &[&["crm"][..], &targets.each_ref().map(|(name, ..)| *name)].concat())?;
    let start = |job: &str, round: &str| -> Result<String> {
        let name = format!("{job}-{round}-{}", std::process::id());
        demo.plugin(&["run", &format!("{TENANT}/{job}"), "--name", &name])?;
        Ok(name)
    };
    let end = |name: &str| -> Result<Value> {
        let mut run = Value::Null;
        process::wait_until(&format!("the end of run {name}"), LIMIT, || {
            run = kubectl.json(&["get", "importrun", name, "-n", TENANT])?;
            ensure!(condition(&run, "Succeeded").is_some_and(|(status, ..)| status != "Unknown"), "{:?}", condition(&run, "Ready"));
            Ok(())
        })?;
        Ok(run)
    };
    let first = end(&start(targets[0].0, "listed")?)?;
    let ended = condition(&first, "Succeeded");
    ensure!(ended.is_some_and(|(status, ..)| status == "True"), "control: a name that leads to a listed address is dialed: {ended:?}");

    // From here on the network lets everything through: a program in a worker's place reaches them all.
    let namespace = format!("dataimporter-run-{TENANT}");
    // Written by the operator's account, as nobody else may; the operator itself looks for what is not its own every ten minutes.
    let everything = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "everything", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    kubectl.fed(&["create", "-f", "-", "--as", OPERATOR], &everything.to_string())?;
    for (name, address, ..) in &targets {
        point(kubectl, name, address, 5432)?;
    }
    let places: BTreeMap<String, &'static str> =
        targets.iter().map(|(_, address, port, what)| (format!("{address}:{port}"), *what)).collect();
    let off = WithoutPodPolicy::begin(kubectl)?;
    let open = reached(kubectl, &namespace, "us-dallas", "probe", &worker_labels(Some("postgres")), &places)?;
    off.end()?;
    differences(
        "control: a program in a worker's place, with the policies switched off",
        &open,
        &open.keys().map(|what| (*what, true)).collect(),
    )?;
    // The cluster's DNS keeps an answer for five seconds.
    std::thread::sleep(Duration::from_secs(6));
    let runs = targets.iter().map(|(name, ..)| start(name, "moved")).collect::<Result<Vec<String>>>()?;
    for (run, (_, address, _, what)) in runs.iter().zip(&targets) {
        let ended = end(run)?;
        let (status, reason, message) = condition(&ended, "Succeeded").context("it has an end")?;
        let refused = status == "False" && message.contains(address.as_str()) && message.contains(REFUSED);
        ensure!(refused, "the run towards {what} ended {status} {reason}: {message}");
    }
    kubectl.run(&["delete", "networkpolicy", "everything", "-n", &namespace, "--as", OPERATOR])?;

    // An address in place of a name. The keeper dials by the same rules, and no policy is in its way out.
    for (number, address) in [API_SERVICE].into_iter().chain(METADATA).enumerate() {
        let name = format!("literal-{number}");
        beside.database_at(TENANT, &name, address)?;
        beside.permit(TENANT, &name)?;
        process::wait_until(&format!("a Connection to {address} refused"), LIMIT, || {
            let connection = kubectl.json(&["get", "connection", &name, "-n", TENANT])?;
            let ready = condition(&connection, "Ready");
            ensure!(ready.is_some_and(|(status, _, message)| status == "False" && message.contains(REFUSED)), "it says {ready:?}");
            Ok(())
        })?;
    }
    Ok(())
}
