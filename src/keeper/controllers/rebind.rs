//! A Tenant or Region that a restore made anew takes over what was kept for the one of before: an administrator names that one by its UID.
//! Until all of it has found its object, what is left stays as it is; once the annotation is off, it is ownerless.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{Conditions, REBOUND, find, is_true};
use api::identity::is_same;
use api::names::{CONNECTION_REVOKE_FINALIZER, REBIND_ANNOTATION};
use api::reasons::rebind as reasons;
use api::{Region, Tenant, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::core::ObjectMeta;

use super::{Controllers, ownerless};
use crate::keeper::audit::Event;
use crate::keeper::base::bound::Bound;
use crate::keeper::base::earlier::{Unreadable, earlier};
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::Kind;
use crate::keeper::vault::TenantKeys;
use crate::keeper::vault::rebind::OfEarlierRegion;

/// Each look asks after every object that is waited for.
const WAITS: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(2);
/// So many of the things that are waited for are named.
const NAMED: usize = 5;

/// How far a request is.
pub(super) enum Rebinding {
    NotAsked,
    /// Something else is in the way, and says so itself.
    NotSeen,
    Done {
        message: String,
        /// The keys of before are there still: that it is done is written down before they go.
        again: bool,
    },
    NotYet {
        reason: String,
        message: String,
    },
}

impl Rebinding {
    pub(super) fn set_condition(&self, conditions: Conditions) -> Conditions {
        match self {
            Self::NotAsked => conditions,
            Self::NotSeen => conditions.keep(REBOUND),
            Self::Done { message, .. } => conditions.with_true(REBOUND, reasons::DONE, message),
            Self::NotYet { reason, message } => conditions.with_false(REBOUND, reason, message),
        }
    }

    /// When to look again, if not as usual.
    pub(super) fn again_after(&self) -> Option<Duration> {
        match self {
            Self::NotYet { .. } => Some(WAITS),
            Self::Done { again: true, .. } => Some(SOON),
            Self::NotAsked | Self::NotSeen | Self::Done { again: false, .. } => None,
        }
    }

    fn not_yet(reason: &str, message: String) -> Self {
        Self::NotYet { reason: reason.to_owned(), message }
    }

    fn of_error(error: &Error) -> Self {
        Self::not_yet(error.reason(), error.chain())
    }

    fn unreadable(kind: &str) -> Self {
        let message = format!(
            "{REBIND_ANNOTATION} is no UID: write that of the {kind} of before the restore, which `kubectl import keys rebind` finds"
        );
        Self::not_yet(reasons::REFUSED, message)
    }

    fn living(kind: &str, uid: &Uid) -> Self {
        Self::not_yet(
            reasons::REFUSED,
            format!("{REBIND_ANNOTATION} names a {kind} that is there: {uid} keeps what is its own; take the annotation off"),
        )
    }
}

/// Takes over what was kept for the Tenant that this one was before a restore.
pub(super) async fn tenant(controllers: &Controllers, tenant: &Tenant) -> Rebinding {
    let uid = match earlier(&tenant.metadata) {
        Ok(None) => return Rebinding::NotAsked,
        Ok(Some(uid)) => uid,
        Err(Unreadable) => return Rebinding::unreadable("Tenant"),
    };
    of_tenant(controllers, tenant, &uid).await.unwrap_or_else(|error| {
        tracing::warn!(tenant = tenant.name_any(), error = error.chain(), "what was kept before a restore is not taken over yet");
        Rebinding::of_error(&error)
    })
}

async fn of_tenant(controllers: &Controllers, tenant: &Tenant, earlier: &Uid) -> Result<Rebinding> {
    if controllers.cluster.uids::<Tenant>().await?.contains(earlier) {
        return Ok(Rebinding::living("Tenant", earlier));
    }
    let keys = controllers.vault.keys_of(Arc::new(tenant.clone())).await?;
    let mut records = Vec::new();
    for kind in [Kind::Credential, Kind::Bookmark, Kind::Tokens] {
        let listed = controllers.vault.listed(kind, Some(earlier.as_str())).await?;
        records.extend(listed.into_iter().map(|record| (kind, record.metadata)));
    }
    let was_done = is_done(tenant.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default(), earlier);
    let Some(before) = controllers.vault.keys_of_earlier(&keys, earlier).await? else {
        return Ok(match was_done && records.is_empty() {
            true => done("Tenant", earlier, false),
            false => Rebinding::not_yet(
                reasons::KEYS_GONE,
                format!(
                    "the keys of a Tenant with UID {earlier} are not there, as Secret {}: restore it, or take the annotation off, and what \
                     they would open is destroyed",
                    controllers.vault.name_of_ring(earlier)
                ),
            ),
        });
    };
    let mut left = Vec::new();
    for (kind, record) in &records {
        let outcome = match kind {
            Kind::Tokens => ownerless::revoke_with(controllers, &before, record, &Bound::of(record)?).await.map(|()| None),
            _ => one(controllers, &before, &keys, *kind, record).await,
        };
        // One that fails keeps no other.
        match outcome {
            Ok(None) => {}
            Ok(Some(why)) => left.push(why),
            Err(error) => left.push(format!("{}: {}", record.name.as_deref().unwrap_or_default(), error.chain())),
        }
    }
    if !left.is_empty() {
        let more = left.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        left.truncate(NAMED);
        return Ok(Rebinding::not_yet(reasons::WAITING, format!("{}{more}. Without the annotation they are destroyed", left.join("; "))));
    }
    if !was_done {
        let event = Event::new("TenantRebound").with("tenant", keys.scope.tenant_uid.as_str()).with("earlierTenant", earlier.as_str());
        controllers.audit.line(&keys.region, event).await?;
        return Ok(done("Tenant", earlier, true));
    }
    controllers.vault.rings.destroy(earlier).await?;
    Ok(done("Tenant", earlier, false))
}

/// Seals what was kept for an object for the one in its place. Answers what is in the way.
async fn one(controllers: &Controllers, before: &TenantKeys, keys: &TenantKeys, kind: Kind, record: &ObjectMeta) -> Result<Option<String>> {
    let bound = Bound::of(record)?;
    let title = format!("{} {}/{}", bound.kind, bound.namespace, bound.name);
    let holder = controllers.cluster.holder(&bound.namespace).await?;
    if holder.is_none_or(|holder| !is_same(&holder.metadata, &keys.tenant.metadata)) {
        return Ok(Some(format!("{title}: its namespace is not this Tenant's")));
    }
    let object = match kind {
        Kind::Bookmark => controllers.cluster.import_job(&bound.namespace, &bound.name).await?.map(|job| job.metadata),
        _ => controllers.cluster.connection(&bound.namespace, &bound.name).await?.map(|connection| connection.metadata),
    };
    let Some(object) = object.filter(|object| object.deletion_timestamp.is_none()) else {
        return Ok(Some(format!("{title} is not there")));
    };
    // Nothing is stored for a Connection without its finalizer.
    let is_guarded = object.finalizers.iter().flatten().any(|finalizer| finalizer == CONNECTION_REVOKE_FINALIZER);
    if kind == Kind::Credential && !is_guarded {
        return Ok(Some(format!("{title} was not looked at yet")));
    }
    let Some(uid) = Uid::of_meta(&object) else { return Ok(Some(format!("{title} has no UID"))) };
    if controllers.vault.has_own(kind, &uid).await? {
        let event = if kind == Kind::Bookmark { "BookmarkDestroyed" } else { "CredentialOrphanDestroyed" };
        ownerless::destroy(controllers, Some(&keys.region), record, event, &bound).await?;
        return Ok(None);
    }
    controllers.vault.rebind(before, keys, kind, record, &uid).await?;
    tracing::info!(namespace = bound.namespace, name = bound.name, record = kind.label(), "what was kept before a restore is taken over");
    controllers.vault.destroy(record).await?;
    if kind == Kind::Credential {
        (controllers.wake_connection)(bound.namespace, bound.name);
    }
    Ok(None)
}

/// Settles what the keys of the Region that this one was before a restore have become. They are taken over where keys are made.
pub(super) async fn region(controllers: &Controllers, region: &Region) -> Rebinding {
    let uid = match earlier(&region.metadata) {
        Ok(None) => return Rebinding::NotAsked,
        Ok(Some(uid)) => uid,
        Err(Unreadable) => return Rebinding::unreadable("Region"),
    };
    of_region(controllers, region, &uid).await.unwrap_or_else(|error| Rebinding::of_error(&error))
}

async fn of_region(controllers: &Controllers, region: &Region, earlier: &Uid) -> Result<Rebinding> {
    if controllers.cluster.uids::<Region>().await?.contains(earlier) {
        return Ok(Rebinding::living("Region", earlier));
    }
    let was_done = is_done(region.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default(), earlier);
    Ok(match controllers.vault.of_earlier_region(region, earlier).await? {
        OfEarlierRegion::Held(records) if was_done => {
            for record in &records {
                controllers.vault.destroy(record).await?;
            }
            done("Region", earlier, false)
        }
        OfEarlierRegion::Held(records) if !records.is_empty() => {
            let event = Event::new("RegionRebound").with("region", region.name_any()).with("earlierRegion", earlier.as_str());
            controllers.audit.line(region, event).await?;
            done("Region", earlier, true)
        }
        OfEarlierRegion::Held(_) => {
            let message =
                format!("no keys of a Region {} with UID {earlier} are there: restore them, or take the annotation off", region.name_any());
            Rebinding::not_yet(reasons::KEYS_GONE, message)
        }
        OfEarlierRegion::OwnKeys => Rebinding::not_yet(
            reasons::OWN_KEYS,
            format!(
                "this Region made keys of its own before it was told of {earlier}: what is sealed in Git to that one's key does not open here, \
                 and its lines of the audit cannot be checked. A Region is to be annotated before the keeper sees it: restore once more, or \
                 take the annotation off"
            ),
        ),
    })
}

fn done(kind: &str, earlier: &Uid, again: bool) -> Rebinding {
    Rebinding::Done { message: format!("what was kept for the {kind} with UID {earlier} is this one's, and the annotation can go"), again }
}

/// Whether that was said before.
fn is_done(conditions: &[Condition], earlier: &Uid) -> bool {
    is_true(conditions, REBOUND) && find(conditions, REBOUND).is_some_and(|said| said.message.contains(&format!(" UID {earlier} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_is_what_was_said_of_this_very_uid() {
        let uid = |text: &str| Uid::new(text).unwrap();
        let Rebinding::Done { message, .. } = done("Tenant", &uid("11-22"), false) else { panic!("it is done") };
        let said = Conditions::from(&[], Some(1), jiff::Timestamp::UNIX_EPOCH).with_true(REBOUND, reasons::DONE, &message).build();
        assert!(is_done(&said, &uid("11-22")));
        // Words of the message, and parts of the UID.
        for other in ["the", "UID", "11", "22", "33-44"] {
            assert!(!is_done(&said, &uid(other)), "{other}");
        }
        assert!(!is_done(&[], &uid("11-22")));
    }
}
