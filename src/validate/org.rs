//! Each job held against its org: the object and its fields as the user of the Connection sees them. Nothing is written there.

use std::collections::BTreeMap;

use api::ImportJob;
use connect::{AddressPolicy, Dialer};
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
            None => org::client(&manifests, &Job::from(Box::as_ref(job).clone()), &dialer),
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
