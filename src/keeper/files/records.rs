//! Files at rest: an object of ciphertext in the region's storage, and apart from it one sealed Secret with the file's key and its last
//! moment. A call that opens a file asks here, and is refused once that moment has come, whether or not anybody has swept.

use std::collections::{BTreeMap, BTreeSet};

use api::Uid;
use api::tenant::TenantSpec;
use envelope::{EncryptionContext, FileKey, Scope};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

pub(crate) use domain::lease::FileState as State;

use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, Records, TENANT_UID_LABEL, annotation, label, sealed};
use crate::keeper::vault::opening::{Opening, Ring};

const STATE: &str = "dataimporter.io/file-state";
const FILE_NAME: &str = "dataimporter.io/file-name";
const OWNER_UID: &str = "dataimporter.io/owner-uid";
const NOT_AFTER: &str = "dataimporter.io/not-after";
const CREATED: &str = "dataimporter.io/created";
const ENDED: &str = "dataimporter.io/ended";
const BYTES: &str = "dataimporter.io/bytes";
const CLAIMED_BY: &str = "dataimporter.io/claimed-by";

pub(crate) const UPLOAD: &str = "Upload";
pub(crate) const IMPORT_RUN: &str = "ImportRun";

/// What is known of a file without opening anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FileRecord {
    pub(crate) uid: Uid,
    pub(crate) region: String,
    pub(crate) tenant_uid: Uid,
    pub(crate) namespace: String,
    /// `Upload` or `ImportRun`.
    pub(crate) kind: String,
    /// Name of the Upload or ImportRun.
    pub(crate) owner: String,
    pub(crate) owner_uid: Uid,
    pub(crate) file_name: String,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    /// Sealed with the key: nothing moves it later. Of a result file whose run goes on, the latest it can be.
    pub(crate) not_after: Timestamp,
    /// When its run ended.
    pub(crate) ended: Option<Timestamp>,
    pub(crate) bytes: Option<u64>,
    /// The replica that an upload came in through.
    pub(crate) claimed_by: Option<String>,
}

pub(crate) fn secret_name(file_uid: &str) -> String {
    format!("file-{file_uid}")
}

impl FileRecord {
    pub(crate) fn of(metadata: &ObjectMeta) -> Result<Self> {
        let name = || metadata.name.clone().unwrap_or_default();
        let text = |key: &str| annotation(metadata, key).map(str::to_owned);
        let time = |key: &str| annotation(metadata, key).and_then(|t| t.parse::<Timestamp>().ok());
        let bound = Bound::of(metadata)?;
        let read = || {
            Some(Self {
                uid: bound.uid.clone(),
                region: label(metadata, api::names::REGION_LABEL)?.to_owned(),
                tenant_uid: Uid::new(label(metadata, TENANT_UID_LABEL)?)?,
                namespace: bound.namespace.clone(),
                kind: bound.kind.clone(),
                owner: bound.name.clone(),
                owner_uid: Uid::new(text(OWNER_UID)?)?,
                file_name: text(FILE_NAME)?,
                state: match annotation(metadata, STATE)? {
                    "pending" => State::Pending,
                    "complete" => State::Complete,
                    _ => State::Destroyed,
                },
                created: time(CREATED)?,
                not_after: time(NOT_AFTER)?,
                ended: time(ENDED),
                bytes: text(BYTES).and_then(|b| b.parse().ok()),
                claimed_by: text(CLAIMED_BY),
            })
        };
        read().ok_or_else(|| Error::Record { name: name(), detail: "its annotations do not describe a file" })
    }

    /// What the key record is bound to: the file and its last moment.
    fn key_bound(&self) -> Bound {
        Bound { fields: BTreeSet::from(["key".to_owned(), format!("notAfter={}", self.not_after)]), ..self.bound() }
    }

    fn bound(&self) -> Bound {
        Bound {
            namespace: self.namespace.clone(),
            kind: self.kind.clone(),
            name: self.owner.clone(),
            uid: self.uid.clone(),
            endpoint_digest: String::new(),
            fields: BTreeSet::new(),
        }
    }

