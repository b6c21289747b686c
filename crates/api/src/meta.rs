//! Small types that several kinds share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A choice without settings: `{}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Empty {}

/// The name of an object in the same namespace. There is no way to name another namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object, in the namespace of the object that holds this reference.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl LocalRef {
    /// A reference to the object of this name.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}
