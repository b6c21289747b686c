//! Which object it is: its UID, and the namespace that it stands in, as types of their own. The API server gives every object a UID and
//! every namespaced one its namespace. An object that lacks one did not come from there and is refused: read as an empty text, two objects
//! without a UID would pass for the same one.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;
use serde::{Deserialize, Serialize};

/// The UID of an object, as the API server gave it; never empty. Written and read as its text.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Uid(String);

/// The name of the namespace that an object stands in; never empty.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct NamespaceName(String);

/// An object that does not say which one it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unidentified {
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
    lacks: &'static str,
}

impl Uid {
    /// None for an empty text.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| !text.is_empty()).map(Self)
    }

    /// The UID of an object that the API server showed.
    ///
    /// # Errors
    /// The object has none. The error names the object.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K) -> Result<Self, Unidentified> {
        Self::of_meta(object.meta()).ok_or_else(|| Unidentified::of(object, "uid"))
    }

    /// The UID that stands in an object's metadata, if one does.
    pub fn of_meta(meta: &ObjectMeta) -> Option<Self> {
        meta.uid.as_deref().and_then(Self::new)
    }

    /// The UID as Kubernetes writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespaceName {
    /// The namespace of an object that the API server showed.
    ///
    /// # Errors
    /// The object has none. The error names the object.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K) -> Result<Self, Unidentified> {
        let namespace = object.meta().namespace.clone().filter(|namespace| !namespace.is_empty());
        namespace.map(Self).ok_or_else(|| Unidentified::of(object, "namespace"))
    }

    /// The name as Kubernetes writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether metadata is that of the object with this UID. Metadata without a UID is that of none, and no object has an empty one.
pub fn has_uid(meta: &ObjectMeta, uid: &str) -> bool {
    !uid.is_empty() && meta.uid.as_deref() == Some(uid)
}

/// Whether two pieces of metadata are of the very same object. Without a UID nothing is the same as anything.
pub fn is_same(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    one.uid.as_deref().is_some_and(|uid| has_uid(other, uid))
}

impl Unidentified {
    fn of<K: Resource<DynamicType = ()>>(object: &K, lacks: &'static str) -> Self {
        let ObjectMeta { namespace, name, .. } = object.meta().clone();
        Self { kind: K::kind(&()).into_owned(), namespace, name, lacks }
    }
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, lacks } = self;
        write!(f, "{kind} ")?;
        if let Some(namespace) = namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{} has no metadata.{lacks}: the API server gives every such object one", name.as_deref().unwrap_or("without a name"))
    }
}

impl std::error::Error for Unidentified {}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the text is wanted. Only the way from a text to a UID is guarded.
impl Deref for Uid {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Uid {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

/// For maps by UID that are asked with a text.
impl Borrow<str> for Uid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// For what is read that was written down.
impl TryFrom<String> for Uid {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("a UID is empty")
    }
}

/// For what is written down.
impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0
    }
}

impl From<NamespaceName> for String {
    fn from(namespace: NamespaceName) -> Self {
        namespace.0
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn map(namespace: Option<&str>, uid: Option<&str>) -> ConfigMap {
        let (namespace, uid) = (namespace.map(str::to_owned), uid.map(str::to_owned));
        ConfigMap { metadata: ObjectMeta { namespace, name: Some("m".into()), uid, ..ObjectMeta::default() }, ..ConfigMap::default() }
    }

    #[test]
    fn an_object_without_a_uid_is_refused_by_name() {
        for uid in [None, Some("")] {
            let refused = Uid::of(&map(Some("acme"), uid)).unwrap_err();
            assert_eq!(refused.to_string(), "ConfigMap acme/m has no metadata.uid: the API server gives every such object one");
            assert_eq!(Uid::of_meta(&map(Some("acme"), uid).metadata), None);
        }
        assert_eq!(Uid::of(&map(None, Some("u"))).unwrap().as_str(), "u");
        assert_eq!(Uid::new(""), None);
        assert_eq!(serde_json::from_str::<Uid>("\"u\"").unwrap(), Uid::new("u").unwrap());
        assert!(serde_json::from_str::<Uid>("\"\"").unwrap_err().to_string().contains("a UID is empty"));
    }

    #[test]
    fn an_object_without_a_namespace_is_refused_where_one_is_needed() {
        for namespace in [None, Some("")] {
            assert!(NamespaceName::of(&map(namespace, Some("u"))).is_err());
        }
        assert_eq!(NamespaceName::of(&map(Some("acme"), None)).unwrap().as_str(), "acme");
    }

    #[test]
    fn two_objects_without_a_uid_are_not_the_same() {
        let [none, empty, one, other] = [None, Some(""), Some("1"), Some("2")].map(|uid| map(None, uid).metadata);
        assert!(is_same(&one, &one) && !is_same(&one, &other));
        for nobody in [&none, &empty] {
            for any in [&none, &empty, &one] {
                assert!(!is_same(nobody, any) && !is_same(any, nobody), "{nobody:?} {any:?}");
            }
            assert!(!has_uid(nobody, "") && !has_uid(nobody, "1"));
        }
    }
}
