//! Where a run goes on in its source, and which file it has loaded, sealed for its status: row values and what tells a file from others never
//! stand there in clear.

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

/// `what` the record is.
fn bound(admitted: &Admitted, what: &str) -> Bound {
    Bound {
        namespace: admitted.namespace().to_owned(),
        kind: "ImportRun".into(),
        name: admitted.run().name_any(),
        uid: admitted.run_uid().clone(),
        endpoint_digest: String::new(),
        fields: [what.to_owned()].into(),
    }
}

const CURSOR: &str = "cursor";
const FILE: &str = "file";

pub(crate) fn seal_cursor(admitted: &Admitted, keys: &TenantKeys, number: i64, key: &[SecretText]) -> Result<String, Rejection> {
    seal(admitted, keys, CURSOR, u64::try_from(number).unwrap_or_default() + 1, key)
}

/// The cursor and the number of the chunk it lies behind, which is the record's version and so as authentic as the rest.
pub(crate) fn open_cursor(admitted: &Admitted, keys: &TenantKeys, sealed: &str, opening: &Opening) -> Result<ChunkCursor, Rejection> {
    let (version, last_key) = open(admitted, keys, CURSOR, sealed, opening)?;
    let chunk = i64::try_from(version).map_err(|_| unreadable(admitted, CURSOR))? - 1;
    Ok(ChunkCursor { chunk, last_key })
}

/// What tells the file that a run has loaded from every other one.
pub(crate) fn seal_file(admitted: &Admitted, keys: &TenantKeys, file: &[SecretText]) -> Result<String, Rejection> {
    seal(admitted, keys, FILE, 1, file)
}

pub(crate) fn open_file(admitted: &Admitted, keys: &TenantKeys, sealed: &str, opening: &Opening) -> Result<Vec<SecretText>, Rejection> {
    open(admitted, keys, FILE, sealed, opening).map(|(_, file)| file)
}

fn seal(admitted: &Admitted, keys: &TenantKeys, what: &str, version: u64, texts: &[SecretText]) -> Result<String, Rejection> {
    let plain = Zeroizing::new(serde_json::to_vec(texts).expect("a list of text is JSON"));
    let context = bound(admitted, what).context(keys.scope.clone());
    let failed = |source| Error::Ring { tenant: keys.tenant.name_any(), source };
    let sealed = keys.ring.seal(Purpose::Cursor, version, &context, &plain, &mut rand::rng()).map_err(failed)?;
    Ok(BASE64.encode(sealed))
}

/// The version of the record, and what is in it.
fn open(admitted: &Admitted, keys: &TenantKeys, what: &str, sealed: &str, opening: &Opening) -> Result<(u64, Vec<SecretText>), Rejection> {
    let record = BASE64.decode(sealed).map_err(|_| unreadable(admitted, what))?;
    let context = bound(admitted, what).context(keys.scope.clone());
    let failed = |source| Error::Ring { tenant: keys.tenant.name_any(), source };
    let opened = keys.ring.open(opening, Purpose::Cursor, &context, &record).map_err(failed)?;
    Ok((opened.version, serde_json::from_slice(&opened.plaintext).map_err(|_| unreadable(admitted, what))?))
}

fn unreadable(admitted: &Admitted, what: &str) -> Error {
    Error::Record { name: format!("{what} of run {}", admitted.run_uid()), detail: "it is not a sealed one" }
}
