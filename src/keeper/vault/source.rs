//! The source Secret in the tenant's namespace: read by name and only if the namespace's admin wrote a Role for it; its values go no further.

use std::collections::BTreeMap;

use api::reasons::connection as reasons;
use api::{Connection, NamespaceName};
use domain::connection::{Consent, Seen, Source, managed_by, required_keys};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};
use zeroize::Zeroize;

use super::credentials::{Entries, Stored, digest_bound};
use super::rings::failed;
use super::{TenantKeys, Vault};
use crate::keeper::base::error::{Result, kube};

/// What was read, and the values of the keys that matter.
pub(crate) struct Read {
    pub(crate) source: Source,
    pub(crate) secret: Option<Found>,
    /// What somebody who waits for a change compares with.
    pub(crate) seen: Seen,
}

impl Read {
    fn nothing(source: Source, seen: Seen) -> Self {
        Self { source, secret: None, seen }
    }
}

pub(crate) struct Found {
    pub(super) entries: Entries,
    name: String,
    uid: Option<String>,
    version: Option<String>,
}

impl Vault {
    pub(crate) async fn read_source(&self, keys: &TenantKeys, connection: &Connection, stored: Option<&Stored>) -> Result<Read> {
        let Some(reference) = connection.spec.credentials.secret_ref() else {
            return Ok(Read::nothing(Source::Missing, Seen::Missing));
        };
        let namespace = NamespaceName::of(connection)?;
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace.as_str());
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
                let context = digest_bound(connection)?.context(keys.scope.clone());
                match keys.ring.source_unchanged(&context, entries.as_map(), digest) {
                    Ok(same) => Some(same),
                    // The key of the digest is gone, and perhaps its name: nobody can tell, so the source counts as new.
                    Err(envelope::RingError::DestroyedKey(_) | envelope::RingError::UnknownKey(_)) => Some(false),
                    Err(source) => return Err(failed(&keys.tenant)(source)),
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
    pub(crate) async fn source_changed(&self, namespace: &str, secret: &str, seen: &Seen) -> Result<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
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
pub(crate) enum Removal {
    /// It is gone, or was not to go.
    Done,
    /// Somebody changed it since: it is taken in first.
    Changed,
    /// The API server refuses, and says so.
    Refused(String),
}

impl Vault {
    /// Deletes exactly the version that was taken in: a secret changed since is taken in first.
    pub(crate) async fn remove_source(&self, connection: &Connection, found: Option<Found>, wanted: bool) -> Result<Removal> {
        let Some(found) = found.filter(|_| wanted) else { return Ok(Removal::Done) };
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), NamespaceName::of(connection)?.as_str());
        let preconditions = Some(Preconditions { uid: found.uid, resource_version: found.version });
        match secrets.delete(&found.name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(_) => {
                self.cluster
                    .events
                    .normal(connection, reasons::SOURCE_DELETED, &format!("Secret {} was deleted after its intake", found.name))
                    .await;
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
}
