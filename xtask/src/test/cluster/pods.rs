//! What may run in a run namespace, and who may get near it: each attack as the person or pod that would try it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Check;
use super::refusal::{Attempt, all_refused, control, put, refused, try_create};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("pods that break the rules are refused", pods_that_break_the_rules),
    ("a worker cannot be made another one afterwards", updates_that_break_the_rules),
    ("nobody enters a worker", nobody_enters_a_worker),
    ("nobody but the scheduler gives a worker its node", nobody_else_binds),
];

const RUN_NAMESPACE: &str = "dataimporter-run-acme";
const POLICY: &str = "ValidatingAdmissionPolicy 'dataimporter-run-pods'";
/// The account that alone makes workers: nobody else comes as far as the other rules.
pub(super) const OPERATOR: &str = "system:serviceaccount:dataimporter-system:dataimporter-operator";
/// A policy takes effect, and ceases to, up to some seconds after it is written.
const LAG: Duration = Duration::from_secs(30);

/// A pod as the operator makes it, in the run namespace of acme.
fn worker_pod(kubectl: &Kubectl) -> Result<Value> {
    let installation = kubectl.run(&["get", "configmap", "dataimporter-installation", "-n", SYSTEM, "-o", "jsonpath={.data.uid}"])?;
    let audience = format!("dataimporter-keeper.eu-frankfurt.{}", installation.trim());
    let keeper = format!("https://dataimporter-keeper.{SYSTEM}.svc:8443");
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "attack", "namespace": RUN_NAMESPACE},
        "spec": {
            "serviceAccountName": "worker", "automountServiceAccountToken": false, "restartPolicy": "Never",
            "nodeSelector": {"node-restriction.kubernetes.io/dataimporter-region": "eu-frankfurt"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "worker", "image": our_image(kubectl)?, "args": ["worker"],
                "env": [{"name": "KEEPER_URL", "value": keeper}, {"name": "ATTEMPT", "value": "1"}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/dataimporter", "readOnly": true}],
            }],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {
                "audience": audience, "expirationSeconds": 600, "path": "token"}}]}}],
        },
    }))
}

fn our_image(kubectl: &Kubectl) -> Result<String> {
    let path = r#"jsonpath={.spec.template.spec.containers[0].env[?(@.name=="WORKER_IMAGE")].value}"#;
    kubectl.run(&["get", "deployment", "dataimporter-operator", "-n", SYSTEM, "-o", path])
}

