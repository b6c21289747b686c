//! The chart's policies, attacked: with the operator's own account, and by an administrator where the workers run. An account that is refused as
//! administrator is refused with fewer rights. Nothing is kept of what is tried; each list has calls that must go through.

use std::time::Duration;

use http::{Method, Request};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rights::rights;
use crate::support::{SOON, UPLOAD, World, job_yaml, tenant_yaml};

const OPERATOR: &str = "dataimporter-operator";
const SYSTEM: &str = "dataimporter-system";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";
const RUNS: &str = "dataimporter-run-acme";

struct Attempt<'a> {
    what: &'a str,
    who: &'a Client,
    method: Method,
    path: String,
    body: Value,
    /// Words of the refusal; none if it must go through.
    refusal: Option<&'a str>,
}

fn post<'a>(what: &'a str, who: &'a Client, path: impl Into<String>, body: Value, refusal: Option<&'a str>) -> Attempt<'a> {
    Attempt { what, who, method: Method::POST, path: path.into(), body, refusal }
}

fn patch<'a>(what: &'a str, who: &'a Client, path: impl Into<String>, body: Value, refusal: Option<&'a str>) -> Attempt<'a> {
    Attempt { method: Method::PATCH, ..post(what, who, path, body, refusal) }
}

fn delete<'a>(what: &'a str, who: &'a Client, path: impl Into<String>, refusal: Option<&'a str>) -> Attempt<'a> {
    Attempt { method: Method::DELETE, ..post(what, who, path, Value::Null, refusal) }
}

impl Attempt<'_> {
    /// What is wrong, if anything is.
    async fn finding(&self) -> Option<String> {
        let request = Request::builder().method(&self.method).uri(format!("{}?dryRun=All", self.path));
        let kind = if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        // The options of a deletion would be read from its body, the dry run with them.
        let body = if self.method == Method::DELETE { Vec::new() } else { self.body.to_string().into_bytes() };
        let request = request.header("content-type", kind).body(body).unwrap();
        let answer = self.who.request::<Value>(request).await.map_err(|error| error.to_string());
        match (answer, self.refusal) {
            (Ok(_), None) => None,
            (Err(said), Some(words)) if said.contains(words) => None,
            (Ok(_), Some(_)) => Some(format!("{}: was not refused", self.what)),
            (Err(said), Some(words)) => Some(format!("{}: refused for another reason than {words:?}: {said}", self.what)),
            (Err(said), None) => Some(format!("control: {}: {said}", self.what)),
        }
    }
}

/// Policies take effect some seconds after they are written: all attempts must come out right, once.
async fn as_expected(attempts: &[Attempt<'_>]) {
    let mut wrong = Vec::new();
    let all_right = wait_for("the policies", Duration::from_secs(60), async || {
        wrong.clear();
        for attempt in attempts {
            wrong.extend(attempt.finding().await);
        }
        Ok(wrong.is_empty().then_some(()))
    })
    .await;
    assert!(all_right.is_ok(), "of {} attempts:\n{}", attempts.len(), wrong.join("\n"));
}

async fn installed() -> (World, Client) {
    let world = World::without_operator().await;
    // From before the policies: a namespace whose name alone is a run namespace's.
    world.server.create_namespace("dataimporter-run-squat").await.unwrap();
    for namespace in ["acme", "other"] {
        world.server.create_namespace(namespace).await.unwrap();
    }
    world.apply(&tenant_yaml("acme", &["acme"])).await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account(SYSTEM, OPERATOR).await.unwrap();
    (world, operator)
}

fn binding(name: &str, role: &str, subjects: Value) -> Value {
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
    json!({"metadata": {"name": name}, "roleRef": role_ref, "subjects": subjects})
}

fn users(names: &[&str]) -> Value {
    json!(names.iter().map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})).collect::<Vec<_>>())
}

