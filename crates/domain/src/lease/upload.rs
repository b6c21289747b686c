//! Whether a run may read its upload now.

use api::Upload;
use api::identity::has_uid;
use jiff::Timestamp;

use super::Admitted;
use super::rules::Refusal;

/// What is judged when a run asks for its upload's bytes, read at that moment.
pub struct UploadObserved {
    /// The live object of the name that the snapshot says, in the run's namespace.
    pub upload: Option<Upload>,
    /// What is known of its stored file.
    pub file: Option<StoredFile>,
}

/// A file at rest, without its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoredFile {
    /// How much of the file is there.
    pub state: FileState,
    /// Sealed with the key: nothing moves it later.
    pub not_after: Timestamp,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileState {
    /// Claimed; its bytes are not all there.
    Pending,
    /// All its bytes are there and were digested.
    Complete,
    /// The key is gone; the object may still have to go.
    Destroyed,
}

/// `uid`: that of the Upload, and so of the file, which is asked for.
pub fn judge_upload(admitted: &Admitted, uid: &str, observed: UploadObserved, now: Timestamp) -> Result<(), Refusal> {
    if admitted.is_leaving() {
        return Err(Refusal::TenantLeaving);
    }
    let expected = admitted.snapshot().upload.as_ref().filter(|upload| upload.uid == *uid).ok_or(Refusal::File)?;
    let upload = observed.upload.ok_or(Refusal::UploadGone)?;
    if !has_uid(&upload.metadata, &expected.uid) || upload.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::UploadGone);
    }
    match observed.file {
        Some(file) if !crate::retention::readable(now, file.not_after) => Err(Refusal::UploadExpired),
        Some(StoredFile { state: FileState::Complete, .. }) => Ok(()),
        Some(StoredFile { state: FileState::Destroyed, .. }) => Err(Refusal::UploadExpired),
        // Its record goes last.
        None if upload.status.is_some_and(|status| status.completed_at.is_some()) => Err(Refusal::UploadExpired),
        Some(StoredFile { state: FileState::Pending, .. }) | None => Err(Refusal::UploadIncomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{admit, fixtures};
    use super::*;
    use api::Uid;
    use api::snapshot::ObjectId;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn good() -> UploadObserved {
        let upload = serde_json::from_value(serde_json::json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Upload", "metadata": {"name": "rows", "namespace": "acme", "uid": "up-uid"},
            "spec": {"fileName": "rows.csv"}, "status": {"completedAt": "1970-01-01T00:00:00Z", "expiresAt": "1970-01-01T01:00:00Z"}
        }));
        UploadObserved { upload: Some(upload.unwrap()), file: Some(StoredFile { state: FileState::Complete, not_after: at(3600) }) }
    }

    fn admitted(leaving: bool) -> Admitted {
        let mut observed = fixtures::observed();
        if leaving {
            fixtures::leave(&mut observed);
        }
        fixtures::edit_snapshot(&mut observed, |snapshot| {
            snapshot.upload = Some(ObjectId { namespace: Some("acme".into()), name: "rows".into(), uid: Uid::new("up-uid").unwrap() });
        });
        admit(observed).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    #[test]
    fn an_upload_is_read_only_while_it_is_the_runs_and_has_time() {
        type Edit = fn(&mut UploadObserved);
        let of_file = |o: &mut UploadObserved, state| o.file.as_mut().unwrap().state = state;
        let cases: &[(&str, i64, Result<(), Refusal>, Edit)] = &[
            ("as it was", 3599, Ok(()), |_| ()),
            ("its hour is over", 3600, Err(Refusal::UploadExpired), |_| ()),
            ("deleted", 0, Err(Refusal::UploadGone), |o| o.upload = None),
            ("being deleted", 0, Err(Refusal::UploadGone), |o| {
                o.upload.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            }),
            ("replaced", 0, Err(Refusal::UploadGone), |o| o.upload.as_mut().unwrap().metadata.uid = Some("new".into())),
            ("deleted, and its hour is over", 3600, Err(Refusal::UploadGone), |o| o.upload = None),
            ("erased", 3700, Err(Refusal::UploadExpired), |o| o.file = None),
            ("never sent", 0, Err(Refusal::UploadIncomplete), |o| {
                o.file = None;
                o.upload.as_mut().unwrap().status = None;
            }),
        ];
        for (name, second, expected, edit) in cases {
            let mut observed = good();
            edit(&mut observed);
            assert_eq!(judge_upload(&admitted(false), "up-uid", observed, at(*second)), *expected, "{name}");
        }
        for (state, refusal) in [(FileState::Pending, Refusal::UploadIncomplete), (FileState::Destroyed, Refusal::UploadExpired)] {
            let mut observed = good();
            of_file(&mut observed, state);
            assert_eq!(judge_upload(&admitted(false), "up-uid", observed, at(0)), Err(refusal), "{state:?}");
        }
    }

    #[test]
    fn no_file_of_others_and_none_of_a_tenant_that_leaves() {
        assert_eq!(judge_upload(&admitted(false), "other", good(), at(0)), Err(Refusal::File));
        assert_eq!(judge_upload(&admitted(true), "up-uid", good(), at(0)), Err(Refusal::TenantLeaving));
        let unused = admit(fixtures::observed()).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(judge_upload(&unused, "up-uid", good(), at(0)), Err(Refusal::File));
    }
}
