//! Everything the rules look at, read live before the first rule runs. Any part may be absent; absence is for the rules to judge.

use std::net::IpAddr;

use api::{ImportRun, Region, Tenant};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};

/// What the API server says about a token.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub username: String,
    /// Those of the audiences we asked for that the token has.
    pub audiences: Vec<String>,
    pub pod_name: Option<String>,
    pub pod_uid: Option<String>,
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

pub struct Observed {
    /// The run in the path of the call.
    pub run_uid: String,
    /// The attempt the caller says it is.
    pub attempt: i32,
    pub installation: String,
    /// Absent: the API server does not know the token.
    pub caller: Option<Caller>,
    pub tenant: Option<Tenant>,
    pub region: Option<Region>,
    pub run: Option<ImportRun>,
    /// The namespace the pod runs in, and the one its run lies in.
    pub run_namespace: Option<Namespace>,
    pub tenant_namespace: Option<Namespace>,
    pub pod: Option<Pod>,
    pub node: Option<Node>,
    pub peer: IpAddr,
    pub peer_check: PeerIpCheck,
    /// UID of the pod that showed this token first.
    pub token_first_shown_by: Option<String>,
    /// Text of the run's snapshot.
    pub snapshot: Option<String>,
}
