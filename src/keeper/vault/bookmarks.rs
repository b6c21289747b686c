//! What jobs have read up to, at rest: one sealed Secret per ImportJob in the system namespace. It holds values of rows or the identity of a
//! file, so it is sealed as a cursor is.

use std::collections::{BTreeMap, BTreeSet};

use api::Uid;
use api::snapshot::ObjectId;
use domain::bookmark::Bookmark;
use envelope::{Header, Purpose, RingError};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use zeroize::Zeroizing;

use super::{TenantKeys, Vault};
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, TENANT_UID_LABEL, label, sealed};

/// What is kept of a job, opened.
pub(crate) struct Kept {
    secret: Secret,
    version: u64,
    pub(crate) content: Content,
}

/// What a record holds for a run that asks.
pub(crate) enum Content {
    Bookmark(Bookmark),
    /// What is kept is another tenant's, or of another place or column; it is replaced by what comes next.
    Other,
    /// Its key was destroyed.
    Lost,
}

impl Kept {
    pub(crate) fn bookmark(&self) -> Option<&Bookmark> {
        match &self.content {
            Content::Bookmark(bookmark) => Some(bookmark),
            Content::Other | Content::Lost => None,
        }
    }
}

pub(super) fn secret_name(job_uid: &Uid) -> String {
    format!("job-{job_uid}")
}

/// Whose bookmark it is, and what it is true of.
pub(crate) struct Place<'a> {
    pub(crate) job: &'a ObjectId,
    pub(crate) subject: &'a str,
}

impl Place<'_> {
    fn secret_name(&self) -> String {
        secret_name(&self.job.uid)
    }

    /// The subject is a part of it: what was reached elsewhere does not open as what was reached here.
    fn bound(&self) -> Bound {
        Bound {
            namespace: self.job.namespace.clone().unwrap_or_default(),
            kind: "ImportJob".into(),
            name: self.job.name.clone(),
            uid: self.job.uid.clone(),
            endpoint_digest: String::new(),
            fields: BTreeSet::from(["bookmark".to_owned(), format!("subject={}", self.subject)]),
        }
    }
}

impl Vault {
    /// What is kept of a job; absent when nothing is. `event` says what it is opened for.
    pub(crate) async fn bookmark(&self, keys: &TenantKeys, place: &Place<'_>, event: Event) -> Result<Option<Kept>> {
        let Some(secret) = self.records.get(&place.secret_name()).await? else { return Ok(None) };
        let name = secret.name_any();
        let unreadable = |detail| Error::Record { name: name.clone(), detail };
        let version = Header::parse(sealed(&secret)?).map_err(|_| unreadable("it holds no record of ours"))?.version;
        let ours = label(&secret.metadata, TENANT_UID_LABEL) == Some(keys.scope.tenant_uid.as_str());
        if !ours || Bound::of(&secret.metadata)? != place.bound() {
            return Ok(Some(Kept { secret, version, content: Content::Other }));
        }
        let opening = self.opening(&keys.region, &place.job.uid, event).await?;
        let context = place.bound().context(keys.scope.clone());
        let content = match keys.ring.open(&opening, Purpose::Cursor, &context, sealed(&secret)?) {
            Ok(opened) => {
                let bookmark = serde_json::from_slice(&opened.plaintext).map_err(|_| unreadable("its content is no bookmark"))?;
                Content::Bookmark(bookmark)
            }
            Err(RingError::DestroyedKey(_)) => Content::Lost,
            Err(source) => return Err(Error::Ring { tenant: keys.tenant.name_any(), source }),
        };
        Ok(Some(Kept { secret, version, content }))
    }

    /// Keeps a bookmark in place of what was `kept`.
    pub(crate) async fn keep_bookmark(&self, keys: &TenantKeys, place: &Place<'_>, kept: Option<Kept>, bookmark: &Bookmark) -> Result<()> {
        let failed = |source| Error::Ring { tenant: keys.tenant.name_any(), source };
        let bound = place.bound();
        let plain = Zeroizing::new(serde_json::to_vec(bookmark).expect("a bookmark is JSON"));
        let version = kept.as_ref().map_or(0, |kept| kept.version) + 1;
        let context = bound.context(keys.scope.clone());
        let record = keys.ring.seal(Purpose::Cursor, version, &context, &plain, &mut rand::rng()).map_err(failed)?;
        let key_id = keys.ring.active().map_err(failed)?.kid().to_string();
        let labels = BTreeMap::from([(TENANT_UID_LABEL.to_owned(), keys.scope.tenant_uid.clone()), (KEY_ID_LABEL.to_owned(), key_id)]);
        let data = BTreeMap::from([(RECORD.to_owned(), ByteString(record))]);
        let mut secret = self.records.draft(&place.secret_name(), Kind::Bookmark, labels, bound.annotations(), data);
        match kept {
            Some(kept) => {
                secret.metadata.resource_version = kept.secret.metadata.resource_version;
                self.records.replace(&secret).await?;
            }
            None => {
                let taken = || Error::Record { name: place.secret_name(), detail: "somebody else stored one at the same moment" };
                self.records.create(&secret).await?.ok_or_else(taken)?;
            }
        }
        Ok(())
    }
}
