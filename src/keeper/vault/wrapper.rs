//! The edge to what holds root keys. A holder wraps and unwraps tenant keys and nothing else; asked over a network it may take its time,
//! so every question is asynchronous. Two hold their root keys in the keeper's memory today: `secret` and `file`.

use std::collections::BTreeMap;

use api::Region;
use api::region::RootKeyKind;
use async_trait::async_trait;
use envelope::{CustodyError, EncryptionContext, Header, KeyRing, Kid, RingError, RootCustody, Scope, TenantKey, TenantRing, WrappedKey};
use jiff::Timestamp;

use super::custody::holder;
use crate::keeper::base::error::Error;

#[async_trait]
pub(crate) trait KeyWrapper: Send + Sync {
    /// Wraps a key that was never wrapped before. `context` names the tenant and the key, and must be shown again to unwrap it.
    async fn wrap(&self, key: &TenantKey, context: &EncryptionContext) -> Result<WrappedKey, CustodyError>;

    /// Unwraps the tenant key `kid`.
    async fn unwrap(&self, kid: Kid, context: &EncryptionContext, wrapped: &WrappedKey) -> Result<TenantKey, CustodyError>;

    /// Wraps a key under the root key that wraps now; absent when it is wrapped under that one already.
    async fn rewrap(&self, kid: Kid, context: &EncryptionContext, wrapped: &WrappedKey) -> Result<Option<WrappedKey>, CustodyError>;

    /// Whether it could wrap now. Answers with the version of the root key that would.
    async fn health(&self) -> Result<String, CustodyError>;
}

/// Of which kind the holder of a region's root key is, as stored rings say it.
pub(super) fn provider_of(region: &Region) -> Result<&'static str, Error> {
    Ok(match holder(region)? {
        RootKeyKind::File(_) => FILE,
        RootKeyKind::Secret => SECRET,
    })
}

pub(super) const SECRET: &str = "secret";
pub(super) const FILE: &str = "file";

/// A root key that lies in our own memory.
pub(super) struct Held<R> {
    pub(super) provider: &'static str,
    pub(super) root: R,
}

impl<R: RootCustody> Held<R> {
    fn wrap_as(&self, key: &TenantKey, version: u64, context: &EncryptionContext) -> Result<WrappedKey, CustodyError> {
        let ciphertext = self.root.wrap(key, version, context, &mut rand::rng())?;
        Ok(WrappedKey { provider: self.provider.to_owned(), key_version: self.root.wrapping_kid()?.to_string(), ciphertext })
    }

    fn unwrap_own(&self, kid: Kid, context: &EncryptionContext, wrapped: &WrappedKey) -> Result<TenantKey, CustodyError> {
        if wrapped.provider != self.provider {
            return Err(CustodyError::OtherProvider { wrapped_by: wrapped.provider.clone(), held_by: self.provider });
        }
        self.root.unwrap(kid, context, &wrapped.ciphertext)
    }
}

#[async_trait]
impl<R: RootCustody> KeyWrapper for Held<R> {
    async fn wrap(&self, key: &TenantKey, context: &EncryptionContext) -> Result<WrappedKey, CustodyError> {
        self.wrap_as(key, 1, context)
    }

    async fn unwrap(&self, kid: Kid, context: &EncryptionContext, wrapped: &WrappedKey) -> Result<TenantKey, CustodyError> {
        self.unwrap_own(kid, context, wrapped)
    }

    async fn rewrap(&self, kid: Kid, context: &EncryptionContext, wrapped: &WrappedKey) -> Result<Option<WrappedKey>, CustodyError> {
        let header = Header::parse(&wrapped.ciphertext)?;
        if header.kid == self.root.wrapping_kid()? {
            return Ok(None);
        }
        let key = self.unwrap_own(kid, context, wrapped)?;
        self.wrap_as(&key, header.version + 1, context).map(Some)
    }

    async fn health(&self) -> Result<String, CustodyError> {
        self.root.wrapping_kid().map(|kid| kid.to_string())
    }
}

/// A new tenant key, for a ring that keeps it as it is wrapped.
pub(super) async fn new_key(wrapper: &dyn KeyWrapper, scope: &Scope) -> Result<(Kid, WrappedKey), RingError> {
    let key = TenantKey::generate(&mut rand::rng());
    let wrapped = wrapper.wrap(&key, &TenantRing::context(scope, key.kid())).await.map_err(refused(key.kid()))?;
    Ok((key.kid(), wrapped))
}

