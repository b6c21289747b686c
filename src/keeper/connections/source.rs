//! The source Secret in the tenant's namespace: read by name and only if the namespace's admin wrote a Role for it.

use std::collections::BTreeMap;

use api::{Connection, names};
use domain::connection::{Consent, Seen, Source, allowance, managed_by, required_keys};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};
use zeroize::Zeroize;

use super::super::credentials::{Entries, Stored, digest_bound};
use super::super::error::{Result, kube};
use super::super::key_rings::failed;
use super::super::state::{Home, Keeper};

/// What was read, and the values of the keys that matter.
pub(super) struct Read {
    pub(super) source: Source,
    pub(super) secret: Option<Found>,
    /// What somebody who waits for a change compares with.
    pub(super) seen: Seen,
}

impl Read {
    fn nothing(source: Source, seen: Seen) -> Self {
        Self { source, secret: None, seen }
    }
}

pub(super) struct Found {
    pub(super) entries: Entries,
    name: String,
    uid: Option<String>,
    version: Option<String>,
}

pub(super) async fn read(keeper: &Keeper, home: &Home, connection: &Connection, stored: Option<&Stored>) -> Result<Read> {
    let Some(reference) = connection.spec.credentials.secret_ref() else {
        return Ok(Read::nothing(Source::Missing, Seen::Missing));
    };
    let namespace = connection.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(keeper.client.clone(), &namespace);
    let secret = match secrets.get(&reference.name).await {
        Ok(secret) => secret,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Read::nothing(Source::Missing, Seen::Missing)),
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Read::nothing(Source::Forbidden, Seen::Forbidden)),
        Err(error) => return Err(kube(format!("read Secret {namespace}/{}", reference.name))(error)),
    };
    let (managed_by, consent) = (managed_by(&secret.metadata), Consent::of(&secret.metadata));
    let (name, uid, version) = (secret.name_any(), secret.uid(), secret.resource_version());
    let entries = entries(connection, secret);
    let same_as_stored = match stored.and_then(|s| s.source_digest.as_deref()) {
        Some(digest) => {
            let context = digest_bound(connection).context(home.scope.clone());
            match home.ring.source_unchanged(&context, entries.as_map(), digest) {
                Ok(same) => Some(same),
                // The key of the digest is gone, and perhaps its name: nobody can tell, so the source counts as new.
                Err(envelope::RingError::DestroyedKey(_) | envelope::RingError::UnknownKey(_)) => Some(false),
                Err(source) => return Err(failed(&home.tenant)(source)),
            }
        }
        None => None,
    };
    let keys = entries.keys().into_iter().collect();
    let seen = Seen::There(version.clone().unwrap_or_default());
    let source = Source::Found { keys, same_as_stored, managed_by, consent };
    Ok(Read { source, secret: Some(Found { entries, name, uid, version }), seen })
}

