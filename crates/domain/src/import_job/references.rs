//! What is wrong with the objects a job refers to. Jobs and runs ask the same questions, so they get the same answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::conditions::{self, READY};
use api::connection::{Rows, System, SystemKind};
use api::identity::has_uid;
use api::import_job::{ImportJobSpec, SourceKind, TargetKind};
use api::reasons::import_job as reasons;
use api::{Connection, ConnectionSpec, NamespaceName, Region, Tenant, Upload};
use jiff::Timestamp;

use crate::finding::Finding;

/// A file that expires sooner is not begun: the run could not finish reading it.
const UPLOAD_MARGIN: Duration = Duration::from_secs(300);

/// Nothing runs for a tenant whose region is not the one it was bound to, or that cannot be served now.
pub(crate) fn region_trouble(tenant: Option<&Arc<Tenant>>, region: Option<&Arc<Region>>, namespace: &NamespaceName) -> Option<Finding> {
    let Some(tenant) = tenant else {
        return Some(Finding::waiting(reasons::NO_TENANT, format!("namespace {namespace} belongs to no Tenant: list it in one")));
    };
    let name = &tenant.spec.region;
    let Some(region) = region else {
        return Some(Finding::waiting(reasons::REGION_NOT_FOUND, format!("Region {name} does not exist")));
    };
    let bound = tenant.status.as_ref().and_then(|s| s.region_uid.as_deref());
    if !bound.is_some_and(|bound| has_uid(&region.metadata, bound)) {
        return Some(Finding::waiting(
            reasons::REGION_REPLACED,
            format!("Region {name} is not the one this tenant was bound to: nothing runs there"),
        ));
    }
    let ready = region.status.as_ref().and_then(|s| conditions::find(&s.conditions, READY));
    match ready {
        Some(ready) if ready.status == "True" => None,
        // Members may not be allowed to look at a Region: they read here what it waits for.
        Some(ready) => {
            Some(Finding::waiting(reasons::REGION_NOT_READY, format!("Region {name} is not ready: {}: {}", ready.reason, ready.message)))
        }
        None => Some(Finding::waiting(reasons::REGION_NOT_READY, format!("Region {name} is not checked yet"))),
    }
}

/// A Connection that a job uses, and as what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Use {
    /// Name of the Connection, in the job's namespace.
    pub name: String,
    part: Part,
}

/// What a job needs a Connection for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Answers the query of `source.sql`.
    Query,
    /// Has the file of `source.file`.
    File,
    /// The same, and the file can be moved and deleted there.
    ChangeableFile,
    /// Takes the rows of `target.salesforce`.
    Org,
}

impl Part {
    fn is_played_by(self, system: System<'_>) -> bool {
        match self {
            Self::Query | Self::File | Self::ChangeableFile => self.has_rows(system.kind()),
            Self::Org => system.org().is_some(),
        }
    }

    fn has_rows(self, system: SystemKind) -> bool {
        match (self, system.profile().rows) {
            (Self::Query, rows) => rows == Rows::Query,
            (Self::File, rows) => matches!(rows, Rows::Files { .. }),
            (Self::ChangeableFile, rows) => rows == Rows::Files { changeable: true },
            (Self::Org, _) => false,
        }
    }

    fn needs(self) -> String {
        match self {
            Self::Query => format!("a source.sql needs a Connection of kind {}", self.kinds()),
            Self::File => format!("a source.file needs a Connection of kind {}", self.kinds()),
            Self::ChangeableFile => {
                format!(
                    "source.file.afterSuccess needs a Connection of kind {}: where else files come from they are only read",
                    self.kinds()
                )
            }
            Self::Org => format!("target.salesforce needs a Connection of kind {}", SystemKind::Salesforce.key()),
        }
    }

    /// The kinds of systems that have such rows.
    fn kinds(self) -> String {
        let kinds = SystemKind::ALL.iter().copied().filter(|kind| self.has_rows(*kind));
        kinds.map(SystemKind::key).collect::<Vec<_>>().join(" or ")
    }
}

