//! The checks of a worker's call, in order. The first that fails names the refusal.

use std::net::IpAddr;

use api::identity::has_uid;
use api::snapshot::Snapshot;
use api::tenant::BoundNamespace;
use api::{Region, Uid, names};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::observed::{Observed, PeerIpCheck};
use super::{Admitted, Caller};
use crate::labels;

/// Why a call was refused. For the audit; what the worker learns of it says its [`class`](Refusal::class).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Refusal {
    #[error("the API server does not know the token")]
    Token,
    #[error("the token is for none of our audiences")]
    Audience,
    #[error("the account is not the worker of a tenant's run namespace")]
    Account,
    #[error("the run namespace or the namespace of the run is not the one bound to the tenant")]
    Namespace,
    #[error("the tenant is unknown, or being deleted and its runs are over")]
    Tenant,
    #[error("the region of the tenant is unknown or was replaced")]
    Region,
    #[error("the token is for another region")]
    RegionAudience,
    #[error("the pod does not exist, is another one, is terminating or finished")]
    Pod,
    #[error("the run does not exist or is being deleted")]
    Run,
    #[error("the pod is no attempt of the run")]
    Attempt,
    #[error("the pod is an attempt that was replaced, or says it is another one")]
    StaleAttempt,
    #[error("it is not recorded which node the pod is on")]
    NodeUnknown,
    #[error("the pod is not on the node that was recorded")]
    Node,
    #[error("the node does not carry the label of the region")]
    NodeRegion,
    #[error("it is not known which address the pod has")]
    AddressUnknown,
    #[error("the call does not come from an address of the pod")]
    Peer,
    #[error("the token was shown by another pod before")]
    TokenReused,
    #[error("the snapshot is missing, altered or of another run")]
    Snapshot,
    #[error("the tenant is being deleted: its runs are only brought to their end")]
    TenantLeaving,
    #[error("the run does not use this connection")]
    NotInSnapshot,
    #[error("the snapshot has a connection for another endpoint than its digest says")]
    SnapshotContradicted,
    #[error("the target is none of a Salesforce org")]
    NoTarget,
    #[error("the connection does not exist any more, or another one has its name")]
    ConnectionGone,
    #[error("the connection is suspended")]
    ConnectionSuspended,
    #[error("the connection points to another endpoint than when the run started")]
    Endpoint,
    #[error("the owner of the source Secret does not let this connection have it for this endpoint, or not any more")]
    Consent,
    #[error("no credential is stored, or it is for another endpoint or of another Secret")]
    NoCredential,
    #[error("the stored credential is older than one that was used before")]
    CredentialRolledBack,
    #[error("the upload does not exist any more, or another one has its name")]
    UploadGone,
    #[error("the upload has had its time")]
    UploadExpired,
    #[error("the upload has its record, and no bytes")]
    UploadLost,
    #[error("the upload has no file yet")]
    UploadIncomplete,
    #[error("the connection is to a system that rows are not read from in this way")]
    NoSource,
    #[error("what the job has read up to does not open any more")]
    BookmarkLost,
    #[error("the file is none of this run")]
    File,
}

impl Refusal {
    /// Whether the call came before others wrote down what it is judged by. The caller proved by then which pod and which attempt it is, and
    /// asks again a moment later: nothing is wrong, so neither a warning nor the audit says so.
    pub fn is_early(self) -> bool {
        matches!(self, Self::NodeUnknown | Self::AddressUnknown)
    }
}

type Rule = fn(&Observed) -> Option<Refusal>;

/// In the order in which they are judged.
const RULES: &[Rule] = &[
    token,
    audience,
    account,
    namespaces,
    tenant,
    region,
    region_audience,
    pod,
    run,
    attempt,
    current_attempt,
    node,
    node_region,
    peer,
    token_reused,
    snapshot,
];

/// Whether the call would be refused only because it came too early: the caller may be judged anew in a moment.
pub fn is_too_early(observed: &Observed) -> bool {
    first_refusal(observed).is_some_and(Refusal::is_early)
}

fn first_refusal(observed: &Observed) -> Option<Refusal> {
    RULES.iter().find_map(|rule| rule(observed))
}

