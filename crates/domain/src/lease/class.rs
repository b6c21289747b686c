//! What a refusal means for the worker that meets it, and what it is told.
//!
//! A caller that is not admitted learns nothing, whichever rule failed. The current worker of a run, which [`Admitted`] proves, is told whether
//! it should ask again or how its run ends.

use api::import_run::RunReason;
use api::keeper::Refused;
use api::names;

use super::Admitted;
use super::rules::Refusal;
use crate::labels;

/// What a refusal means for the worker that it is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Something is not known yet, or it passes: ask again.
    Wait,
    /// The run cannot go on: it ends with this reason.
    End(RunReason),
    /// This pod has no authority over what it asks for: it stops without a word.
    Fenced,
}

impl Refusal {
    /// What this refusal means. Every refusal has its class here, so that a new one is given some thought.
    pub fn class(self) -> Class {
        match self {
            // Before the admission: the caller is told nothing, the log goes by it.
            Self::Token | Self::Audience | Self::Account | Self::Namespace | Self::Region | Self::RegionAudience => Class::Fenced,
            Self::Tenant | Self::Pod | Self::Run | Self::StaleAttempt | Self::Node | Self::NodeRegion => Class::Fenced,
            Self::Peer | Self::TokenReused | Self::Snapshot => Class::Fenced,
            // The operator or the kubelet may not have written it down yet.
            Self::Attempt | Self::NodeUnknown | Self::AddressUnknown => Class::Wait,
            // After it.
            Self::NotInSnapshot | Self::File => Class::Fenced,
            Self::SnapshotContradicted => Class::End(RunReason::Internal),
            Self::NoTarget | Self::NoSource => Class::End(RunReason::PreflightFailed),
            Self::TenantLeaving | Self::ConnectionGone => Class::End(RunReason::Cancelled),
            Self::Endpoint | Self::Consent | Self::CredentialRolledBack => Class::End(RunReason::AuthorizationFailed),
            // Ended by a person who sets it back, or brings the credential.
            Self::ConnectionSuspended | Self::NoCredential => Class::Wait,
            Self::UploadGone => Class::End(RunReason::UploadGone),
            Self::UploadExpired => Class::End(RunReason::UploadExpired),
            Self::UploadLost | Self::BookmarkLost => Class::End(RunReason::SourceFailed),
            Self::UploadIncomplete => Class::Wait,
        }
    }
}

impl Admitted {
    /// What the worker is told of a refusal about this Connection or Upload of its run. Absent: no more than a stranger.
    pub fn refused(&self, refusal: Refusal, object: &str) -> Option<Refused> {
        let end = match refusal.class() {
            Class::Wait => None,
            Class::End(reason) => Some(reason),
            Class::Fenced => return None,
        };
        Some(Refused { end, message: self.message(refusal, object) })
    }

