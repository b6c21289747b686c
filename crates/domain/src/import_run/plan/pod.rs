//! The worker pod of one attempt. Nothing is mounted but the token that proves to the keeper which pod asks; nothing can be
//! written but memory.

use std::collections::BTreeMap;

use api::names::{
    ATTEMPT_LABEL, JOB_LABEL, NODE_REGION_LABEL, REGION_LABEL, RUN_NAME_LABEL, RUN_NAMESPACE_LABEL, RUN_UID_LABEL, TENANT_LABEL,
    TOKEN_SECONDS, WORKER_ACCOUNT, WORKER_TOKEN_PATH, label_value, worker_pod,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, LocalObjectReference, Pod, PodDNSConfig, PodDNSConfigOption, PodSecurityContext, PodSpec,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::import_run::{Anchor, Frozen, Placed};
use crate::labels;
use crate::settings::{Settings, WorkerSettings};

/// The distroless `nonroot` user: nobody on the node.
const USER: i64 = 65532;
/// Time to finish the write-ahead step that is under way when the node is drained.
const GRACE_SECONDS: i64 = 60;

/// `keeper_ca`: whom the worker trusts, in PEM.
pub fn pod(placed: &Placed, frozen: &Frozen, attempt: i32, keeper_ca: &str, settings: &Settings) -> Pod {
    let workers = placed.region().spec.workers.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(worker_pod(placed.run_uid().as_str(), attempt.unsigned_abs())),
            namespace: Some(placed.namespace().to_owned()),
            labels: Some(pod_labels(placed, attempt, frozen)),
            owner_references: Some(vec![owner(&frozen.anchor)]),
            ..Default::default()
        },
        spec: Some(PodSpec {
            containers: vec![container(placed, attempt, keeper_ca, settings)],
            restart_policy: Some("Never".into()),
            service_account_name: Some(WORKER_ACCOUNT.into()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            node_selector: node_selector(placed),
            tolerations: some(workers.tolerations),
            image_pull_secrets: some(pull_secrets(&settings.worker, workers.image_pull_secrets)),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
                ..Default::default()
            }),
            // Every name a worker looks up is complete: no search list, one query each.
            dns_config: Some(PodDNSConfig {
                options: Some(vec![PodDNSConfigOption { name: Some("ndots".into()), value: Some("1".into()) }]),
                ..Default::default()
            }),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            volumes: Some(vec![token_volume(placed, settings)]),
            ..Default::default()
        }),
        status: None,
    }
}

/// Those of the installation, which the operator brings, and those of the Region.
fn pull_secrets(settings: &WorkerSettings, of_region: Vec<LocalObjectReference>) -> Vec<LocalObjectReference> {
    let mut all: Vec<_> = settings.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    all.extend(of_region.into_iter().filter(|secret| !settings.image_pull_secrets.contains(&secret.name)));
    all
}

fn pod_labels(placed: &Placed, attempt: i32, frozen: &Frozen) -> BTreeMap<String, String> {
    let run = placed.run();
    let mut all = labels::set(&[
        ("app.kubernetes.io/name", "dataimporter"),
        ("app.kubernetes.io/component", "worker"),
        (RUN_UID_LABEL, placed.run_uid().as_str()),
        (RUN_NAME_LABEL, &label_value(labels::name(&run.metadata))),
        (RUN_NAMESPACE_LABEL, placed.home().as_str()),
        (JOB_LABEL, &label_value(&run.spec.job_ref.name)),
        (ATTEMPT_LABEL, &attempt.to_string()),
        (TENANT_LABEL, labels::name(&placed.tenant().metadata)),
        (REGION_LABEL, labels::name(&placed.region().metadata)),
    ]);
    all.extend(frozen.openings().map(|label| (label, "true".to_owned())));
    all
}

/// Deleting the anchor deletes the pods; a drain accepts pods that have a controller.
fn owner(anchor: &Anchor) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: anchor.name.clone(),
        uid: anchor.uid.to_string(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// A selector, not an affinity: selectors are ANDed and cannot be widened by another term.
fn node_selector(placed: &Placed) -> Option<BTreeMap<String, String>> {
    let region = placed.region();
    (!region.spec.nodes.are_all()).then(|| [(NODE_REGION_LABEL.to_owned(), labels::name(&region.metadata).to_owned())].into())
}

fn container(placed: &Placed, attempt: i32, keeper_ca: &str, settings: &Settings) -> Container {
    let worker = &settings.worker;
    let env = [
        ("KEEPER_URL", settings.keeper.url.clone()),
        ("KEEPER_CA", keeper_ca.to_owned()),
        ("RUN_UID", placed.run_uid().to_string()),
        ("ATTEMPT", attempt.to_string()),
        ("RUST_LOG", worker.log_level.clone()),
    ];
    Container {
        name: "worker".into(),
        image: Some(worker.image.clone()),
        image_pull_policy: Some(worker.image_pull_policy.clone()),
        args: Some(vec!["worker".into()]),
        env: Some(env.map(|(name, value)| EnvVar { name: name.into(), value: Some(value), value_from: None }).into()),
        resources: Some(resources(worker)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            ..Default::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "token".into(),
            mount_path: token_directory().to_owned(),
            read_only: Some(true),
            ..Default::default()
        }]),
        ..Default::default()
    }
}

fn resources(worker: &WorkerSettings) -> ResourceRequirements {
    let memory = ("memory".to_owned(), Quantity(worker.memory.clone()));
    ResourceRequirements {
        requests: Some([("cpu".to_owned(), Quantity(worker.cpu.clone())), memory.clone()].into()),
        limits: Some([memory].into()),
        ..Default::default()
    }
}

fn token_volume(placed: &Placed, settings: &Settings) -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(placed.audience(&settings.installation)),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: token_file().to_owned(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..Default::default() };
    Volume {
        name: "token".into(),
        projected: Some(ProjectedVolumeSource { sources: Some(vec![source]), default_mode: None }),
        ..Default::default()
    }
}

fn token_directory() -> &'static str {
    WORKER_TOKEN_PATH.rsplit_once('/').map_or("/", |(directory, _)| directory)
}

fn token_file() -> &'static str {
    WORKER_TOKEN_PATH.rsplit_once('/').map_or(WORKER_TOKEN_PATH, |(_, file)| file)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
