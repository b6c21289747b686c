//! A tenant's keys, unwrapped, in the memory of the keeper. Everything of the tenant is sealed and opened through it.

use std::collections::BTreeMap;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::context::{EncryptionContext, Scope};
use crate::digest;
use crate::error::{OpenError, RingError};
use crate::header::{Header, Purpose};
use crate::keys::{FileKey, Kid, TenantKey};
use crate::record;

/// A tenant's opened keys, as its stored ring was when it was read. Seals under the active one and opens under all that are not destroyed.
pub struct KeyRing {
    scope: Scope,
    active: Option<Kid>,
    /// `None` for a key that was destroyed.
    keys: BTreeMap<Kid, Option<TenantKey>>,
}

/// What a record of this ring held.
pub struct Opened {
    /// How often the content was sealed, from 1.
    pub version: u64,
    /// What was sealed; wiped when dropped.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Not sealed under the active key: worth sealing again.
    pub stale: bool,
}

impl KeyRing {
    pub(super) fn new(scope: Scope, active: Option<Kid>, keys: BTreeMap<Kid, Option<TenantKey>>) -> Self {
        Self { scope, active, keys }
    }

    /// The key that seals.
    ///
    /// # Errors
    /// [`RingError::NoActiveKey`] when none is active.
    pub fn active(&self) -> Result<&TenantKey, RingError> {
        self.key(self.active.ok_or(RingError::NoActiveKey)?)
    }

    /// The key a record names. A key unknown here may be newer than this ring: load the stored one again before giving up.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::DestroyedKey`] when it was destroyed.
    pub fn key(&self, kid: Kid) -> Result<&TenantKey, RingError> {
        self.keys.get(&kid).ok_or(RingError::UnknownKey(kid))?.as_ref().ok_or(RingError::DestroyedKey(kid))
    }

    /// Seals under the active key.
    ///
    /// # Errors
    /// [`RingError::ForeignScope`] when `context` is of another tenant, [`RingError::NoActiveKey`] when none is active.
    pub fn seal(
        &self,
        purpose: Purpose,
        version: u64,
        context: &EncryptionContext,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        self.same_scope(context)?;
        Ok(record::seal(self.active()?, purpose, version, context, plaintext, rng))
    }

    /// Opens under the key the record names; no other is tried.
    ///
    /// # Errors
    /// [`RingError::ForeignScope`] when `context` is of another tenant, [`RingError::UnknownKey`] or [`RingError::DestroyedKey`] when the
    /// key is not here, [`RingError::Open`] when the record does not open.
    pub fn open(&self, purpose: Purpose, context: &EncryptionContext, record: &[u8]) -> Result<Opened, RingError> {
        self.same_scope(context)?;
        let kid = Header::parse(record)?.kid;
        let record::Content { version, plaintext } = record::open(self.key(kid)?, purpose, context, record)?;
        Ok(Opened { version, plaintext, stale: self.active != Some(kid) })
    }

    /// The record of a file key, to be kept apart from the file.
    ///
    /// # Errors
    /// As [`KeyRing::seal`].
    pub fn seal_file_key(
        &self,
        version: u64,
        context: &EncryptionContext,
        key: &FileKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        self.seal(Purpose::FileKey, version, context, key.to_bytes().as_slice(), rng)
    }

    /// The file key of a record that [`KeyRing::seal_file_key`] made.
    ///
    /// # Errors
    /// As [`KeyRing::open`], and [`OpenError::Malformed`] when what it holds is no file key.
    pub fn open_file_key(&self, context: &EncryptionContext, record: &[u8]) -> Result<FileKey, RingError> {
        let opened = self.open(Purpose::FileKey, context, record)?;
        FileKey::from_bytes(opened.plaintext).ok_or(RingError::Open(OpenError::Malformed))
    }

    /// Opens a record and seals it again under the active key, one version on.
    ///
    /// # Errors
    /// As [`KeyRing::open`] and [`KeyRing::seal`].
    pub fn reseal(
        &self,
        purpose: Purpose,
        context: &EncryptionContext,
        record: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        let opened = self.open(purpose, context, record)?;
        self.seal(purpose, opened.version + 1, context, &opened.plaintext, rng)
    }

    /// `kid:digest` of the Secret entries that `context`'s object was taken from, to recognise a change later.
    ///
    /// # Errors
    /// [`RingError::ForeignScope`] when `context` is of another tenant, [`RingError::NoActiveKey`] when none is active.
    pub fn source_digest(&self, context: &EncryptionContext, entries: &BTreeMap<String, Vec<u8>>) -> Result<String, RingError> {
        self.same_scope(context)?;
        let key = self.active()?;
        Ok(format!("{}:{}", key.kid(), hex::encode(digest::of(key, context, entries))))
    }