/// The proof that the caller is the current worker of the run, or the first rule that does not hold.
pub fn admit(observed: Observed) -> Result<Admitted, Refusal> {
    if let Some(refusal) = first_refusal(&observed) {
        return Err(refusal);
    }
    let snapshot = read_snapshot(&observed).ok_or(Refusal::Snapshot)?;
    let pod_uid = observed.caller.and_then(|c| Uid::new(c.pod_uid?)).ok_or(Refusal::Pod)?;
    Ok(Admitted {
        run: observed.run.ok_or(Refusal::Run)?,
        tenant: observed.tenant.ok_or(Refusal::Tenant)?,
        region: observed.region.ok_or(Refusal::Region)?,
        snapshot,
        attempt: observed.attempt,
        pod_uid,
    })
}

fn unless(holds: bool, refusal: Refusal) -> Option<Refusal> {
    (!holds).then_some(refusal)
}

fn caller(o: &Observed) -> Option<&Caller> {
    o.caller.as_ref()
}

fn token(o: &Observed) -> Option<Refusal> {
    unless(o.caller.is_some(), Refusal::Token)
}

fn audience(o: &Observed) -> Option<Refusal> {
    let ours = format!(".{}", o.installation);
    let named = |a: &String| a.starts_with("dataimporter-keeper.") && a.ends_with(&ours);
    unless(caller(o).is_some_and(|c| c.audiences.iter().any(named)), Refusal::Audience)
}

/// The user name says which run namespace, the run namespace says which tenant: nothing the caller sends decides it.
fn account(o: &Observed) -> Option<Refusal> {
    let expected = o
        .tenant
        .as_ref()
        .and_then(|t| t.status.as_ref()?.run_namespace.as_ref())
        .map(|bound| format!("system:serviceaccount:{}:{}", bound.name, names::WORKER_ACCOUNT));
    unless(caller(o).map(|c| &c.username) == expected.as_ref(), Refusal::Account)
}

/// Both namespaces are the very ones that were bound: one re-created under the same name is not.
fn namespaces(o: &Observed) -> Option<Refusal> {
    let status = o.tenant.as_ref().and_then(|t| t.status.as_ref());
    let run_namespace = status.and_then(|s| s.run_namespace.as_ref());
    let home = o.run.as_ref().and_then(|r| r.metadata.namespace.as_deref());
    let bound = status.and_then(|s| s.namespaces.iter().find(|b| Some(b.name.as_str()) == home));
    unless(is_bound(run_namespace, o.run_namespace.as_ref()) && is_bound(bound, o.tenant_namespace.as_ref()), Refusal::Namespace)
}

fn is_bound(bound: Option<&BoundNamespace>, live: Option<&Namespace>) -> bool {
    match (bound, live) {
        (Some(bound), Some(live)) => has_uid(&live.metadata, &bound.uid) && live.metadata.name.as_ref() == Some(&bound.name),
        _ => false,
    }
}

/// Of a tenant that is being deleted, workers have their say until the operator has let its runs go; they get nothing new to work with.
fn tenant(o: &Observed) -> Option<Refusal> {
    let waits = |meta: &ObjectMeta| meta.finalizers.iter().flatten().any(|f| f == names::TENANT_RUNS_FINALIZER);
    unless(o.tenant.as_ref().is_some_and(|t| !labels::is_leaving(&t.metadata) || waits(&t.metadata)), Refusal::Tenant)
}

/// Another Region of the same name is not the place the tenant chose.
fn region(o: &Observed) -> Option<Refusal> {
    let bound = o.tenant.as_ref().and_then(|t| t.status.as_ref()?.region_uid.as_deref());
    let is_bound = |region: &Region| bound.is_some_and(|bound| has_uid(&region.metadata, bound));
    unless(o.region.as_ref().is_some_and(is_bound), Refusal::Region)
}

fn region_audience(o: &Observed) -> Option<Refusal> {
    let expected = o.tenant.as_ref().map(|t| names::keeper_audience(&t.spec.region, &o.installation));
    unless(expected.is_some_and(|e| caller(o).is_some_and(|c| c.audiences.contains(&e))), Refusal::RegionAudience)
}

fn pod(o: &Observed) -> Option<Refusal> {
    let Some(pod) = &o.pod else { return Some(Refusal::Pod) };
    let same = caller(o).and_then(|c| c.pod_uid.as_deref()).is_some_and(|proven| has_uid(&pod.metadata, proven));
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
    unless(same && pod.metadata.deletion_timestamp.is_none() && !matches!(phase, "Succeeded" | "Failed"), Refusal::Pod)
}

