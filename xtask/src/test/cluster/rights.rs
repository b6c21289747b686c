//! What our own accounts may do, tried as those accounts.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::refusal::{control, refused, try_create};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;

pub(super) const CHECKS: &[Check] = &[
    ("the operator cannot leave its room", the_operator_stays_in_its_room),
    ("nobody of ours but the keeper reads a Secret, and the keeper only its own", secrets_are_the_keepers),
    ("run namespaces are the operator's, labels and all", run_namespaces_are_the_operators),
];

const RUN_NAMESPACE: &str = "dataimporter-run-acme";

fn account(name: &str) -> String {
    format!("system:serviceaccount:{SYSTEM}:dataimporter-{name}")
}

/// Asks the API server what an account may do: (verb, resource or resource/subresource, namespace) each.
fn allowed<'q>(kubectl: &Kubectl, account: &str, questions: &[(&'q str, &'q str, &'q str)]) -> Result<Vec<(&'q str, &'q str, &'q str)>> {
    let mut parts = account.split(':').skip(2);
    let home = parts.next().context("an account has a namespace")?;
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{home}"), "system:authenticated".to_owned()];
    let review = |(verb, resource, namespace): &(&str, &str, &str)| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let group = match resource {
            "roles" | "rolebindings" | "clusterroles" | "clusterrolebindings" => "rbac.authorization.k8s.io",
            "daemonsets" | "deployments" => "apps",
            "jobs" | "cronjobs" => "batch",
            _ => "",
        };
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": account, "groups": groups, "resourceAttributes":
            {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace}}})
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": questions.iter().map(review).collect::<Vec<_>>()});
    let said = kubectl.fed(&["create", "-o", "json", "-f", "-"], &list.to_string())?;
    let answers = serde_json::Deserializer::from_str(&said).into_iter::<Value>().collect::<Result<Vec<Value>, _>>()?;
    // One document, or a list of them.
    let answers: Vec<Value> =
        answers.into_iter().flat_map(|answer| answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer])).collect();
    ensure!(answers.len() == questions.len(), "{} questions got {} answers", questions.len(), answers.len());
    Ok(questions.iter().zip(answers).filter(|(_, answer)| answer["status"]["allowed"] == true).map(|(question, _)| *question).collect())
}

/// Every verb on every resource in every namespace.
fn each<'q>(verbs: &[&'q str], resources: &[&'q str], namespaces: &[&'q str]) -> Vec<(&'q str, &'q str, &'q str)> {
    let on =
        |verb: &'q str| resources.iter().flat_map(move |resource| namespaces.iter().map(move |namespace| (verb, *resource, *namespace)));
    verbs.iter().flat_map(|verb| on(verb)).collect()
}

fn object(kind: &str, api: &str, rest: Value, namespace: &str) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "attack", "namespace": namespace}});
    object.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    object
}

fn the_operator_stays_in_its_room(demo: &Demo) -> Result<()> {
    let (kubectl, operator) = (&demo.kubectl, account("operator"));
    let create = |object: &Value| try_create(kubectl, Some(&operator), object);
    let pods = [("create", "pods", RUN_NAMESPACE)];
    ensure!(allowed(kubectl, &operator, &pods)? == pods, "control: the operator creates pods in run namespaces");
    let others = [
        "roles",
        "clusterroles",
        "clusterrolebindings",
        "daemonsets",
        "deployments",
        "jobs",
        "cronjobs",
        "serviceaccounts/token",
        "pods/exec",
        "pods/binding",
        "pods/ephemeralcontainers",
        "secrets",
    ];
    let too_much = allowed(kubectl, &operator, &each(&["create"], &others, &[SYSTEM, "acme", RUN_NAMESPACE]))?;
    ensure!(too_much.is_empty(), "the operator may {too_much:?}");
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    let config_map = json!({"data": {}});
    control("in a run namespace the operator may write", create(&object("ConfigMap", "v1", config_map.clone(), RUN_NAMESPACE)))?;
    for namespace in [SYSTEM, "acme", "kube-system"] {
        for (kind, rest) in [("Pod", &pod), ("ConfigMap", &config_map), ("ServiceAccount", &json!({}))] {
            let attack = object(kind, "v1", rest.clone(), namespace);
            refused(&format!("a {kind} in {namespace}"), create(&attack), "only in run namespaces")?;
        }
        let role = object("Role", "rbac.authorization.k8s.io/v1", json!({"rules": []}), namespace);
        refused(&format!("a Role in {namespace}"), create(&role), "forbidden")?;
    }
    // Members' roles are bound in tenants' namespaces: in no other, and no other role.
    let binding = |namespace: &str, role: &str| {
        let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
        let mut binding = object("RoleBinding", "rbac.authorization.k8s.io/v1", json!({"roleRef": role_ref, "subjects": []}), namespace);
        binding["metadata"]["name"] = json!(role);
        binding
    };
    // Nobody of acme has it: the operator's own is not in the way.
    control("member roles may be bound in tenant namespaces", create(&binding("acme", "dataimporter-editor")))?;
    let mut stranger = binding("acme", "dataimporter-editor");
    stranger["subjects"] = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]);
    refused("a member whom the Tenant does not list", create(&stranger), "not all of these people as members")?;
    refused("binding cluster-admin", create(&binding("acme", "cluster-admin")), "forbidden")?;
    for namespace in [SYSTEM, "kube-system", "kube-public"] {
        for role in ["dataimporter-owner", "dataimporter-viewer"] {
            refused(&format!("binding {role} in {namespace}"), create(&binding(namespace, role)), "only in run namespaces")?;
        }
    }
    Ok(())
}

