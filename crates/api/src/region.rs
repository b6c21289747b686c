//! `Region`: a place data may live.

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::S3;
use crate::meta::Empty;
use crate::schema::{self, PEM, exactly_one, rule};
use crate::union::union;

/// A place data may live. It owns storage, the root key, the node label and the private addresses that workers may reach.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "dataimporter.io",
    version = "v1alpha1",
    kind = "Region",
    crates(kube_core = "::kube_core"),
    status = "RegionStatus",
    derive = "PartialEq",
    shortname = "reg",
    category = "dataimporter",
    doc = "A place data may live: it owns storage, the root key, the node label and the private addresses that workers may reach.",
    printcolumn(name = "City", type_ = "string", json_path = ".spec.location.city"),
    printcolumn(name = "Isolation", type_ = "string", json_path = ".spec.isolation"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Keys", type_ = "string", json_path = r#".status.conditions[?(@.type=="KeyCustody")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.location == oldSelf.location", "location is immutable: create another Region"),
    rule("self.isolation == oldSelf.isolation", "isolation is immutable: create another Region"),
    rule("has(self.storage.volume) == has(oldSelf.storage.volume) && (!has(self.storage.volume) || self.storage.volume == oldSelf.storage.volume)", "storage is immutable: create another Region"),
    rule("has(self.storage.s3) == has(oldSelf.storage.s3) && (!has(self.storage.s3) || self.storage.s3.bucket == oldSelf.storage.s3.bucket && self.storage.s3.region == oldSelf.storage.s3.region && has(self.storage.s3.endpoint) == has(oldSelf.storage.s3.endpoint) && (!has(self.storage.s3.endpoint) || self.storage.s3.endpoint == oldSelf.storage.s3.endpoint))", "endpoint, bucket and region of storage are immutable: create another Region"),
    rule("!has(self.privateEndpoints) || self.privateEndpoints.map(e, has(e.tenants) ? e.tenants.size() : 0).sum() <= 1024", "privateEndpoints name at most 1024 tenants together"),
    rule("self.isolation == 'Cell' || !has(self.nodes.all)", "nodes.all needs isolation Cell: in a shared cluster a region's nodes must be labelled"),
]))]
pub struct RegionSpec {
    /// Where the region is. Immutable.
    pub location: Location,
    /// Whether this cluster serves one region only. Immutable.
    pub isolation: Isolation,
    /// Where uploads and result files live, always encrypted. Which volume or bucket that is cannot be changed.
    pub storage: Storage,
    /// Who holds the root key that wraps all others. Changing it is a rotation.
    pub root_key: RootKey,
    /// Which nodes may run workers of this region.
    pub nodes: Nodes,
    /// Private addresses that workers of this region may reach. Absent: none, only public addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub private_endpoints: Vec<PrivateEndpoint>,
    /// Host names besides Salesforce's own that a Connection may log in at (sandboxes behind proxies, the emulator). Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub allowed_login_hosts: Vec<String>,
    /// How worker pods are placed and their image pulled. Absent: no tolerations, no pull secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
}

/// Where a region is, for people and as what it promises.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// City, for people.
    #[schemars(length(min = 1, max = 100))]
    pub city: String,
    /// Country, ISO 3166-1 alpha-2.
    #[schemars(length(min = 2, max = 2), regex(pattern = "^[A-Z]{2}$"))]
    pub country: String,
}

/// `Cell`: this cluster serves this region only. `Placement`: several regions in one cluster, for trials and tests; makes no residency claim.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Isolation {
    /// This cluster serves this region only.
    Cell,
    /// Several regions in one cluster; makes no residency claim.
    Placement,
}

/// Where a region keeps its files: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(StorageKind::KEYS)]))]
pub struct Storage {
    /// A volume mounted into the keeper, named in the chart's value `storage.volumes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<NamedMount>,
    /// A bucket of S3 or of storage that speaks like it, which keeps no versions and obeys conditional writes; the keeper tries both before it uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s3: Option<BucketStorage>,
}

union! {
    /// Where a region keeps its files.
    pub enum StorageKind<'a> = Storage::kind {
        /// A volume mounted into the keeper.
        "volume" volume => Volume(&'a NamedMount),
        /// A bucket.
        "s3" s3 => S3(&'a BucketStorage),
    }
}

/// A bucket that a Region's files lie in, below a folder of the Region's name. It belongs to one installation: what the keeper finds in that
/// folder and does not know it deletes.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || has(self.endpoint)", "tls goes with endpoint: AWS' own hosts are verified with public roots"),
]))]
pub struct BucketStorage {
    /// Base URL of storage that speaks like S3; the bucket follows in the path. Absent: AWS, in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]+[a-z0-9]$"))]
    pub bucket: String,
    /// Region of the bucket, as in `eu-central-1`. Storage without regions mostly takes `us-east-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    /// A Secret of the system namespace with the keys `accessKeyId` and `secretAccessKey`, which the keeper reads anew within a minute when it changes.
    pub secret_ref: BucketSecret,
    /// Trust for an endpoint with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BucketTls>,
}

