//! Tenant: observe → decide → plan → apply → report, and the way out.

use std::collections::BTreeMap;

use api::conditions::{self, STALLED};
use api::names::{self, TENANT_LABEL, TENANT_RUNS_FINALIZER};
use api::reasons::tenant as reasons;
use api::tenant::BoundNamespace;
use api::{NamespaceName, Tenant, Uid};
use domain::finding::{Finding, Standing};
use domain::labels::{self, TENANT_UID_LABEL};
use domain::tenant::plan::{
    self, HeldNamespace, Plan, RunNamespaceContents, RunNamespacePlan, accounts, members, network, quota, run_namespace,
};
use domain::tenant::{self, Leaving, Living, Observed, Outcome, RunNamespace, ServiceFacts, UnfinishedRun};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, Resource, ResourceExt};
use runtime::store::{ObjectKey, Store};
use runtime::work::Next;
use runtime::write::{Kind, WriteError};
use serde_json::json;
use std::time::Duration;

use super::applied::{ensure, forget, is_applied};
use super::caches::Meta;
use super::context::{Context, ReconcileError, next, remember};
use super::{foreign, pull_secrets};

/// While a tenant leaves, its runs and its run namespace are looked at this often even without an event.
const LEAVING_RECHECK: Duration = Duration::from_secs(10);
/// How long the API server's own view of Tenants may take to follow.
const VIEW_LAG: Duration = Duration::from_millis(500);
/// Members who are refused are tried again after this time.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

pub(super) async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Next, ReconcileError> {
    let Some(observed) = observe(context, key)? else { return Ok(Next::Idle) };
    if observed.tenant.metadata.deletion_timestamp.is_some() {
        return leave(context, key, &observed).await;
    }
    if let Err(error) = hold_finalizer(context, key, &observed.tenant).await {
        let what = format!("nothing is made for this Tenant without finalizer {TENANT_RUNS_FINALIZER}");
        let finding = refusal(reasons::FINALIZER_REFUSED, &what, error)?;
        let outcome = as_before(&observed);
        report(context, key, &observed, &finding, outcome).await?;
        return Ok(next(&finding));
    }
    claim(context, key).await?;
    // Observed again: the claim may have changed what is held.
    let Some(mut observed) = observe(context, key)? else { return Ok(Next::Idle) };
    observed.services = services(context, &key.name, observed.region.as_deref()).await?;
    let (outcome, refused) = apply(context, &observed, plan::plan(&observed, &context.settings)).await?;
    let finding = match (tenant::decide(&observed), refused) {
        (finding, Some(refused)) if finding.standing == Standing::Ready => refused,
        (finding, Some(_)) => finding.again_in(REFUSED_RETRY),
        (finding, None) => finding,
    };
    let finding = match &outcome.run_namespace {
        Some(run_namespace) => {
            let look = context.looks.last(&run_namespace.name);
            observed.foreign = look.found;
            finding.again_in(look.next)
        }
        None => finding,
    };
    let finding = match context.kinds_known_in() {
        Some(known) => finding.again_in(known),
        None => finding,
    };
    report(context, key, &observed, &finding, outcome).await?;
    Ok(next(&finding))
}

/// What the API server said when it refused, for people: rights, admission, quota, validation. Any other error stays one.
fn refusal(reason: &'static str, what: &str, error: ReconcileError) -> Result<Finding, ReconcileError> {
    match &error {
        ReconcileError::Write(refused) if refused.is_refusal() => {
            let why = refused.server_message().unwrap_or("no reason given");
            Ok(Finding::waiting(reason, format!("{what}: {refused}: {why}")).again_in(REFUSED_RETRY))
        }
        _ => Err(error),
    }
}

fn as_before(observed: &Observed) -> Outcome {
    let before = observed.tenant.status.clone().unwrap_or_default();
    Outcome { namespaces: before.namespaces, run_namespace: before.run_namespace }
}

