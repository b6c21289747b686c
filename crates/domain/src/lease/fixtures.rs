//! A run on its second attempt for which every rule holds; tests change one thing.

use std::collections::BTreeMap;

use api::import_run::{Action, Attempt};
use api::snapshot::{ObjectId, Snapshot, SnapshotConnection};
use api::tenant::{BoundNamespace, ResultRetention};
use api::{Connection, ImportRun, Region, Tenant, Uid, names};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::observed::{Caller, Observed, PeerIpCheck};

pub(super) const RUN: &str = "run-uid";
pub(super) const INSTALLATION: &str = "inst";

fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a fixture has the shape of its type")
}

pub(super) fn attempt(number: i32, pod_uid: Option<&str>) -> Attempt {
    Attempt {
        number,
        pod_uid: pod_uid.map(Into::into),
        node: Some("node-1".into()),
        created_at: Time(jiff::Timestamp::UNIX_EPOCH),
        finished_at: None,
        reason: None,
        counted: None,
    }
}

pub(super) fn connection() -> Connection {
    let spec = from(json!({
        "postgres": {"host": "db", "database": "crm", "user": "reader"},
        "credentials": {"secretRef": {"name": "db", "afterIntake": "Keep"}},
    }));
    let mut connection = Connection::new("crm", spec);
    connection.metadata.namespace = Some("acme".into());
    connection.metadata.uid = Some("conn-uid".into());
    connection
}

pub(crate) fn snapshot() -> Snapshot {
    let connection = connection();
    let id = |namespace: Option<&str>, name: &str, uid: &str| ObjectId {
        namespace: namespace.map(Into::into),
        name: name.into(),
        uid: Uid::new(uid).unwrap(),
    };
    let known = SnapshotConnection {
        uid: Uid::new("conn-uid").unwrap(),
        endpoint_digest: connection.spec.endpoint_digest(),
        min_credential_version: 2,
        spec: connection.spec,
    };
    Snapshot {
        run: id(Some("acme"), "accounts-1", RUN),
        job: id(Some("acme"), "accounts", "job-uid"),
        tenant: id(None, "acme", "tenant-uid"),
        region: id(None, "eu-frankfurt", "region-uid"),
        action: Action::run(),
        job_spec: from(json!({
            "source": {"sql": {"connectionRef": {"name": "crm"}, "query": "SELECT 1", "orderBy": ["id"]}},
            "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": []}}
        })),
        connections: BTreeMap::from([("crm".to_owned(), known)]),
        upload: None,
        results: ResultRetention::days(14),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        deadline: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// The tenant is being deleted, and its runs are being stopped.
pub(super) fn leave(observed: &mut Observed) {
    let meta = &mut observed.tenant.as_mut().unwrap().metadata;
    meta.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    meta.finalizers = Some(vec![names::TENANT_RUNS_FINALIZER.into(), names::TENANT_ERASURE_FINALIZER.into()]);
}

/// Changes the snapshot and the digest with it, so that only the change itself can be refused.
pub(super) fn edit_snapshot(observed: &mut Observed, edit: impl FnOnce(&mut Snapshot)) {
    let mut changed = snapshot();
    edit(&mut changed);
    let text = changed.encode();
    observed.run.as_mut().unwrap().status.as_mut().unwrap().snapshot_digest = Some(Snapshot::digest(&text));
    observed.snapshot = Some(text);
}

pub(super) fn observed() -> Observed {
    let mut tenant: Tenant = from(json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme", "uid": "tenant-uid"},
        "spec": {"region": "eu-frankfurt", "namespaces": ["acme"], "plan": "Free",
                 "contact": {"firstName": "A", "lastName": "B", "email": "a@b", "country": "DE"}},
        "status": {"regionUID": "region-uid", "namespaces": [{"name": "acme", "uid": "ns-uid"}]}
    }));
    tenant.status.as_mut().unwrap().run_namespace = Some(BoundNamespace { name: "dataimporter-run-acme".into(), uid: "run-ns-uid".into() });
    let region: Region = from(json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu-frankfurt", "uid": "region-uid"},
        "spec": {"location": {"city": "Frankfurt", "country": "DE"}, "isolation": "Placement", "storage": {"volume": {"name": "files"}},
                 "rootKey": {"secret": {}}, "nodes": {"labelled": {}}}
    }));
    let text = snapshot().encode();
    let mut run: ImportRun = from(json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun",
        "metadata": {"name": "accounts-1", "namespace": "acme", "uid": RUN},
        "spec": {"jobRef": {"name": "accounts", "uid": "job-uid"}, "action": {"run": {}}, "startBefore": "2030-01-01T00:00:00Z"},
        "status": {"snapshotDigest": Snapshot::digest(&text)}
    }));
    run.status.as_mut().unwrap().attempts = vec![attempt(1, Some("old-pod")), attempt(2, Some("pod-uid"))];
    let namespace = |name: &str, uid: &str| from::<Namespace>(json!({"metadata": {"name": name, "uid": uid}}));
    let pod: Pod = from(json!({
        "metadata": {"name": "run-run-uid-a2", "uid": "pod-uid"}, "spec": {"containers": [], "nodeName": "node-1"},
        "status": {"phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}]}
    }));
    let node: Node = from(json!({"metadata": {"name": "node-1", "labels": {names::NODE_REGION_LABEL: "eu-frankfurt"}}}));
    Observed {
        run_uid: RUN.into(),
        attempt: 2,
        installation: INSTALLATION.into(),
        caller: Some(Caller {
            username: "system:serviceaccount:dataimporter-run-acme:worker".into(),
            audiences: vec![names::keeper_audience("eu-frankfurt", INSTALLATION)],
            pod_name: Some("run-run-uid-a2".into()),
            pod_uid: Some("pod-uid".into()),
            node_name: Some("node-1".into()),
            credential_id: Some("JTI=1".into()),
        }),
        tenant: Some(tenant),
        region: Some(region),
        run: Some(run),
        run_namespace: Some(namespace("dataimporter-run-acme", "run-ns-uid")),
        tenant_namespace: Some(namespace("acme", "ns-uid")),
        pod: Some(pod),
        node: Some(node),
        peer: "10.1.0.7".parse().unwrap(),
        peer_check: PeerIpCheck::Enforce,
        token_first_shown_by: Some("pod-uid".into()),
        snapshot: Some(text),
    }
}
