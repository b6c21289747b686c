//! Ciphertext in and out, for workers: they have no storage credentials, and the keeper does not see what is inside.

use std::ops::Range;

use api::Uid;
use api::keeper::{FileGrant, NewFile};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use domain::lease::{Admitted, Refusal};
use envelope::stream::BEGINNING;
use futures::StreamExt;
use http::header::RANGE;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::{Answer, Kept, RunUid, Workers};
use crate::file_grant;
use crate::keeper::admission::caller::{About, RunKey, tenant_uid};
use crate::keeper::admission::{Call, Rejection};
use crate::keeper::audit::Event;
use crate::keeper::base::error::Error;
use crate::keeper::files::records::{FileRecord, IMPORT_RUN, State as FileState};
use crate::keeper::files::room::Pass;
use crate::keeper::files::until;
use crate::keeper::storage::Outgoing;

pub(super) async fn begin(State(workers): Kept, call: Call, Path(uid): RunUid, Json(request): Json<NewFile>) -> Answer<FileGrant> {
    let admitted = workers.admission.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "file").await?;
    let outcome = workers.begin_result(&admitted, &request.name).await;
    workers.admission.judged(&RunKey::of(&admitted), "file", outcome).await.map(Json)
}

/// The record of a result file: its id follows from run, attempt and name, so asking twice gives one file. Absent when the name is none
/// of a result file's, or when results are not kept at all.
fn new_record(admitted: &Admitted, name: &str, now: Timestamp) -> Option<FileRecord> {
    if !is_result_name(name) {
        return None;
    }
    let snapshot = admitted.snapshot();
    // The run's end is not known yet; its deadline is the latest it can be.
    let not_after = domain::retention::result_expiry(snapshot.deadline.max(now), &snapshot.results)?;
    let id = Sha256::digest(format!("{}/{}/{name}", snapshot.run.uid, admitted.attempt()));
    Some(FileRecord {
        uid: Uid::new(hex::encode(&id[..16]))?,
        region: admitted.region().name_any(),
        tenant_uid: snapshot.tenant.uid.clone(),
        namespace: admitted.namespace().to_owned(),
        kind: IMPORT_RUN.into(),
        owner: admitted.run().name_any(),
        owner_uid: snapshot.run.uid.clone(),
        file_name: name.to_owned(),
        state: FileState::Pending,
        created: now,
        not_after,
        ended: None,
        bytes: None,
        claimed_by: None,
    })
}

/// `succeeded.csv`, or `succeeded-2.csv` of a second attempt.
fn is_result_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".csv") else { return false };
    let (kind, attempt) = stem.split_once('-').unwrap_or((stem, "1"));
    let numbered = !attempt.is_empty() && attempt.len() <= 3 && attempt.bytes().all(|b| b.is_ascii_digit());
    matches!(kind, "succeeded" | "failed" | "unprocessed") && numbered
}