fn run(o: &Observed) -> Option<Refusal> {
    let lives = |meta: &ObjectMeta| has_uid(meta, &o.run_uid) && meta.deletion_timestamp.is_none();
    unless(o.run.as_ref().is_some_and(|run| lives(&run.metadata)), Refusal::Run)
}

fn attempt(o: &Observed) -> Option<Refusal> {
    let proven = caller(o).and_then(|c| c.pod_uid.as_deref());
    let known = o.run.as_ref().and_then(|r| r.status.as_ref()).is_some_and(|s| s.attempts.iter().any(|a| a.pod_uid.as_deref() == proven));
    unless(proven.is_some() && known, Refusal::Attempt)
}

fn current_attempt(o: &Observed) -> Option<Refusal> {
    let proven = caller(o).and_then(|c| c.pod_uid.as_deref());
    let current = o.run.as_ref().and_then(|r| r.status.as_ref()).and_then(|s| s.current_attempt());
    let holds = current.is_some_and(|a| a.pod_uid.as_deref() == proven && a.number == o.attempt && a.finished_at.is_none());
    unless(holds, Refusal::StaleAttempt)
}

fn node(o: &Observed) -> Option<Refusal> {
    let recorded = o.run.as_ref().and_then(|r| r.status.as_ref()?.current_attempt()?.node.as_deref());
    let bound = o.pod.as_ref().and_then(|p| p.spec.as_ref()?.node_name.as_deref());
    let claimed = caller(o).and_then(|c| c.node_name.as_deref());
    let known = [recorded, bound, claimed];
    let differ = known.iter().flatten().any(|one| known.iter().flatten().any(|other| one != other));
    match recorded.is_some() && bound.is_some() {
        _ if differ => Some(Refusal::Node),
        true => None,
        false => Some(Refusal::NodeUnknown),
    }
}

fn node_region(o: &Observed) -> Option<Refusal> {
    let (Some(region), Some(node)) = (&o.region, &o.node) else { return Some(Refusal::NodeRegion) };
    if region.spec.nodes.are_all() {
        return None;
    }
    let label = node.metadata.labels.as_ref().and_then(|l| l.get(names::NODE_REGION_LABEL));
    unless(label.is_some() && label == region.metadata.name.as_ref(), Refusal::NodeRegion)
}

fn peer(o: &Observed) -> Option<Refusal> {
    let standing = o.pod.as_ref().map_or(Peer::Foreign, |pod| peer_of(pod, o.peer));
    match (standing, o.peer_check) {
        (Peer::Own, _) | (_, PeerIpCheck::Report) => None,
        (Peer::Unknown, PeerIpCheck::Enforce) => Some(Refusal::AddressUnknown),
        (Peer::Foreign, PeerIpCheck::Enforce) => Some(Refusal::Peer),
    }
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// From an address of the pod.
    Own,
    /// The pod has none yet, as far as the API server knows.
    Unknown,
    /// From an address that the pod does not have.
    Foreign,
}

/// Whether `peer` is an address of the pod; an IPv4 address counts as the same when it comes mapped into IPv6.
pub fn peer_of(pod: &Pod, peer: IpAddr) -> Peer {
    let status = pod.status.iter();
    let addresses = status.flat_map(|s| s.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(s.pod_ip.as_deref()));
    let addresses: Vec<&str> = addresses.filter(|address| !address.is_empty()).collect();
    let same = |ip: &&str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical() == peer.to_canonical());
    match addresses.iter().any(same) {
        true => Peer::Own,
        false if addresses.is_empty() => Peer::Unknown,
        false => Peer::Foreign,
    }
}

fn token_reused(o: &Observed) -> Option<Refusal> {
    let proven = caller(o).and_then(|c| c.pod_uid.as_ref());
    unless(o.token_first_shown_by.as_ref().is_none_or(|first| Some(first) == proven), Refusal::TokenReused)
}

fn snapshot(o: &Observed) -> Option<Refusal> {
    unless(read_snapshot(o).is_some(), Refusal::Snapshot)
}