/// Makes the ring of a new tenant or Region.
pub(super) async fn begin(wrapper: &dyn KeyWrapper, scope: &Scope, now: Timestamp) -> Result<TenantRing, RingError> {
    let (kid, wrapped) = new_key(wrapper, scope).await?;
    Ok(TenantRing::begin(kid, wrapped, now))
}

/// Has every key of a ring unwrapped.
pub(super) async fn unlock(wrapper: &dyn KeyWrapper, scope: &Scope, ring: &TenantRing) -> Result<KeyRing, RingError> {
    let mut keys = Vec::new();
    for (kid, wrapped) in ring.wrapped() {
        keys.push(wrapper.unwrap(kid, &TenantRing::context(scope, kid), wrapped).await.map_err(refused(kid))?);
    }
    ring.unlock(scope, keys)
}

/// Has every key of a ring wrapped under the root key that wraps now. Answers how many were not.
pub(super) async fn rewrap(wrapper: &dyn KeyWrapper, scope: &Scope, ring: &mut TenantRing) -> Result<usize, RingError> {
    let mut fresh = BTreeMap::new();
    for (kid, wrapped) in ring.wrapped() {
        let again = wrapper.rewrap(kid, &TenantRing::context(scope, kid), wrapped).await.map_err(refused(kid))?;
        fresh.extend(again.map(|again| (kid, again)));
    }
    let count = fresh.len();
    ring.rewrapped(fresh).map(|()| count)
}

/// Has every key of a ring wrapped for `to` in the place of `from`, in whose name it is opened.
pub(super) async fn hand_over(wrapper: &dyn KeyWrapper, from: &Scope, to: &Scope, ring: &mut TenantRing) -> Result<(), RingError> {
    let mut fresh = BTreeMap::new();
    for (kid, wrapped) in ring.wrapped() {
        let key = wrapper.unwrap(kid, &TenantRing::context(from, kid), wrapped).await.map_err(refused(kid))?;
        fresh.insert(kid, wrapper.wrap(&key, &TenantRing::context(to, kid)).await.map_err(refused(kid))?);
    }
    ring.rewrapped(fresh)
}

/// How many keys of a ring each root key that goes by a kid wraps.
pub(super) fn wrapped_under(ring: &TenantRing) -> impl Iterator<Item = (Kid, u64)> {
    ring.wrapped_under().into_iter().filter_map(|(version, count)| Some((version.parse().ok()?, count)))
}

fn refused(kid: Kid) -> impl Fn(CustodyError) -> RingError {
    move |source| RingError::Custody { kid, source }
}

#[cfg(test)]
mod tests {
    use envelope::{FileRoot, OpenError, Purpose, RootRing, SecretRoot};

    use super::*;

    fn scope() -> Scope {
        Scope { region: "eu".into(), installation_uid: "i".into(), tenant_uid: "t".into() }
    }

    fn context() -> EncryptionContext {
        let empty = String::new;
        EncryptionContext {
            scope: scope(),
            namespace: "acme".into(),
            kind: "Connection".into(),
            name: "crm".into(),
            uid: "c".into(),
            endpoint_digest: empty(),
            field_set: Default::default(),
        }
    }

    fn file(lines: &[&str]) -> Held<FileRoot> {
        let content: Vec<String> = lines.iter().map(|digit| digit.repeat(64)).collect();
        Held { provider: FILE, root: FileRoot::parse(content.join("\n")).unwrap_or_else(|error| panic!("{error}")) }
    }

    fn secret() -> Held<SecretRoot> {
        Held { provider: SECRET, root: SecretRoot::new(RootRing::begin(&mut rand::rng(), Timestamp::UNIX_EPOCH)) }
    }