fn pods_that_break_the_rules(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let good = worker_pod(kubectl)?;
    control("a pod as the operator makes it is admitted", try_create(kubectl, Some(OPERATOR), &good))?;
    refused("the same pod of an administrator", try_create(kubectl, None, &good), "workers are made by the operator")?;
    let mut tolerant = good.clone();
    put(&mut tolerant, "/spec/tolerations", json!([{"key": "dedicated", "operator": "Exists"}]));
    control("so is one with a Region's tolerations", try_create(kubectl, Some(OPERATOR), &tolerant))?;

    let mut other = good["spec"]["containers"][0].clone();
    other["name"] = json!("other");
    let token = good["spec"]["volumes"][0].clone();
    let mut second = token["projected"]["sources"][0].clone();
    second["serviceAccountToken"]["path"] = json!("second");
    let secret = json!({"secretName": "s"});
    // (what it is, where, with what)
    let edits: Vec<(&str, &str, Value)> = vec![
        ("another region's nodes", "/spec/nodeSelector", json!({"node-restriction.kubernetes.io/dataimporter-region": "ap-sydney"})),
        ("the label that a node may give itself", "/spec/nodeSelector", json!({"topology.kubernetes.io/region": "eu-frankfurt"})),
        ("no region", "/spec/nodeSelector", json!({})),
        ("a node by name", "/spec/nodeName", json!("dallas")),
        ("another account", "/spec/serviceAccountName", json!("default")),
        ("a Kubernetes token", "/spec/automountServiceAccountToken", json!(true)),
        ("a Secret as volume", "/spec/volumes/0", json!({"name": "token", "secret": secret})),
        ("a ConfigMap as volume", "/spec/volumes/0", json!({"name": "token", "configMap": {"name": "c"}})),
        ("a disk that goes with it", "/spec/volumes/0", json!({"name": "token", "emptyDir": {}})),
        ("a disk that stays", "/spec/volumes/0", json!({"name": "token", "persistentVolumeClaim": {"claimName": "c"}})),
        (
            "a disk made for it",
            "/spec/volumes/0",
            json!({"name": "token", "ephemeral": {"volumeClaimTemplate": {"spec":
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}),
        ),
        ("a volume of a driver", "/spec/volumes/0", json!({"name": "token", "csi": {"driver": "d"}})),
        ("what the API server says about it", "/spec/volumes/0", json!({"name": "token", "downwardAPI": {"items": []}})),
        ("an image as volume", "/spec/volumes/0", json!({"name": "token", "image": {"reference": "i"}})),
        ("a second volume", "/spec/volumes", json!([token, {"name": "more", "projected": token["projected"]}])),
        ("a projected Secret", "/spec/volumes/0/projected/sources/0", json!({"secret": {"name": "s"}})),
        ("a projected ConfigMap", "/spec/volumes/0/projected/sources/0", json!({"configMap": {"name": "c"}})),
        ("a second token", "/spec/volumes/0/projected/sources", json!([token["projected"]["sources"][0], second])),
        (
            "a token for the API server",
            "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience",
            json!("https://kubernetes.default.svc"),
        ),
        (
            "a token of no audience",
            "/spec/volumes/0/projected/sources/0/serviceAccountToken",
            json!({"path": "token", "expirationSeconds": 600}),
        ),
        (
            "a token for another region",
            "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience",
            json!("dataimporter-keeper.ap-sydney.x"),
        ),
        ("a token for a day", "/spec/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds", json!(86400)),
        ("the host's network", "/spec/hostNetwork", json!(true)),
        ("the host's processes", "/spec/hostPID", json!(true)),
        ("a port of the host", "/spec/containers/0/ports", json!([{"containerPort": 80, "hostPort": 80}])),
        ("last words in a file of its choice", "/spec/containers/0/terminationMessagePath", json!("/data/out")),
        ("last words out of its log", "/spec/containers/0/terminationMessagePolicy", json!("FallbackToLogsOnError")),
        ("a probe", "/spec/containers/0/livenessProbe", json!({"exec": {"command": ["/dataimporter"]}})),
        ("a port", "/spec/containers/0/ports", json!([{"containerPort": 80}])),
        ("a name that leads elsewhere", "/spec/hostAliases", json!([{"ip": "198.18.77.100", "hostnames": ["login.salesforce.com"]}])),
        ("another DNS server", "/spec/dnsConfig", json!({"nameservers": ["198.18.77.100"]})),
        ("other names searched", "/spec/dnsConfig", json!({"searches": ["evil.example"]})),
        ("its node's DNS", "/spec/dnsPolicy", json!("Default")),
        ("an init container", "/spec/initContainers", json!([other])),
        ("two containers", "/spec/containers", json!([good["spec"]["containers"][0], other])),
        ("an image of somebody else's", "/spec/containers/0/image", json!("somebody/elses:1")),
        ("another program of ours", "/spec/containers/0/args", json!(["keeper"])),
        ("more arguments", "/spec/containers/0/args", json!(["worker", "--token-path=/other"])),
        ("another command", "/spec/containers/0/command", json!(["/dataimporter", "run"])),
        ("a keeper elsewhere", "/spec/containers/0/env/0/value", json!("https://evil.example")),
        ("a proxy", "/spec/containers/0/env/1", json!({"name": "HTTPS_PROXY", "value": "https://evil.example"})),
        (
            "environment from a Secret",
            "/spec/containers/0/env/1",
            json!({"name": "ATTEMPT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        ),
        (
            "environment from a ConfigMap",
            "/spec/containers/0/env/1",
            json!({"name": "ATTEMPT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}),
        ),
        (
            "environment from its own fields",
            "/spec/containers/0/env/1",
            json!({"name": "ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}),
        ),
        ("a whole ConfigMap as environment", "/spec/containers/0/envFrom", json!([{"configMapRef": {"name": "c"}}])),
        ("a whole Secret as environment", "/spec/containers/0/envFrom", json!([{"secretRef": {"name": "s"}}])),
        ("a root it can write to", "/spec/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
        ("root's rights", "/spec/containers/0/securityContext/runAsUser", json!(0)),
        ("a privileged container", "/spec/containers/0/securityContext", json!({"privileged": true})),
        ("a hook", "/spec/containers/0/lifecycle", json!({"preStop": {"exec": {"command": ["/dataimporter"]}}})),
        ("restarts", "/spec/restartPolicy", json!("Always")),
        ("the system's priority", "/spec/priorityClassName", json!("system-node-critical")),
        ("a device", "/spec/resourceClaims", json!([{"name": "gpu", "resourceClaimName": "gpu"}])),
    ];
    let attempts = edits.into_iter().map(|(what, pointer, value)| {
        let mut object = good.clone();
        put(&mut object, pointer, value);
        // Kubernetes' own rules speak before ours about what both forbid.
        let reason = match what {
            "the host's network" | "the host's processes" | "a port of the host" | "root's rights" | "a privileged container" => {
                "violates PodSecurity"
            }
            _ => POLICY,
        };
        Attempt { what: format!("a pod with {what}"), object, reason }
    });
    all_refused(kubectl, Some(OPERATOR), attempts.collect())?;
    // The old name of the account's field is read only when the new one is empty.
    let mut renamed = good.clone();
    renamed["spec"].as_object_mut().context("a spec")?.remove("serviceAccountName");
    renamed["spec"]["serviceAccount"] = json!("default");
    refused("a pod with another account by its old name", try_create(kubectl, Some(OPERATOR), &renamed), POLICY)?;
    // A runtime class must exist before it can be asked for.
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "attack"}, "handler": "runc"});
    kubectl.apply(&class)?;
    let mut elsewhere = good.clone();
    elsewhere["spec"]["runtimeClassName"] = json!("attack");
    let result = try_create(kubectl, Some(OPERATOR), &elsewhere);
    kubectl.run(&["delete", "runtimeclass", "attack"])?;
    refused("a pod with another runtime", result, POLICY)?;
    // A static pod is one that its node announces; it brings its node's name along.
    let mut mirror = good.clone();
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    mirror["spec"]["nodeName"] = json!("frankfurt");
    let node = Kubectl { kubeconfig: Some(Cluster::find()?.kubeconfig_of("kubelet-frankfurt")?), ..kubectl.clone() };
    ensure!(try_create(&node, None, &mirror).is_err(), "a static pod of a node was admitted");
    Ok(())
}

/// A worker that waits for a node for ever, since none of its region has the label it also asks for.
struct Waiting<'a> {
    kubectl: &'a Kubectl,
}

impl<'a> Waiting<'a> {
    fn start(kubectl: &'a Kubectl) -> Result<Self> {
        let mut pod = worker_pod(kubectl)?;
        pod["spec"]["nodeSelector"]["dataimporter.io/no-such-node"] = json!("true");
        kubectl.fed(&["create", "-f", "-", "--as", OPERATOR], &pod.to_string())?;
        Ok(Self { kubectl })
    }

    /// As the operator; a subresource, on which it has no rights, as the administrator.
    fn patch(&self, subresource: Option<&str>, body: &Value) -> Result<String> {
        let body = body.to_string();
        let mut arguments = vec!["patch", "pod", "attack", "-n", RUN_NAMESPACE, "--dry-run=server", "--type=strategic", "-p", &body];
        let subresource = subresource.map(|name| format!("--subresource={name}"));
        match &subresource {
            Some(subresource) => arguments.push(subresource),
            None => arguments.extend(["--as", OPERATOR]),
        }
        self.kubectl.run(&arguments)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _ = self.kubectl.run(&["delete", "pod", "attack", "-n", RUN_NAMESPACE, "--grace-period=0", "--force"]);
    }
}

fn updates_that_break_the_rules(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let pod = Waiting::start(kubectl)?;
    control("a worker's annotations may change", pod.patch(None, &json!({"metadata": {"annotations": {"a": "b"}}})))?;
    let container = |rest: Value| {
        let mut container = json!({"name": "worker"});
        container.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        json!({"spec": {"containers": [container]}})
    };
    refused("another image", pod.patch(None, &container(json!({"image": "somebody/elses:1"}))), POLICY)?;
    let more = container(json!({"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}}));
    refused("other limits", pod.patch(Some("resize"), &more), "cannot be entered")?;
    let path = format!("/api/v1/namespaces/{RUN_NAMESPACE}/pods/attack/ephemeralcontainers?dryRun=All");
    let mut debugged = kubectl.json(&["get", "pod", "attack", "-n", RUN_NAMESPACE])?;
    let security = debugged["spec"]["containers"][0]["securityContext"].clone();
    debugged["spec"]["ephemeralContainers"] =
        json!([{"name": "debugger", "image": "i", "targetContainerName": "worker", "securityContext": security}]);
    refused("an ephemeral container", kubectl.fed(&["replace", "--raw", &path, "-f", "-"], &debugged.to_string()), "cannot be entered")
}

fn nobody_enters_a_worker(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let pod = Waiting::start(kubectl)?;
    // The raw calls: kubectl looks at the pod first and may find a reason of its own.
    let connect = |namespace: &str, name: &str, what: &str| {
        kubectl.fed(&["create", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/{name}/{what}"), "-f", "-"], "{}")
    };
    let emulator =
        kubectl.run(&["get", "pods", "-n", "demo", "-l", "app=salesforce-emulator", "-o", "jsonpath={.items[0].metadata.name}"])?;
    for what in ["exec?command=true&stdout=true", "attach?stdout=true", "portforward"] {
        let elsewhere = connect("demo", &emulator, what).unwrap_err();
        ensure!(
            !format!("{elsewhere:#}").contains("cannot be entered"),
            "control: elsewhere {what} fails for want of a websocket only: {elsewhere:#}"
        );
        refused(what, connect(RUN_NAMESPACE, "attack", what), "cannot be entered")?;
    }
    let proxy = kubectl.run(&["get", "--raw", &format!("/api/v1/namespaces/{RUN_NAMESPACE}/pods/attack/proxy/")]);
    refused("proxy", proxy, "cannot be entered")?;
    drop(pod);
    Ok(())
}

fn nobody_else_binds(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let pod = Waiting::start(kubectl)?;
    let target = json!({"apiVersion": "v1", "kind": "Node", "name": "dallas"});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "attack"}, "target": target});
    for path in ["pods/attack/binding", "bindings"] {
        let path = format!("/api/v1/namespaces/{RUN_NAMESPACE}/{path}?dryRun=All");
        let bind = |user: &[&str]| kubectl.fed(&[&["create", "--raw", &path, "-f", "-"], user].concat(), &binding.to_string());
        control("the scheduler binds", bind(&["--as", "system:kube-scheduler"]))?;
        refused("a binding to a node elsewhere", bind(&[]), "only the scheduler")?;
    }
    drop(pod);
    Ok(())
}

/// The policy for pods in run namespaces, switched off by the administrator for as long as this lives: an attack can then show
/// that the walls behind it stand alone.
pub(super) struct WithoutPodPolicy<'a> {
    kubectl: &'a Kubectl,
    binding: Value,
}

impl<'a> WithoutPodPolicy<'a> {
    pub(super) fn begin(kubectl: &'a Kubectl) -> Result<Self> {
        let name = ["validatingadmissionpolicybinding", "dataimporter-run-pods"];
        let mut binding = kubectl.json(&[&["get"], &name[..]].concat())?;
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            binding["metadata"].as_object_mut().context("it has metadata")?.remove(field);
        }
        kubectl.run(&[&["delete"], &name[..]].concat())?;
        let off = Self { kubectl, binding };
        process::wait_until("the pod policy switched off", LAG, || off.bad_pod().map(|_| ()))?;
        Ok(off)
    }

    /// A pod that nothing but the policy refuses.
    fn bad_pod(&self) -> Result<String> {
        let mut pod = worker_pod(self.kubectl)?;
        pod["spec"]["containers"][0]["image"] = json!("somebody/elses:1");
        try_create(self.kubectl, None, &pod)
    }

    /// Switches it on again and waits for the first refusal.
    pub(super) fn end(self) -> Result<()> {
        self.kubectl.fed(&["create", "-f", "-"], &self.binding.to_string())?;
        process::wait_until("the pod policy switched on again", LAG, || match self.bad_pod() {
            Ok(_) => bail!("a bad pod is still admitted"),
            Err(_) => Ok(()),
        })
    }
}

impl Drop for WithoutPodPolicy<'_> {
    /// After a failure too; when `end` has done it already, there is nothing left to do.
    fn drop(&mut self) {
        let _ = self.kubectl.fed(&["create", "-f", "-"], &self.binding.to_string());
    }
}