fn read_snapshot(o: &Observed) -> Option<Snapshot> {
    let (text, run, tenant, region) = (o.snapshot.as_ref()?, o.run.as_ref()?, o.tenant.as_ref()?, o.region.as_ref()?);
    let recorded = run.status.as_ref()?.snapshot_digest.as_ref()?;
    if Snapshot::digest(text) != *recorded {
        return None;
    }
    let snapshot: Snapshot = serde_json::from_str(text).ok()?;
    let same = snapshot.run.uid == *o.run_uid
        && snapshot.run.namespace == run.metadata.namespace
        && has_uid(&tenant.metadata, &snapshot.tenant.uid)
        && has_uid(&region.metadata, &snapshot.region.uid);
    same.then_some(snapshot)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, observed};
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    type Edit = fn(&mut Observed);

    fn caller_of(o: &mut Observed) -> &mut Caller {
        o.caller.as_mut().unwrap()
    }

    fn deleted() -> Option<Time> {
        Some(Time(jiff::Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_current_worker_is_admitted() {
        let admitted = admit(observed()).map_err(|r| r.to_string()).unwrap_or_else(|r| panic!("{r}"));
        assert_eq!((admitted.run_uid().as_str(), admitted.attempt(), admitted.namespace()), (fixtures::RUN, 2, "acme"));
    }

    #[test]
    fn each_check_refuses_by_itself() {
        let cases: &[(Refusal, &str, Edit)] = &[
            (Refusal::Token, "unknown token", |o| o.caller = None),
            (Refusal::Audience, "no audience of ours in the reply", |o| caller_of(o).audiences.clear()),
            (Refusal::Audience, "another installation", |o| caller_of(o).audiences = vec!["dataimporter-keeper.eu-frankfurt.other".into()]),
            (Refusal::Account, "another account of the namespace", |o| {
                caller_of(o).username = "system:serviceaccount:dataimporter-run-acme:default".into();
            }),
            (Refusal::Account, "a worker of a neighbour", |o| {
                caller_of(o).username = "system:serviceaccount:dataimporter-run-beta:worker".into()
            }),
            (Refusal::Account, "no tenant has that namespace", |o| o.tenant = None),
            (Refusal::Namespace, "run namespace re-created", |o| o.run_namespace.as_mut().unwrap().metadata.uid = Some("new".into())),
            (Refusal::Namespace, "tenant namespace re-created", |o| o.tenant_namespace.as_mut().unwrap().metadata.uid = Some("new".into())),
            (Refusal::Namespace, "run in a namespace of nobody", |o| {
                o.run.as_mut().unwrap().metadata.namespace = Some("kube-system".into())
            }),
            (Refusal::Tenant, "tenant being deleted, its runs over", |o| {
                fixtures::leave(o);
                o.tenant.as_mut().unwrap().metadata.finalizers = Some(vec![names::TENANT_ERASURE_FINALIZER.into()]);
            }),
            (Refusal::Region, "region without a UID", |o| o.region.as_mut().unwrap().metadata.uid = None),
            (Refusal::Region, "region re-created", |o| o.region.as_mut().unwrap().metadata.uid = Some("new".into())),
            (Refusal::RegionAudience, "token of another region", |o| {
                caller_of(o).audiences = vec![names::keeper_audience("us-dallas", fixtures::INSTALLATION)];
            }),
            (Refusal::Pod, "pod gone", |o| o.pod = None),
            (Refusal::Pod, "pod without a UID", |o| o.pod.as_mut().unwrap().metadata.uid = None),
            (Refusal::Pod, "another pod of that name", |o| o.pod.as_mut().unwrap().metadata.uid = Some("new".into())),
            (Refusal::Pod, "terminating", |o| o.pod.as_mut().unwrap().metadata.deletion_timestamp = deleted()),
            (Refusal::Pod, "finished", |o| o.pod.as_mut().unwrap().status.as_mut().unwrap().phase = Some("Failed".into())),
            (Refusal::Pod, "token bound to no pod", |o| caller_of(o).pod_uid = None),
            (Refusal::Run, "run without a UID, and none in the path", |o| {
                o.run.as_mut().unwrap().metadata.uid = None;
                o.run_uid = String::new();
            }),
            (Refusal::Run, "another run in the path", |o| o.run_uid = "other".into()),
            (Refusal::Run, "run being deleted", |o| o.run.as_mut().unwrap().metadata.deletion_timestamp = deleted()),
            (Refusal::Attempt, "pod never recorded", |o| o.run.as_mut().unwrap().status.as_mut().unwrap().attempts.clear()),
            (Refusal::StaleAttempt, "a newer attempt exists", |o| {
                o.run.as_mut().unwrap().status.as_mut().unwrap().attempts.push(fixtures::attempt(3, Some("newer")));
            }),
            (Refusal::StaleAttempt, "says another number", |o| o.attempt = 1),
            (Refusal::StaleAttempt, "recorded as finished", |o| {
                o.run.as_mut().unwrap().status.as_mut().unwrap().attempts[1].finished_at = deleted();
            }),
            (Refusal::Node, "moved", |o| o.pod.as_mut().unwrap().spec.as_mut().unwrap().node_name = Some("node-2".into())),
            (Refusal::Node, "token made on another node", |o| caller_of(o).node_name = Some("node-2".into())),
            (Refusal::NodeUnknown, "node not recorded yet", |o| o.run.as_mut().unwrap().status.as_mut().unwrap().attempts[1].node = None),
            (Refusal::Node, "node not recorded yet, and the token made on another one", |o| {
                o.run.as_mut().unwrap().status.as_mut().unwrap().attempts[1].node = None;
                caller_of(o).node_name = Some("node-2".into());
            }),
            (Refusal::NodeRegion, "label of another region", |o| {
                o.node.as_mut().unwrap().metadata.labels.as_mut().unwrap().insert(names::NODE_REGION_LABEL.into(), "us-dallas".into());
            }),
            (Refusal::NodeRegion, "no label", |o| o.node.as_mut().unwrap().metadata.labels = None),
            (Refusal::NodeUnknown, "not bound yet", |o| o.pod.as_mut().unwrap().spec.as_mut().unwrap().node_name = None),
            (Refusal::AddressUnknown, "no address yet", |o| {
                let status = o.pod.as_mut().unwrap().status.as_mut().unwrap();
                (status.pod_ip, status.pod_ips) = (None, None);
            }),
            (Refusal::Peer, "another address", |o| o.peer = "10.1.0.99".parse().unwrap()),
            (Refusal::AddressUnknown, "no address of the pod is known yet", |o| {
                let status = o.pod.as_mut().unwrap().status.as_mut().unwrap();
                (status.pod_ip, status.pod_ips) = (None, None);
            }),
            (Refusal::AddressUnknown, "the kubelet has said nothing yet", |o| o.pod.as_mut().unwrap().status = None),
            (Refusal::TokenReused, "shown by another pod", |o| o.token_first_shown_by = Some("other".into())),
            (Refusal::Snapshot, "missing", |o| o.snapshot = None),
            (Refusal::Snapshot, "altered", |o| o.snapshot.as_mut().unwrap().push(' ')),
            (Refusal::Snapshot, "of another run", |o| fixtures::edit_snapshot(o, |s| s.run.uid = Uid::new("other").unwrap())),
            (Refusal::Snapshot, "of another tenant", |o| fixtures::edit_snapshot(o, |s| s.tenant.uid = Uid::new("other").unwrap())),
            (Refusal::Snapshot, "of another region", |o| fixtures::edit_snapshot(o, |s| s.region.uid = Uid::new("other").unwrap())),
        ];
        for (expected, name, edit) in cases {
            let mut o = observed();
            edit(&mut o);
            assert_eq!(is_too_early(&o), expected.is_early(), "{name}");
            assert_eq!(admit(o).err(), Some(*expected), "{name}");
            assert_eq!(expected.is_early(), name.contains("yet") && !name.contains("another"), "{name}");
        }
    }

    #[test]
    fn the_worker_of_a_tenant_that_leaves_has_its_say_while_runs_are_stopped() {
        let mut o = observed();
        assert!(!admit(observed()).is_ok_and(|admitted| admitted.is_leaving()));
        fixtures::leave(&mut o);
        assert!(admit(o).is_ok_and(|admitted| admitted.is_leaving()));
    }

    #[test]
    fn a_mesh_address_passes_when_only_reported() {
        let mut o = observed();
        o.peer = "10.1.0.99".parse().unwrap();
        o.peer_check = PeerIpCheck::Report;
        assert!(admit(o).is_ok());
    }

    #[test]
    fn a_cell_needs_no_node_label() {
        let mut o = observed();
        o.region.as_mut().unwrap().spec.nodes = serde_json::from_str(r#"{"all": {}}"#).unwrap();
        o.node.as_mut().unwrap().metadata.labels = None;
        assert!(admit(o).is_ok());
    }

    #[test]
    fn an_address_written_as_mapped_ipv6_is_the_same_address() {
        let mut o = observed();
        o.peer = "::ffff:10.1.0.7".parse().unwrap();
        assert!(admit(o).is_ok());
    }
}
