//! One file in: sealed as it streams by, visible only when whole, readable for an hour.

use std::sync::Arc;

use api::keeper::UploadReceipt;
use api::{NamespaceName, Uid, Upload, names};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use domain::upload::Received;
use envelope::stream::Sealer;
use envelope::{FileKey, Scope};
use futures::StreamExt;
use http::HeaderMap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::{Gateway, Refused};
use crate::keeper::admission::Call;
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, kube};
use crate::keeper::files::records::{FileRecord, State as FileState, UPLOAD};
use crate::keeper::files::room::Pass;
use crate::keeper::storage::Incoming;
use crate::keeper::vault::TenantKeys;

pub(super) async fn put_file(
    State(gateway): State<Arc<Gateway>>,
    call: Call,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<UploadReceipt>, Refused> {
    let taken = take(&gateway, &call, &namespace, &name, &headers, body).await;
    gateway.refused(&namespace, "upload", taken).await.map(Json)
}

async fn take(
    gateway: &Gateway,
    call: &Call,
    namespace: &str,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<UploadReceipt, Refused> {
    let (keys, credential) = gateway.person(call, namespace, names::FILES_WRITER_ACCOUNT).await?;
    let announced = announced_digest(headers)?;
    let uploads: Api<Upload> = Api::namespaced(gateway.cluster.client.clone(), namespace);
    let title = format!("Upload {namespace}/{name}");
    let upload = uploads.get_opt(name).await.map_err(kube("read the Upload"))?.ok_or_else(|| Refused::NotFound(title.clone()))?;
    if !domain::upload::accepts_file(upload.status.as_ref()) || upload.metadata.deletion_timestamp.is_some() {
        return Err(Refused::Taken(title));
    }
    let claim = claim(&upload, &keys, gateway.cluster.now()?, &gateway.cluster.identity)?;
    let room = gateway.files.room.enter(&keys.tenant, &claim, length(headers)).await?.map_err(Refused::Full)?;
    let claimed = gateway.files.records.claim(&claim).await?.ok_or(Refused::Taken(title))?;
    let taken = match gateway.take_upload(&keys, &claim, &room, announced, body).await {
        Ok((key, received)) => gateway.complete_upload(&keys, &upload, claim.clone(), &claimed, key, received, &credential).await,
        Err(refused) => Err(refused),
    };
    if let Ok(receipt) = &taken {
        room.stored(receipt.bytes);
    } else {
        // Nothing of it stays: the key was only in memory, and the name is free again.
        gateway.undo_upload(&keys, &claim, &claimed).await;
    }
    taken
}

/// An Upload has one file, whose id is its own.
fn claim(upload: &Upload, keys: &TenantKeys, now: Timestamp, replica: &str) -> Result<FileRecord, Error> {
    let uid = Uid::of(upload)?;
    Ok(FileRecord {
        uid: uid.clone(),
        region: keys.region.name_any(),
        tenant_uid: Uid::of(keys.tenant.as_ref())?,
        namespace: NamespaceName::of(upload)?.into(),
        kind: UPLOAD.into(),
        owner: upload.name_any(),
        owner_uid: uid,
        file_name: "upload".into(),
        state: FileState::Pending,
        created: now,
        not_after: now + domain::retention::ABANDONED_AFTER,
        ended: None,
        bytes: None,
        claimed_by: Some(replica.to_owned()),
    })
}

/// How much the sender says it brings.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `x-content-sha256: <hex>` or `content-digest: sha-256=:<base64>:` (RFC 9530).
fn announced_digest(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().map_err(|_| Refused::BadDigest)).transpose();
    let bytes = match (text("x-content-sha256")?, text("content-digest")?) {
        (Some(hex), _) => hex::decode(hex.trim()).ok(),
        (None, Some(fields)) => match fields.split(',').find_map(|f| f.trim().strip_prefix("sha-256=:")?.strip_suffix(':')) {
            Some(encoded) => BASE64.decode(encoded).ok(),
            // Another algorithm than ours is not checked, as the RFC has it.
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    bytes.and_then(|b| b.try_into().ok()).map(Some).ok_or(Refused::BadDigest)
}

/// A file on its way through: digest of what came, ciphertext of what goes on.
struct Passing<'a> {
    room: &'a Pass,
    digest: Sha256,
    bytes: u64,
    sealer: Sealer,
    out: BytesMut,
    incoming: Incoming,
}

impl Passing<'_> {
    async fn take(&mut self, mut part: bytes::Bytes) -> Result<(), Refused> {
        self.bytes += part.len() as u64;
        self.room.came(self.bytes).map_err(Refused::Full)?;
        self.digest.update(&part);
        self.sealer.update(&part, &mut self.out).map_err(|error| Error::File(error.into()))?;
        // Wiped where nobody else holds it; what the TLS layer holds is its own.
        if let Ok(mut plain) = std::mem::take(&mut part).try_into_mut() {
            plain.zeroize();
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Refused> {
        let sealed = self.out.split().freeze();
        Ok(if sealed.is_empty() { Ok(()) } else { self.incoming.write(sealed).await }?)
    }
}

impl Gateway {
    async fn take_upload(
        &self,
        keys: &TenantKeys,
        claim: &FileRecord,
        room: &Pass,
        announced: Option<[u8; 32]>,
        body: Body,
    ) -> Result<(FileKey, Received), Refused> {
        let key = FileKey::generate(&mut rand::rng());
        // Sealing consumes a key, so that no second file is sealed under it; the record needs its twin.
        let twin = FileKey::from_bytes(zeroize::Zeroizing::new(key.to_bytes().to_vec())).expect("48 bytes are a file key");
        let mut out = BytesMut::new();
        let sealer = Sealer::begin(key, &claim.context(keys.scope.clone()), &mut rand::rng(), &mut out);
        let incoming = self.files.storages.of(&keys.region)?.begin(&claim.tenant_uid, &claim.uid).await?;
        let mut passing = Passing { room, digest: Sha256::new(), bytes: 0, sealer, out, incoming };
        let mut parts = body.into_data_stream();
        let failure = loop {
            match parts.next().await {
                Some(Ok(part)) => {
                    if let Err(refused) = passing.take(part).await {
                        break Some(refused);
                    }
                }
                Some(Err(_)) => break Some(Refused::CutOff),
                None => break None,
            }
        };
        let Passing { room: _, digest, bytes, sealer, mut out, mut incoming } = passing;
        let digest: [u8; 32] = digest.finalize().into();
        let failure = failure.or_else(|| (bytes == 0).then_some(Refused::Empty));
        let failure = failure.or_else(|| announced.is_some_and(|a| a != digest).then_some(Refused::Digest));
        if let Some(refused) = failure {
            incoming.abort().await?;
            return Err(refused);
        }
        sealer.finish(&mut out).map_err(|error| Error::File(error.into()))?;
        incoming.write(out.freeze()).await?;
        incoming.finish().await?;
        // In whole seconds, as the status tells it: the hour that is promised is the hour that is sealed.
        let completed_at = Timestamp::from_second(self.cluster.now()?.as_second()).unwrap_or(Timestamp::MIN);
        Ok((twin, Received { bytes, sha256: hex::encode(digest), completed_at }))
    }

    /// Key, audit, status: in this order, so that a worker that sees a complete Upload can read it, and everything born is in the audit.
    #[allow(clippy::too_many_arguments)]
    async fn complete_upload(
        &self,
        keys: &TenantKeys,
        upload: &Upload,
        claim: FileRecord,
        claimed: &Secret,
        key: FileKey,
        received: Received,
        credential: &str,
    ) -> Result<UploadReceipt, Refused> {
        let not_after = domain::retention::upload_expiry(received.completed_at);
        let record = FileRecord { state: FileState::Complete, not_after, bytes: Some(received.bytes), ..claim };
        let event = Event::new("FileBorn")
            .with("tenant", record.tenant_uid.as_str())
            .with("file", record.uid.as_str())
            .with("credential", credential)
            .with("bytes", received.bytes);
        self.audit.line(&keys.region, event).await?;
        let scope: Scope = keys.scope.clone();
        self.files.records.complete(claimed.clone(), &record, &keys.ring, scope, &key).await?;
        let previous = upload.status.clone().unwrap_or_default();
        let status = domain::upload::complete(&previous, upload.metadata.generation, &received, received.completed_at);
        self.cluster.write_upload(upload, &status).await?;
        Ok(UploadReceipt { bytes: received.bytes, sha256: received.sha256, completed_at: received.completed_at, expires_at: not_after })
    }

    async fn undo_upload(&self, keys: &TenantKeys, claim: &FileRecord, claimed: &Secret) {
        let erased = match self.files.storages.of(&keys.region) {
            Ok(storage) => storage.erase(&claim.tenant_uid, &claim.uid).await,
            Err(error) => Err(error),
        };
        let let_go = match erased {
            Ok(()) => self.files.records.drop_claim(claimed).await,
            Err(error) => {
                tracing::warn!(file = %claim.uid, error = error.chain(), "what came of a cut-off upload could not be removed yet");
                // The sweeper removes it as soon as the volume lets it, and the name is free again.
                self.files.records.destroy_key(claim).await.map(|_| ())
            }
        };
        if let Err(error) = let_go {
            tracing::warn!(file = %claim.uid, error = error.chain(), "the claim of a cut-off upload could not be removed yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn digests_are_read_in_both_writings() {
        let digest: [u8; 32] = Sha256::digest(b"a").into();
        let hex = hex::encode(digest);
        assert_eq!(announced_digest(&headers("x-content-sha256", &hex)).unwrap(), Some(digest));
        let field = format!("sha-512=:AAAA:, sha-256=:{}:", BASE64.encode(digest));
        assert_eq!(announced_digest(&headers("content-digest", &field)).unwrap(), Some(digest));
        assert_eq!(announced_digest(&headers("content-digest", "sha-512=:AAAA:")).unwrap(), None);
        assert_eq!(announced_digest(&HeaderMap::new()).unwrap(), None);
        assert!(matches!(announced_digest(&headers("x-content-sha256", "abc")), Err(Refused::BadDigest)));
    }
}
