//! Proves that the cluster is what tests take it for: pods behind restrictions, names and services across nodes, node
//! labels that a kubelet cannot forge, and network policies that are in force, both ways, for every kind of rule.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::layout::{API_PORT, API_SERVICE, NODES, Node};
use super::running::Cluster;
use crate::process::{output, wait_until};
use crate::progress::Progress;

const WORKLOADS: &str = include_str!("manifests/verify.yaml");
const IMAGE: &str = "probe:dev";
const NAMESPACE: &str = "verify";
const OTHER: &str = "verify-other";
/// How long policies and addresses may take to come into force.
const LAG: Duration = Duration::from_secs(10);

pub(crate) fn verify(cluster: &Cluster, progress: &Progress) -> Result<()> {
    cluster.load_program(IMAGE, &cluster.tools().program("probe"))?;
    remove(cluster)?;
    let outcome = checks(cluster, progress);
    let removed = remove(cluster);
    outcome.and(removed)
}

fn checks(cluster: &Cluster, progress: &Progress) -> Result<()> {
    cluster.apply(WORKLOADS)?;
    let [server_node, client_node, other_node] = &NODES;
    cluster.apply(&pod(NAMESPACE, "server", server_node, &["serve", ":8080", ":9090"], "Always").to_string())?;
    cluster.apply(&pod(OTHER, "server", other_node, &["serve", ":8080"], "Always").to_string())?;
    cluster.apply(&pod(NAMESPACE, "client", client_node, &["serve", ":8080"], "Always").to_string())?;
    for namespace in [NAMESPACE, OTHER] {
        kubectl(cluster, namespace, &["wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s"])?;
    }
    progress.say("pods run on all nodes, under the restricted pod security standard");

    restrictions(cluster, other_node)?;
    progress.say("a container has no privileges and cannot write to its root");
    privileged_pod_is_refused(cluster, client_node)?;
    progress.say("a privileged pod is refused");
    names_resolve(cluster, client_node)?;
    progress.say("a container's first question to DNS is answered");
    region_label_is_safe(cluster, server_node)?;
    progress.say("a kubelet cannot change the region that placement trusts");
    policies(cluster, progress)
}

fn restrictions(cluster: &Cluster, node: &Node) -> Result<()> {
    let said = run_once(cluster, "walls", node, &["walls"])?;
    let expected = "uid 65532\nroot-writable false\ncapeff 0000000000000000\ncapbnd 0000000000000000\nnonewprivs 1\nseccomp 2\n";
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    ensure!(sorted(&said) == sorted(expected), "a restricted container sees\n{said}instead of\n{expected}");
    Ok(())
}

fn privileged_pod_is_refused(cluster: &Cluster, node: &Node) -> Result<()> {
    let mut pod = pod(NAMESPACE, "privileged", node, &["walls"], "Never");
    pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let refusal = cluster.apply(&pod.to_string()).err().context("a privileged pod was accepted")?.to_string();
    ensure!(refusal.contains("violates PodSecurity"), "a privileged pod was refused for another reason: {refusal}");
    Ok(())
}

fn names_resolve(cluster: &Cluster, node: &Node) -> Result<()> {
    let said = run_once(cluster, "resolve", node, &["resolve", "kubernetes.default"])?;
    ensure!(said.trim() == API_SERVICE, "kubernetes.default resolves to {said:?}");
    Ok(())
}

fn region_label_is_safe(cluster: &Cluster, node: &Node) -> Result<()> {
    let kubeconfig = cluster.kubeconfig_of(&format!("kubelet-{}", node.name))?;
    let label = |label: &str| as_kubelet(cluster, &kubeconfig, &["label", "--overwrite", "node", node.name, label]);
    let refusal = label("node-restriction.kubernetes.io/dataimporter-region=elsewhere").err().context("a kubelet changed its region")?;
    ensure!(format!("{refusal:#}").contains("is not allowed to modify labels"), "refused for another reason: {refusal:#}");
    Ok(())
}

fn as_kubelet(cluster: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    output(cluster.kubectl(arguments).env("KUBECONFIG", kubeconfig))
}

