//! Everything the rules look at, read live before the first rule runs. Any part may be absent; absence is for the rules to judge.

use std::net::IpAddr;

use api::{ImportRun, Region, Tenant};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};

/// What the API server says about a token.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Name of the account, `system:serviceaccount:NAMESPACE:NAME`; empty if the API server gives none.
    pub username: String,
    /// Those of the audiences we asked for that the token has.
    pub audiences: Vec<String>,
    /// Name of the pod that the token is bound to.
    pub pod_name: Option<String>,
    /// UID of that pod.
    pub pod_uid: Option<String>,
    /// Name of the node that the pod was on when the token was made.
    pub node_name: Option<String>,
    /// Id of this one token, as the API server's own audit names it.
    pub credential_id: Option<String>,
}

/// What happens when the address a call comes from is none of the pod's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerIpCheck {
    /// It is refused.
    Enforce,
    /// It is written to the audit and let through: for meshes that replace addresses.
    Report,
}

/// What the rules judge a worker's call by.
pub struct Observed {
    /// The run in the path of the call.
    pub run_uid: String,
    /// The attempt the caller says it is.
    pub attempt: i32,
    /// UID of this installation, which audiences contain.
    pub installation: String,
    /// Absent: the API server does not know the token.
    pub caller: Option<Caller>,
    /// The Tenant of the caller's run namespace.
    pub tenant: Option<Tenant>,
    /// The Region of that Tenant.
    pub region: Option<Region>,
    /// The run that the snapshot names, as it is now.
    pub run: Option<ImportRun>,
    /// The namespace the pod runs in, and the one its run lies in.
    pub run_namespace: Option<Namespace>,
    /// The namespace that the run itself lies in, as it is now.
    pub tenant_namespace: Option<Namespace>,
    /// The pod that the token is bound to, as it is now.
    pub pod: Option<Pod>,
    /// The node that the pod is on.
    pub node: Option<Node>,
    /// Where the connection comes from; 0.0.0.0 if that is not known.
    pub peer: IpAddr,
    /// What happens if that is no address of the pod.
    pub peer_check: PeerIpCheck,
    /// UID of the pod that showed this token first.
    pub token_first_shown_by: Option<String>,
    /// Text of the run's snapshot.
    pub snapshot: Option<String>,
}
