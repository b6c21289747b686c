//! The lease: all that a worker needs, once; and a fresh session when Salesforce refused the one it had.

use api::Upload;
use api::import_run::Chunks;
use api::keeper::{ChunkCursor, Lease, LeaseRequest, SalesforceSession, SecretText, SessionRequest, SourceCredential, UploadGrant};
use axum::Json;
use axum::extract::{Path, State};
use domain::lease::{Admitted, ConnectionObserved, Refusal, StoredFile, UploadObserved, Usable, judge_connection, judge_upload};
use domain::reach::endpoints_of;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;

use super::super::audit::Event;
use super::super::credentials::{Entries, Stored};
use super::super::error::{Error, kube};
use super::super::files::{FileRecord, UPLOAD};
use super::super::state::{Home, Keeper};
use super::caller::{About, tenant_uid};
use super::run_status::open_cursor;
use super::{Answer, Call, Kept, Rejection, RunKey, RunUid};
use crate::file_grant;

pub(super) async fn lease(State(keeper): Kept, call: Call, Path(uid): RunUid, Json(request): Json<LeaseRequest>) -> Answer<Lease> {
    let admitted = keeper.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "lease").await?;
    let outcome = keeper.lease(&admitted, request.ending).await;
    keeper.judged(&RunKey::of(&admitted), "lease", outcome).await.map(Json)
}

pub(super) async fn session(
    State(keeper): Kept,
    call: Call,
    Path(uid): RunUid,
    Json(request): Json<SessionRequest>,
) -> Answer<SalesforceSession> {
    let admitted = keeper.admit(&call, About::Run { uid: &uid, attempt: request.attempt }, "session").await?;
    let outcome = keeper.renewed_session(&admitted, &request).await;
    keeper.judged(&RunKey::of(&admitted), "session", outcome).await.map(Json)
}

impl Keeper {
    /// `ending`: the run is only brought to its end, with what may still be had for that.
    async fn lease(&self, admitted: &Admitted, ending: bool) -> Result<Lease, Rejection> {
        let home = self.home_of(admitted).await?;
        let source = if ending { None } else { Some(self.source(admitted, &home).await?) };
        let target = match self.salesforce_session(admitted, &home, None, None).await {
            Err(Rejection::Told(refusal, told)) if ending && told.end.is_some() => {
                // Audited like every other.
                let refused: Result<(), _> = Err(Rejection::Told(refusal, told));
                let _ = self.judged(&RunKey::of(admitted), "lease", refused).await;
                None
            }
            other => Some(other?),
        };
        let status = admitted.run().status.clone().unwrap_or_default();
        let chunks = status.chunks.unwrap_or_default();
        let cursors = self.cursors(admitted, &home, &chunks).await?;
        let event = Event::new("LeaseGranted")
            .with("tenant", tenant_uid(admitted))
            .with("run", admitted.run_uid())
            .with("attempt", admitted.attempt());
        let event = if ending { event.with("for", "Ending") } else { event };
        self.audit(admitted.region(), event).await?;
        Ok(Lease {
            snapshot: admitted.snapshot().clone(),
            source,
            target,
            cursors,
            chunks,
            now: self.now()?,
            private_endpoints: endpoints_of(&home.region, &home.tenant.name_any()),
        })
    }

    async fn renewed_session(&self, admitted: &Admitted, request: &SessionRequest) -> Result<SalesforceSession, Rejection> {
        let home = self.home_of(admitted).await?;
        self.salesforce_session(admitted, &home, Some(&request.connection), Some(&request.refused_sha256)).await
    }

    pub(super) async fn home_of(&self, admitted: &Admitted) -> Result<Home, Rejection> {
        Ok(self.home(std::sync::Arc::new(admitted.tenant().clone())).await?)
    }

    /// A connection of the run, judged, with its credential still sealed.
    async fn usable(&self, admitted: &Admitted, name: &str) -> Result<(Usable, Stored), Rejection> {
        let connection = self.connection(admitted.namespace(), name).await?;
        let stored = match &connection {
            Some(connection) => self.stored(connection).await?,
            None => None,
        };
        let ledger = connection.as_ref().and_then(|c| c.status.as_ref()?.credential_version).unwrap_or_default();
        let consent = match &connection {
            Some(connection) => super::super::connections::consent(self, connection).await?,
            None => None,
        };
        let observed = ConnectionObserved { connection, stored: stored.as_ref().map(|s| s.credential.clone()), consent, ledger };
        let refused = |refusal| Rejection::about(admitted, name, refusal);
        let usable = judge_connection(admitted, name, observed).map_err(refused)?;
        Ok((usable, stored.ok_or(Refusal::NoCredential).map_err(refused)?))
    }

    /// Opens the credential of a judged connection; the audit has the line before anybody has the secret.
    async fn unseal(&self, admitted: &Admitted, home: &Home, usable: &Usable, stored: &Stored) -> Result<Entries, Rejection> {
        let event = Event::new("CredentialOpened").with("for", "Run").with("run", admitted.run_uid());
        let entries = self.open(home, usable.connection(), stored, event).await?;
        super::super::connections::mark_used(self, usable.connection());
        Ok(entries)
    }