pub(super) async fn write(State(workers): Kept, call: Call, Path(file): Path<String>, body: Body) -> Result<StatusCode, Rejection> {
    let admitted = workers.admission.admit(&call, About::RunOfPod, "write file").await?;
    let outcome = workers.write_result(&admitted, &file, body).await;
    workers.admission.judged(&RunKey::of(&admitted), "write file", outcome).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn read(State(workers): Kept, call: Call, Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Rejection> {
    let admitted = workers.admission.admit(&call, About::RunOfPod, "read file").await?;
    let part = headers.get(RANGE).and_then(|range| part(range.to_str().ok()?));
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let outcome = workers.read_upload(&admitted, &file, part).await;
    let (bytes, not_after) = workers.admission.judged(&RunKey::of(&admitted), "read file", outcome).await?;
    Ok((status, Body::from_stream(until(bytes, not_after, workers.cluster.clone()))).into_response())
}

/// One part with a first and a last byte, as `bytes=0-87`; a server may take any other range for none.
fn part(range: &str) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

impl Workers {
    async fn begin_result(&self, admitted: &Admitted, name: &str) -> Result<FileGrant, Rejection> {
        let keys = self.leases.keys_of(admitted).await?;
        let record = new_record(admitted, name, self.cluster.now()?).ok_or(Refusal::File)?;
        let (ring, scope) = (&keys.ring, keys.scope.clone());
        // Asking again gives the same file while it is pending.
        if let Some(known) = self.files.records.find(&record.uid).await? {
            let opening =
                self.vault.opening_file(&keys, &record.uid, Event::new("FileKeyOpened").with("run", admitted.run_uid().as_str())).await?;
            let key = self.files.records.begun_key(&known, &record.owner_uid, ring, scope, &opening)?.ok_or(Rejection::Taken)?;
            return Ok(file_grant::grant(known.0.context(keys.scope.clone()), &key));
        }
        let event = Event::new("FileBorn")
            .with("tenant", tenant_uid(admitted).as_str())
            .with("file", record.uid.as_str())
            .with("run", admitted.run_uid().as_str());
        self.audit.line(admitted.region(), event).await?;
        let Some(key) = self.files.records.begin(&record, ring, scope).await? else {
            return Err(Error::Record { name: record.uid.into(), detail: "somebody else began it at the same moment" }.into());
        };
        Ok(file_grant::grant(record.context(keys.scope.clone()), &key))
    }

    async fn write_result(&self, admitted: &Admitted, file: &str, body: Body) -> Result<(), Rejection> {
        let (record, secret) = self.result_of(admitted, file).await?;
        match record.state {
            FileState::Pending => {}
            FileState::Complete => return Err(Rejection::Taken),
            FileState::Destroyed => return Err(Refusal::File.into()),
        }
        let room = self.files.room.enter(admitted.tenant(), &record, None).await?.map_err(Rejection::Full)?;
        let stored = self.take_in(admitted, &record, &room, body).await?;
        let complete = FileRecord { state: FileState::Complete, bytes: Some(stored), ..record };
        self.files.records.update(secret, &complete).await?;
        room.stored(stored);
        Ok(())
    }

    /// The ciphertext of the run's upload, and its last moment.
    async fn read_upload(&self, admitted: &Admitted, file: &str, part: Option<Range<u64>>) -> Result<(Outgoing, Timestamp), Rejection> {
        let (upload, record, _) = self.leases.readable_upload(admitted, file).await?;
        let storage = self.files.storages.of(admitted.region())?;
        // No part opens without the beginning, so the audit has a line for each time that is read.
        let begins = part.as_ref().is_none_or(|part| part.start < BEGINNING as u64);
        let bytes = storage.read_part(&record.tenant_uid, &record.uid, part).await?;
        let bytes = bytes.ok_or_else(|| Rejection::about(admitted, &upload.name_any(), Refusal::UploadLost))?;
        if !begins {
            return Ok((bytes, record.not_after));
        }
        let event = Event::new("FileRead")
            .with("tenant", tenant_uid(admitted).as_str())
            .with("file", record.uid.as_str())
            .with("run", admitted.run_uid().as_str());
        self.audit.line(admitted.region(), event).await?;
        Ok((bytes, record.not_after))
    }

    async fn result_of(&self, admitted: &Admitted, file: &str) -> Result<(FileRecord, Secret), Rejection> {
        let (record, secret) = self.files.records.find(file).await?.ok_or(Refusal::File)?;
        let ours =
            record.kind == IMPORT_RUN && record.owner_uid == *admitted.run_uid() && record.tenant_uid == admitted.snapshot().tenant.uid;
        if ours { Ok((record, secret)) } else { Err(Refusal::File.into()) }
    }

    /// Stores a body whole or not at all.
    async fn take_in(&self, admitted: &Admitted, record: &FileRecord, room: &Pass, body: Body) -> Result<u64, Rejection> {
        let mut incoming = self.files.storages.of(admitted.region())?.begin(&record.tenant_uid, &record.uid).await?;
        let mut parts = body.into_data_stream();
        let mut stored = 0_u64;
        // Results come as the org gives them, so a worker may be silent for a while; one that is gone has its connection closed.
        while let Some(part) = parts.next().await {
            let failure = match part {
                Ok(part) => {
                    stored += part.len() as u64;
                    match room.came(stored) {
                        Ok(()) => incoming.write(part).await.err().map(Rejection::Trouble),
                        Err(full) => {
                            // A worker that is still sending would miss the answer.
                            while let Some(Ok(_)) = parts.next().await {}
                            Some(Rejection::Full(full))
                        }
                    }
                }
                // The worker is gone or its connection broke; it may send the file again.
                Err(_) => Some(Rejection::Trouble(Error::Record { name: record.uid.to_string(), detail: "its upload was cut off" })),
            };
            if let Some(failure) = failure {
                incoming.abort().await?;
                return Err(failure);
            }
        }
        incoming.finish().await?;
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_first_and_a_last_byte() {
        assert_eq!(part("bytes=0-87"), Some(0..88));
        assert_eq!(part("bytes=5-5"), Some(5..6));
        for other in ["", "0-87", "bytes=5-", "bytes=-5", "bytes=6-5", "bytes=0-1,3-4", "bytes=a-b", "bytes= 0-1", "bytes=0--1"] {
            assert_eq!(part(other), None, "{other}");
        }
        assert_eq!(part(&format!("bytes=0-{}", u64::MAX)), Some(0..u64::MAX));
    }

    #[test]
    fn only_names_of_result_files_are_taken() {
        for good in ["succeeded.csv", "failed.csv", "unprocessed.csv", "failed-2.csv"] {
            assert!(is_result_name(good), "{good}");
        }
        for bad in ["", "succeeded", "x.csv", "../failed.csv", "failed-.csv", "failed-a.csv", "failed-1000.csv", "failed.csv.csv"] {
            assert!(!is_result_name(bad), "{bad}");
        }
    }
}
