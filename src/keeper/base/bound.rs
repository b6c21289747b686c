//! What a sealed Secret of ours is bound to, written beside it so that it can be sealed again without its object. The text is no
//! authority: a record opens only if it is true.

use std::collections::{BTreeMap, BTreeSet};

use api::Uid;
use api::names::OBJECT_NAMESPACE_ANNOTATION;
use envelope::{EncryptionContext, Scope};
use kube::core::ObjectMeta;

use super::error::{Error, Result};
use super::records::annotation;

const KIND: &str = "dataimporter.io/object-kind";
const NAME: &str = "dataimporter.io/object-name";
const UID: &str = "dataimporter.io/object-uid";
const ENDPOINT: &str = "dataimporter.io/endpoint-digest";
const FIELDS: &str = "dataimporter.io/fields";

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) endpoint_digest: String,
    pub(crate) fields: BTreeSet<String>,
}

impl Bound {
    pub(crate) fn context(&self, scope: Scope) -> EncryptionContext {
        EncryptionContext {
            scope,
            namespace: self.namespace.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.to_string(),
            endpoint_digest: self.endpoint_digest.clone(),
            field_set: self.fields.clone(),
        }
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let fields = self.fields.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        [
            (KIND, self.kind.clone()),
            (OBJECT_NAMESPACE_ANNOTATION, self.namespace.clone()),
            (NAME, self.name.clone()),
            (UID, self.uid.to_string()),
            (ENDPOINT, self.endpoint_digest.clone()),
            (FIELDS, fields),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    pub(crate) fn of(metadata: &ObjectMeta) -> Result<Self> {
        let text = |key: &str| annotation(metadata, key).map(str::to_owned);
        let read = || {
            Some(Self {
                namespace: text(OBJECT_NAMESPACE_ANNOTATION)?,
                kind: text(KIND)?,
                name: text(NAME)?,
                uid: Uid::new(text(UID)?)?,
                endpoint_digest: text(ENDPOINT)?,
                fields: text(FIELDS)?.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect(),
            })
        };
        read().ok_or_else(|| Error::Record {
            name: metadata.name.clone().unwrap_or_default(),
            detail: "its annotations do not say what it belongs to",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_beside_a_record_is_read_back() {
        let bound = Bound {
            namespace: "acme".into(),
            kind: "Connection".into(),
            name: "crm".into(),
            uid: Uid::new("u").unwrap(),
            endpoint_digest: String::new(),
            fields: ["b", "a"].map(String::from).into(),
        };
        let metadata = ObjectMeta { annotations: Some(bound.annotations()), ..ObjectMeta::default() };
        assert_eq!(Bound::of(&metadata).unwrap(), bound);
        assert!(Bound::of(&ObjectMeta::default()).is_err());
    }
}