/// What is watched. Services are not: who needs them reads them.
fn observe(context: &Context, key: &ObjectKey) -> Result<Option<Observed>, ReconcileError> {
    let caches = &context.caches;
    let Some(tenant) = caches.tenants.get(key) else { return Ok(None) };
    let held = tenant.status.iter().flat_map(|s| &s.namespaces).map(|b| &b.name);
    let mut namespaces = BTreeMap::new();
    let mut unfinished_runs = Vec::new();
    for name in tenant.spec.namespaces.iter().chain(held) {
        let Some(living) = caches.namespaces.get(&ObjectKey::cluster(name)) else { continue };
        let uid = Uid::of(living.as_ref())?;
        let terminating = living.metadata.deletion_timestamp.is_some();
        if tenant::holds(&tenant, name, &uid) && !namespaces.contains_key(name) {
            unfinished_runs.extend(caches.unfinished_runs_in(name).iter().map(|run| UnfinishedRun {
                namespace: name.clone(),
                name: run.name_any(),
                cancelled: run.spec.cancelled(),
            }));
        }
        namespaces.insert(name.clone(), Living { uid, terminating });
    }
    let region = caches.region(&tenant.spec.region);
    let run_namespace = match caches.namespaces.get(&ObjectKey::cluster(names::run_namespace(&key.name))) {
        Some(ns) => Some(RunNamespace {
            uid: Uid::of(ns.as_ref())?,
            tenant_uid: labels::label(&ns.metadata, TENANT_UID_LABEL).and_then(Uid::new),
            terminating: ns.metadata.deletion_timestamp.is_some(),
        }),
        None => None,
    };
    let others = caches.tenants.all().into_iter().filter(|t| t.name_any() != key.name).collect();
    let allowance = context.settings.plans.allowance(&tenant.spec);
    let foreign = context.looks.last(&names::run_namespace(&key.name)).found;
    let system_namespace = context.settings.system_namespace.clone();
    Ok(Some(Observed {
        uid: Uid::of(tenant.as_ref())?,
        tenant,
        region,
        system_namespace,
        namespaces,
        others,
        run_namespace,
        unfinished_runs,
        foreign,
        services: BTreeMap::new(),
        allowance,
    }))
}

/// The Services that the Region lists for this tenant; read live, they are few.
async fn services(
    context: &Context,
    tenant: &str,
    region: Option<&api::Region>,
) -> Result<BTreeMap<(String, String), ServiceFacts>, ReconcileError> {
    let mut found = BTreeMap::new();
    let endpoints = region.into_iter().flat_map(|r| &r.spec.private_endpoints).filter(|e| e.tenants.iter().any(|t| t == tenant));
    for endpoint in endpoints.filter_map(|e| e.service()) {
        let api = Api::<Service>::namespaced(context.writer.client().clone(), &endpoint.namespace);
        let service = api.get_opt(&endpoint.name).await.map_err(|source| ReconcileError::Read {
            kind: "Service",
            key: ObjectKey::namespaced(&endpoint.namespace, &endpoint.name),
            source: Box::new(source),
        })?;
        if let Some(service) = service {
            found.insert((endpoint.namespace.clone(), endpoint.name.clone()), facts(service));
        }
    }
    Ok(found)
}

fn facts(service: Service) -> ServiceFacts {
    let spec = service.spec.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    ServiceFacts {
        selector: spec.selector.unwrap_or_default(),
        target_ports: ports.into_iter().map(|p| (p.port, p.target_port.unwrap_or(IntOrString::Int(p.port)))).collect(),
    }
}

async fn hold_finalizer(context: &Context, key: &ObjectKey, tenant: &Tenant) -> Result<(), ReconcileError> {
    if tenant.finalizers().iter().any(|f| f == TENANT_RUNS_FINALIZER) {
        return Ok(());
    }
    let fields = json!({"metadata": {"uid": Uid::of(tenant)?, "finalizers": [TENANT_RUNS_FINALIZER]}});
    let api = Api::<Tenant>::all(context.writer.client().clone());
    remember(&context.caches.tenants, context.writer.apply_fields(&api, key, fields).await?);
    Ok(())
}

/// Writes down which namespaces are held before anything is made in them. One tenant at a time, on what the one before wrote: two
/// tenants that list the same namespace never both get it.
async fn claim(context: &Context, key: &ObjectKey) -> Result<(), ReconcileError> {
    let _turn = context.binding.lock().await;
    let Some(observed) = observe(context, key)? else { return Ok(()) };
    let wanted = held_after(&observed);
    let before = observed.tenant.status.clone().unwrap_or_default();
    if wanted.iter().all(|bound| before.namespaces.contains(bound)) {
        return Ok(());
    }
    let finding = Finding::progressing(reasons::BINDING, "namespaces are being bound");
    let mut namespaces = wanted;
    // What is to be released stays written down until it is.
    namespaces.extend(before.namespaces.iter().filter(|b| !observed.tenant.spec.namespaces.contains(&b.name)).cloned());
    report(context, key, &observed, &finding, Outcome { namespaces, run_namespace: before.run_namespace }).await
}