fn secrets_are_the_keepers(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let (operator, keeper, drain) = (account("operator"), account("keeper"), account("drain"));
    let own = each(&["get", "list", "create", "delete"], &["secrets"], &[SYSTEM]);
    ensure!(allowed(kubectl, &keeper, &own)? == own, "control: the keeper works with its own Secrets");
    control(
        "an admin allowed the keeper one Secret",
        kubectl.run(&["get", "secret", "crm-oauth", "-n", "acme", "-o", "name", "--as", &keeper]),
    )?;
    let worker = format!("system:serviceaccount:{RUN_NAMESPACE}:worker");
    for (who, namespaces) in [
        (&operator, &[SYSTEM, "acme", RUN_NAMESPACE, "kube-system"][..]),
        (&keeper, &["acme", RUN_NAMESPACE, "kube-system"]),
        (&drain, &[SYSTEM, "acme"]),
        (&worker, &[SYSTEM, "acme", RUN_NAMESPACE]),
    ] {
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
        let found = allowed(kubectl, who, &each(&verbs, &["secrets"], namespaces))?;
        ensure!(found.is_empty(), "{who} may {found:?}");
    }
    // And by the dump, also for roles that nobody holds now.
    let roles = kubectl.json(&["get", "clusterroles", "-l", "app.kubernetes.io/name=dataimporter"])?;
    let roles = roles["items"].as_array().context("a list has items")?;
    ensure!(roles.len() >= 5, "control: only {} ClusterRoles of ours are here", roles.len());
    for role in roles {
        let words: Vec<&str> = role["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|rule| rule["resources"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        ensure!(!words.is_empty(), "control: ClusterRole {} has no rules", role["metadata"]["name"]);
        let named: Vec<&&str> = words.iter().filter(|word| word.starts_with("secrets") || word.contains('*')).collect();
        ensure!(named.is_empty(), "ClusterRole {} names {named:?}", role["metadata"]["name"]);
    }
    Ok(())
}

/// Every policy about workers finds a run namespace by its labels.
fn run_namespaces_are_the_operators(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let reason = "are the operator's";
    let patch = |namespace: &str, subresource: Option<&str>, labels: Value| {
        let body = json!({"metadata": {"labels": labels}}).to_string();
        let mut arguments = vec!["patch", "namespace", namespace, "--dry-run=server", "--type=merge", "-p", &body];
        let subresource = subresource.map(|name| format!("--subresource={name}"));
        arguments.extend(subresource.as_deref());
        kubectl.run(&arguments)
    };
    control("a tenant's namespace may be labelled", patch("acme", None, json!({"team": "a"})))?;
    control("also by its status", patch("acme", Some("status"), json!({"team": "a"})))?;
    for subresource in [None, Some("status")] {
        let how = subresource.unwrap_or("update");
        for labels in [
            json!({"dataimporter.io/tenant": null}),
            json!({"dataimporter.io/region": "ap-sydney"}),
            json!({"dataimporter.io/nodes": "all"}),
            json!({"pod-security.kubernetes.io/enforce": "privileged"}),
        ] {
            refused(&format!("by {how}, labels {labels} of a run namespace"), patch(RUN_NAMESPACE, subresource, labels), reason)?;
        }
        refused(
            &format!("by {how}, a tenant's namespace that poses as a run namespace"),
            patch("acme", subresource, json!({"dataimporter.io/tenant": "acme"})),
            reason,
        )?;
    }
    let mut namespace = kubectl.json(&["get", "namespace", RUN_NAMESPACE])?;
    namespace["metadata"]["labels"].as_object_mut().context("it has labels")?.remove("dataimporter.io/tenant");
    let path = format!("/api/v1/namespaces/{RUN_NAMESPACE}/finalize?dryRun=All");
    refused("by its finalizers", kubectl.fed(&["replace", "--raw", &path, "-f", "-"], &namespace.to_string()), reason)?;
    let new = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dataimporter-run-mine"}});
    refused("a run namespace of somebody else", try_create(kubectl, None, &new), reason)?;
    refused("deleting one", kubectl.run(&["delete", "namespace", RUN_NAMESPACE, "--dry-run=server"]), reason)
}
