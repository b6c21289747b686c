//! Whose place an object takes that was made anew after a restore: an administrator says so with the UID of the one of before. An object
//! that is there keeps what is its own, whatever anybody says.

use std::collections::BTreeSet;

use api::Uid;
use api::names::REBIND_ANNOTATION;
use kube::core::ObjectMeta;

use super::records::annotation;

/// As long as a UID of Kubernetes is, and some.
const LONGEST: usize = 64;

/// The annotation has no UID.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// The UID of the one of before, if the object is said to take its place.
pub(crate) fn earlier(metadata: &ObjectMeta) -> Result<Option<Uid>, Unreadable> {
    let Some(text) = annotation(metadata, REBIND_ANNOTATION) else { return Ok(None) };
    // It becomes a part of names of Secrets.
    let is_uid = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Uid::new(text).filter(|_| is_uid).map(Some).ok_or(Unreadable)
}

/// The UIDs of before whose place living objects of a kind take. `all`: every object of the kind.
pub(crate) fn claimed(all: &[ObjectMeta]) -> BTreeSet<Uid> {
    let stays = |metadata: &&ObjectMeta| metadata.deletion_timestamp.is_none();
    let mut claimed: BTreeSet<Uid> = all.iter().filter(stays).filter_map(|metadata| earlier(metadata).ok().flatten()).collect();
    all.iter().filter_map(Uid::of_meta).for_each(|living| {
        claimed.remove(&living);
    });
    claimed
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn object(uid: &str, says: Option<&str>) -> ObjectMeta {
        let annotations = says.map(|says| [(REBIND_ANNOTATION.to_owned(), says.to_owned())].into());
        ObjectMeta { uid: Some(uid.into()), annotations, ..ObjectMeta::default() }
    }

    #[test]
    fn only_a_uid_is_read() {
        assert_eq!(earlier(&object("a", None)).unwrap(), None);
        assert_eq!(earlier(&object("a", Some("5d0c-6d0a"))).unwrap(), Uid::new("5d0c-6d0a"));
        for wrong in ["", "../root", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(earlier(&object("a", Some(wrong))).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_claims_what_is_somebodys_or_claims_while_it_goes() {
        let going = ObjectMeta { deletion_timestamp: Some(Time(jiff::Timestamp::UNIX_EPOCH)), ..object("d", Some("gone-too")) };
        let all = [object("a", Some("gone")), object("b", Some("a")), object("c", Some("c")), object("e", Some("")), going];
        assert_eq!(claimed(&all), [Uid::new("gone").unwrap()].into());
    }
}
