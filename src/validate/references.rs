//! What objects of the files say of each other. What is not among the files may be in the cluster: that is a warning.

use std::collections::{BTreeMap, HashSet};

use api::connection::{CredentialKind, LoginAt, System};
use api::{Connection, ImportJob, Region, Tenant};
use domain::connection::{Consent, Decision, Observed, Source, decide, managed_by};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use salesforce::auth::LoginHost;

use super::finding::About;
use super::inspect::Inspection;
use super::object::{Object, What};

/// Where the chart is installed unless somebody says otherwise.
const SYSTEM_NAMESPACE: &str = "dataimporter-system";

/// Findings, each with the number of its object.
pub(super) fn check(inspection: &Inspection<'_>) -> Vec<(usize, About)> {
    let tenants = Tenants::of(inspection);
    let mut told = Vec::new();
    let mut homeless = HashSet::new();
    for (at, object) in inspection.objects.iter().enumerate() {
        let about = match &object.what {
            What::Job(job) => of_job(inspection, object, job),
            What::Connection(connection) => of_connection(inspection, &tenants, object, connection),
            What::Tenant(tenant) => of_tenant(inspection, &tenants, object, tenant),
            What::Region(region) => of_region(inspection, object, region),
            What::Secret(_) | What::ServiceAccount(_) | What::Other => Vec::new(),
        };
        told.extend(about.into_iter().map(|about| (at, about)));
        // Once a namespace, and only where Tenants are kept at all.
        if let Some(namespace) = object.namespace.as_deref().filter(|_| matches!(object.what, What::Job(_) | What::Connection(_)))
            && !tenants.of_namespace.is_empty()
            && !tenants.of_namespace.contains_key(namespace)
            && homeless.insert(namespace)
        {
            let message = format!("no Tenant among the files lists namespace {namespace}: nothing runs there until one does");
            told.push((at, About::warning("metadata.namespace", message)));
        }
    }
    told
}

/// Who lists which namespace, the first of the files first.
struct Tenants<'i> {
    of_namespace: BTreeMap<&'i str, Vec<(&'i str, &'i Tenant)>>,
}

impl<'i> Tenants<'i> {
    fn of(inspection: &'i Inspection<'_>) -> Self {
        let mut of_namespace: BTreeMap<&str, Vec<(&str, &Tenant)>> = BTreeMap::new();
        for object in &inspection.objects {
            let What::Tenant(tenant) = &object.what else { continue };
            for namespace in &tenant.spec.namespaces {
                of_namespace.entry(namespace).or_default().push((&object.name, tenant));
            }
        }
        Self { of_namespace }
    }

    /// The Region of a namespace, as far as the files tell.
    fn region<'r>(&self, inspection: &'r Inspection<'_>, namespace: Option<&str>) -> Option<(&'r str, &'r Region)> {
        let (_, tenant) = self.of_namespace.get(namespace?)?.first()?;
        let object = inspection.find("Region", None, &tenant.spec.region)?;
        match &object.what {
            What::Region(region) => Some((&object.name, region)),
            _ => None,
        }
    }
}

fn of_job(inspection: &Inspection<'_>, object: &Object, job: &ImportJob) -> Vec<About> {
    let told = domain::import_job::uses(&job.spec).into_iter().filter_map(|used| {
        let field = format!("spec.{}.connectionRef.name", used.field());
        match inspection.find("Connection", object.namespace.as_deref(), &used.name) {
            None => Some(About::warning(field, format!("Connection {} is not among the files, in the same namespace", used.name))),
            Some(Object { what: What::Connection(connection), .. }) => {
                used.wrong_kind(&connection.spec).map(|finding| About::error(field, finding.message))
            }
            // It has errors of its own.
            Some(_) => None,
        }
    });
    told.collect()
}