/// What the client may reach, by name of the target.
type Verdicts = [(&'static str, bool); 5];

const fn verdicts(web: bool, service: bool, admin: bool, other: bool, api: bool) -> Verdicts {
    [("web", web), ("service", service), ("admin", admin), ("other", other), ("api", api)]
}

/// Policies add up from step to step; the last one takes them away.
fn steps() -> [(&'static str, Option<Value>, Verdicts); 9] {
    let server = json!({"podSelector": {"matchLabels": {"app": "server"}}});
    let dns = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
    let dns_ports = json!([{"port": "dns", "protocol": "UDP"}, {"port": "dns-tcp", "protocol": "TCP"}]);
    let stranger = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OTHER}}});
    let everywhere_but_pods = json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}});
    let client = json!({"podSelector": {"matchLabels": {"app": "client"}}});
    [
        ("no policy", None, verdicts(true, true, true, true, true)),
        ("default deny of egress", Some(egress("deny", json!([]))), verdicts(false, false, false, false, false)),
        (
            "and DNS, and a named port of pods by label",
            Some(egress("web", json!([{"to": [dns], "ports": dns_ports}, {"to": [server], "ports": [{"port": "http"}]}]))),
            verdicts(true, true, false, false, false),
        ),
        ("and another namespace", Some(egress("stranger", json!([{"to": [stranger]}]))), verdicts(true, true, false, true, false)),
        (
            "and an address block with an exception",
            Some(egress("api", json!([{"to": [everywhere_but_pods], "ports": [{"port": API_PORT}]}]))),
            verdicts(true, true, false, true, true),
        ),
        (
            "and a range of ports",
            Some(egress("admin", json!([{"to": [server], "ports": [{"port": 9000, "endPort": 9100}]}]))),
            verdicts(true, true, true, true, true),
        ),
        ("and default deny of ingress at the server", Some(ingress("deny-in", json!([]))), verdicts(false, false, false, true, true)),
        (
            "and ingress from pods by label to a named port",
            Some(ingress("web-in", json!([{"from": [client], "ports": [{"port": "http"}]}]))),
            verdicts(true, true, false, true, true),
        ),
        ("policies removed", None, verdicts(true, true, true, true, true)),
    ]
}

fn egress(name: &str, rules: Value) -> Value {
    policy(name, json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": rules}))
}

fn ingress(name: &str, rules: Value) -> Value {
    policy(name, json!({"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], "ingress": rules}))
}

fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

fn policies(cluster: &Cluster, progress: &Progress) -> Result<()> {
    let address = |namespace: &str| kubectl(cluster, namespace, &["get", "pod", "server", "--output=jsonpath={.status.podIP}"]);
    let (server, other) = (address(NAMESPACE)?, address(OTHER)?);
    let targets = BTreeMap::from([
        (format!("{server}:8080"), "web"),
        ("server:80".to_owned(), "service"),
        (format!("{server}:9090"), "admin"),
        (format!("{other}:8080"), "other"),
        (format!("{API_SERVICE}:443"), "api"),
    ]);
    for (number, (step, policy, expected)) in steps().into_iter().enumerate() {
        match policy {
            Some(policy) => cluster.apply(&policy.to_string())?,
            None if number > 0 => drop(kubectl(cluster, NAMESPACE, &["delete", "networkpolicy", "--all"])?),
            None => {}
        }
        let expected = BTreeMap::from(expected);
        wait_until(&format!("network policies: {step}"), LAG, || {
            let seen = dial(cluster, &targets)?;
            ensure!(seen == expected, "reachable should be {expected:?}, and is {seen:?}");
            Ok(())
        })?;
        progress.say(&format!("network policies: {step}: 5 of 5 verdicts are right"));
    }
    Ok(())
}

fn dial<'a>(cluster: &Cluster, targets: &BTreeMap<String, &'a str>) -> Result<BTreeMap<&'a str, bool>> {
    let mut arguments = vec!["exec", "client", "--", "/probe", "dial"];
    arguments.extend(targets.keys().map(String::as_str));
    let said = kubectl(cluster, NAMESPACE, &arguments)?;
    let verdicts = said.lines().filter_map(|line| line.split_once(' '));
    Ok(verdicts.filter_map(|(verdict, address)| Some((*targets.get(address)?, verdict == "open"))).collect())
}

/// Runs a probe as a pod of its own and returns what it said.
fn run_once(cluster: &Cluster, name: &str, node: &Node, arguments: &[&str]) -> Result<String> {
    cluster.apply(&pod(NAMESPACE, name, node, arguments, "Never").to_string())?;
    let said = wait_until(name, Duration::from_secs(30), || {
        let phase = kubectl(cluster, NAMESPACE, &["get", "pod", name, "--output=jsonpath={.status.phase}"])?;
        ensure!(matches!(phase.as_str(), "Succeeded" | "Failed"), "pod {name} is {phase}");
        Ok(())
    })
    .and_then(|()| kubectl(cluster, NAMESPACE, &["logs", name]))?;
    kubectl(cluster, NAMESPACE, &["delete", "pod", name])?;
    Ok(said)
}

fn pod(namespace: &str, name: &str, node: &Node, arguments: &[&str], restart: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "nodeSelector": {"node-restriction.kubernetes.io/dataimporter-region": node.region},
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "args": arguments,
                "ports": [{"name": "http", "containerPort": 8080}],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

fn remove(cluster: &Cluster) -> Result<()> {
    let mut delete = cluster.kubectl(&["delete", "namespace", NAMESPACE, OTHER, "--ignore-not-found", "--timeout=60s"]);
    output(&mut delete).map(|_| ())
}

fn kubectl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Result<String> {
    let mut command: Command = cluster.kubectl(&["--namespace", namespace]);
    output(command.args(arguments))
}