/// Trust for the endpoint of a bucket, which is verified by its own name.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketTls {
    /// PEM certificates that may sign the server's, besides the public roots. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384), regex(pattern = PEM))]
    pub ca_bundle: Option<String>,
}

impl BucketStorage {
    /// Entry of the Secret.
    pub const KEY_ID: &str = S3::KEY_ID;
    /// Entry of the Secret.
    pub const SECRET: &str = S3::SECRET;
}

/// The Secret with the access key of a bucket.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketSecret {
    /// Name of the Secret in the system namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Something mounted into the keeper, by the name that the chart's values give it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedMount {
    /// Name as given in the chart's values.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// Who holds the root key: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(RootKeyKind::KEYS)]))]
pub struct RootKey {
    /// The key is made and kept in a Secret of the system namespace: for trials only, it lies beside what it protects (condition `KeyCustody`, reason `InCluster`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Empty>,
    /// The key is a file mounted into the keeper, named in the chart's value `rootKeys`: one key a line as 64 hexadecimal digits, the first wraps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<NamedMount>,
}

union! {
    /// Who holds the root key of a region.
    pub enum RootKeyKind<'a> = RootKey::kind {
        /// A Secret of the system namespace.
        "secret" secret => Secret,
        /// A file mounted into the keeper.
        "file" file => File(&'a NamedMount),
    }
}

/// Which nodes may run workers: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(NodesKind::KEYS)]))]
pub struct Nodes {
    /// Only nodes that carry `node-restriction.kubernetes.io/dataimporter-region=<region>`, a label that only an admin can set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labelled: Option<Empty>,
    /// Every node: the whole cluster is the boundary. Only with isolation `Cell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<Empty>,
}

union! {
    /// Which nodes run workers of a region.
    pub enum NodesKind = Nodes::kind {
        /// Those that carry the region's label.
        "labelled" labelled => Labelled,
        /// Every node.
        "all" all => All,
    }
}

impl Nodes {
    /// Whether every node is one of the region's. What this version does not know opens no further nodes.
    pub fn are_all(&self) -> bool {
        match self.kind() {
            Some(NodesKind::All) => true,
            Some(NodesKind::Labelled) | None => false,
        }
    }
}

/// Private addresses that workers of some tenants may reach: a Service or a range, and its ports.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(PrivatePlace::KEYS)]))]
pub struct PrivateEndpoint {
    /// A Service of this cluster; its pods are reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<ServiceEndpoint>,
    /// A range of private addresses, e.g. `10.1.2.3/32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    cidr: Option<String>,
    /// TCP ports that may be reached there.
    #[schemars(length(min = 1, max = 16), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<i32>,
    /// Names of the tenants that may reach it. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")))]
    pub tenants: Vec<String>,
}

union! {
    /// What a private endpoint opens.
    pub enum PrivatePlace<'a> = PrivateEndpoint::place {
        /// The pods of a Service of this cluster.
        "service" service => Service(&'a ServiceEndpoint),
        /// A range of addresses.
        "cidr" cidr => Cidr(&'a str),
    }
}

impl PrivateEndpoint {
    /// The Service that is opened, if it is one.
    pub fn service(&self) -> Option<&ServiceEndpoint> {
        match self.place()? {
            PrivatePlace::Service(service) => Some(service),
            PrivatePlace::Cidr(_) => None,
        }
    }
}

/// A Service of this cluster.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEndpoint {
    /// Namespace of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Name of the Service. Its selector decides which pods are reached.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// How worker pods are placed, how many there may be and how their image is pulled.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// Tolerations of the worker pods. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Runs of all tenants under way at the same time; tenants take turns. Absent: no limit but the tenants' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub concurrent_runs: Option<i32>,
    /// Secrets in the run namespace that hold registry credentials. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// What is known of a region, as the operator and the keeper write it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Residency (operator); StorageReady, KeyCustody, and while it is so ClockSkew, Overdue, RotationRefused and AuditBroken (keeper).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Nodes that may run workers of this region now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i32>,
    /// How far each chain of the audit goes, kept apart from the volume that the chains lie on. Absent: none was written yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub audit: Vec<AuditChain>,
}

/// Of the list `audit` in a Region's status.
pub const MAX_CHAINS: usize = 64;

/// The end of a chain of the audit.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditChain {
    /// Name of the keeper that writes it; with a number once an earlier one was found broken.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Lines that it has at least: those of the last seconds may come on top.
    #[schemars(range(min = 0))]
    pub lines: i64,
    /// Hash of the last of these lines, SHA-256 in hexadecimal digits. Empty while there is none.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// Why it is not what was written, and so not gone on with. Absent: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub broken: Option<String>,
}