    /// A session for the target of the run. `asked`: the connection the worker names, which must be that one.
    async fn salesforce_session(
        &self,
        admitted: &Admitted,
        home: &Home,
        asked: Option<&str>,
        refused: Option<&str>,
    ) -> Result<SalesforceSession, Rejection> {
        let no_target = |name: &str| Rejection::about(admitted, name, Refusal::NoTarget);
        let target = admitted.snapshot().job_spec.target.salesforce.as_ref().ok_or_else(|| no_target(""))?;
        let name = target.connection_ref.name.as_str();
        if asked.is_some_and(|asked| asked != name) {
            return Err(Refusal::NotInSnapshot.into());
        }
        let (usable, stored) = self.usable(admitted, name).await?;
        let entries = self.unseal(admitted, home, &usable, &stored).await?;
        let target = self.target(home, usable.connection(), &entries, usable.version()).ok_or_else(|| no_target(name))?;
        let session = match self.session(&target, refused).await {
            // It changed since it was judged.
            Err(error @ Error::Disconnecting(_)) => {
                self.usable(admitted, name).await?;
                return Err(error.into());
            }
            other => other?,
        };
        Ok(SalesforceSession {
            instance_url: session.instance_url.as_str().trim_end_matches('/').to_owned(),
            access_token: SecretText::new(session.access_token.expose_secret()),
        })
    }

    async fn source(&self, admitted: &Admitted, home: &Home) -> Result<SourceCredential, Rejection> {
        let source = &admitted.snapshot().job_spec.source;
        if let Some(sql) = &source.sql {
            let (usable, stored) = self.usable(admitted, &sql.connection_ref.name).await?;
            let entries = self.unseal(admitted, home, &usable, &stored).await?;
            let password = entries.text("password").ok_or(Refusal::NoCredential);
            let password = password.map_err(|refusal| Rejection::about(admitted, &sql.connection_ref.name, refusal))?;
            return Ok(SourceCredential::Database { password: SecretText::new(password.expose_secret()) });
        }
        self.upload_grant(admitted, home).await.map(SourceCredential::Upload)
    }

    async fn upload_grant(&self, admitted: &Admitted, home: &Home) -> Result<UploadGrant, Rejection> {
        let expected = admitted.snapshot().upload.as_ref().ok_or(Refusal::File)?;
        let (upload, record, secret) = self.readable_upload(admitted, &expected.uid).await?;
        let now = self.at_latest()?;
        let opening = self.opening_file(home, &record.uid, Event::new("FileKeyOpened").with("run", admitted.run_uid())).await?;
        let (ring, scope) = (&home.ring, home.scope.clone());
        let key = self.files.key(&record, &secret, ring, scope, now, record.not_after, &opening)?;
        let key = key.ok_or_else(|| Rejection::about(admitted, &expected.name, Refusal::UploadExpired))?;
        Ok(UploadGrant {
            file: file_grant::grant(record.context(home.scope.clone()), &key),
            bytes: record.bytes.unwrap_or_default(),
            sha256: upload.status.and_then(|status| status.sha256).unwrap_or_default(),
            expires_at: record.not_after,
        })
    }

    /// The upload that a run reads and the record of its file, if it may still be read.
    pub(super) async fn readable_upload(&self, admitted: &Admitted, uid: &str) -> Result<(Upload, FileRecord, Secret), Rejection> {
        // What is asked for is looked up only when it is the run's.
        let expected = admitted.snapshot().upload.as_ref().filter(|upload| upload.uid == uid).ok_or(Refusal::File)?;
        let uploads: Api<Upload> = Api::namespaced(self.client.clone(), admitted.namespace());
        let upload = uploads.get_opt(&expected.name).await.map_err(kube("read the Upload"))?;
        let file = self.files.find(uid).await?.filter(|(record, _)| {
            record.kind == UPLOAD && record.namespace == admitted.namespace() && record.tenant_uid == admitted.snapshot().tenant.uid
        });
        let stored = file.as_ref().map(|(record, _)| StoredFile { state: record.state, not_after: record.not_after });
        let observed = UploadObserved { upload: upload.clone(), file: stored };
        let refused = |refusal| Rejection::about(admitted, &expected.name, refusal);
        judge_upload(admitted, uid, observed, self.at_latest()?).map_err(refused)?;
        let (record, secret) = file.ok_or(Refusal::UploadExpired).map_err(refused)?;
        Ok((upload.ok_or(Refusal::UploadGone).map_err(refused)?, record, secret))
    }

    /// What the cursors of earlier attempts say.
    async fn cursors(&self, admitted: &Admitted, home: &Home, chunks: &Chunks) -> Result<Vec<ChunkCursor>, Rejection> {
        let any = chunks.folded.iter().any(|f| f.sealed_cursor.is_some()) || chunks.listed.iter().any(|c| c.sealed_cursor.is_some());
        if !any {
            return Ok(Vec::new());
        }
        let event = Event::new("CursorsOpened").with("tenant", tenant_uid(admitted)).with("run", admitted.run_uid());
        let opening = self.opening(admitted.region(), admitted.run_uid(), event).await?;
        let folded = chunks.folded.as_ref().and_then(|f| f.sealed_cursor.as_ref());
        let mut cursors: Vec<ChunkCursor> = Vec::new();
        if let Some(sealed) = folded {
            cursors.push(open_cursor(admitted, home, sealed, &opening)?);
        }
        for listed in &chunks.listed {
            let Some(sealed) = &listed.sealed_cursor else { continue };
            let cursor = open_cursor(admitted, home, sealed, &opening)?;
            if cursor.chunk != listed.number {
                let detail = "it belongs to another chunk than the one it stands at";
                return Err(Error::Record { name: format!("cursor of run {}", admitted.run_uid()), detail }.into());
            }
            cursors.push(cursor);
        }
        Ok(cursors)
    }
}
