//! Credentials at rest: one sealed Secret per Connection in the system namespace. Opening one asks for the ring of the tenant and for
//! the Connection it belongs to; whether a caller may have it is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use api::connection::CredentialSource;
use api::{Connection, NamespaceName, Uid};
use domain::connection::StoredCredential;
use envelope::{Header, Purpose};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use secrecy::SecretString;
use zeroize::{Zeroize, Zeroizing};

use super::opening::{Opening, Ring};
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, Records, TENANT_UID_LABEL, annotation, sealed};

/// Keyed digest of the source Secret that the record was made from.
pub(crate) const SOURCE_DIGEST: &str = "dataimporter.io/source-digest";

/// The source, whose owner consented: a Secret by its name, or a ServiceAccount.
const SOURCE: &str = "dataimporter.io/source";

/// The secret values of a source, wiped when dropped.
pub(crate) struct Entries(BTreeMap<String, Vec<u8>>);

impl Entries {
    pub(crate) fn new(entries: BTreeMap<String, Vec<u8>>) -> Self {
        Self(entries)
    }

    pub(crate) fn as_map(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// A value as text, without the newline that editors and `echo` leave behind.
    pub(crate) fn text(&self, key: &str) -> Option<SecretString> {
        let text = std::str::from_utf8(self.0.get(key)?).ok()?;
        Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let encoded: BTreeMap<&String, Zeroizing<String>> = self.0.iter().map(|(k, v)| (k, Zeroizing::new(hex::encode(v)))).collect();
        let plain: BTreeMap<&String, &str> = encoded.iter().map(|(k, v)| (*k, v.as_str())).collect();
        // Written in one piece into a buffer that never grows, so that no copy is left behind.
        let size = plain.iter().map(|(k, v)| k.len() + v.len() + 8).sum::<usize>() + 16;
        let mut json = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *json, &plain).expect("a map of text is JSON");
        json
    }

