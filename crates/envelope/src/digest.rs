//! "Did the source Secret change since intake?", answered without keeping the Secret: a digest keyed by the tenant key, so that nobody can try passwords against it.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::context::{EncryptionContext, field};
use crate::keys::{TenantKey, hkdf_expand};

const LABEL: &[u8] = b"dataimporter.io/source-digest@v1";

/// The digest of `entries` of the Secret that `context`'s object was taken from. Endpoint and field set of the context do not count.
pub(crate) fn of(key: &TenantKey, context: &EncryptionContext, entries: &BTreeMap<String, Vec<u8>>) -> [u8; 32] {
    mac(key, context, entries).finalize().into_bytes().into()
}

/// Compares in constant time.
pub(crate) fn matches(key: &TenantKey, context: &EncryptionContext, entries: &BTreeMap<String, Vec<u8>>, digest: &[u8]) -> bool {
    mac(key, context, entries).verify_slice(digest).is_ok()
}

fn mac(key: &TenantKey, context: &EncryptionContext, entries: &BTreeMap<String, Vec<u8>>) -> Hmac<Sha256> {
    let digest_key = hkdf_expand::<32>(key.bytes.expose(), &[LABEL]);
    let mut mac = Hmac::<Sha256>::new_from_slice(digest_key.as_slice()).expect("HMAC takes a key of any length");
    let mut object = Vec::new();
    context.object(&mut object);
    mac.update(&object);
    for (name, value) in entries {
        let mut entry = Zeroizing::new(Vec::with_capacity(8 + name.len() + value.len()));
        field(&mut entry, name.as_bytes());
        field(&mut entry, value);
        mac.update(&entry);
    }
    mac
}