/// Whether a Secret is not any more what was seen. Asks for its metadata only, and deletes nothing.
pub(super) async fn changed(keeper: &Keeper, namespace: &str, secret: &str, seen: &Seen) -> Result<bool> {
    let secrets: Api<Secret> = Api::namespaced(keeper.client.clone(), namespace);
    if let Seen::Undeletable(version) = seen {
        let preconditions = Some(Preconditions { uid: None, resource_version: Some(version.clone()) });
        let tried = secrets.delete(secret, &DeleteParams { dry_run: true, preconditions, ..DeleteParams::default() }).await;
        return match tried {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(true),
            Err(error) => {
                let error = kube(format!("ask after Secret {namespace}/{secret}"))(error);
                if error.refusal().is_some() { Ok(false) } else { Err(error) }
            }
        };
    }
    let now = match secrets.get_metadata(secret).await {
        Ok(found) => Seen::There(found.resource_version().unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.code == 404 => Seen::Missing,
        Err(kube::Error::Api(status)) if status.code == 403 => Seen::Forbidden,
        Err(error) => return Err(kube(format!("ask after Secret {namespace}/{secret}"))(error)),
    };
    Ok(now != *seen)
}

/// What the owner of the source Secret lets, without its content; absent when it is gone or may not be read.
pub(in crate::keeper) async fn consent(keeper: &Keeper, connection: &Connection) -> Result<Option<Consent>> {
    let Some(reference) = connection.spec.credentials.secret_ref() else { return Ok(None) };
    let namespace = connection.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(keeper.client.clone(), &namespace);
    match secrets.get_metadata(&reference.name).await {
        Ok(secret) => Ok(Some(Consent::of(&secret.metadata))),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
        Err(error) => Err(kube(format!("read Secret {namespace}/{}", reference.name))(error)),
    }
}

/// The values of the required keys that are not empty; everything else is wiped unread.
fn entries(connection: &Connection, secret: Secret) -> Entries {
    let required = required_keys(&connection.spec);
    let mut kept = BTreeMap::new();
    for (key, mut value) in secret.data.unwrap_or_default() {
        if required.contains(&key.as_str()) && !value.0.is_empty() {
            kept.insert(key, value.0);
        } else {
            value.0.zeroize();
        }
    }
    Entries::new(kept)
}

/// What became of a source Secret that was to go.
pub(super) enum Removal {
    /// It is gone, or was not to go.
    Done,
    /// Somebody changed it since: it is taken in first.
    Changed,
    /// The API server refuses, and says so.
    Refused(String),
}

/// Deletes exactly the version that was taken in: a secret changed since is taken in first.
pub(super) async fn remove(keeper: &Keeper, connection: &Connection, found: Option<Found>, wanted: bool) -> Result<Removal> {
    let Some(found) = found.filter(|_| wanted) else { return Ok(Removal::Done) };
    let secrets: Api<Secret> = Api::namespaced(keeper.client.clone(), &connection.namespace().unwrap_or_default());
    let preconditions = Some(Preconditions { uid: found.uid, resource_version: found.version });
    match secrets.delete(&found.name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
        Ok(_) => {
            keeper.events.normal(connection, "SourceDeleted", &format!("Secret {} was deleted after its intake", found.name)).await;
            Ok(Removal::Done)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Removal::Done),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Removal::Changed),
        Err(error) => {
            let error = kube(format!("delete Secret {} after its intake", found.name))(error);
            match error.refusal() {
                Some(said) => Ok(Removal::Refused(said.to_owned())),
                None => Err(error),
            }
        }
    }
}

/// What the owner of a Secret has to write, and where the value would go then.
pub(super) fn consent_hint(connection: &Connection, secret: &str, consent: Consent) -> String {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    format!(
        "Secret {secret} does not let Connection {name} show it to {}. If it should go there, its owner says so: kubectl annotate secret {secret} -n {namespace} --overwrite {}={} (or that annotation in its manifest)",
        connection.spec.endpoint(),
        names::CONSENT_ANNOTATION,
        consent.and(&name, &connection.spec.endpoint_digest())
    )
}

/// What the namespace's admin has to write.
pub(super) fn role_hint(connection: &Connection, secret: &str) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    format!(
        "the keeper may not read Secret {secret}: the namespace's admin allows it with `kubectl import intake {namespace}/{}`, which prints a Role in {namespace} with the rule {}, bound to ServiceAccount dataimporter-keeper of the system namespace",
        connection.name_any(),
        allowance(&connection.spec)
    )
}

/// The same, for a Role that lets the keeper read a Secret that it is to delete.
pub(super) fn deletion_hint(connection: &Connection, secret: &str, said: &str) -> String {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    format!(
        "what Secret {secret} holds is stored encrypted, but the Secret is still there: the API server lets the keeper not delete it, as afterIntake Delete asks ({said}). The Role in {namespace} that lets the keeper read it needs the rule {} (`kubectl import intake {namespace}/{name}` prints it whole); or set spec.credentials.secretRef.afterIntake to Keep",
        allowance(&connection.spec)
    )
}