impl Use {
    /// The part of the job's spec that refers to it.
    pub fn field(&self) -> &'static str {
        match self.part {
            Part::Query => "source.sql",
            Part::File | Part::ChangeableFile => "source.file",
            Part::Org => "target.salesforce",
        }
    }

    /// Why a Connection of this spec cannot play that part.
    pub fn wrong_kind(&self, connection: &ConnectionSpec) -> Option<Finding> {
        let is_right = connection.system().is_some_and(|system| self.part.is_played_by(system));
        let told = || Finding::stalled(reasons::WRONG_CONNECTION_KIND, format!("Connection {}: {}", self.name, self.part.needs()));
        (!is_right).then(told)
    }
}

/// The Connections that a job uses, in the order source, target.
pub fn uses(spec: &ImportJobSpec) -> Vec<Use> {
    let source = spec.source.kind().and_then(|source| match source {
        SourceKind::Sql(query) => Some(Use { name: query.connection_ref.name.clone(), part: Part::Query }),
        SourceKind::File(file) => {
            let part = if file.after_success.is_some() { Part::ChangeableFile } else { Part::File };
            Some(Use { name: file.connection_ref.name.clone(), part })
        }
        SourceKind::Upload(_) => None,
    });
    let target = spec.target.kind().map(|target| match target {
        TargetKind::Salesforce(org) => Use { name: org.connection_ref.name.clone(), part: Part::Org },
    });
    source.into_iter().chain(target).collect()
}

/// The first Connection that a run could not use.
pub(crate) fn connection_trouble(uses: &[Use], connections: &BTreeMap<String, Arc<Connection>>) -> Option<Finding> {
    uses.iter().find_map(|used| trouble(used, connections.get(&used.name)))
}

fn trouble(used: &Use, connection: Option<&Arc<Connection>>) -> Option<Finding> {
    let name = &used.name;
    let Some(connection) = connection else {
        return Some(Finding::waiting(reasons::CONNECTION_NOT_FOUND, format!("Connection {name} does not exist in this namespace")));
    };
    if let Some(wrong) = used.wrong_kind(&connection.spec) {
        return Some(wrong);
    }
    if connection.metadata.deletion_timestamp.is_some() {
        return Some(Finding::waiting(reasons::CONNECTION_NOT_FOUND, format!("Connection {name} is being deleted")));
    }
    if connection.spec.suspended() {
        return Some(Finding::waiting(
            reasons::CONNECTION_SUSPENDED,
            format!("Connection {name} is suspended: set its spec.suspend to false"),
        ));
    }
    let ready = connection.status.as_ref().and_then(|s| conditions::find(&s.conditions, READY));
    match ready {
        Some(ready) if ready.status == "True" && ready.observed_generation.is_none_or(|g| Some(g) >= connection.metadata.generation) => {
            None
        }
        Some(ready) if ready.status == "False" => {
            Some(Finding::waiting(reasons::CONNECTION_NOT_READY, format!("Connection {name}: {}: {}", ready.reason, ready.message)))
        }
        Some(ready) if ready.status == "True" => {
            Some(Finding::waiting(reasons::CONNECTION_NOT_READY, format!("Connection {name} was changed and is not looked at again yet")))
        }
        _ => Some(Finding::waiting(reasons::CONNECTION_NOT_READY, format!("Connection {name} is not verified yet"))),
    }
}

/// Whether the upload is gone or so close to its end that no run may begin.
pub(crate) fn upload_expired(upload: &Upload, now: Timestamp) -> bool {
    upload_over(upload, now + UPLOAD_MARGIN)
}

/// Whether nobody reads it any more at this time.
pub(crate) fn upload_over(upload: &Upload, at: Timestamp) -> bool {
    upload.status.as_ref().is_some_and(|status| status.erased_at.is_some() || status.expires_at.as_ref().is_some_and(|end| at >= end.0))
}

/// Why the upload cannot be read yet.
pub(crate) fn upload_trouble(name: &str, upload: Option<&Arc<Upload>>) -> Option<Finding> {
    let Some(upload) = upload else {
        return Some(Finding::waiting(reasons::UPLOAD_NOT_FOUND, format!("Upload {name} does not exist in this namespace")));
    };
    let ready = upload.status.as_ref().is_some_and(|s| conditions::is_true(&s.conditions, READY));
    (!ready).then(|| {
        Finding::waiting(reasons::UPLOAD_NOT_READY, format!("Upload {name} has no file yet: send it with `kubectl import upload`"))
    })
}
