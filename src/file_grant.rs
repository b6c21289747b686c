//! What opens and seals one file, on its way from the keeper to a worker: the key and what the file is bound to. Both sides are here, so
//! that neither process needs to know the other.

use std::collections::BTreeSet;

use api::keeper::{FileContext, FileGrant, SecretText};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use envelope::{EncryptionContext, FileKey, Scope};
use zeroize::Zeroizing;

/// The keeper's side: key and identity of a file for the worker that may have it.
pub(crate) fn grant(context: EncryptionContext, key: &FileKey) -> FileGrant {
    let bytes = key.to_bytes();
    let EncryptionContext { scope, namespace, kind, name, uid, endpoint_digest: _, field_set: _ } = context;
    let Scope { region, installation_uid, tenant_uid } = scope;
    FileGrant {
        uid: uid.clone(),
        key: SecretText::new(BASE64.encode(bytes.as_slice())),
        context: FileContext { region, installation_uid, tenant_uid, namespace, kind, name, uid },
    }
}

/// The worker's side: what it seals or opens the file with. `None` when the keeper sent something else.
pub fn accept(grant: &FileGrant) -> Option<(FileKey, EncryptionContext)> {
    let bytes = Zeroizing::new(BASE64.decode(grant.key.expose()).ok()?);
    let FileContext { region, installation_uid, tenant_uid, namespace, kind, name, uid } = grant.context.clone();
    let scope = Scope { region, installation_uid, tenant_uid };
    let context = EncryptionContext { scope, namespace, kind, name, uid, endpoint_digest: String::new(), field_set: BTreeSet::new() };
    Some((FileKey::from_bytes(bytes)?, context))
}
