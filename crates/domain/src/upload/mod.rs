//! What an Upload's status says.

use api::conditions::Conditions;
use api::reasons::upload as reasons;
use api::{Upload, UploadStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::retention;

/// What came, once all of it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// How many bytes the file has.
    pub bytes: u64,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// When the last byte was stored.
    pub completed_at: Timestamp,
}

/// Waits for its one PUT.
pub fn waiting(previous: &UploadStatus, generation: Option<i64>, now: Timestamp) -> UploadStatus {
    let message =
        "waiting for the file: send it with `kubectl import upload`, or PUT it to the gateway named in ConfigMap dataimporter-public";
    UploadStatus {
        observed_generation: generation,
        conditions: Conditions::from(&previous.conditions, generation, now).progressing(reasons::WAITING_FOR_FILE, message).build(),
        ..UploadStatus::default()
    }
}

/// All of the file is stored; it is readable for [`retention::UPLOAD_LIFE`] from then on.
pub fn complete(previous: &UploadStatus, generation: Option<i64>, received: &Received, now: Timestamp) -> UploadStatus {
    let expires_at = retention::upload_expiry(received.completed_at);
    UploadStatus {
        observed_generation: generation,
        conditions: Conditions::from(&previous.conditions, generation, now)
            .ready(reasons::COMPLETE, &format!("readable until {expires_at}, then erased"))
            .build(),
        bytes: i64::try_from(received.bytes).ok(),
        sha256: Some(received.sha256.clone()),
        completed_at: Some(Time(received.completed_at)),
        expires_at: Some(Time(expires_at)),
        erased_at: None,
    }
}

/// After the bytes and their key were proved gone.
pub fn erased(previous: &UploadStatus, generation: Option<i64>, now: Timestamp) -> UploadStatus {
    UploadStatus {
        observed_generation: generation,
        conditions: Conditions::from(&previous.conditions, generation, now)
            .stalled(reasons::EXPIRED, "the file and its key were erased; upload the file again under a new name")
            .build(),
        erased_at: Some(Time(now)),
        ..previous.clone()
    }
}

/// How long an Upload whose file was erased still says so.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Whether the object may go, too.
pub fn is_long_gone(upload: &Upload, now: Timestamp) -> bool {
    let erased = upload.status.as_ref().and_then(|status| status.erased_at.as_ref());
    erased.is_some_and(|at| now.duration_since(at.0) > TOLD_FOR) && upload.metadata.deletion_timestamp.is_none()
}

/// Whether the one PUT may still come.
pub fn accepts_file(status: Option<&UploadStatus>) -> bool {
    status.is_none_or(|s| s.completed_at.is_none() && s.erased_at.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::conditions::{self, READY, STALLED};

    #[test]
    fn an_upload_waits_then_is_ready_for_an_hour_then_is_gone() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = waiting(&UploadStatus::default(), Some(1), at(0));
        assert!(accepts_file(Some(&waiting)) && !conditions::is_true(&waiting.conditions, READY));
        let received = Received { bytes: 3, sha256: "ab".into(), completed_at: at(100) };
        let complete = complete(&waiting, Some(1), &received, at(100));
        assert!(!accepts_file(Some(&complete)) && conditions::is_true(&complete.conditions, READY));
        assert_eq!(complete.expires_at, Some(Time(at(3700))));
        let erased = erased(&complete, Some(1), at(3705));
        assert!(!accepts_file(Some(&erased)) && conditions::is_true(&erased.conditions, STALLED));
        assert_eq!((erased.bytes, erased.erased_at.clone()), (Some(3), Some(Time(at(3705)))));
        let mut upload = crate::testing::upload();
        upload.status = Some(erased);
        assert!(!is_long_gone(&upload, at(3705 + 86_400)) && is_long_gone(&upload, at(3705 + 86_401)), "told for a day");
        upload.status = Some(complete);
        assert!(!is_long_gone(&upload, at(900_000)), "what was not proved gone stays");
    }
}
