//! Each job held against its org: the object and its fields as the user of the Connection sees them. Nothing is written there.

use std::collections::BTreeMap;

use anyhow::ensure;
use api::ImportJob;
use api::names::CONSENT_ANNOTATION;
use connect::{AddressPolicy, Dialer};
use domain::connection::Consent;
use engine::finding::Problem;
use engine::import::{Preflight, preflight};
use salesforce::Client;

use super::finding::About;
use super::inspect::Inspection;
use super::object::What;
use super::rows;
use crate::manifests::{Job, Manifests, org};

/// Findings, each with the number of its object. Jobs that have errors already are left out: `is_sound`.
pub(super) async fn check(inspection: &Inspection<'_>, is_sound: impl Fn(usize) -> bool) -> Vec<(usize, About)> {
    let mut manifests = Manifests::default();
    for object in &inspection.objects {
        // Of two of one name the first, as for everybody here: what is asked for consent must be what is shown.
        if !inspection.find(&object.kind, object.namespace.as_deref(), &object.name).is_some_and(|first| std::ptr::eq(first, object)) {
            continue;
        }
        match &object.what {
            What::Connection(connection) => manifests.add_connection(Box::as_ref(connection).clone()),
            What::Secret(secret) => manifests.add_secret(Box::as_ref(secret).clone()),
            _ => {}
        }
    }
    let dialer = Dialer::new(AddressPolicy::unrestricted());
    // A Connection logs in once, however many jobs use it.
    let mut clients: BTreeMap<(Option<String>, String), Client> = BTreeMap::new();
    let mut told = Vec::new();
    for (at, object) in inspection.objects.iter().enumerate() {
        let What::Job(job) = &object.what else { continue };
        let Some(target) = job.spec.target.salesforce().filter(|_| is_sound(at)) else { continue };
        let key = (object.namespace.clone(), target.connection_ref.name.clone());
        let client = match clients.get(&key) {
            Some(client) => Ok(client.clone()),
            None => consented(inspection, key.0.as_deref(), &key.1)
                .and_then(|()| org::client(&manifests, &Job::from(Box::as_ref(job).clone()), &dialer)),
        };
        let client = match client {
            Ok(client) => clients.entry(key).or_insert(client).clone(),
            Err(error) => {
                let message = format!("the org cannot be asked: {error:#}");
                told.push((at, About::error("spec.target.salesforce.connectionRef.name", message)));
                continue;
            }
        };
        told.extend(of_job(&client, job).await.into_iter().map(|about| (at, about)));
    }
    told
}

/// Whoever proposes a change may point a Connection at a server of their own, and the secret was given to this command by somebody else: it is
/// shown where its owner said, as in a cluster. What is not there is told by whoever needs it.
fn consented(inspection: &Inspection<'_>, namespace: Option<&str>, name: &str) -> anyhow::Result<()> {
    let find = |kind: &str, name: &str| inspection.find(kind, namespace, name).map(|found| &found.what);
    let Some(What::Connection(connection)) = find("Connection", name) else { return Ok(()) };
    let Some(reference) = connection.spec.credentials.secret_ref() else { return Ok(()) };
    let Some(What::Secret(secret)) = find("Secret", &reference.name) else { return Ok(()) };
    let digest = connection.spec.endpoint_digest();
    ensure!(
        Consent::of(&secret.metadata).names(name, &digest),
        "Secret {} does not consent to Connection {name} at this endpoint, so it is shown to nobody: its owner adds the annotation {CONSENT_ANNOTATION}: {name}={digest} to it",
        reference.name
    );
    Ok(())
}

async fn of_job(client: &Client, job: &ImportJob) -> Vec<About> {
    let object = job.spec.target.salesforce().map(|target| target.object.as_str()).unwrap_or_default();
    match preflight(client, &job.spec).await {
        Err(unasked) => vec![About::error("spec.target.salesforce.object", unasked.to_string())],
        Ok(Preflight { findings, unset }) => {
            // What columns there are is not known yet.
            let findings = findings.iter().filter(|finding| !matches!(finding.problem, Problem::Header(_)));
            let unset = unset.into_iter().map(|field| {
                let message =
                    format!("{object} needs {field} in a new record, and no entry maps to it: rows fail unless the org sets it itself");
                About::warning("spec.target.salesforce.mapping", message)
            });
            findings.map(|finding| rows::about(&job.spec, finding)).chain(unset).collect()
        }
    }
}
