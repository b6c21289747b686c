//! The lease: all that a worker needs, once; a fresh session when Salesforce refused the one it had, and a source's credential once more.

use std::sync::Arc;

use api::Upload;
use api::connection::Rows;
use api::import_job::SourceKind;
use api::import_run::{Chunks, ImportRunStatus};
use api::keeper::{ChunkCursor, Lease, LoadedFile, SalesforceSession, SecretText, SessionRequest, SourceCredential, UploadGrant};
use domain::bookmark::{self, Bookmark};
use domain::lease::{Admitted, ConnectionObserved, Refusal, StoredFile, UploadObserved, Usable, judge_connection, judge_upload};
use domain::reach::endpoints_of;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;

use super::caller::{RunKey, tenant_uid};
use super::cursors::{open_cursor, open_file};
use super::{Admission, Rejection};
use crate::file_grant;
use crate::keeper::audit::{Audit, Event};
use crate::keeper::base::cluster::Cluster;
use crate::keeper::base::error::{Error, kube};
use crate::keeper::files::FileStore;
use crate::keeper::files::records::{FileRecord, UPLOAD};
use crate::keeper::vault::bookmarks::{Content, Kept, Place};
use crate::keeper::vault::credentials::Stored;
use crate::keeper::vault::{TenantKeys, Vault};

/// What workers that proved themselves may have.
pub(crate) struct Leases {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    files: Arc<FileStore>,
    admission: Arc<Admission>,
}

impl Leases {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        audit: Arc<Audit>,
        vault: Arc<Vault>,
        files: Arc<FileStore>,
        admission: Arc<Admission>,
    ) -> Self {
        Self { cluster, audit, vault, files, admission }
    }
}

/// What a line about opening a credential for a run says.
fn opened_for(admitted: &Admitted) -> Event {
    Event::new("CredentialOpened").with("for", "Run").with("run", admitted.run_uid().as_str())
}

impl Leases {
    /// `ending`: the run is only brought to its end, with what may still be had for that.
    pub(crate) async fn lease(&self, admitted: &Admitted, ending: bool) -> Result<Lease, Rejection> {
        let keys = self.keys_of(admitted).await?;
        let source = if ending { None } else { Some(self.source(admitted, &keys).await?) };
        let status = admitted.run().status.clone().unwrap_or_default();
        let loaded = self.loaded(admitted, &keys, &status).await?;
        let target = if loaded.is_some() { None } else { self.target(admitted, &keys, ending).await? };
        let chunks = status.chunks.unwrap_or_default();
        let cursors = self.cursors(admitted, &keys, &chunks).await?;
        let bookmark = if ending || loaded.is_some() { Vec::new() } else { self.bookmark(admitted, &keys).await? };
        let event = Event::new("LeaseGranted")
            .with("tenant", tenant_uid(admitted).as_str())
            .with("run", admitted.run_uid().as_str())
            .with("attempt", admitted.attempt());
        let event = if ending { event.with("for", "Ending") } else { event };
        self.audit.line(admitted.region(), event).await?;
        Ok(Lease {
            snapshot: admitted.snapshot().clone(),
            source,
            target,
            cursors,
            chunks,
            bookmark,
            loaded,
            now: self.cluster.now()?,
            private_endpoints: endpoints_of(&keys.region, &keys.tenant.name_any()),
            proxy: self.vault.egress_proxy.clone(),
        })
    }