fn member<'a>(what: &'a str, who: &'a Client, role: &str, subjects: Value, refusal: Option<&'a str>) -> Attempt<'a> {
    post(what, who, format!("{RBAC}/acme/rolebindings"), binding(role, role, subjects), refusal)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_account_makes_nobody_a_member_whom_the_tenant_does_not_list() {
    let (world, operator) = installed().await;
    let many: Vec<String> = (0..256).map(|n| format!("somebody-with-a-long-name-{n:03}@crowd.example")).collect();
    let members: Vec<Value> = many.iter().map(|email| json!({"email": email, "role": "Owner"})).collect();
    world.server.create_namespace("crowd").await.unwrap();
    let crowd: Value = serde_saphyr::from_str(&tenant_yaml("crowd", &["crowd"])).unwrap();
    let crowd = {
        let mut crowd = crowd;
        crowd["spec"]["members"] = json!(members);
        crowd
    };
    world.apply(&crowd.to_string()).await;
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let account = json!([{"kind": "ServiceAccount", "name": OPERATOR, "namespace": SYSTEM}]);
    let group = |name: &str| json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}]);
    let person = Some("a member is a person");
    let unlisted = Some("and not all of these people as members");
    as_expected(&[
        member("an owner whom the Tenant lists", &operator, "dataimporter-owner", users(&["ada@acme.example"]), None),
        member("a viewer whom the Tenant lists", &operator, "dataimporter-viewer", users(&["alan@acme.example"]), None),
        post(
            "256 owners",
            &operator,
            format!("{RBAC}/crowd/rolebindings"),
            binding("dataimporter-owner", "dataimporter-owner", users(&many)),
            None,
        ),
        member("itself", &operator, "dataimporter-editor", account, person),
        member(
            "itself, as a user",
            &operator,
            "dataimporter-editor",
            users(&["system:serviceaccount:dataimporter-system:dataimporter-operator"]),
            person,
        ),
        member("everybody", &operator, "dataimporter-owner", group("system:authenticated"), person),
        member("a group", &operator, "dataimporter-viewer", group("acme"), person),
        member("a stranger", &operator, "dataimporter-editor", users(&["mallory"]), unlisted),
        member("a stranger beside a member", &operator, "dataimporter-owner", users(&["ada@acme.example", "mallory"]), unlisted),
        member("a viewer as owner", &operator, "dataimporter-owner", users(&["alan@acme.example"]), unlisted),
        post(
            "a binding that nobody would remove",
            &operator,
            format!("{RBAC}/acme/rolebindings"),
            binding("hidden", "dataimporter-owner", users(&["ada@acme.example"])),
            Some("the operator writes these only"),
        ),
        post(
            "a group where no Tenant is",
            &operator,
            format!("{RBAC}/other/rolebindings"),
            binding("dataimporter-viewer", "dataimporter-viewer", group("system:authenticated")),
            person,
        ),
    ])
    .await;

    // Uninstalled and installed again, on the same API server: Tenants are still asked.
    for kind in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}");
        let all: Value = world.client.request(Request::get(&path).body(Vec::new()).unwrap()).await.unwrap();
        for item in all["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            let request = Request::delete(format!("{path}/{name}")).body(Vec::new()).unwrap();
            world.client.request::<Value>(request).await.unwrap();
        }
    }
    as_expected(&[member("anybody, without policies", &operator, "dataimporter-owner", users(&["mallory"]), None)]).await;
    world.apply(&rights()).await;
    as_expected(&[
        member("a stranger, after another install", &operator, "dataimporter-editor", users(&["mallory"]), unlisted),
        member("an owner, after another install", &operator, "dataimporter-owner", users(&["ada@acme.example"]), None),
    ])
    .await;
    let fields = json!({"spec": {"members": [{"email": "new@acme.example", "role": "Owner"}]}});
    world
        .client
        .request::<Value>(
            Request::patch("/apis/dataimporter.io/v1alpha1/tenants/acme")
                .header("content-type", "application/merge-patch+json")
                .body(fields.to_string().into_bytes())
                .unwrap(),
        )
        .await
        .unwrap();
    as_expected(&[
        member("an owner who left", &operator, "dataimporter-owner", users(&["ada@acme.example"]), unlisted),
        member("an owner who came", &operator, "dataimporter-owner", users(&["new@acme.example"]), None),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_accounts_change_nothing_of_others_objects_but_what_they_must() {
    let (mut world, operator) = installed().await;
    world.start_operator_with(operator.clone());
    world.tenant("mine").await;
    let keeper = world.server.client_as_service_account(SYSTEM, "dataimporter-keeper").await.unwrap();
    world.apply(&job_yaml("mine", "accounts", UPLOAD, "{manual: {}}")).await;
    let job = world.namespaced::<api::ImportJob>("mine").get("accounts").await.unwrap();
    let run = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": "run", "namespace": "mine"},
        "spec": {"jobRef": {"name": "accounts", "uid": job.uid()}, "action": {"run": {}}, "startBefore": "2099-01-01T00:00:00Z"}});
    world.apply(&run.to_string()).await;
    let ours = "/apis/dataimporter.io/v1alpha1";
    let (tenant, status) = (format!("{ours}/tenants/mine"), format!("{ours}/tenants/mine/status"));
    let (run, connection) = (format!("{ours}/namespaces/mine/importruns/run"), format!("{ours}/namespaces/mine/connections/lake"));
    let mallory = json!({"spec": {"members": [{"email": "mallory", "role": "Owner"}]}});
    let bound = |name: &str| json!({"status": {"namespaces": [{"name": name, "uid": "u"}]}});
    let (asked, others, finalizer) = (Some("what people ask for"), Some("labels, annotations and owners"), Some("its own finalizer"));
    let confirm = json!({"metadata": {"annotations": {"dataimporter.io/confirm-deletion": "mine"}}});
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    let mut attempts = vec![
        patch("the operator's finalizer", &operator, &tenant, finalizers(&["dataimporter.io/runs"]), None),
        patch("the keeper's finalizer", &keeper, &tenant, finalizers(&["dataimporter.io/runs", "dataimporter.io/erasure"]), None),
        patch("the keeper's other finalizer", &keeper, &connection, finalizers(&["dataimporter.io/revoke"]), None),
        patch("a finalizer of the other", &operator, &tenant, finalizers(&["dataimporter.io/erasure"]), finalizer),
        patch("a finalizer of the other way round", &keeper, &tenant, finalizers(&[]), finalizer),
        patch("a finalizer of nobody", &operator, &tenant, finalizers(&["example.com/forever"]), finalizer),
        patch("a namespace that the tenant lists", &operator, &status, bound("mine"), None),
        patch("a neighbour's namespace", &operator, &status, bound("acme"), Some("binds namespaces that the tenant lists")),
        patch(
            "another run namespace",
            &operator,
            &status,
            json!({"status": {"runNamespace": {"name": SYSTEM, "uid": "u"}}}),
            Some("binds namespaces"),
        ),
        patch("a namespace bound by the keeper", &keeper, &status, bound("mine"), Some("is the operator's to say")),
        patch("cancelling", &operator, &run, json!({"spec": {"cancel": true}}), None),
        patch("cancelling by the keeper", &keeper, &run, json!({"spec": {"cancel": true}}), None),
        patch(
            "an owner of a run",
            &keeper,
            &run,
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}}),
            others,
        ),
        patch("a database elsewhere", &keeper, &connection, json!({"spec": {"postgres": {"host": "evil.example"}}}), asked),
    ];
    for who in [&operator, &keeper] {
        attempts.push(patch("a member", who, &tenant, mallory.clone(), asked));
        attempts.push(patch("a word for its deletion", who, &tenant, confirm.clone(), others));
    }
    attempts.push(delete("a run that has not ended", &operator, &run, Some("runs that have ended")));
    as_expected(&attempts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_account_has_no_namespace_without_walls() {
    let (world, operator) = installed().await;
    let namespaces = "/api/v1/namespaces";
    let labels = json!({
        "dataimporter.io/tenant": "new", "dataimporter.io/tenant-uid": "u", "dataimporter.io/region": "eu-frankfurt",
        "dataimporter.io/nodes": "labelled", "pod-security.kubernetes.io/enforce": "restricted",
    });
    let namespace = |name: &str, labels: &Value| json!({"metadata": {"name": name, "labels": labels}});
    let without = |label: &str| {
        let mut fewer = labels.clone();
        fewer.as_object_mut().unwrap().remove(label);
        fewer
    };
    // One that is there: as the operator makes it.
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dataimporter-run-new", "labels": labels}});
    wait_for("the operator to make one", SOON, async || Ok(testkit::apply_yaml(&operator, &made.to_string()).await.ok())).await.unwrap();
    let path = format!("{namespaces}/dataimporter-run-new");
    let change = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let privileged = json!({"metadata": {"name": "root"}, "spec": {"hostPID": true,
        "containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}});
    let (walls, stays) = (Some("a run namespace names its tenant"), Some("stays with the tenant and the region"));
    as_expected(&[
        post(
            "one with all its labels",
            &operator,
            namespaces,
            namespace("dataimporter-run-fine", &{
                let mut fine = labels.clone();
                fine["dataimporter.io/tenant"] = json!("fine");
                fine
            }),
            None,
        ),
        patch("its nodes", &operator, &path, change("dataimporter.io/nodes", json!("all")), None),
        post("one without labels", &operator, namespaces, namespace("dataimporter-run-new2", &json!({})), walls),
        post("one without a tenant", &operator, namespaces, namespace("dataimporter-run-new2", &without("dataimporter.io/tenant")), walls),
        post("one of another name", &operator, namespaces, namespace("dataimporter-run-new2", &labels), walls),
        patch("its tenant's label", &operator, &path, change("dataimporter.io/tenant", Value::Null), walls),
        patch("privileged pods", &operator, &path, change("pod-security.kubernetes.io/enforce", json!("privileged")), walls),
        patch("another region", &operator, &path, change("dataimporter.io/region", json!("us-dallas")), stays),
        patch("another tenant's UID", &operator, &path, change("dataimporter.io/tenant-uid", json!("other")), stays),
        post(
            "a pod where only the name is right",
            &operator,
            format!("{namespaces}/dataimporter-run-squat/pods"),
            privileged,
            Some("only in run namespaces"),
        ),
        post(
            "a ConfigMap where only the name is right",
            &operator,
            format!("{namespaces}/dataimporter-run-squat/configmaps"),
            json!({"metadata": {"name": "c"}}),
            Some("only in run namespaces"),
        ),
        delete("a stranger's, from before the policies", &world.client, format!("{namespaces}/dataimporter-run-squat"), None),
        delete("one that the operator made", &world.client, &path, Some("are the operator's")),
        post(
            "a role for a member, among the workers",
            &operator,
            format!("{RBAC}/dataimporter-run-new/rolebindings"),
            binding("dataimporter-owner", "dataimporter-owner", users(&["ada@acme.example"])),
            Some("nobody is granted anything"),
        ),
    ])
    .await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_run_namespace_nobody_writes_but_the_operator_and_the_clusters_controllers() {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account(SYSTEM, OPERATOR).await.unwrap();
    world.start_operator_with(operator.clone());
    world.tenant("acme").await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let worker = world.worker("acme", "accounts-once-1", 1).await;
    let admin = &world.client;
    let controller = |name: &'static str| world.server.client_as_service_account("kube-system", name);
    let publisher = controller("root-ca-cert-publisher").await.unwrap();
    let accounts = controller("service-account-controller").await.unwrap();
    let collector = controller("generic-garbage-collector").await.unwrap();

    let core = |kind: &str| format!("/api/v1/namespaces/{RUNS}/{kind}");
    let at = |group: &str, kind: &str| format!("/apis/{group}/v1/namespaces/{RUNS}/{kind}");
    let named = |rest: Value| {
        let mut object = json!({"metadata": {"name": "attack"}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let open = json!({"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let closed = Some("what stands in a run namespace is written by the operator");
    as_expected(&[
        post("a snapshot", admin, core("configmaps"), json!({"metadata": {"name": "run-u"}, "immutable": true}), closed),
        post("a policy that opens everything", admin, at("networking.k8s.io", "networkpolicies"), named(open.clone()), closed),
        patch("one of the operator's policies", admin, at("networking.k8s.io", "networkpolicies/default-deny"), open, closed),
        delete("a policy away", admin, at("networking.k8s.io", "networkpolicies/default-deny"), closed),
        delete("a quota away", admin, core("resourcequotas/dataimporter"), closed),
        delete("a snapshot away", admin, core(&format!("configmaps/{}", worker.owner_references()[0].name)), closed),
        post("a role", admin, at("rbac.authorization.k8s.io", "roles"), named(json!({"rules": []})), closed),
        post("a role of somebody", admin, at("rbac.authorization.k8s.io", "rolebindings"), named(json!({"roleRef": role_ref})), closed),
        post("an account", admin, core("serviceaccounts"), named(json!({})), closed),
        patch("the workers' account", admin, core("serviceaccounts/worker"), json!({"imagePullSecrets": [{"name": "mine"}]}), closed),
        post("a quota", admin, core("resourcequotas"), named(json!({"spec": {"hard": {"pods": "0"}}})), closed),
        post("limits", admin, core("limitranges"), named(json!({"spec": {"limits": []}})), closed),
        post("a service", admin, core("services"), named(json!({"spec": {"ports": [{"port": 80}]}})), closed),
        post(
            "a token for ever",
            admin,
            core("secrets"),
            json!({"metadata": {"name": "attack", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token"}),
            // Two policies refuse it, this one and that of endless tokens, and of several refusals the API server tells any one.
            Some("ValidatingAdmissionPolicy 'dataimporter-"),
        ),
        post("a Secret", admin, core("secrets"), named(json!({})), closed),
        post("a workload", admin, at("batch", "jobs"), named(json!({"spec": {"template": template}})), closed),
        post(
            "a worker's token",
            admin,
            core("serviceaccounts/worker/token"),
            json!({"spec": {"audiences": ["dataimporter-keeper.eu-frankfurt.inst-1"]}}),
            Some("only a node asks"),
        ),
        post(
            "the login of a registry",
            admin,
            core("secrets"),
            json!({"metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "e30="}}),
            None,
        ),
        post("the cluster's certificate", &publisher, core("configmaps"), json!({"metadata": {"name": "kube-root-ca.crt"}}), None),
        post("the account of every namespace", &accounts, core("serviceaccounts"), json!({"metadata": {"name": "default"}}), None),
        Attempt { who: &collector, ..delete("garbage", admin, core(&format!("configmaps/{}", worker.owner_references()[0].name)), None) },
        post("a snapshot by the operator", &operator, core("configmaps"), json!({"metadata": {"name": "run-u"}, "immutable": true}), None),
        post("a role of no namespace", admin, "/apis/rbac.authorization.k8s.io/v1/clusterroles", named(json!({"rules": []})), None),
        post("a ConfigMap elsewhere", admin, "/api/v1/namespaces/acme/configmaps", named(json!({})), None),
    ])
    .await;

    // Workers: only the operator's, and only as the operator makes them.
    let mut spec = serde_json::to_value(&worker.spec).unwrap();
    let removed = spec.as_object_mut().unwrap();
    removed.remove("nodeName");
    let pod = |edit: &dyn Fn(&mut Value)| {
        let mut pod = json!({"metadata": {"name": "attack", "labels": worker.labels()}, "spec": spec});
        edit(&mut pod["spec"]["containers"][0]);
        pod
    };
    let foreign_ca = |container: &mut Value| {
        let env = container["env"].as_array_mut().unwrap();
        env.iter_mut().find(|e| e["name"] == "KEEPER_CA").unwrap()["value"] =
            json!("-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----");
    };
    let pods = core("pods");
    let path = format!("{pods}/{}", worker.name_any());
    let last_words = Some("a worker's last words");
    as_expected(&[
        post("a worker by the operator", &operator, &pods, pod(&|_| ()), None),
        post("a worker by an administrator", admin, &pods, pod(&|_| ()), Some("workers are made by the operator")),
        post("a worker with another authority", admin, &pods, pod(&foreign_ca), Some("workers are made by the operator")),
        patch(
            "a label that opens a port",
            admin,
            &path,
            json!({"metadata": {"labels": {"dataimporter.io/egress-postgres": "true"}}}),
            Some("workers are made by the operator"),
        ),
        post(
            "last words into a file of its choice",
            &operator,
            &pods,
            pod(&|c| c["terminationMessagePath"] = json!("/data/out")),
            last_words,
        ),
        post(
            "last words out of its log",
            &operator,
            &pods,
            pod(&|c| c["terminationMessagePolicy"] = json!("FallbackToLogsOnError")),
            last_words,
        ),
        post("a probe", &operator, &pods, pod(&|c| c["livenessProbe"] = json!({"httpGet": {"port": 80}})), Some("no probes")),
        post("restarts of its container", &operator, &pods, pod(&|c| c["restartPolicy"] = json!("Always")), Some("never restarted")),
    ])
    .await;

    // The label of a run means something here only.
    let stray = |kind: &str| format!("/api/v1/namespaces/acme/{kind}");
    let labelled = json!({"name": "run-u-a1", "labels": {"dataimporter.io/run-uid": "u"}});
    let strays = Some("which stand in run namespaces only");
    as_expected(&[
        post(
            "a pod of a run, elsewhere",
            admin,
            stray("pods"),
            json!({"metadata": labelled, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
            strays,
        ),
        post("a snapshot of a run, elsewhere", admin, stray("configmaps"), json!({"metadata": labelled}), strays),
        post("the same without the label", admin, stray("configmaps"), json!({"metadata": {"name": "run-u"}}), None),
    ])
    .await;
    world.kill_operator().await;
    let kept = world.namespaced::<Pod>(RUNS).get(&worker.name_any()).await.unwrap();
    assert_eq!(kept.uid(), worker.uid());
}
