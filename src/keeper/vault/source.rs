//! The source in the tenant's namespace, a Secret or a ServiceAccount: read by name and only if the namespace's admin wrote a Role for it; its
//! values go no further. Or what is sealed in the Connection, which is opened once.

use std::collections::BTreeMap;

use api::connection::{CredentialKind, CredentialOrigin, CredentialSource, SealedCredential};
use api::reasons::connection as reasons;
use api::{Connection, NamespaceName};
use domain::connection::{Consent, Seal, Seen, Source, managed_by, required_keys};
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
        let namespace = NamespaceName::of(connection)?;
        let reference = match connection.spec.credentials.origin() {
            Some(CredentialOrigin::Secret(reference)) => reference,
            Some(CredentialOrigin::ServiceAccount(account)) => {
                let account = CredentialSource { kind: CredentialKind::ServiceAccount, name: account.name.clone() };
                return self.read_account(&namespace, &account, stored).await;
            }
            Some(CredentialOrigin::Sealed(sealed)) => return self.read_sealed(keys, connection, sealed, stored).await,
            None => return Ok(Read::nothing(Source::Missing, Seen::Missing)),
        };
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

    /// A ServiceAccount has nothing to be kept: the record of it has no entry, and says who consented to which endpoint.
    async fn read_account(&self, namespace: &NamespaceName, account: &CredentialSource, stored: Option<&Stored>) -> Result<Read> {
        let metadata = match self.cluster.source_metadata(namespace.as_str(), account).await {
            Ok(Some(metadata)) => metadata,
            Ok(None) => return Ok(Read::nothing(Source::Missing, Seen::Missing)),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Read::nothing(Source::Missing, Seen::Missing)),
            Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Read::nothing(Source::Forbidden, Seen::Forbidden)),
            Err(error) => return Err(kube(format!("read {account} of {namespace}"))(error)),
        };
        let seen = Seen::There(metadata.resource_version.clone().unwrap_or_default());
        let same_as_stored = stored.map(|_| true);
        let source = Source::Found { keys: Vec::new(), same_as_stored, managed_by: None, consent: Consent::of(&metadata) };
        let found = Found { entries: Entries::new(BTreeMap::new()), name: account.name.clone(), uid: metadata.uid, version: None };
        Ok(Read { source, secret: Some(found), seen })
    }

    /// What was taken in is not opened again: its key may be destroyed by now.
    async fn read_sealed(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        sealed: &SealedCredential,
        stored: Option<&Stored>,
    ) -> Result<Read> {
        let nothing = |seal| Ok(Read::nothing(Source::Sealed(seal), Seen::Missing));
        if stored.is_some_and(|stored| stored.credential.serves(&connection.spec)) {
            return nothing(Seal::Same);
        }
        match self.seal_keys.open(keys, connection, sealed, self.cluster.now()?).await? {
            Ok(entries) => {
                let found = Found { entries, name: String::new(), uid: None, version: None };
                Ok(Read { source: Source::Sealed(Seal::Opened), secret: Some(found), seen: Seen::Missing })
            }
            Err(refusal) => nothing(Seal::Refused(refusal)),
        }
    }

    /// Whether the source is not any more what was seen. Asks for its metadata only, and deletes nothing.
    pub(crate) async fn source_changed(&self, namespace: &str, source: &CredentialSource, seen: &Seen) -> Result<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
        if let Seen::Undeletable(version) = seen {
            let preconditions = Some(Preconditions { uid: None, resource_version: Some(version.clone()) });
            let tried = secrets.delete(&source.name, &DeleteParams { dry_run: true, preconditions, ..DeleteParams::default() }).await;
            return match tried {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(true),
                Err(error) => {
                    let error = kube(format!("ask after {source} of {namespace}"))(error);
                    if error.refusal().is_some() { Ok(false) } else { Err(error) }
                }
            };
        }
        let now = match self.cluster.source_metadata(namespace, source).await {
            // Nobody waits for what is in the Connection itself.
            Ok(None) => return Ok(false),
            Ok(Some(found)) => Seen::There(found.resource_version.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 404 => Seen::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => Seen::Forbidden,
            Err(error) => return Err(kube(format!("ask after {source} of {namespace}"))(error)),
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