    /// What a sealed credential held.
    pub(super) fn of_sealed(opened: envelope::sealed::Entries) -> Self {
        Self(opened.into_iter().map(|(name, mut value)| (name, std::mem::take(&mut *value))).collect())
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        let mut plain: BTreeMap<String, String> = serde_json::from_slice(bytes).ok()?;
        let decoded = plain.iter().map(|(k, v)| Some((k.clone(), hex::decode(v).ok()?))).collect::<Option<BTreeMap<_, _>>>();
        plain.values_mut().for_each(Zeroize::zeroize);
        decoded.map(Self)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// A stored credential, still sealed.
pub(crate) struct Stored {
    secret: Secret,
    bound: Bound,
    pub(crate) credential: StoredCredential,
    pub(crate) source_digest: Option<String>,
    pub(crate) key_id: String,
}

impl Stored {
    pub(crate) fn metadata(&self) -> &ObjectMeta {
        &self.secret.metadata
    }
}

pub(crate) fn secret_name(connection_uid: &str) -> String {
    format!("connection-{connection_uid}")
}

/// What the record of a Connection's credential is bound to now.
pub(crate) fn bound(connection: &Connection, fields: BTreeSet<String>) -> Result<Bound> {
    Ok(Bound {
        namespace: NamespaceName::of(connection)?.into(),
        kind: "Connection".into(),
        name: connection.name_any(),
        uid: Uid::of(connection)?,
        endpoint_digest: connection.spec.endpoint_digest(),
        fields,
    })
}

/// What the source digest of a Connection is keyed to: the object, wherever it points.
pub(crate) fn digest_bound(connection: &Connection) -> Result<Bound> {
    Ok(Bound { endpoint_digest: String::new(), ..bound(connection, BTreeSet::new())? })
}

pub(crate) async fn stored(records: &Records, connection_uid: &Uid) -> Result<Option<Stored>> {
    let Some(secret) = records.get(&secret_name(connection_uid.as_str())).await? else { return Ok(None) };
    let name = secret.name_any();
    let header = Header::parse(sealed(&secret)?).map_err(|_| Error::Record { name: name.clone(), detail: "it holds no record of ours" })?;
    let version = i64::try_from(header.version).map_err(|_| Error::Record { name, detail: "its version is out of range" })?;
    let bound = Bound::of(&secret.metadata)?;
    let source = annotation(&secret.metadata, SOURCE).map(CredentialSource::of_record);
    let credential = StoredCredential { version, endpoint_digest: bound.endpoint_digest.clone(), source };
    let source_digest = annotation(&secret.metadata, SOURCE_DIGEST).map(str::to_owned);
    Ok(Some(Stored { bound, credential, source_digest, key_id: header.kid.to_string(), secret }))
}

/// Opens a stored credential as that of `connection` with its endpoint as it is now: anything else does not open.
pub(crate) fn open(ring: &Ring, scope: envelope::Scope, connection: &Connection, stored: &Stored, opening: &Opening) -> Result<Entries> {
    let context = bound(connection, stored.bound.fields.clone())?.context(scope);
    let opened = ring
        .open(opening, Purpose::Credential, &context, sealed(&stored.secret)?)
        .map_err(|source| Error::Ring { tenant: context.scope.tenant_uid.clone(), source })?;
    Entries::from_json(&opened.plaintext)
        .ok_or_else(|| Error::Record { name: stored.secret.name_any(), detail: "its content is not a credential" })
}

/// Stores entries as `version` in place of `previous`.
pub(crate) async fn store(
    records: &Records,
    ring: &Ring,
    scope: envelope::Scope,
    connection: &Connection,
    entries: &Entries,
    version: i64,
    previous: Option<Stored>,
) -> Result<String> {
    let tenant_uid = scope.tenant_uid.clone();
    let failed = |source| Error::Ring { tenant: tenant_uid.clone(), source };
    let bound = bound(connection, entries.keys())?;
    let version = u64::try_from(version).unwrap_or(u64::MAX);
    let sealed =
        ring.seal(Purpose::Credential, version, &bound.context(scope.clone()), &entries.to_json(), &mut rand::rng()).map_err(failed)?;
    let digest = ring.source_digest(&digest_bound(connection)?.context(scope), entries.as_map()).map_err(failed)?;
    let key_id = ring.active().map_err(failed)?.kid().to_string();
    let mut annotations = bound.annotations();
    annotations.insert(SOURCE_DIGEST.into(), digest);
    annotations.extend(connection.spec.credentials.source().map(|source| (SOURCE.to_owned(), source.recorded())));
    let labels = BTreeMap::from([(TENANT_UID_LABEL.to_owned(), tenant_uid.clone()), (KEY_ID_LABEL.to_owned(), key_id.clone())]);
    let data = BTreeMap::from([(RECORD.to_owned(), ByteString(sealed))]);
    let mut secret = records.draft(&secret_name(&bound.uid), Kind::Credential, labels, annotations, data);
    match previous {
        Some(previous) => {
            secret.metadata.resource_version = previous.secret.metadata.resource_version;
            records.replace(&secret).await?;
        }
        None => {
            records
                .create(&secret)
                .await?
                .ok_or_else(|| Error::Record { name: secret_name(&bound.uid), detail: "somebody else stored one at the same moment" })?;
        }
    }
    Ok(key_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn entries_survive_their_encoding_byte_for_byte() {
        let entries = Entries::new(BTreeMap::from([("a".into(), vec![0, 255, 10]), ("b".into(), b"text\n".to_vec())]));
        let back = Entries::from_json(&entries.to_json()).unwrap();
        assert_eq!(back.as_map(), entries.as_map());
        assert_eq!(back.text("b").unwrap().expose_secret(), "text");
        assert!(back.text("a").is_none(), "not text");
        assert!(back.text("c").is_none());
    }
}