fn of_connection(inspection: &Inspection<'_>, tenants: &Tenants<'_>, object: &Object, connection: &Connection) -> Vec<About> {
    let namespace = object.namespace.as_deref();
    let mut told = Vec::new();
    if let Some(source) = connection.spec.credentials.source() {
        let reference = match source.kind {
            CredentialKind::Secret => Some(("Secret", "spec.credentials.secretRef.name")),
            CredentialKind::ServiceAccount => Some(("ServiceAccount", "spec.credentials.serviceAccountRef.name")),
            // Whether it opens is for its Region to say.
            CredentialKind::Sealed => None,
        };
        let found = reference.map(|(kind, field)| (kind, field, inspection.find(kind, namespace, &source.name).map(|found| &found.what)));
        match found {
            Some((kind, field, None)) => {
                told.push(About::warning(field, format!("{kind} {} is not among the files, in the same namespace", source.name)));
            }
            Some((kind, field, Some(What::Secret(secret)))) => {
                told.extend(intake(&object.name, connection, (kind, field), &secret.metadata, keys(secret)));
            }
            Some((kind, field, Some(What::ServiceAccount(account)))) => {
                told.extend(intake(&object.name, connection, (kind, field), account, Vec::new()));
            }
            Some((_, _, Some(_))) | None => {}
        }
    }
    if let Some(salesforce) = connection.spec.system().and_then(System::org)
        && let Some(LoginAt::LoginUrl(_)) = salesforce.login_at()
        && let Some((name, region)) = tenants.region(inspection, namespace)
        && let Err(error) = LoginHost::parse(&salesforce.login_base(), &region.spec.allowed_login_hosts)
    {
        told.push(About::error("spec.salesforce.loginUrl", format!("in Region {name}: {error}")));
    }
    told
}

/// What the keeper would say of the Secret or the ServiceAccount, with the rules that it goes by.
fn intake(name: &str, connection: &Connection, (kind, field): (&str, &str), source: &ObjectMeta, keys: Vec<String>) -> Vec<About> {
    let spec = &connection.spec;
    let (digest, consent) = (spec.endpoint_digest(), Consent::of(source));
    let mut told = Vec::new();
    if !consent.names(name, &digest) {
        let message = "it does not consent to this Connection at this endpoint: `kubectl import intake -f FILE` prints the annotation";
        told.push(About::warning(field, format!("{} {}: {message}", kind, source.name.as_deref().unwrap_or_default())));
    }
    let found = Source::Found { keys, same_as_stored: None, managed_by: managed_by(source), consent: consent.and(name, &digest) };
    let secret = source.name.as_deref().unwrap_or_default();
    match decide(&Observed { name, spec, source: found, stored: None }, 0) {
        Decision::KeysMissing(keys) => told.push(About::error(field, format!("Secret {secret} lacks {}", keys.join(", ")))),
        Decision::SourceManaged(tool) => {
            let message =
                format!("Secret {secret} is managed by {tool}, which would bring it back: use afterIntake Keep, or create it by hand");
            told.push(About::error("spec.credentials.secretRef.afterIntake", message));
        }
        _ => {}
    }
    told
}

/// Those that have a value.
fn keys(secret: &Secret) -> Vec<String> {
    let encoded = secret.data.iter().flatten().filter(|(_, value)| !value.0.is_empty()).map(|(key, _)| key);
    let plain = secret.string_data.iter().flatten().filter(|(_, value)| !value.is_empty()).map(|(key, _)| key);
    encoded.chain(plain).cloned().collect()
}

fn of_tenant(inspection: &Inspection<'_>, tenants: &Tenants<'_>, object: &Object, tenant: &Tenant) -> Vec<About> {
    let mut told = Vec::new();
    if inspection.find("Region", None, &tenant.spec.region).is_none() {
        told.push(About::warning("spec.region", format!("Region {} is not among the files", tenant.spec.region)));
    }
    for (at, namespace) in tenant.spec.namespaces.iter().enumerate() {
        let field = format!("spec.namespaces[{at}]");
        if let Some(owner) = domain::tenant::reserved(SYSTEM_NAMESPACE, namespace) {
            told.push(About::error(
                field,
                format!("namespace {namespace} is {owner} and can be no tenant's: list one of the tenant's own"),
            ));
        } else if let Some((first, _)) = tenants.of_namespace.get(namespace.as_str()).and_then(|all| all.first())
            && *first != object.name
        {
            told.push(About::error(field, format!("namespace {namespace} belongs to Tenant {first}: remove it from one of the two")));
        }
    }
    told
}

fn of_region(inspection: &Inspection<'_>, object: &Object, region: &Region) -> Vec<About> {
    let other = inspection.objects.iter().find(|other| other.kind == "Region" && other.name != object.name);
    let other = other.filter(|_| region.spec.isolation == api::region::Isolation::Cell);
    let told = other.map(|other| {
        let message = format!(
            "isolation Cell promises that a cluster serves one region only, but Region {} is among the files, too: check the files of each \
             cluster by themselves, or use Placement for a trial",
            other.name
        );
        About::warning("spec.isolation", message)
    });
    told.into_iter().collect()
}
