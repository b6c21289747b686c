//! What must be refused, each as the person or pod that would try it.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::demo::Demo;
use crate::kubectl::Kubectl;

const RUN_NAMESPACE: &str = "dataimporter-run-acme";
const OPERATOR: &str = "system:serviceaccount:dataimporter-system:dataimporter-operator";

/// A call must fail and name its reason; anything else is a finding.
fn refused(what: &str, result: Result<String>, reason: &str) -> Result<()> {
    match result {
        Ok(said) => bail!("{what} was not refused: {}", said.trim()),
        Err(error) if format!("{error:#}").contains(reason) => Ok(()),
        Err(error) => bail!("{what} was refused for another reason than {reason:?}: {error:#}"),
    }
}

fn try_create(kubectl: &Kubectl, user: Option<&str>, object: &Value) -> Result<String> {
    let mut arguments = vec!["create", "--dry-run=server", "-f", "-"];
    arguments.extend(user.map(|_| "--as").into_iter().chain(user));
    kubectl.fed(&arguments, &object.to_string())
}

/// A pod as the operator makes it.
fn worker_pod(installation: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "attack", "namespace": RUN_NAMESPACE},
        "spec": {
            "serviceAccountName": "worker", "automountServiceAccountToken": false, "restartPolicy": "Never",
            "nodeSelector": {"node-restriction.kubernetes.io/dataimporter-region": "eu-frankfurt"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "worker", "image": "dataimporter:none", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/dataimporter", "readOnly": true}],
            }],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {
                "audience": format!("dataimporter-keeper.eu-frankfurt.{installation}"), "expirationSeconds": 600, "path": "token"}}]}}],
        },
    })
}

pub(crate) fn pods_that_break_the_rules(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let installation =
        kubectl.run(&["get", "configmap", "dataimporter-installation", "-n", "dataimporter-system", "-o", "jsonpath={.data.uid}"])?;
    let good = worker_pod(installation.trim());
    try_create(kubectl, None, &good).map_err(|error| error.context("control: a pod as the operator makes it must be admitted"))?;

    let mut first = good["spec"]["containers"][0].clone();
    first["name"] = json!("first");
    let edits: [(&str, &str, Value); 14] = [
        ("another region's nodes", "/spec/nodeSelector", json!({"node-restriction.kubernetes.io/dataimporter-region": "ap-sydney"})),
        ("no region", "/spec/nodeSelector", json!({})),
        ("a node by name", "/spec/nodeName", json!("dallas")),
        ("another account", "/spec/serviceAccountName", json!("default")),
        ("a Kubernetes token", "/spec/automountServiceAccountToken", json!(true)),
        ("a Secret as volume", "/spec/volumes", json!([{"name": "token", "secret": {"secretName": "s"}}])),
        ("a projected Secret", "/spec/volumes/0/projected/sources/0", json!({"secret": {"name": "s"}})),
        (
            "a token of another audience",
            "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience",
            json!("https://kubernetes.default.svc"),
        ),
        (
            "a token for another region's keeper",
            "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience",
            json!("dataimporter-keeper.ap-sydney.x"),
        ),
        ("a disk", "/spec/volumes", json!([{"name": "token", "emptyDir": {}}])),
        ("the host's network", "/spec/hostNetwork", json!(true)),
        ("an init container", "/spec/initContainers", json!([first])),
        (
            "environment from a Secret",
            "/spec/containers/0/env",
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        ),
        ("a hook", "/spec/containers/0/lifecycle", json!({"preStop": {"exec": {"command": ["/dataimporter"]}}})),
    ];
    for (what, pointer, value) in edits {
        // Kubernetes' own rules speak before ours about what both forbid.
        let reason = if what == "the host's network" { "PodSecurity" } else { "ValidatingAdmissionPolicy 'dataimporter-run-pods'" };
        let mut pod = good.clone();
        put(&mut pod, pointer, value);
        refused(&format!("a pod with {what}"), try_create(kubectl, None, &pod), reason)?;
    }
    let mut two = good.clone();
    let mut second = good["spec"]["containers"][0].clone();
    second["name"] = json!("second");
    two["spec"]["containers"].as_array_mut().expect("it is a list").push(second);
    refused("a pod with two containers", try_create(kubectl, None, &two), "exactly one container")
}

/// Sets what a JSON pointer names, making the last part if need be.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer has a slash");
    match object.pointer_mut(parent).expect("the parent is there") {
        Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value,
        parent => parent[last] = value,
    }
}

pub(crate) fn nobody_enters_a_worker(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let control = kubectl.run(&["exec", "-n", "demo", "nobody", "--", "true"]).unwrap_err().to_string();
    ensure!(control.contains("not found"), "control: elsewhere, exec fails only because there is no such pod: {control}");
    for arguments in [
        &["exec", "-n", RUN_NAMESPACE, "nobody", "--", "true"][..],
        &["attach", "-n", RUN_NAMESPACE, "nobody"],
        &["get", "--raw", "/api/v1/namespaces/dataimporter-run-acme/pods/nobody/proxy/"],
    ] {
        let result = kubectl.run(arguments);
        // kubectl looks the pod up first for some verbs; the raw call shows what the server itself says.
        if result.as_ref().is_err_and(|error| format!("{error:#}").contains("not found")) {
            continue;
        }
        refused(arguments[0], result, "cannot be entered")?;
    }
    let path = "/api/v1/namespaces/dataimporter-run-acme/pods/nobody/exec?command=true&stdout=true";
    refused("exec by the API itself", kubectl.fed(&["create", "--raw", path, "-f", "-"], "{}"), "cannot be entered")?;
    let path = "/api/v1/namespaces/dataimporter-run-acme/pods/nobody/portforward";
    refused("port-forward by the API itself", kubectl.fed(&["create", "--raw", path, "-f", "-"], "{}"), "cannot be entered")
}

