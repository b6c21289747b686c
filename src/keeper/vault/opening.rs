//! The one way to what is sealed: a line in the audit first, then the key. A caller that wants something opened shows an [`Opening`], and none
//! is made without the line. Sealing needs none.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Region, Uid};
use envelope::{EncryptionContext, FileKey, KeyRing, Opened, Purpose, RingError, TenantKey};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::keeper::audit::{Audit, Event};
use crate::keeper::base::error::Result;

/// That the audit has the line. Good for the object that the line names.
pub(crate) struct Opening {
    uid: Uid,
}

impl Opening {
    /// Writes the line. `uid` is that of the object whose secret is opened; `event` says which it is and what for.
    pub(super) async fn audited(audit: &Arc<Audit>, region: &Region, uid: &Uid, event: Event) -> Result<Self> {
        audit.line(region, event).await?;
        Ok(Self { uid: uid.clone() })
    }
}

/// The keys of a tenant in memory.
pub(crate) struct Ring(KeyRing);

impl Ring {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self(ring)
    }

    pub(crate) fn active(&self) -> Result<&TenantKey, RingError> {
        self.0.active()
    }

    pub(crate) fn seal(
        &self,
        purpose: Purpose,
        version: u64,
        context: &EncryptionContext,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        self.0.seal(purpose, version, context, plaintext, rng)
    }

    pub(crate) fn seal_file_key(
        &self,
        version: u64,
        context: &EncryptionContext,
        key: &FileKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        self.0.seal_file_key(version, context, key, rng)
    }

    pub(crate) fn source_digest(&self, context: &EncryptionContext, entries: &BTreeMap<String, Vec<u8>>) -> Result<String, RingError> {
        self.0.source_digest(context, entries)
    }

    pub(crate) fn source_unchanged(
        &self,
        context: &EncryptionContext,
        entries: &BTreeMap<String, Vec<u8>>,
        stored: &str,
    ) -> Result<bool, RingError> {
        self.0.source_unchanged(context, entries, stored)
    }

    pub(crate) fn open(
        &self,
        opening: &Opening,
        purpose: Purpose,
        context: &EncryptionContext,
        record: &[u8],
    ) -> Result<Opened, RingError> {
        is_for(opening, context)?;
        self.0.open(purpose, context, record)
    }

    pub(crate) fn open_file_key(&self, opening: &Opening, context: &EncryptionContext, record: &[u8]) -> Result<FileKey, RingError> {
        is_for(opening, context)?;
        self.0.open_file_key(context, record)
    }

    /// Opens a record and seals it again under the active key, one version on. Answers with what is in it, too.
    pub(crate) fn reseal(
        &self,
        opening: &Opening,
        purpose: Purpose,
        context: &EncryptionContext,
        record: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), RingError> {
        let opened = self.open(opening, purpose, context, record)?;
        let sealed = self.0.seal(purpose, opened.version + 1, context, &opened.plaintext, rng)?;
        Ok((sealed, opened.plaintext))
    }
}

fn is_for(opening: &Opening, context: &EncryptionContext) -> Result<(), RingError> {
    if opening.uid == *context.uid { Ok(()) } else { Err(RingError::ForeignScope) }
}