fn held_after(observed: &Observed) -> Vec<BoundNamespace> {
    let bound = tenant::bindings(observed).into_iter().filter_map(|(_, binding)| match binding {
        tenant::Binding::Held(bound) => Some(bound),
        _ => None,
    });
    bound.chain(plan::remembered(observed)).collect()
}

/// What was achieved, and what the API server refused of it. One refusal holds nothing else up.
async fn apply(context: &Context, observed: &Observed, plan: Plan) -> Result<(Outcome, Option<Finding>), ReconcileError> {
    let Plan { held, released, run_namespace } = plan;
    let (mut refused, mut namespaces) = (None, held_after(observed));
    for bound in released {
        if let Err(error) = withdraw(context, &observed.tenant, &bound.name).await {
            let what = format!("what was made in namespace {} cannot be taken back", bound.name);
            refused = Some(refusal(reasons::RELEASE_REFUSED, &what, error)?);
            namespaces.push(bound);
        }
    }
    for namespace in held {
        refused = furnish(context, namespace).await?.or(refused);
    }
    let run_namespace = match place_workers(context, observed, run_namespace).await {
        Ok(run_namespace) => run_namespace,
        Err(error) => {
            refused = Some(refusal(
                reasons::RUN_NAMESPACE_REFUSED,
                "the namespace of this tenant's workers cannot be made as it must be",
                error,
            )?);
            as_before(observed).run_namespace
        }
    };
    Ok((Outcome { namespaces, run_namespace }, refused))
}

async fn place_workers(context: &Context, observed: &Observed, plan: RunNamespacePlan) -> Result<Option<BoundNamespace>, ReconcileError> {
    match plan {
        RunNamespacePlan::Leave { keep } => Ok(keep),
        RunNamespacePlan::Remove(uid) => {
            let name = names::run_namespace(&observed.tenant.name_any());
            tracing::warn!(namespace = name, "the run namespace of a former Tenant of this name is deleted");
            delete_run_namespace(context, &name, &uid).await?;
            Ok(None)
        }
        RunNamespacePlan::Create(namespace) => create_run_namespace(context, observed, *namespace).await,
        RunNamespacePlan::Furnish { bound, contents } => {
            furnish_run_namespace(context, *contents).await?;
            Ok(Some(bound))
        }
    }
}

/// What the API server refuses here holds nothing else up: of members it asks every Tenant that lists the namespace, and another may object.
async fn furnish(context: &Context, namespace: HeldNamespace) -> Result<Option<Finding>, ReconcileError> {
    let HeldNamespace { bound, role_bindings, vacant, accounts, quota } = namespace;
    let mut refused = None;
    for binding in &role_bindings {
        if let Err(error) = bind(context, binding).await {
            let what = format!("members of namespace {} could not be given {}", bound.name, binding.name_any());
            refused = Some(refusal(reasons::MEMBERS_REFUSED, &what, error.into())?);
        }
    }
    if let Err(error) = equip(context, &bound.name, &vacant, &accounts, &quota).await {
        let what = format!("namespace {} is not as this tenant needs it", bound.name);
        refused = Some(refusal(reasons::NAMESPACE_REFUSED, &what, error)?);
    }
    Ok(refused)
}