pub(crate) fn the_operator_stays_in_its_room(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let can = |verb: &str, resource: &str, namespace: &str| -> Result<String> {
        // `can-i` ends with 1 for no.
        let output = kubectl.command(&["auth", "can-i", verb, resource, "-n", namespace, "--as", OPERATOR]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    ensure!(can("create", "pods", RUN_NAMESPACE)? == "yes", "control: the operator creates pods in run namespaces");
    for namespace in ["dataimporter-system", "acme", RUN_NAMESPACE, "kube-system"] {
        for verb in ["get", "list", "watch"] {
            let answer = can(verb, "secrets", namespace)?;
            ensure!(answer == "no", "the operator may {verb} secrets in {namespace}: {answer}");
        }
    }
    let object = |kind: &str, api: &str, rest: Value, namespace: &str| {
        let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "attack", "namespace": namespace}});
        object.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        object
    };
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    let binding =
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dataimporter-viewer"}, "subjects": []});
    let control = object("ConfigMap", "v1", json!({"data": {}}), RUN_NAMESPACE);
    try_create(kubectl, Some(OPERATOR), &control).map_err(|error| error.context("control: in a run namespace the operator may write"))?;
    for (what, attack) in [
        ("a pod in the system namespace", object("Pod", "v1", pod.clone(), "dataimporter-system")),
        ("a pod in a tenant's namespace", object("Pod", "v1", pod, "acme")),
        ("a ConfigMap in the system namespace", object("ConfigMap", "v1", json!({"data": {}}), "dataimporter-system")),
        ("a ServiceAccount in the system namespace", object("ServiceAccount", "v1", json!({}), "dataimporter-system")),
    ] {
        refused(what, try_create(kubectl, Some(OPERATOR), &attack), "only in run namespaces")?;
    }
    let viewer = object("RoleBinding", "rbac.authorization.k8s.io/v1", binding.clone(), "acme");
    try_create(kubectl, Some(OPERATOR), &viewer)
        .map_err(|error| error.context("control: member roles may be bound in tenant namespaces"))?;
    let mut admin = viewer;
    admin["roleRef"]["name"] = json!("cluster-admin");
    refused("binding cluster-admin", try_create(kubectl, Some(OPERATOR), &admin), "forbidden")
}

pub(crate) fn a_region_is_for_ever(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let reason = "region is immutable";
    let patch = |kind: &str, body: &str| kubectl.run(&["patch", "tenant", "acme", "--dry-run=server", "--type", kind, "-p", body]);
    patch("merge", r#"{"spec":{"contact":{"firstName":"Grace"}}}"#).map_err(|error| error.context("control: other fields may change"))?;
    refused("a merge patch", patch("merge", r#"{"spec":{"region":"us-dallas"}}"#), reason)?;
    refused("a JSON patch", patch("json", r#"[{"op":"replace","path":"/spec/region","value":"us-dallas"}]"#), reason)?;
    refused("removing it", patch("json", r#"[{"op":"remove","path":"/spec/region"}]"#), "Required value")?;
    let mut tenant = kubectl.json(&["get", "tenant", "acme"])?;
    tenant["spec"]["region"] = json!("us-dallas");
    refused("an update", kubectl.fed(&["replace", "--dry-run=server", "-f", "-"], &tenant.to_string()), reason)?;
    let applied =
        json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {"region": "us-dallas"}});
    let apply = kubectl.fed(
        &["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=attack", "-f", "-"],
        &applied.to_string(),
    );
    refused("a server-side apply", apply, reason)?;
    for (field, value) in
        [("location", r#"{"city":"Berlin","country":"DE"}"#), ("isolation", "\"Cell\""), ("storage", r#"{"volume":{"name":"dallas"}}"#)]
    {
        let body = format!(r#"{{"spec":{{"{field}":{value}}}}}"#);
        let result = kubectl.run(&["patch", "region", "eu-frankfurt", "--dry-run=server", "--type=merge", "-p", &body]);
        refused(&format!("another {field} of a Region"), result, &format!("{field} is immutable"))?;
    }
    Ok(())
}

pub(crate) fn foreign_tenants(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let mut tenant = kubectl.json(&["get", "tenant", "acme"])?;
    tenant["metadata"] = json!({"name": "stranger"});
    tenant["spec"]["namespaces"] = json!(["stranger"]);
    tenant.as_object_mut().expect("an object").remove("status");
    try_create(kubectl, None, &tenant).map_err(|error| error.context("control: a tenant of a served region is admitted"))?;
    tenant["spec"]["region"] = json!("eu-paris");
    refused("a tenant of a region not served", try_create(kubectl, None, &tenant), "is not served here")
}

pub(crate) fn unconfirmed_deletion(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    for object in ["tenant/globex", "region/us-dallas"] {
        refused(object, kubectl.run(&["delete", object, "--dry-run=server"]), "confirm-deletion")?;
    }
    Ok(())
}