    /// What is in the way, and the way out.
    fn message(&self, refusal: Refusal, object: &str) -> String {
        let (namespace, again) = (self.namespace(), "start a new run for what is left");
        match refusal {
            Refusal::TenantLeaving => format!("Tenant {} is being deleted", labels::name(&self.tenant().metadata)),
            Refusal::ConnectionGone => {
                format!("Connection {object} was deleted, or another one has its name: {again}")
            }
            Refusal::ConnectionSuspended => format!("Connection {object} is suspended: set its spec.suspend to false"),
            Refusal::Endpoint => {
                format!("Connection {object} points to another endpoint than when this run began, so its credential is not used: {again}")
            }
            Refusal::Consent => format!(
                "the owner of the Secret behind Connection {object} took back the consent ({}) to show it there: once it is given again, {again}",
                names::CONSENT_ANNOTATION
            ),
            Refusal::NoCredential => format!("no credential is stored for Connection {object}: its condition Ready says what to bring"),
            Refusal::CredentialRolledBack => format!(
                "the stored credential of Connection {object} is older than one that was used before: change its Secret, so that it is taken in anew, and {again}"
            ),
            Refusal::UploadGone => format!(
                "Upload {object} was deleted, or another one has its name: send the file again (kubectl import upload) and {again}; what was loaded stays and is counted"
            ),
            Refusal::UploadExpired => format!(
                "Upload {object} is past its hour: send the file again (kubectl import upload) and {again}; what was loaded stays and is counted"
            ),
            Refusal::UploadLost => format!(
                "the file of Upload {object} is not on the volume any more: send it again (kubectl import upload) and {again}; what was loaded stays and is counted"
            ),
            Refusal::UploadIncomplete => format!("Upload {object} has no file yet: send it with `kubectl import upload`"),
            Refusal::BookmarkLost => format!(
                "what ImportJob {object} has read up to cannot be opened any more, as its key was destroyed: say where the next run begins by another source.sql.watermark.from; a job of files has to be deleted and made anew, and reads them all"
            ),
            Refusal::NoSource => format!("rows are not read from Connection {object} in this way: name another one in the job's source"),
            Refusal::NoTarget => format!("Connection {object} in namespace {namespace} is none of a Salesforce org: mend the job"),
            other => format!("{other}: {again}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{admit, fixtures};
    use super::*;

    /// Every refusal by itself: the author of a new one decides what it means.
    const CLASSES: &[(Refusal, Class)] = &[
        (Refusal::Token, Class::Fenced),
        (Refusal::Audience, Class::Fenced),
        (Refusal::Account, Class::Fenced),
        (Refusal::Namespace, Class::Fenced),
        (Refusal::Tenant, Class::Fenced),
        (Refusal::Region, Class::Fenced),
        (Refusal::RegionAudience, Class::Fenced),
        (Refusal::Pod, Class::Fenced),
        (Refusal::Run, Class::Fenced),
        (Refusal::Attempt, Class::Wait),
        (Refusal::StaleAttempt, Class::Fenced),
        (Refusal::NodeUnknown, Class::Wait),
        (Refusal::Node, Class::Fenced),
        (Refusal::NodeRegion, Class::Fenced),
        (Refusal::AddressUnknown, Class::Wait),
        (Refusal::Peer, Class::Fenced),
        (Refusal::TokenReused, Class::Fenced),
        (Refusal::Snapshot, Class::Fenced),
        (Refusal::TenantLeaving, Class::End(RunReason::Cancelled)),
        (Refusal::NotInSnapshot, Class::Fenced),
        (Refusal::SnapshotContradicted, Class::End(RunReason::Internal)),
        (Refusal::NoTarget, Class::End(RunReason::PreflightFailed)),
        (Refusal::NoSource, Class::End(RunReason::PreflightFailed)),
        (Refusal::ConnectionGone, Class::End(RunReason::Cancelled)),
        (Refusal::ConnectionSuspended, Class::Wait),
        (Refusal::Endpoint, Class::End(RunReason::AuthorizationFailed)),
        (Refusal::Consent, Class::End(RunReason::AuthorizationFailed)),
        (Refusal::NoCredential, Class::Wait),
        (Refusal::CredentialRolledBack, Class::End(RunReason::AuthorizationFailed)),
        (Refusal::UploadGone, Class::End(RunReason::UploadGone)),
        (Refusal::UploadExpired, Class::End(RunReason::UploadExpired)),
        (Refusal::UploadLost, Class::End(RunReason::SourceFailed)),
        (Refusal::UploadIncomplete, Class::Wait),
        (Refusal::BookmarkLost, Class::End(RunReason::SourceFailed)),
        (Refusal::File, Class::Fenced),
    ];

    #[test]
    fn each_refusal_has_its_class_and_the_worker_is_told_accordingly() {
        let admitted = admit(fixtures::observed()).unwrap_or_else(|refusal| panic!("{refusal}"));
        for (refusal, class) in CLASSES {
            assert_eq!(refusal.class(), *class, "{refusal:?}");
            let told = admitted.refused(*refusal, "crm");
            match class {
                Class::Fenced => assert_eq!(told, None, "{refusal:?}"),
                Class::Wait => assert_eq!(told.unwrap().end, None, "{refusal:?}"),
                Class::End(reason) => {
                    let told = told.unwrap();
                    assert_eq!(told.end, Some(*reason), "{refusal:?}");
                    assert!(!told.message.is_empty() && !reason.is_success() && !reason.is_resumable(), "{refusal:?}: {told:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_told_names_the_object_and_the_way_out() {
        let admitted = admit(fixtures::observed()).unwrap_or_else(|refusal| panic!("{refusal}"));
        let says = |refusal, object: &str, parts: &[&str]| {
            let message = admitted.refused(refusal, object).unwrap().message;
            assert!(message.contains(object) && parts.iter().all(|part| message.contains(part)), "{message}");
        };
        says(Refusal::UploadGone, "rows", &["kubectl import upload", "start a new run"]);
        says(Refusal::UploadExpired, "rows", &["kubectl import upload", "start a new run"]);
        says(Refusal::ConnectionSuspended, "crm", &["spec.suspend"]);
        says(Refusal::Endpoint, "crm", &["endpoint", "start a new run"]);
        says(Refusal::Consent, "crm", &[names::CONSENT_ANNOTATION]);
        says(Refusal::TenantLeaving, "acme", &["deleted"]);
    }
}
