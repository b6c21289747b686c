//! What the work table is keyed by.

use runtime::store::ObjectKey;

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    Region(ObjectKey),
    Tenant(ObjectKey),
    ImportJob(ObjectKey),
    ImportRun(ObjectKey),
}

impl Key {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Region(_) => "Region",
            Self::Tenant(_) => "Tenant",
            Self::ImportJob(_) => "ImportJob",
            Self::ImportRun(_) => "ImportRun",
        }
    }

    pub(super) fn object(&self) -> &ObjectKey {
        match self {
            Self::Region(key) | Self::Tenant(key) | Self::ImportJob(key) | Self::ImportRun(key) => key,
        }
    }

    pub(super) fn region(name: &str) -> Self {
        Self::Region(ObjectKey::cluster(name))
    }

    pub(super) fn tenant(name: &str) -> Self {
        Self::Tenant(ObjectKey::cluster(name))
    }

    pub(super) fn job(namespace: &str, name: &str) -> Self {
        Self::ImportJob(ObjectKey::namespaced(namespace, name))
    }

    pub(super) fn run(namespace: &str, name: &str) -> Self {
        Self::ImportRun(ObjectKey::namespaced(namespace, name))
    }
}
