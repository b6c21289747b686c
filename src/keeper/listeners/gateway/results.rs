//! One result file out: opened as it streams by, only before its last moment.

use std::sync::Arc;

use api::identity::has_uid;
use api::{ImportRun, names};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use envelope::OpenError;
use envelope::stream::Opener;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::header;
use kube::Api;

use super::{Gateway, Refused};
use crate::keeper::admission::Call;
use crate::keeper::audit::Event;
use crate::keeper::base::error::kube;
use crate::keeper::files::records::IMPORT_RUN;
use crate::keeper::files::until;

pub(super) async fn get_file(
    State(gateway): State<Arc<Gateway>>,
    call: Call,
    Path((namespace, name, file)): Path<(String, String, String)>,
) -> Result<Response, Refused> {
    let given = give(&gateway, &call, &namespace, &name, &file).await;
    gateway.refused(&namespace, "results", given).await
}

async fn give(gateway: &Arc<Gateway>, call: &Call, namespace: &str, name: &str, file: &str) -> Result<Response, Refused> {
    let (keys, credential) = gateway.person(call, namespace, names::FILES_READER_ACCOUNT).await?;
    let title = format!("{file} of ImportRun {namespace}/{name}");
    let runs: Api<ImportRun> = Api::namespaced(gateway.cluster.client.clone(), namespace);
    let run = runs.get_opt(name).await.map_err(kube("read the ImportRun"))?.ok_or_else(|| Refused::NotFound(title.clone()))?;
    let listed = run.status.as_ref().and_then(|s| s.results.iter().find(|r| r.name == file));
    let listed = listed.ok_or_else(|| Refused::NotFound(title.clone()))?;
    let Some((record, secret)) = gateway.files.records.find(&listed.file).await? else { return Err(Refused::Expired(title)) };
    let is_of_run = record.kind == IMPORT_RUN && has_uid(&run.metadata, &record.owner_uid);
    if !is_of_run || !has_uid(&keys.tenant.metadata, &record.tenant_uid) {
        return Err(Refused::NotFound(title));
    }
    let expiry = record.expiry(Some(&keys.tenant.spec));
    if !record.readable(gateway.cluster.at_latest()?, expiry) {
        return Err(Refused::Expired(title));
    }
    let opening = gateway.vault.opening_file(&keys, &record.uid, Event::new("FileRead").with("credential", credential)).await?;
    let (ring, scope) = (&keys.ring, keys.scope.clone());
    let key = gateway.files.records.key(&record, &secret, ring, scope, gateway.cluster.at_latest()?, expiry, &opening)?;
    let key = key.ok_or_else(|| Refused::Expired(title.clone()))?;
    let storage = gateway.files.storages.of(&keys.region)?;
    let sealed = storage.read(&record.tenant_uid, &record.uid).await?.ok_or(Refused::Expired(title))?;
    let opener = Opener::new(key, record.context(keys.scope));
    let plain = opened(until(sealed, expiry, gateway.cluster.clone()).boxed(), opener);
    let name = format!("attachment; filename=\"{file}\"");
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)], Body::from_stream(plain))
        .into_response())
}

/// Opens a stream as it passes. A file that was cut off ends in an error, never in a good end.
fn opened(
    sealed: BoxStream<'static, std::io::Result<Bytes>>,
    opener: Opener,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    futures::stream::unfold((sealed, Some(opener)), |(mut sealed, mut opener)| async move {
        let mut out = BytesMut::new();
        loop {
            // Without one the stream is over, and must not be asked again.
            let mut current = opener.take()?;
            let step = match sealed.next().await {
                Some(Ok(part)) => {
                    let step = current.update(&part, &mut out);
                    opener = step.is_ok().then_some(current);
                    step
                }
                Some(Err(error)) => return Some((Err(error), (sealed, None))),
                None => current.finish(&mut out),
            };
            match step {
                Err(error) => return Some((Err(broken(error)), (sealed, None))),
                Ok(()) if out.is_empty() && opener.is_some() => {}
                Ok(()) if out.is_empty() => return None,
                Ok(()) => return Some((Ok(out.freeze()), (sealed, opener))),
            }
        }
    })
}

fn broken(error: OpenError) -> std::io::Error {
    std::io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::files::records::tests::record;
    use envelope::stream::Sealer;
    use envelope::{FileKey, Scope};
    use futures::TryStreamExt;

    fn sealed(content: &[u8]) -> (Bytes, impl Fn() -> Opener) {
        let scope = Scope { region: "eu".into(), installation_uid: "i".into(), tenant_uid: "t".into() };
        let context = record().context(scope);
        let key = FileKey::generate(&mut rand::rng());
        let bytes = key.to_bytes();
        let mut out = BytesMut::new();
        let mut sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut out);
        sealer.update(content, &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        let opener = move || Opener::new(FileKey::from_bytes(zeroize::Zeroizing::new(bytes.to_vec())).unwrap(), context.clone());
        (out.freeze(), opener)
    }

    async fn read(sealed: Bytes, piece: usize, opener: Opener) -> std::io::Result<Vec<u8>> {
        let parts: Vec<_> = sealed.chunks(piece).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        // One that must not be asked again behind its end, as those of the storage.
        let parts = futures::stream::unfold(parts.into_iter(), |mut parts| async move { parts.next().map(|part| (part, parts)) });
        let plain: Vec<Bytes> = opened(parts.boxed(), opener).try_collect().await?;
        Ok(plain.concat())
    }

    #[tokio::test]
    async fn a_file_comes_out_as_it_went_in_whatever_the_pieces() {
        for length in [0, 1, 16_383, 16_384, 100_000] {
            let content: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let (sealed, opener) = sealed(&content);
            for piece in [1_000, 16_400, 1 << 20] {
                assert_eq!(read(sealed.clone(), piece, opener()).await.unwrap(), content, "{length} in {piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_was_cut_off_or_altered_ends_in_an_error() {
        let content = vec![7; 100_000];
        let (sealed, opener) = sealed(&content);
        assert!(read(sealed.slice(..sealed.len() - 1), 10_000, opener()).await.is_err());
        let mut altered = sealed.to_vec();
        altered[50_000] ^= 1;
        assert!(read(altered.into(), 10_000, opener()).await.is_err());
    }
}