    /// Whether `entries` are those that gave `stored`. Once the key of `stored` is destroyed nobody can tell any more.
    ///
    /// # Errors
    /// [`RingError::BadDigest`] when `stored` is no digest, [`RingError::UnknownKey`] or [`RingError::DestroyedKey`] when its key is not
    /// here, [`RingError::ForeignScope`] when `context` is of another tenant.
    pub fn source_unchanged(
        &self,
        context: &EncryptionContext,
        entries: &BTreeMap<String, Vec<u8>>,
        stored: &str,
    ) -> Result<bool, RingError> {
        self.same_scope(context)?;
        let (kid, digits) = stored.split_once(':').ok_or(RingError::BadDigest)?;
        let key = self.key(kid.parse().map_err(|_| RingError::BadDigest)?)?;
        let expected = hex::decode(digits).map_err(|_| RingError::BadDigest)?;
        Ok(digest::matches(key, context, entries, &expected))
    }

    /// A record bound to another place would be sealed well and opened never.
    fn same_scope(&self, context: &EncryptionContext) -> Result<(), RingError> {
        if context.scope == self.scope { Ok(()) } else { Err(RingError::ForeignScope) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::samples::{context, scope};
    use crate::ring::{RootRing, TenantRing};
    use crate::root::{RootCustody, SecretRoot};
    use jiff::Timestamp;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(21)
    }

    fn region() -> (SecretRoot, TenantRing) {
        let mut rng = rng();
        let root = SecretRoot::new(RootRing::begin(&mut rng, at(0)));
        let ring = TenantRing::begin_under(&scope(), &root, &mut rng, at(0)).unwrap();
        (root, ring)
    }

    fn unlocked(root: &SecretRoot, ring: &TenantRing) -> KeyRing {
        ring.unlock_under(&scope(), root).ok().unwrap()
    }

    fn entries(password: &str) -> BTreeMap<String, Vec<u8>> {
        [("username", "loader"), ("password", password)].map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into()
    }

    #[test]
    fn a_record_opens_through_every_change_of_keys_until_its_own_is_destroyed() {
        let mut rng = rng();
        let (root, mut stored) = region();
        let first = stored.active().unwrap().kid();
        let ring = unlocked(&root, &stored);
        let record = ring.seal(Purpose::Credential, 1, &context(), b"secret", &mut rng).unwrap();
        assert!(!ring.open(Purpose::Credential, &context(), &record).ok().unwrap().stale);

        let second = stored.create_under(&scope(), &root, &mut rng, at(1)).unwrap();
        stored.promote(second, at(2)).unwrap();
        let ring = unlocked(&root, &stored);
        let opened = ring.open(Purpose::Credential, &context(), &record).ok().unwrap();
        assert_eq!((&opened.plaintext[..], opened.version, opened.stale), (&b"secret"[..], 1, true));

        let resealed = ring.reseal(Purpose::Credential, &context(), &record, &mut rng).unwrap();
        let opened = ring.open(Purpose::Credential, &context(), &resealed).ok().unwrap();
        assert_eq!((&opened.plaintext[..], opened.version, opened.stale), (&b"secret"[..], 2, false));

        stored.destroy(first, at(3)).unwrap();
        let ring = unlocked(&root, &stored);
        assert_eq!(ring.open(Purpose::Credential, &context(), &record).err(), Some(RingError::DestroyedKey(first)));
        assert!(ring.open(Purpose::Credential, &context(), &resealed).is_ok());
    }

    #[test]
    fn a_waiting_key_opens_but_does_not_seal() {
        let mut rng = rng();
        let (root, mut stored) = region();
        let waiting = stored.create_under(&scope(), &root, &mut rng, at(1)).unwrap();
        let behind = unlocked(&root, &stored);
        assert_ne!(behind.active().ok().unwrap().kid(), waiting);
        stored.promote(waiting, at(2)).unwrap();
        let record = unlocked(&root, &stored).seal(Purpose::Credential, 1, &context(), b"secret", &mut rng).unwrap();
        assert!(behind.open(Purpose::Credential, &context(), &record).is_ok());
    }

    #[test]
    fn a_compromised_key_opens_and_seals_nothing() {
        let mut rng = rng();
        let (root, mut stored) = region();
        let record = unlocked(&root, &stored).seal(Purpose::Credential, 1, &context(), b"secret", &mut rng).unwrap();
        stored.declare_compromised(stored.active().unwrap().kid(), at(1)).unwrap();
        let ring = unlocked(&root, &stored);
        assert!(ring.open(Purpose::Credential, &context(), &record).is_ok());
        assert_eq!(ring.seal(Purpose::Credential, 1, &context(), b"secret", &mut rng), Err(RingError::NoActiveKey));
    }

    #[test]
    fn a_key_of_another_ring_is_unknown_here_and_no_other_is_tried() {
        let mut rng = StdRng::seed_from_u64(22);
        let (root, stored) = region();
        let other = TenantRing::begin_under(&scope(), &root, &mut rng, at(0)).unwrap();
        let record = unlocked(&root, &other).seal(Purpose::Credential, 1, &context(), b"secret", &mut rng).unwrap();
        let kid = other.active().unwrap().kid();
        assert_eq!(unlocked(&root, &stored).open(Purpose::Credential, &context(), &record).err(), Some(RingError::UnknownKey(kid)));
    }

    #[test]
    fn a_ring_stays_shut_in_another_region_installation_or_tenant() {
        let (root, stored) = region();
        let kid = stored.active().unwrap().kid();
        let mut elsewhere = [scope(), scope(), scope()];
        elsewhere[0].region = "us-dallas".into();
        elsewhere[1].installation_uid = "restored".into();
        elsewhere[2].tenant_uid = "other".into();
        for scope in elsewhere {
            let error = stored.unlock_under(&scope, &root).err().unwrap();
            assert_eq!(error, RingError::Custody { kid, source: OpenError::Commitment.into() });
            assert_eq!(error.reason(), "BoundToAnother");
        }
    }

    #[test]
    fn a_context_of_another_tenant_is_refused_before_sealing() {
        let (root, stored) = region();
        let mut foreign = context();
        foreign.scope.tenant_uid = "other".into();
        let ring = unlocked(&root, &stored);
        assert_eq!(ring.seal(Purpose::Credential, 1, &foreign, b"secret", &mut rng()), Err(RingError::ForeignScope));
        assert_eq!(ring.open(Purpose::Credential, &foreign, b"").err(), Some(RingError::ForeignScope));
    }

    #[test]
    fn a_new_root_key_leaves_the_tenant_keys_as_they_were() {
        let mut rng = rng();
        let (mut root, mut stored) = region();
        let record = unlocked(&root, &stored).seal(Purpose::Credential, 1, &context(), b"secret", &mut rng).unwrap();
        let old = root.wrapping_kid().unwrap();
        let new = root.ring_mut().create(&mut rng, at(1)).unwrap();
        root.ring_mut().promote(new, at(2)).unwrap();

        assert_eq!(stored.wrapped_under(), [(old.to_string(), 1)].into());
        assert_eq!(stored.rewrap_under(&scope(), &root, &mut rng), Ok(1));
        assert_eq!((stored.wrapped_under(), stored.revision()), ([(new.to_string(), 1)].into(), 2));
        assert_eq!(stored.rewrap_under(&scope(), &root, &mut rng), Ok(0));
        assert_eq!(stored.revision(), 2);

        root.ring_mut().destroy(old, at(3)).unwrap();
        assert!(unlocked(&root, &stored).open(Purpose::Credential, &context(), &record).is_ok());
    }

    #[test]
    fn the_source_digest_sees_every_change_and_tells_nothing_without_the_key() {
        let mut rng = rng();
        let (root, mut stored) = region();
        let ring = unlocked(&root, &stored);
        let digest = ring.source_digest(&context(), &entries("hunter2")).unwrap();
        let unchanged = |entries: &BTreeMap<String, Vec<u8>>| ring.source_unchanged(&context(), entries, &digest);
        assert_eq!(unchanged(&entries("hunter2")), Ok(true));
        assert_eq!(unchanged(&entries("hunter3")), Ok(false));
        let mut moved = entries("hunter2");
        let password = moved.remove("password").unwrap();
        moved.insert("passphrase".into(), password);
        assert_eq!(unchanged(&moved), Ok(false));

        let mut other = context();
        other.name = "erp".into();
        assert_ne!(ring.source_digest(&other, &entries("hunter2")).unwrap(), digest);
        let mut repointed = context();
        repointed.endpoint_digest.clear();
        assert_eq!(ring.source_unchanged(&repointed, &entries("hunter2"), &digest), Ok(true));

        let second = stored.create_under(&scope(), &root, &mut rng, at(1)).unwrap();
        stored.promote(second, at(2)).unwrap();
        assert_eq!(unlocked(&root, &stored).source_unchanged(&context(), &entries("hunter2"), &digest), Ok(true));
        let first = stored.entries().next().unwrap().kid();
        stored.destroy(first, at(3)).unwrap();
        let late = unlocked(&root, &stored).source_unchanged(&context(), &entries("hunter2"), &digest);
        assert_eq!(late, Err(RingError::DestroyedKey(first)));
        assert_eq!(ring.source_unchanged(&context(), &entries("hunter2"), "nonsense"), Err(RingError::BadDigest));
    }

    #[test]
    fn a_file_key_is_sealed_for_one_file() {
        let mut rng = rng();
        let (root, stored) = region();
        let ring = unlocked(&root, &stored);
        let key = FileKey::generate(&mut rng);
        let record = ring.seal_file_key(1, &context(), &key, &mut rng).unwrap();
        assert_eq!(ring.open_file_key(&context(), &record).ok().unwrap().to_bytes(), key.to_bytes());
        let mut other = context();
        other.uid = "another file".into();
        assert_eq!(ring.open_file_key(&other, &record).err(), Some(OpenError::Commitment.into()));
    }
}