    /// What every wrapper promises, whichever holder it asks. `next` holds what `first` holds, and wraps under another root key.
    async fn keeps_its_promises(provider: &str, first: &dyn KeyWrapper, next: &dyn KeyWrapper, stranger: &dyn KeyWrapper) {
        let mut ring = begin(first, &scope(), Timestamp::UNIX_EPOCH).await.unwrap();
        let kid = ring.active().unwrap().kid();
        let version = first.health().await.unwrap();
        let (_, wrapped) = ring.wrapped().next().unwrap();
        assert_eq!((wrapped.provider.as_str(), &wrapped.key_version), (provider, &version));
        assert_eq!(ring.wrapped_under(), [(version, 1)].into());

        let opened = unlock(first, &scope(), &ring).await.unwrap_or_else(|error| panic!("{error}"));
        let record = opened.seal(Purpose::Credential, 1, &context(), b"secret", &mut rand::rng()).unwrap();

        // Bound to its tenant and to its key.
        let elsewhere = Scope { tenant_uid: "other".into(), ..scope() };
        assert!(unlock(first, &elsewhere, &ring).await.is_err());
        let mut moved = TenantRing::from_json(&ring.to_json(), provider).unwrap();
        hand_over(first, &scope(), &elsewhere, &mut moved).await.unwrap();
        assert!(unlock(first, &scope(), &moved).await.is_err(), "what was handed over is not the former's any more");
        assert!(unlock(first, &elsewhere, &moved).await.unwrap_or_else(|error| panic!("{error}")).key(kid).is_ok());
        assert!(hand_over(first, &elsewhere, &scope(), &mut TenantRing::from_json(&ring.to_json(), provider).unwrap()).await.is_err());
        let another = Kid::generate(&mut rand::rng());
        assert!(first.unwrap(another, &TenantRing::context(&scope(), another), wrapped).await.is_err());
        assert!(unlock(stranger, &scope(), &ring).await.is_err(), "a root key of somebody else's opens nothing");

        assert_eq!(rewrap(first, &scope(), &mut ring).await, Ok(0), "wrapped under the one that wraps now");
        assert_eq!((rewrap(next, &scope(), &mut ring).await, ring.revision()), (Ok(1), 2));
        assert_eq!(ring.wrapped_under(), [(next.health().await.unwrap(), 1)].into());
        assert!(unlock(first, &scope(), &ring).await.is_err(), "the old root key is not needed any more, nor of use");
        let opened = unlock(next, &scope(), &ring).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.open(Purpose::Credential, &context(), &record).map(|opened| opened.plaintext.to_vec()), Ok(b"secret".to_vec()));
        assert_eq!(opened.active().map(TenantKey::kid), Ok(kid), "the tenant's key is the same");
    }

    #[tokio::test]
    async fn a_root_key_in_a_file_keeps_its_promises() {
        keeps_its_promises(FILE, &file(&["a"]), &file(&["b", "a"]), &file(&["c"])).await;
    }

    #[tokio::test]
    async fn a_root_key_in_a_secret_keeps_its_promises() {
        let first = secret();
        let mut next = SecretRoot::parse(&first.root.to_json()).unwrap_or_else(|error| panic!("{error}"));
        let kid = next.ring_mut().create(&mut rand::rng(), Timestamp::UNIX_EPOCH).unwrap();
        next.ring_mut().promote(kid, Timestamp::UNIX_EPOCH).unwrap();
        keeps_its_promises(SECRET, &first, &Held { provider: SECRET, root: next }, &secret()).await;
    }

    #[tokio::test]
    async fn a_key_of_another_provider_is_told_apart_from_an_unknown_one() {
        let ring = begin(&secret(), &scope(), Timestamp::UNIX_EPOCH).await.unwrap();
        let error = unlock(&file(&["a"]), &scope(), &ring).await.err().unwrap();
        let RingError::Custody { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, CustodyError::OtherProvider { wrapped_by, held_by: FILE } if wrapped_by == SECRET), "{source}");
        assert_eq!(error.reason(), "UnknownRootKey");
    }

    #[tokio::test]
    async fn a_wrapped_key_that_was_altered_does_not_open() {
        let wrapper = file(&["a"]);
        let ring = begin(&wrapper, &scope(), Timestamp::UNIX_EPOCH).await.unwrap();
        let (kid, wrapped) = ring.wrapped().next().unwrap();
        let mut altered = wrapped.clone();
        *altered.ciphertext.last_mut().unwrap() ^= 1;
        let refused = wrapper.unwrap(kid, &TenantRing::context(&scope(), kid), &altered).await;
        assert_eq!(refused.err(), Some(CustodyError::Open(OpenError::Altered(0))));
    }
}