    async fn target(&self, admitted: &Admitted, keys: &TenantKeys, ending: bool) -> Result<Option<SalesforceSession>, Rejection> {
        match self.salesforce_session(admitted, keys, None, None).await {
            Err(Rejection::Told(refusal, told)) if ending && told.end.is_some() => {
                // Audited like every other.
                let refused: Result<(), _> = Err(Rejection::Told(refusal, told));
                let _ = self.admission.judged(&RunKey::of(admitted), "lease", refused).await;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    pub(crate) async fn renewed_session(&self, admitted: &Admitted, request: &SessionRequest) -> Result<SalesforceSession, Rejection> {
        let keys = self.keys_of(admitted).await?;
        self.salesforce_session(admitted, &keys, Some(&request.connection), Some(&request.refused_sha256)).await
    }

    pub(crate) async fn renewed_source(&self, admitted: &Admitted) -> Result<SourceCredential, Rejection> {
        let keys = self.keys_of(admitted).await?;
        self.source(admitted, &keys).await
    }

    pub(crate) async fn keys_of(&self, admitted: &Admitted) -> Result<TenantKeys, Rejection> {
        Ok(self.vault.keys_of(Arc::new(admitted.tenant().clone())).await?)
    }

    /// A connection of the run, judged, with its credential still sealed.
    async fn usable(&self, admitted: &Admitted, name: &str) -> Result<(Usable, Stored), Rejection> {
        let connection = self.cluster.connection(admitted.namespace(), name).await?;
        let ledger = connection.as_ref().and_then(|c| c.status.as_ref()?.credential_version).unwrap_or_default();
        let (stored, consent) = match &connection {
            Some(connection) => tokio::try_join!(self.vault.stored(connection), self.cluster.consent(connection))?,
            None => (None, None),
        };
        let observed = ConnectionObserved { connection, stored: stored.as_ref().map(|s| s.credential.clone()), consent, ledger };
        let refused = |refusal| Rejection::about(admitted, name, refusal);
        let usable = judge_connection(admitted, name, observed).map_err(refused)?;
        Ok((usable, stored.ok_or(Refusal::NoCredential).map_err(refused)?))
    }

    /// A session for the target of the run. `asked`: the connection the worker names, which must be that one.
    async fn salesforce_session(
        &self,
        admitted: &Admitted,
        keys: &TenantKeys,
        asked: Option<&str>,
        refused: Option<&str>,
    ) -> Result<SalesforceSession, Rejection> {
        let no_target = |name: &str| Rejection::about(admitted, name, Refusal::NoTarget);
        let target = admitted.snapshot().job_spec.target.salesforce().ok_or_else(|| no_target(""))?;
        let name = target.connection_ref.name.as_str();
        if asked.is_some_and(|asked| asked != name) {
            return Err(Refusal::NotInSnapshot.into());
        }
        let (usable, stored) = self.usable(admitted, name).await?;
        let opened = opened_for(admitted);
        let session = match self.vault.session_of(keys, usable.connection(), &stored, usable.version(), refused, opened).await {
            // It changed since it was judged.
            Err(error @ Error::Disconnecting(_)) => {
                self.usable(admitted, name).await?;
                return Err(error.into());
            }
            other => other?.ok_or_else(|| no_target(name))?,
        };
        Ok(SalesforceSession {
            instance_url: session.instance_url.as_str().trim_end_matches('/').to_owned(),
            access_token: SecretText::new(session.access_token.expose_secret()),
        })
    }

    async fn source(&self, admitted: &Admitted, keys: &TenantKeys) -> Result<SourceCredential, Rejection> {
        let (connection_ref, has_them): (_, fn(Rows) -> bool) = match admitted.snapshot().job_spec.source.kind().ok_or(Refusal::File)? {
            SourceKind::Sql(query) => (&query.connection_ref, |rows| rows == Rows::Query),
            SourceKind::File(file) => (&file.connection_ref, |rows| matches!(rows, Rows::Files { .. })),
            SourceKind::Upload(_) => return self.upload_grant(admitted, keys).await.map(SourceCredential::Upload),
        };
        let name = &connection_ref.name;
        let (usable, stored) = self.usable(admitted, name).await?;
        // What logs in to an org stays here, whatever a job says: its worker gets sessions.
        if usable.connection().spec.system().is_none_or(|system| !has_them(system.kind().profile().rows)) {
            return Err(Rejection::about(admitted, name, Refusal::NoSource));
        }
        let entries = self.vault.entries(keys, usable.connection(), &stored, opened_for(admitted)).await?;
        Ok(SourceCredential::Entries(entries.ok_or_else(|| Rejection::about(admitted, name, Refusal::NoCredential))?))
    }

    async fn upload_grant(&self, admitted: &Admitted, keys: &TenantKeys) -> Result<UploadGrant, Rejection> {
        let expected = admitted.snapshot().upload.as_ref().ok_or(Refusal::File)?;
        let (upload, record, secret) = self.readable_upload(admitted, &expected.uid).await?;
        let now = self.cluster.at_latest()?;
        let opening =
            self.vault.opening_file(keys, &record.uid, Event::new("FileKeyOpened").with("run", admitted.run_uid().as_str())).await?;
        let (ring, scope) = (&keys.ring, keys.scope.clone());
        let key = self.files.records.key(&record, &secret, ring, scope, now, record.not_after, &opening)?;
        let key = key.ok_or_else(|| Rejection::about(admitted, &expected.name, Refusal::UploadExpired))?;
        Ok(UploadGrant {
            file: file_grant::grant(record.context(keys.scope.clone()), &key),
            bytes: record.bytes.unwrap_or_default(),
            sha256: upload.status.and_then(|status| status.sha256).unwrap_or_default(),
            expires_at: record.not_after,
        })
    }

    /// The upload that a run reads and the record of its file, if it may still be read.
    pub(crate) async fn readable_upload(&self, admitted: &Admitted, uid: &str) -> Result<(Upload, FileRecord, Secret), Rejection> {
        // What is asked for is looked up only when it is the run's.
        let expected = admitted.snapshot().upload.as_ref().filter(|upload| upload.uid == *uid).ok_or(Refusal::File)?;
        let uploads: Api<Upload> = Api::namespaced(self.cluster.client.clone(), admitted.namespace());
        let upload = async { uploads.get_opt(&expected.name).await.map_err(kube("read the Upload")) };
        let (upload, file) = tokio::try_join!(upload, self.files.records.find(uid))?;
        let file = file.filter(|(record, _)| {
            record.kind == UPLOAD && record.namespace == admitted.namespace() && record.tenant_uid == admitted.snapshot().tenant.uid
        });
        let stored = file.as_ref().map(|(record, _)| StoredFile { state: record.state, not_after: record.not_after });
        let observed = UploadObserved { upload: upload.clone(), file: stored };
        let refused = |refusal| Rejection::about(admitted, &expected.name, refusal);
        judge_upload(admitted, uid, observed, self.cluster.at_latest()?).map_err(refused)?;
        let (record, secret) = file.ok_or(Refusal::UploadExpired).map_err(refused)?;
        Ok((upload.ok_or(Refusal::UploadGone).map_err(refused)?, record, secret))
    }

    /// Where a run begins whose job reads only what is new; empty: at the beginning.
    async fn bookmark(&self, admitted: &Admitted, keys: &TenantKeys) -> Result<Vec<SecretText>, Rejection> {
        let snapshot = admitted.snapshot();
        let Some(subject) = bookmark::subject(snapshot) else { return Ok(Vec::new()) };
        let place = Place { job: &snapshot.job, subject: &subject };
        let event = Event::new("BookmarkOpened").with("tenant", tenant_uid(admitted).as_str()).with("run", admitted.run_uid().as_str());
        let kept = self.vault.bookmark(keys, &place, event).await?;
        match kept.map(|kept| kept.content) {
            Some(Content::Bookmark(bookmark)) => Ok(bookmark.start_of(admitted.run_uid()).to_vec()),
            Some(Content::Lost) => Err(Rejection::about(admitted, &snapshot.job.name, Refusal::BookmarkLost)),
            Some(Content::Other) | None => Ok(Vec::new()),
        }
    }

    /// Keeps what a run that `began` there has read up to, for the next one of its job.
    pub(crate) async fn keep_bookmark(&self, admitted: &Admitted, began: &[SecretText], reached: &[SecretText]) -> Result<(), Rejection> {
        let snapshot = admitted.snapshot();
        let Some(subject) = bookmark::subject(snapshot) else { return Ok(()) };
        let keys = self.keys_of(admitted).await?;
        let place = Place { job: &snapshot.job, subject: &subject };
        let event = Event::new("BookmarkOpened").with("tenant", tenant_uid(admitted).as_str()).with("run", admitted.run_uid().as_str());
        let kept = self.vault.bookmark(&keys, &place, event.with("for", "Outcome")).await?;
        let next = Bookmark::after(kept.as_ref().and_then(Kept::bookmark), admitted.run_uid(), began.to_vec(), reached.to_vec());
        match next {
            Some(next) => Ok(self.vault.keep_bookmark(&keys, &place, kept, &next).await?),
            None => Ok(()),
        }
    }

    /// Which file a run has loaded that is only still to be dealt with.
    async fn loaded(&self, admitted: &Admitted, keys: &TenantKeys, status: &ImportRunStatus) -> Result<Option<LoadedFile>, Rejection> {
        let Some(outcome) = status.outcome.as_ref().filter(|outcome| outcome.is_pending()) else { return Ok(None) };
        let file = match &outcome.sealed_file {
            Some(sealed) => {
                let event = Event::new("LoadedFileOpened");
                let event = event.with("tenant", tenant_uid(admitted).as_str()).with("run", admitted.run_uid().as_str());
                open_file(admitted, keys, sealed, &self.vault.opening(admitted.region(), admitted.run_uid(), event).await?)?
            }
            None => Vec::new(),
        };
        Ok(Some(LoadedFile { file, has_failed_rows: status.rows.is_some_and(|rows| rows.failed > 0) }))
    }

    /// What the cursors of earlier attempts say.
    async fn cursors(&self, admitted: &Admitted, keys: &TenantKeys, chunks: &Chunks) -> Result<Vec<ChunkCursor>, Rejection> {
        let any = chunks.folded.iter().any(|f| f.sealed_cursor.is_some()) || chunks.listed.iter().any(|c| c.sealed_cursor.is_some());
        if !any {
            return Ok(Vec::new());
        }
        let event = Event::new("CursorsOpened").with("tenant", tenant_uid(admitted).as_str()).with("run", admitted.run_uid().as_str());
        let opening = self.vault.opening(admitted.region(), admitted.run_uid(), event).await?;
        let folded = chunks.folded.as_ref().and_then(|f| f.sealed_cursor.as_ref());
        let mut cursors: Vec<ChunkCursor> = Vec::new();
        if let Some(sealed) = folded {
            cursors.push(open_cursor(admitted, keys, sealed, &opening)?);
        }
        for listed in &chunks.listed {
            let Some(sealed) = &listed.sealed_cursor else { continue };
            let cursor = open_cursor(admitted, keys, sealed, &opening)?;
            if cursor.chunk != listed.number {
                let detail = "it belongs to another chunk than the one it stands at";
                return Err(Error::Record { name: format!("cursor of run {}", admitted.run_uid()), detail }.into());
            }
            cursors.push(cursor);
        }
        Ok(cursors)
    }
}
