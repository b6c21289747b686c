//! Names that are derived, never chosen: two processes that compute one get the same, so a child is never made twice.
//! Also the labels, annotations and account names that several processes must agree on.

use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

/// Namespace prefix of everything that runs for a tenant.
pub const RUN_NAMESPACE_PREFIX: &str = "dataimporter-run-";
/// ServiceAccount of the worker pods, one in each run namespace.
pub const WORKER_ACCOUNT: &str = "worker";
/// ServiceAccount without bindings, in the system namespace: an account that may ask for its token may read the audit of every region.
pub const AUDIT_READER_ACCOUNT: &str = "dataimporter-audit-reader";
/// ServiceAccount without bindings, in each tenant namespace: an account that may ask for its token may read the result files of that namespace.
pub const FILES_READER_ACCOUNT: &str = "dataimporter-files-reader";
/// ServiceAccount without bindings, in each tenant namespace: an account that may ask for its token may send files to its Uploads.
pub const FILES_WRITER_ACCOUNT: &str = "dataimporter-files-writer";

/// Role, RoleBinding and account that mark a namespace as held by a tenant.
pub const HELD_NAME: &str = "dataimporter-held";

/// Only an admin may set it on a node (NodeRestriction forbids it to kubelets).
pub const NODE_REGION_LABEL: &str = "node-restriction.kubernetes.io/dataimporter-region";

/// Name of the Region that an object is for.
pub const REGION_LABEL: &str = "dataimporter.io/region";
/// Name of the Tenant that an object was made for.
pub const TENANT_LABEL: &str = "dataimporter.io/tenant";
/// UID of the ImportRun that an object was made for.
pub const RUN_UID_LABEL: &str = "dataimporter.io/run-uid";
/// Name of the ImportRun that an object was made for, as [`label_value`] shortens it.
pub const RUN_NAME_LABEL: &str = "dataimporter.io/run";
/// Namespace of the ImportRun that an object was made for.
pub const RUN_NAMESPACE_LABEL: &str = "dataimporter.io/namespace";
/// Number of the attempt that a worker pod is, from 1.
pub const ATTEMPT_LABEL: &str = "dataimporter.io/attempt";
/// Name of the ImportJob that an ImportRun is of, as [`label_value`] shortens it.
pub const JOB_LABEL: &str = "dataimporter.io/job";
/// Which tool made an object: a label that Kubernetes recommends.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Must equal the object's name before a Tenant or Region may be deleted.
pub const CONFIRM_DELETION_ANNOTATION: &str = "dataimporter.io/confirm-deletion";
/// The UID of a re-created namespace that the tenant's admin accepts.
pub const ACCEPT_NAMESPACE_ANNOTATION: &str = "dataimporter.io/accept-namespace";
/// On a Secret of the keeper's own: what it holds.
pub const RECORD_LABEL: &str = "dataimporter.io/record";
/// On a record that the keeper sealed for an object: the object's namespace.
pub const OBJECT_NAMESPACE_ANNOTATION: &str = "dataimporter.io/object-namespace";
/// Any change of its value asks for a reconcile now.
pub const RECONCILE_ANNOTATION: &str = "dataimporter.io/reconcile-at";
/// On a Tenant, with its UID: its admin lets go of it although its erasure cannot be finished.
pub const RELEASE_ANNOTATION: &str = "dataimporter.io/release-unerased";
/// On a Tenant or Region, with the UID of the one that it was before a restore made it anew: what that one's keys protect becomes its own.
pub const REBIND_ANNOTATION: &str = "dataimporter.io/rebind";

/// On the keeper's StatefulSet, `Erase/UID` or `Release/UID` with its UID, or `Refuse`: what an uninstall does about objects that are still
/// there, over what was installed. It ends with that StatefulSet, which an uninstall removes.
pub const DRAIN_POLICY_ANNOTATION: &str = "dataimporter.io/drain-policy";

/// On a Secret: the Connections of its namespace that may have it, each with the digest of the endpoint it may be shown to.
pub const CONSENT_ANNOTATION: &str = "dataimporter.io/consent";

/// On a Tenant or Region: a time (RFC 3339); keys made before it are replaced.
pub const ROTATE_KEYS_ANNOTATION: &str = "dataimporter.io/rotate-keys";

/// The operator's field manager: each writer has its own.
pub const OPERATOR_MANAGER: &str = "dataimporter-operator";
/// That of the keeper that leads. What every keeper says of itself has its own: [`audit_manager`], [`USE_MANAGER`].
pub const KEEPER_MANAGER: &str = "dataimporter-keeper";
/// Owns when a credential was last used: whichever keeper handed it out says so.
pub const USE_MANAGER: &str = "dataimporter-keeper-use";

/// Of a Tenant, the operator's: nothing of it runs any more and what was made for it is gone before the Tenant is. Every finalizer has one
/// owner.
pub const TENANT_RUNS_FINALIZER: &str = "dataimporter.io/runs";
/// Of a Tenant, the keeper's: what it has is erased first.
pub const TENANT_ERASURE_FINALIZER: &str = "dataimporter.io/erasure";
/// Of a Connection, the keeper's: its tokens are revoked and its credential destroyed first.
pub const CONNECTION_REVOKE_FINALIZER: &str = "dataimporter.io/revoke";

/// Owns the heads of one keeper's chains in a Region's status.
pub fn audit_manager(replica: &str) -> String {
    bounded(&format!("{KEEPER_MANAGER}-audit-{replica}"), MANAGER_LIMIT)
}