async fn equip(
    context: &Context,
    namespace: &str,
    vacant: &[&'static str],
    accounts: &[ServiceAccount],
    quota: &ResourceQuota,
) -> Result<(), ReconcileError> {
    for role in vacant {
        delete_cached::<RoleBinding>(context, &context.caches.role_bindings, namespace, role).await?;
    }
    if context.kinds_known_in().is_none() {
        ensure(context, &context.caches.quotas, quota).await?;
    }
    // After the bindings: a member who may not ask any more gets no token of the new account.
    for account in accounts {
        if !is_applied(context, &context.caches.accounts, account) {
            end_tokens(context, account).await?;
            ensure(context, &context.caches.accounts, account).await?;
        }
    }
    Ok(())
}

/// Deletes an account whose tokens may be in the wrong hands; read live, since the cache may not show yet who could ask it.
async fn end_tokens(context: &Context, wanted: &ServiceAccount) -> Result<(), ReconcileError> {
    let key = ObjectKey::of(wanted);
    let api = context.writer.namespaced::<ServiceAccount>(&key);
    let read = |source| ReconcileError::Read { kind: "ServiceAccount", key: key.clone(), source: Box::new(source) };
    let Some(existing) = api.get_opt(&key.name).await.map_err(read)? else { return Ok(()) };
    if accounts::outlived(&existing.metadata, wanted) {
        context.writer.delete(&api, &key, &Uid::of(&existing)?).await?;
        forget::<ServiceAccount>(context, &key);
    }
    Ok(())
}

/// The API server judges members by Tenants as it saw them last, which may be a moment behind what we saw: it is asked twice.
async fn bind(context: &Context, binding: &RoleBinding) -> Result<(), WriteError> {
    match ensure(context, &context.caches.role_bindings, binding).await {
        Err(error) if error.is_refusal() => {
            tokio::time::sleep(VIEW_LAG).await;
            ensure(context, &context.caches.role_bindings, binding).await
        }
        other => other,
    }
}

/// The namespace and, in the same reconcile, what stands in it: recorded in status only when all of it is there, because a run starts
/// as soon as it is recorded.
async fn create_run_namespace(
    context: &Context,
    observed: &Observed,
    namespace: Namespace,
) -> Result<Option<BoundNamespace>, ReconcileError> {
    let api = Api::<Namespace>::all(context.writer.client().clone());
    let created = context.writer.create(&api, &namespace).await?;
    context.pull_secrets.begin(&created.name_any());
    let mut after = observed.clone();
    after.run_namespace = Some(RunNamespace { uid: Uid::of(&created)?, tenant_uid: Some(observed.uid.clone()), terminating: false });
    match plan::plan(&after, &context.settings).run_namespace {
        RunNamespacePlan::Furnish { bound, contents } => {
            furnish_run_namespace(context, *contents).await?;
            Ok(Some(bound))
        }
        RunNamespacePlan::Leave { .. } | RunNamespacePlan::Remove(_) | RunNamespacePlan::Create(_) => Ok(None),
    }
}

/// Policies first, the account last: no pod can be made before it is fenced in.
async fn furnish_run_namespace(context: &Context, contents: RunNamespaceContents) -> Result<(), ReconcileError> {
    let namespace: String = NamespaceName::of(&contents.account)?.into();
    foreign::look(context, &namespace, &contents).await?;
    let RunNamespaceContents { nodes, policies, quota, account } = contents;
    relabel(context, &namespace, nodes).await?;
    let private = policies.iter().any(|p| p.name_any() == network::PRIVATE_POLICY);
    for policy in &policies {
        ensure(context, &context.caches.policies, policy).await?;
    }
    if !private {
        delete_cached::<NetworkPolicy>(context, &context.caches.policies, &namespace, network::PRIVATE_POLICY).await?;
    }
    ensure(context, &context.caches.quotas, &quota).await?;
    pull_secrets::bring(context, &namespace, account.labels()).await?;
    ensure(context, &context.caches.accounts, &account).await?;
    Ok(())
}

/// The Region's choice of nodes may have changed since the namespace was made.
async fn relabel(context: &Context, namespace: &str, nodes: &str) -> Result<(), WriteError> {
    let key = ObjectKey::cluster(namespace);
    // One just made, not in the cache yet, has the right label.
    let other = context.caches.namespaces.get(&key).filter(|ns| labels::label(&ns.metadata, run_namespace::NODES_LABEL) != Some(nodes));
    if other.is_some() {
        let fields = json!({"metadata": {"labels": {run_namespace::NODES_LABEL: nodes}}});
        context.writer.merge(&Api::<Namespace>::all(context.writer.client().clone()), &key, fields).await?;
    }
    Ok(())
}

/// Takes back what we put into a namespace that is not (any more) this tenant's.
async fn withdraw(context: &Context, tenant: &Tenant, namespace: &str) -> Result<(), ReconcileError> {
    let of_tenant = |meta: &kube::api::ObjectMeta| labels::label(meta, TENANT_LABEL) == Some(labels::name(&tenant.metadata));
    for role in members::role_names().into_iter().chain([names::HELD_NAME]) {
        let key = ObjectKey::namespaced(namespace, role);
        if context.caches.role_bindings.get(&key).is_some_and(|b| of_tenant(&b.metadata)) {
            delete_cached::<RoleBinding>(context, &context.caches.role_bindings, namespace, role).await?;
        }
    }
    for account in [names::FILES_READER_ACCOUNT, names::FILES_WRITER_ACCOUNT] {
        let key = ObjectKey::namespaced(namespace, account);
        if context.caches.accounts.get(&key).is_some_and(|a| of_tenant(&a.metadata)) {
            delete_cached::<ServiceAccount>(context, &context.caches.accounts, namespace, account).await?;
        }
    }
    if context.caches.quotas.get(&ObjectKey::namespaced(namespace, quota::NAME)).is_some_and(|q| of_tenant(&q.metadata)) {
        delete_cached::<ResourceQuota>(context, &context.caches.quotas, namespace, quota::NAME).await?;
    }
    Ok(())
}

/// Deletes what the cache shows, exactly that object.
async fn delete_cached<K>(context: &Context, store: &Store<Meta<K>>, namespace: &str, name: &str) -> Result<(), ReconcileError>
where
    K: Kind + Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let key = ObjectKey::namespaced(namespace, name);
    if let Some(found) = store.get(&key) {
        context.writer.delete(&context.writer.namespaced::<K>(&key), &key, &Uid::of(found.as_ref())?).await?;
        forget::<K>(context, &key);
    }
    Ok(())
}

