//! Records of Connections that went without us: somebody took our finalizer off, or a keeper died between storing one and seeing that
//! another keeper had disconnected it. The credential is destroyed, the tokens are revoked first. What an ImportJob has read up to goes here, too,
//! once the job is gone: jobs have no finalizer. Apart from the sweep of files, which must
//! not wait for somebody else's org.

use std::sync::Arc;
use std::time::Duration;

use api::reasons::tenant as reasons;
use api::{Connection, ImportJob, Tenant};
use domain::connection::REVOKE_LIMIT;
use futures::StreamExt;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use tokio_util::sync::CancellationToken;

use super::Controllers;
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::Kind;

const INTERVAL: Duration = Duration::from_secs(60);
/// Orgs asked at once.
const AT_ONCE: usize = 8;

pub(crate) async fn run(controllers: Arc<Controllers>, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&controllers).await {
            tracing::error!(error = error.chain(), reason = error.reason(), "ownerless records could not be listed; tried again in 60 s");
        }
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// One look at everything.
pub(crate) async fn round(controllers: &Controllers) -> Result<()> {
    let mut records = Vec::new();
    for kind in [Kind::Credential, Kind::Tokens, Kind::Bookmark] {
        records.extend(controllers.vault.listed(kind, None).await?.into_iter().map(|record| (kind, record.metadata)));
    }
    // Listed after the records: one that was made meanwhile belongs to an object that is listed.
    let (connections, jobs) = tokio::try_join!(controllers.cluster.uids::<Connection>(), controllers.cluster.uids::<ImportJob>())?;
    let mut ownerless = Vec::new();
    for (kind, record) in records {
        let bound = Bound::of(&record)?;
        let living = if kind == Kind::Bookmark { &jobs } else { &connections };
        if !living.contains(bound.uid.as_str()) {
            ownerless.push((kind, record, bound));
        }
    }
    futures::stream::iter(&ownerless).for_each_concurrent(AT_ONCE, |(kind, record, bound)| end(controllers, *kind, record, bound)).await;
    Ok(())
}

async fn end(controllers: &Controllers, kind: Kind, record: &ObjectMeta, bound: &Bound) {
    let outcome = match kind {
        Kind::Tokens => revoke(controllers, record, bound).await,
        Kind::Bookmark => destroy(controllers, record, "BookmarkDestroyed", bound).await,
        _ => destroy(controllers, record, "CredentialOrphanDestroyed", bound).await,
    };
    if let Err(error) = outcome {
        let name = record.name.as_deref().unwrap_or_default();
        tracing::error!(record = name, error = error.chain(), reason = error.reason(), "an ownerless record is left; tried again in 60 s");
    }
}

/// Revokes the tokens of a list whose Connection is gone. The record itself knows where: neither the Connection nor its credential is needed.
async fn revoke(controllers: &Controllers, record: &ObjectMeta, bound: &Bound) -> Result<()> {
    let tenant = controllers.cluster.tenant_of_record(record);
    let keys = match &tenant {
        Some(tenant) => controllers.vault.keys_of(tenant.clone()).await,
        None => Err(Error::TenantGone),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(error @ (Error::Unbound(_) | Error::NoRegion(_) | Error::TenantGone)) => {
            return give_up(controllers, record, bound, tenant.as_deref(), &format!("its keys are gone: {}", error.chain())).await;
        }
        Err(error) => return Err(error),
    };
    match controllers.vault.end_sessions(&keys, bound.clone()).await {
        Ok(revoked) => {
            let event = Event::new("OwnerlessRevoked").with("connection", bound.uid.as_str()).with("revoked", revoked);
            controllers.audit.line(&keys.region, event).await?;
            let note = format!("Connection {} was deleted past us: {revoked} access tokens were revoked", title(bound));
            controllers.cluster.events.warning(keys.tenant.as_ref(), reasons::OWNERLESS_REVOKED, &note).await;
            Ok(())
        }
        Err(error) => match controllers.vault.ownerless_since(record).await? {
            Some(since) if controllers.cluster.now()? >= since + REVOKE_LIMIT => {
                give_up(controllers, record, bound, tenant.as_deref(), &format!("tried for ten minutes: {}", error.chain())).await
            }
            _ => Err(error),
        },
    }
}

/// Destroys the list and says plainly that what was on it may be alive.
async fn give_up(controllers: &Controllers, record: &ObjectMeta, bound: &Bound, tenant: Option<&Tenant>, why: &str) -> Result<()> {
    let title = title(bound);
    tracing::error!(connection = title, why, "tokens of a Connection that was deleted past us could not be revoked");
    destroy(controllers, record, "RevocationFailed", bound).await?;
    if let Some(tenant) = tenant {
        let note = format!(
            "Connection {title} was deleted past us, its access tokens could not be revoked ({why}) and may live until their session ends, at most a day"
        );
        controllers.cluster.events.warning(tenant, reasons::REVOCATION_FAILED, &note).await;
    }
    Ok(())
}

/// A region or its storage that is away does not keep a record of nobody.
async fn destroy(controllers: &Controllers, record: &ObjectMeta, event: &'static str, bound: &Bound) -> Result<()> {
    let name = record.name.clone().unwrap_or_default();
    let object = if bound.kind == "ImportJob" { "job" } else { "connection" };
    tracing::warn!(record = name, object, uid = %bound.uid, event, "a record of an object that is gone is destroyed");
    if let Some(region) =
        controllers.cluster.tenant_of_record(record).and_then(|tenant| controllers.cluster.region(&tenant.spec.region).ok())
    {
        let event = Event::new(event).with(object, bound.uid.as_str()).with("record", name.as_str());
        if let Err(error) = controllers.audit.line(&region, event).await {
            tracing::error!(region = region.name_any(), error = error.chain(), "the end of an ownerless record could not be audited");
        }
    }
    controllers.vault.destroy(record).await
}

fn title(bound: &Bound) -> String {
    format!("{}/{}", bound.namespace, bound.name)
}