/// ConfigMap in the system namespace: random installation UID, made at first start, immutable.
pub const INSTALLATION_CONFIGMAP: &str = "dataimporter-installation";
/// The key of the UID in [`INSTALLATION_CONFIGMAP`].
pub const INSTALLATION_UID_KEY: &str = "uid";
/// On that ConfigMap, with that UID: the keeper is to erase what it keeps for itself, and stop. Refused while a Tenant or a Connection is
/// left.
pub const ERASE_ANNOTATION: &str = "dataimporter.io/erase";
/// The keeper's answer.
pub const ERASED_ANNOTATION: &str = "dataimporter.io/erased";
/// ConfigMap in the system namespace that everybody may read: CA of the keeper, gateway address, installation UID, a key for sealing of each Region.
pub const PUBLIC_CONFIGMAP: &str = "dataimporter-public";
/// PEM of the authority that signed the keeper's certificate.
pub const PUBLIC_CA_KEY: &str = "ca.crt";
/// `host:port` of the file gateway as people reach it.
pub const PUBLIC_GATEWAY_KEY: &str = "gateway";
/// UID of the installation.
pub const PUBLIC_INSTALLATION_KEY: &str = "installation";
/// The key that credentials of a Region are sealed to, as YAML of [`crate::seal_key::PublishedSealKey`].
pub fn public_seal_key(region: &str) -> String {
    format!("seal-key.{region}")
}
/// Owns that entry.
pub fn seal_key_manager(region: &str) -> String {
    bounded(&format!("{KEEPER_MANAGER}-seal-key-{region}"), MANAGER_LIMIT)
}
/// The longest life of a token that opens anything, in seconds; the shortest that the API server grants. The kubelet renews a worker's at 80 %.
pub const TOKEN_SECONDS: i64 = 600;
/// Where a worker finds its one token.
pub const WORKER_TOKEN_PATH: &str = "/var/run/secrets/dataimporter/token";
/// The key of the snapshot in its ConfigMap.
pub const SNAPSHOT_KEY: &str = "snapshot.json";

const NAME_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;
const MANAGER_LIMIT: usize = 128;

/// The namespace of a Tenant's workers. A Tenant's name is short enough for it, as its schema demands.
pub fn run_namespace(tenant: &str) -> String {
    format!("{RUN_NAMESPACE_PREFIX}{tenant}")
}

/// Audience of a worker's token: it says nothing to any other region or installation.
pub fn keeper_audience(region: &str, installation: &str) -> String {
    format!("dataimporter-keeper.{region}.{installation}")
}

/// Audience of a token that reads the audit of a whole region.
pub fn audit_audience(region: &str, installation: &str) -> String {
    format!("dataimporter-audit.{region}.{installation}")
}

/// Audience of a person's file token.
pub fn files_audience(region: &str, installation: &str) -> String {
    format!("dataimporter-files.{region}.{installation}")
}

/// Whether tokens for this audience open something of ours, in whichever region or installation.
pub fn is_audience_of_ours(audience: &str) -> bool {
    ["dataimporter-keeper.", "dataimporter-audit.", "dataimporter-files."].iter().any(|ours| audience.starts_with(ours))
}

/// The ConfigMap with what a run works from, in the namespace of the Tenant's workers.
pub fn snapshot_configmap(run_uid: &str) -> String {
    format!("run-{run_uid}")
}

/// The pod of an attempt, counted from 1, in the namespace of the Tenant's workers.
pub fn worker_pod(run_uid: &str, attempt: u32) -> String {
    format!("run-{run_uid}-a{attempt}")
}

/// The run of a `once` trigger: applying the job again finds it.
pub fn once_run(job: &str, id: &str) -> String {
    bounded(&format!("{job}-once-{id}"), NAME_LIMIT)
}

/// The run of a scheduled minute (UTC): the same minute never starts twice.
pub fn scheduled_run(job: &str, minute: Timestamp) -> String {
    let at = minute.to_zoned(TimeZone::UTC);
    bounded(&format!("{job}-{}", at.strftime("%Y%m%d%H%M")), NAME_LIMIT)
}

/// The run that follows another one of its job: none is followed by two.
pub fn following_run(job: &str, run_uid: &str) -> String {
    // Half of a UID tells the runs of a job apart.
    let half: String = run_uid.chars().take(13).collect();
    bounded(&format!("{job}-after-{half}"), NAME_LIMIT)
}

/// A label value that stands for a name of any length.
pub fn label_value(name: &str) -> String {
    bounded(name, LABEL_LIMIT)
}

/// Cuts a name that is too long and appends a digest of the whole, so that two long names stay two.
fn bounded(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let digest = hex::encode(&Sha256::digest(name.as_bytes())[..5]);
    let mut keep = limit - digest.len() - 1;
    while !name.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}-{digest}", name[..keep].trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_run_carries_its_minute_in_utc() {
        let minute: Timestamp = "2026-11-24T06:00:00+01:00".parse().unwrap();
        assert_eq!(scheduled_run("accounts", minute), "accounts-202611240500");
    }

    #[test]
    fn long_names_that_differ_only_at_the_end_stay_different() {
        let (a, b) = (format!("{}a", "x".repeat(300)), format!("{}b", "x".repeat(300)));
        assert_ne!(once_run(&a, "1"), once_run(&b, "1"));
        assert!(once_run(&a, "1").len() <= NAME_LIMIT);
        assert!(label_value(&a).len() <= LABEL_LIMIT);
    }

    #[test]
    fn our_own_audiences_are_known() {
        for ours in [keeper_audience("eu", "u"), audit_audience("eu", "u"), files_audience("eu", "u")] {
            assert!(is_audience_of_ours(&ours), "{ours}");
        }
        assert!(!is_audience_of_ours("sts.amazonaws.com"));
    }
}