async fn report(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    finding: &Finding,
    outcome: Outcome,
) -> Result<(), ReconcileError> {
    let status = tenant::status(observed, finding, outcome, Timestamp::now());
    let before = observed.tenant.status.clone().unwrap_or_default();
    if tenant::owned_part(&before) == status {
        return Ok(());
    }
    let api = Api::<Tenant>::all(context.writer.client().clone());
    // By version: two that both believe to lead must not tell the same turn at two times.
    let version = observed.tenant.metadata.resource_version.as_deref();
    remember(&context.caches.tenants, context.writer.apply_status(&api, key, version, &status).await?);
    if conditions::is_true(&status.conditions, STALLED) && !conditions::is_true(&before.conditions, STALLED) {
        context.events.warning(observed.tenant.as_ref(), finding.reason, &finding.message).await;
    }
    Ok(())
}

async fn leave(context: &Context, key: &ObjectKey, observed: &Observed) -> Result<Next, ReconcileError> {
    if !observed.tenant.finalizers().iter().any(|f| f == TENANT_RUNS_FINALIZER) {
        return Ok(Next::Idle); // the rest is the keeper's
    }
    let finding = match leave_by_a_step(context, key, observed).await {
        Ok(None) => return Ok(Next::Idle),
        Ok(Some(message)) => Finding::progressing(reasons::LEAVING, message).again_in(LEAVING_RECHECK),
        Err(error) => refusal(reasons::LEAVING_REFUSED, "it cannot leave", error)?,
    };
    report(context, key, observed, &finding, as_before(observed)).await?;
    Ok(next(&finding))
}

/// Answers what is under way; nothing when there is nothing left to do.
async fn leave_by_a_step(context: &Context, key: &ObjectKey, observed: &Observed) -> Result<Option<&'static str>, ReconcileError> {
    let tenant = &observed.tenant;
    match tenant::leaving(observed, Timestamp::now()) {
        Leaving::StopRuns(runs) => {
            stop(context, &runs).await?;
            Ok(Some("runs are being stopped"))
        }
        Leaving::DeleteRunNamespace { uid } => {
            delete_run_namespace(context, &names::run_namespace(&key.name), &uid).await?;
            Ok(Some("the run namespace is being deleted"))
        }
        Leaving::AwaitRunNamespace => Ok(Some("the run namespace is being deleted")),
        Leaving::LetGo => {
            for bound in tenant.status.iter().flat_map(|s| &s.namespaces) {
                withdraw(context, tenant, &bound.name).await?;
            }
            let api = Api::<Tenant>::all(context.writer.client().clone());
            match context.writer.apply_fields(&api, key, json!({"metadata": {"uid": observed.uid}})).await {
                Ok(_) => Ok(None),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }
}

async fn delete_run_namespace(context: &Context, name: &str, uid: &Uid) -> Result<(), WriteError> {
    let api = Api::<Namespace>::all(context.writer.client().clone());
    context.writer.delete(&api, &ObjectKey::cluster(name), uid).await.map(drop)
}

/// One that may not be cancelled keeps no other from it.
async fn stop(context: &Context, runs: &[UnfinishedRun]) -> Result<(), WriteError> {
    let mut refused = None;
    for run in runs {
        let key = ObjectKey::namespaced(&run.namespace, &run.name);
        let api = context.writer.namespaced::<api::ImportRun>(&key);
        match context.writer.merge(&api, &key, json!({"spec": {"cancel": true}})).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_refusal() => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(()), Err)
}