    /// What the ciphertext is bound to.
    pub(crate) fn context(&self, scope: Scope) -> EncryptionContext {
        self.bound().context(scope)
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let state = match self.state {
            State::Pending => "pending",
            State::Complete => "complete",
            State::Destroyed => "destroyed",
        };
        let mut annotations = self.key_bound().annotations();
        let optional =
            [(ENDED, self.ended.map(|t| t.to_string())), (BYTES, self.bytes.map(|b| b.to_string())), (CLAIMED_BY, self.claimed_by.clone())];
        annotations.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        annotations.extend(
            [
                (STATE, state.to_owned()),
                (FILE_NAME, self.file_name.clone()),
                (OWNER_UID, self.owner_uid.to_string()),
                (NOT_AFTER, self.not_after.to_string()),
                (CREATED, self.created.to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        annotations
    }

    fn secret(&self, records: &Records, key: Option<(Vec<u8>, String)>) -> Secret {
        let mut labels = BTreeMap::from([
            (TENANT_UID_LABEL.to_owned(), self.tenant_uid.to_string()),
            (api::names::REGION_LABEL.to_owned(), self.region.clone()),
        ]);
        let mut data = BTreeMap::new();
        if let Some((sealed, key_id)) = key {
            labels.insert(KEY_ID_LABEL.to_owned(), key_id);
            data.insert(RECORD.to_owned(), ByteString(sealed));
        }
        records.draft(&secret_name(&self.uid), Kind::File, labels, self.annotations(), data)
    }

    fn seal(&self, ring: &Ring, scope: Scope, key: &FileKey) -> Result<(Vec<u8>, String)> {
        let failed = |source| Error::Ring { tenant: self.tenant_uid.to_string(), source };
        let sealed = ring.seal_file_key(1, &self.key_bound().context(scope), key, &mut rand::rng()).map_err(failed)?;
        Ok((sealed, ring.active().map_err(failed)?.kid().to_string()))
    }

    fn open(&self, ring: &Ring, scope: Scope, secret: &Secret, opening: &Opening) -> Result<FileKey> {
        let failed = |source| Error::Ring { tenant: self.tenant_uid.to_string(), source };
        ring.open_file_key(opening, &self.key_bound().context(scope), sealed(secret)?).map_err(failed)
    }

    /// When it dies, by what its tenant's rule says now.
    pub(crate) fn expiry(&self, tenant: Option<&TenantSpec>) -> Timestamp {
        match (self.kind.as_str(), tenant) {
            (UPLOAD, _) | (_, None) => self.not_after,
            (_, Some(tenant)) => {
                domain::retention::stored_result_expiry(self.not_after, self.ended, &domain::retention::tenant_rule(tenant))
            }
        }
    }

    /// Whether its bytes may be read now.
    pub(crate) fn readable(&self, now: Timestamp, expiry: Timestamp) -> bool {
        self.state == State::Complete && domain::retention::readable(now, expiry.min(self.not_after))
    }
}

#[derive(Clone)]
pub(crate) struct FileRecords {
    records: Records,
}

impl FileRecords {
    pub(crate) fn new(records: Records) -> Self {
        Self { records }
    }

    pub(crate) async fn find(&self, file_uid: &str) -> Result<Option<(FileRecord, Secret)>> {
        match self.records.get(&secret_name(file_uid)).await? {
            Some(secret) => Ok(Some((FileRecord::of(&secret.metadata)?, secret))),
            None => Ok(None),
        }
    }

    /// All files, of one tenant or of all. One that cannot be read is logged and left: the listing of the storage finds its object.
    pub(crate) async fn list(&self, tenant_uid: Option<&str>) -> Result<Vec<FileRecord>> {
        let listed = self.records.list(Kind::File, tenant_uid).await?;
        let read = |metadata: &ObjectMeta| {
            FileRecord::of(metadata).inspect_err(|error| tracing::error!(error = %error, "a file's record is damaged")).ok()
        };
        Ok(listed.iter().filter_map(|item| read(item.meta())).collect())
    }

    /// Takes a name for a file whose key is not written down yet: should this process die, nothing can ever open what was stored.
    /// Absent when it is taken.
    pub(crate) async fn claim(&self, record: &FileRecord) -> Result<Option<Secret>> {
        self.records.create(&record.secret(&self.records, None)).await
    }

    /// Writes down the key of a file that is all there.
    pub(crate) async fn complete(&self, claimed: Secret, record: &FileRecord, ring: &Ring, scope: Scope, key: &FileKey) -> Result<()> {
        let mut secret = record.secret(&self.records, Some(record.seal(ring, scope, key)?));
        secret.metadata.resource_version = claimed.metadata.resource_version;
        self.records.replace(&secret).await.map(|_| ())
    }

    /// Lets go of a claim whose file did not come.
    pub(crate) async fn drop_claim(&self, claimed: &Secret) -> Result<()> {
        self.records.delete(&claimed.name_any(), Some(&Uid::of(claimed)?)).await
    }

    /// A file for a worker to write, its key written down before the worker gets it. Absent when there is one of that id already.
    pub(crate) async fn begin(&self, record: &FileRecord, ring: &Ring, scope: Scope) -> Result<Option<FileKey>> {
        let key = FileKey::generate(&mut rand::rng());
        let draft = record.secret(&self.records, Some(record.seal(ring, scope, &key)?));
        Ok(self.records.create(&draft).await?.map(|_| key))
    }

    /// The key of a file that its worker began and asks for again; absent when it is complete, or another one's.
    pub(crate) fn begun_key(
        &self,
        (known, secret): &(FileRecord, Secret),
        owner_uid: &str,
        ring: &Ring,
        scope: Scope,
        opening: &Opening,
    ) -> Result<Option<FileKey>> {
        if known.state != State::Pending || known.owner_uid != *owner_uid {
            return Ok(None);
        }
        known.open(ring, scope, secret, opening).map(Some)
    }

    /// Writes what changed about a file: complete, ended.
    pub(crate) async fn update(&self, secret: Secret, record: &FileRecord) -> Result<()> {
        let mut secret = secret;
        let mut annotations = secret.metadata.annotations.take().unwrap_or_default();
        annotations.extend(record.annotations());
        secret.metadata.annotations = Some(annotations);
        self.records.replace(&secret).await.map(|_| ())
    }

    /// Seals the key of a file again, with what changed about it: it ends earlier than was said before.
    pub(crate) async fn shorten(
        &self,
        (known, secret): (&FileRecord, &Secret),
        record: &FileRecord,
        ring: &Ring,
        scope: Scope,
        opening: &Opening,
    ) -> Result<()> {
        let key = known.open(ring, scope.clone(), secret, opening)?;
        let mut fresh = record.secret(&self.records, Some(record.seal(ring, scope, &key)?));
        (fresh.metadata.resource_version, fresh.metadata.uid) = (secret.metadata.resource_version.clone(), secret.metadata.uid.clone());
        self.records.replace(&fresh).await.map(|_| ())
    }

    /// The key of a file that may be read now. The moment is checked before anything is unwrapped.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn key(
        &self,
        record: &FileRecord,
        secret: &Secret,
        ring: &Ring,
        scope: Scope,
        now: Timestamp,
        expiry: Timestamp,
        opening: &Opening,
    ) -> Result<Option<FileKey>> {
        if !record.readable(now, expiry) {
            return Ok(None);
        }
        record.open(ring, scope, secret, opening).map(Some)
    }

    /// Destroys the key of a file; its name stays until the object is proved gone, so that a crash in between is finished later. Answers
    /// with the UID of the record that stays.
    pub(crate) async fn destroy_key(&self, record: &FileRecord) -> Result<Option<Uid>> {
        let Some((current, mut secret)) = self.find(&record.uid).await? else { return Ok(None) };
        let uid = Uid::of(&secret)?;
        if current.state == State::Destroyed {
            return Ok(Some(uid));
        }
        let destroyed = FileRecord { state: State::Destroyed, ..current };
        secret.data = None;
        if let Some(labels) = &mut secret.metadata.labels {
            labels.remove(KEY_ID_LABEL);
        }
        self.update(secret, &destroyed).await?;
        Ok(Some(uid))
    }

    /// Deletes the record whose key was destroyed, and no other of that name.
    pub(crate) async fn forget(&self, record: &FileRecord, record_uid: &Uid) -> Result<()> {
        self.records.delete(&secret_name(&record.uid), Some(record_uid)).await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::file_grant;

    pub(crate) fn record() -> FileRecord {
        FileRecord {
            uid: Uid::new("f").unwrap(),
            region: "eu".into(),
            tenant_uid: Uid::new("t").unwrap(),
            namespace: "acme".into(),
            kind: UPLOAD.into(),
            owner: "airports".into(),
            owner_uid: Uid::new("f").unwrap(),
            file_name: "airports.csv".into(),
            state: State::Complete,
            created: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::from_second(3600).unwrap(),
            ended: None,
            bytes: Some(12),
            claimed_by: Some("keeper-0".into()),
        }
    }

    #[test]
    fn a_record_is_read_back_from_its_secret() {
        let metadata = ObjectMeta {
            name: Some("file-f".into()),
            labels: Some(BTreeMap::from([
                (TENANT_UID_LABEL.to_owned(), "t".to_owned()),
                (api::names::REGION_LABEL.to_owned(), "eu".to_owned()),
            ])),
            annotations: Some(record().annotations()),
            ..ObjectMeta::default()
        };
        assert_eq!(FileRecord::of(&metadata).unwrap(), record());
        let mut damaged = metadata.clone();
        damaged.annotations.as_mut().unwrap().remove(NOT_AFTER);
        assert!(FileRecord::of(&damaged).is_err());
    }

    #[test]
    fn a_file_is_readable_only_complete_and_before_both_moments() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let file = record();
        assert!(file.readable(at(3599), at(9999)));
        assert!(!file.readable(at(3600), at(9999)), "the sealed moment");
        assert!(!file.readable(at(100), at(100)), "the rule's moment");
        for state in [State::Pending, State::Destroyed] {
            assert!(!FileRecord { state, ..record() }.readable(at(0), at(9999)));
        }
    }

    #[test]
    fn a_grant_gives_the_worker_the_same_key_and_context() {
        let scope = Scope { region: "eu".into(), installation_uid: "i".into(), tenant_uid: "t".into() };
        let key = FileKey::generate(&mut rand::rng());
        let (back, context) = file_grant::accept(&file_grant::grant(record().context(scope.clone()), &key)).unwrap();
        assert_eq!(*back.to_bytes(), *key.to_bytes());
        assert_eq!(context, record().context(scope));
    }
}
