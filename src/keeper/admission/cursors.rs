//! Where a run goes on in its source, sealed for its status: row values never stand there in clear.

use api::keeper::{ChunkCursor, SecretText};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::lease::Admitted;
use envelope::Purpose;
use kube::ResourceExt;
use zeroize::Zeroizing;

use super::Rejection;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::Error;
use crate::keeper::vault::TenantKeys;
use crate::keeper::vault::opening::Opening;

fn cursor_bound(admitted: &Admitted) -> Bound {
    Bound {
        namespace: admitted.namespace().to_owned(),
        kind: "ImportRun".into(),
        name: admitted.run().name_any(),
        uid: admitted.run_uid().clone(),
        endpoint_digest: String::new(),
        fields: ["cursor".to_owned()].into(),
    }
}

/// Row values never stand in a status in clear.
pub(crate) fn seal_cursor(admitted: &Admitted, keys: &TenantKeys, number: i64, key: &[SecretText]) -> Result<String, Rejection> {
    let plain = Zeroizing::new(serde_json::to_vec(key).expect("a list of text is JSON"));
    let version = u64::try_from(number).unwrap_or_default() + 1;
    let context = cursor_bound(admitted).context(keys.scope.clone());
    let failed = |source| Error::Ring { tenant: keys.tenant.name_any(), source };
    let sealed = keys.ring.seal(Purpose::Cursor, version, &context, &plain, &mut rand::rng()).map_err(failed)?;
    Ok(BASE64.encode(sealed))
}

/// The cursor and the number of the chunk it lies behind, which is the record's version and so as authentic as the rest.
pub(crate) fn open_cursor(admitted: &Admitted, keys: &TenantKeys, sealed: &str, opening: &Opening) -> Result<ChunkCursor, Rejection> {
    let unreadable = || Error::Record { name: format!("cursor of run {}", admitted.run_uid()), detail: "it is not a sealed cursor" };
    let record = BASE64.decode(sealed).map_err(|_| unreadable())?;
    let context = cursor_bound(admitted).context(keys.scope.clone());
    let failed = |source| Error::Ring { tenant: keys.tenant.name_any(), source };
    let opened = keys.ring.open(opening, Purpose::Cursor, &context, &record).map_err(failed)?;
    let chunk = i64::try_from(opened.version).map_err(|_| unreadable())? - 1;
    Ok(ChunkCursor { chunk, last_key: serde_json::from_slice(&opened.plaintext).map_err(|_| unreadable())? })
}
