//! What a bucket must do and not every one does. It is tried and not asked for: what a server says of itself takes rights that nothing else
//! needs, and says nothing of what a proxy in front of it lets through.

use std::error::Error as StdError;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, PutMode, PutOptions, UpdateVersion};

use crate::keeper::base::reasons;

/// Why a bucket cannot keep a Region's files.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(
        "it keeps versions of its objects, so that what is deleted stays: use a bucket in which versions were never turned on; of files that \
         lie in this one already, delete all versions"
    )]
    KeepsVersions,
    #[error(
        "it writes an object in spite of a condition that does not hold (If-None-Match, If-Match), so that two keepers could overwrite each \
         other's audit: use a server of S3 that knows conditional writes"
    )]
    IgnoresConditions,
}

impl Unfit {
    /// A short CamelCase word for a condition's reason.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::KeepsVersions => reasons::BUCKET_KEEPS_VERSIONS,
            Self::IgnoresConditions => reasons::BUCKET_IGNORES_CONDITIONS,
        }
    }

    /// What an error of the store came of, if it came of this.
    pub(super) fn of(error: &object_store::Error) -> Option<Self> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(current) = next {
            if let Some(unfit) = current.downcast_ref::<Self>() {
                return Some(*unfit);
            }
            next = current.source();
        }
        None
    }
}

impl From<Unfit> for object_store::Error {
    fn from(unfit: Unfit) -> Self {
        Self::Generic { store: "bucket", source: Box::new(unfit) }
    }
}

/// A bucket that keeps versions names one with every object; one whose versions are suspended calls it `null`.
pub(super) fn without_versions(version: Option<&str>) -> object_store::Result<()> {
    version.map_or(Ok(()), |_| Err(Unfit::KeepsVersions.into()))
}

/// Writes over the probe, which is there, under conditions that do not hold.
pub(super) async fn obeys_conditions(objects: &dyn ObjectStore, probe: &ObjectPath) -> object_store::Result<()> {
    let another = UpdateVersion { e_tag: Some("\"00000000000000000000000000000000\"".to_owned()), version: None };
    for mode in [PutMode::Create, PutMode::Update(another)] {
        match objects.put_opts(probe, "overwritten".into(), PutOptions::from(mode)).await {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(Unfit::IgnoresConditions.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    #[test]
    fn a_version_is_one_even_if_it_is_suspended() {
        assert!(without_versions(None).is_ok());
        for version in ["null", "3HL4kqtJlcpXroDTDmJ"] {
            assert_eq!(without_versions(Some(version)).err().as_ref().and_then(Unfit::of), Some(Unfit::KeepsVersions));
        }
    }

    #[tokio::test]
    async fn a_store_that_obeys_conditions_passes_and_keeps_the_probe() {
        let (store, probe) = (InMemory::new(), ObjectPath::from("probe"));
        store.put(&probe, PutPayload::from_static(b"as it was")).await.unwrap();
        obeys_conditions(&store, &probe).await.unwrap();
        assert_eq!(store.get(&probe).await.unwrap().bytes().await.unwrap(), "as it was");
        // Nothing there to be overwritten: the condition holds, and what is written shows it.
        let unproved = obeys_conditions(&store, &ObjectPath::from("nothing")).await;
        assert_eq!(unproved.err().as_ref().and_then(Unfit::of), Some(Unfit::IgnoresConditions));
    }
}
