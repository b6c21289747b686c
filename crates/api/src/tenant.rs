//! `Tenant`: a customer, for ever in one region.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::meta::Empty;
use crate::schema::{self, TEXT, exactly_one, rule};
use crate::union::union;

/// A customer: one region for ever, its namespaces, members, plan and retention.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "dataimporter.io",
    version = "v1alpha1",
    kind = "Tenant",
    crates(kube_core = "::kube_core"),
    status = "TenantStatus",
    derive = "PartialEq",
    shortname = "ten",
    category = "dataimporter",
    doc = "A customer: one region for ever, its namespaces, members, plan and retention.",
    selectable = ".spec.region",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.plan"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.region == oldSelf.region", "region is immutable: sign up again in the other region instead"),
    rule("!has(self.retention) || self.plan == 'Enterprise'", "only plan Enterprise may choose its retention"),
    rule("!has(self.members) || self.members.map(m, bytes(m.email).size()).sum() <= 32768", "the members' names have at most 32 KiB together"),
]))]
pub struct TenantSpec {
    /// Name of the Region that everything of this tenant stays in. Immutable.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub region: String,
    /// Existing namespaces that belong to this tenant. They are never created or deleted for you.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
    /// Who answers for this tenant.
    pub contact: Contact,
    /// What the tenant has paid for.
    pub plan: Plan,
    /// How long result files are kept. Only plan Enterprise may set it. Absent: 14 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How much the tenant may take at once. What is absent goes by plan, as the chart's value `plans` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// People and what they may do in the tenant's namespaces. Absent: nobody but the cluster's own admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["email"]))]
    pub members: Vec<Member>,
}

/// Who answers for a tenant.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// First name.
    #[schemars(length(min = 1, max = 100))]
    pub first_name: String,
    /// Last name.
    #[schemars(length(min = 1, max = 100))]
    pub last_name: String,
    /// Where messages about this tenant go.
    #[schemars(length(min = 3, max = 254))]
    pub email: String,
    /// Company. Absent: a private person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub company: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    #[schemars(length(min = 2, max = 2), regex(pattern = "^[A-Z]{2}$"))]
    pub country: String,
}

/// What a tenant has paid for. The chart's value `plans` says what limits each has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Plan {
    /// Nothing: the smallest limits, unless the chart's values say otherwise.
    Free,
    /// Larger limits.
    Standard,
    /// The largest limits, and the only plan that may choose its retention.
    Enterprise,
}

/// How long what is made for a tenant lives.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Result files of runs.
    pub results: ResultRetention,
}

/// How long result files live.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(RetentionKind::KEYS)]))]
pub struct ResultRetention {
    /// Days after a run's end. 0: one minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 30))]
    keep_days: Option<i32>,
    /// Result files are never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    none: Option<Empty>,
}

union! {
    /// How long result files live.
    pub enum RetentionKind<'a> = ResultRetention::kind {
        /// Days after a run's end; 0: one minute.
        "keepDays" keep_days => KeepDays(&'a i32),
        /// They are never written.
        "none" none => None,
    }
}

/// A person and what that person may do.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// User name as the cluster's authentication knows it, usually an email address. Never a part of the system or a service account.
    #[schemars(length(min = 1, max = 254), regex(pattern = TEXT), extend("x-kubernetes-validations" = [
        rule("!self.startsWith('system:')", "a member is a person: names that begin with system: are the cluster's own"),
    ]))]
    pub email: String,
    /// What the person may do.
    pub role: Role,
}

/// `Owner` and `Editor` may write jobs and connections and upload files, `Owner` may also delete them by the collection; `Viewer` reads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(transform = schema::words)]
pub enum Role {
    /// Reads and writes jobs and connections, uploads files, and deletes also by the collection.
    Owner,
    /// Reads and writes jobs and connections, and uploads files.
    Editor,
    /// Reads.
    Viewer,
}

/// What is known of a tenant, as the operator and the keeper write it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and ForeignObjects while True (operator); KeysReady, and RotationRefused while a request for new keys is not obeyed (keeper).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// UID of the Region this tenant was bound to. Another Region of the same name is not the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-validations" = [rule("self == oldSelf", "regionUID is written once")]))]
    #[serde(rename = "regionUID")]
    pub region_uid: Option<String>,
    /// What applies where the spec is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveTenant>,
    /// Namespaces held by this tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub namespaces: Vec<BoundNamespace>,
    /// Namespace that this tenant's workers run in, made at the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_namespace: Option<BoundNamespace>,
    /// Encryption keys of this tenant, without the keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub keys: Vec<KeyInfo>,
}

/// What applies to a tenant, its plan's numbers included.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveTenant {
    /// Every limit with its number.
    pub limits: Limits,
}

/// A namespace and the UID it had when it was bound.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundNamespace {
    /// Name of the namespace.
    #[schemars(length(max = 63))]
    pub name: String,
    /// UID that it had when it was bound: another namespace of the name is not the tenant's.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// One encryption key of a tenant, without the key.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyInfo {
    /// Random id of the key, hexadecimal.
    #[schemars(length(max = 64))]
    pub id: String,
    /// preActive, active, decryptOnly, destroyed or compromised.
    #[schemars(length(max = 32))]
    pub state: String,
    /// When the key was made.
    pub created_at: Time,
}

impl ResultRetention {
    /// So many days after a run's end, 0 to 30; 0 is one minute.
    pub fn days(days: i32) -> Self {
        Self { keep_days: Some(days), none: None }
    }

    /// Result files are never written.
    pub fn none() -> Self {
        Self { keep_days: None, none: Some(Empty {}) }
    }
}
