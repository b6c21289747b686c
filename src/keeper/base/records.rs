//! The keeper's own Secrets: everything it must not forget lies in the system namespace, encrypted unless it is a root key or the
//! certificate authority. Knows names, labels and versions; opens nothing.

use std::collections::BTreeMap;

use api::{Uid, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PartialObjectMeta, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};

use super::error::{Error, Result, kube};

pub(crate) const TENANT_UID_LABEL: &str = "dataimporter.io/tenant-uid";
/// The tenant key that a record is sealed under.
pub(crate) const KEY_ID_LABEL: &str = "dataimporter.io/key-id";
/// Key of the sealed bytes.
pub(crate) const RECORD: &str = "record";

/// Lists are read in pages of this size.
const PAGE: u32 = 500;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Authority,
    RootKey,
    RegionKeys,
    KeyRing,
    Credential,
    Tokens,
    File,
    Bookmark,
}

impl Kind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::RootKey => "root-key",
            Self::RegionKeys => "region-keys",
            Self::KeyRing => "key-ring",
            Self::Credential => "credential",
            Self::Tokens => "tokens",
            Self::File => "file",
            Self::Bookmark => "bookmark",
        }
    }

    /// Kinds that are sealed under tenant keys, and so must be sealed again before a key may go.
    pub(crate) const SEALED: [Self; 4] = [Self::Credential, Self::Tokens, Self::File, Self::Bookmark];
}

#[derive(Clone)]
pub(crate) struct Records {
    api: Api<Secret>,
    namespace: String,
}

impl Records {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned() }
    }

    pub(crate) fn draft(
        &self,
        name: &str,
        kind: Kind,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        data: BTreeMap<String, ByteString>,
    ) -> Secret {
        let mut labels = labels;
        labels.insert(names::RECORD_LABEL.to_owned(), kind.label().to_owned());
        labels.insert(names::MANAGED_BY_LABEL.to_owned(), names::KEEPER_MANAGER.to_owned());
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..Secret::default()
        }
    }

    /// Namespace and name, for people.
    pub(crate) fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Option<Secret>> {
        self.api.get_opt(name).await.map_err(kube(format!("read Secret {name}")))
    }

    /// The Secret if it belongs to the Region of that name, whichever one of that name it was made for.
    pub(crate) async fn get_of_region(&self, name: &str, region: &str) -> Result<Option<Secret>> {
        Ok(self.get(name).await?.filter(|secret| label(&secret.metadata, names::REGION_LABEL) == Some(region)))
    }

    /// Absent when a Secret of that name is there already.
    pub(crate) async fn create(&self, secret: &Secret) -> Result<Option<Secret>> {
        let name = secret.name_any();
        match self.api.create(&PostParams::default(), secret).await {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(kube(format!("create Secret {name}"))(error)),
        }
    }

    /// Replaces exactly the version that was read: a conflict when somebody wrote since.
    pub(crate) async fn replace(&self, secret: &Secret) -> Result<Secret> {
        let name = secret.name_any();
        self.api.replace(&name, &PostParams::default(), secret).await.map_err(kube(format!("replace Secret {name}")))
    }

    /// Deletes this very Secret. `Ok` too when it is gone.
    pub(crate) async fn delete(&self, name: &str, uid: Option<&Uid>) -> Result<()> {
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_string()), resource_version: None });
        match self.delete_if(name, preconditions).await {
            // Another one of that name.
            Err(error) if error.is_conflict() && uid.is_some() => Ok(()),
            other => other,
        }
    }

    /// Deletes exactly the version that was read: a conflict when somebody wrote since. `Ok` too when it is gone.
    pub(crate) async fn delete_version(&self, secret: &Secret) -> Result<()> {
        let preconditions = Preconditions { uid: Some(Uid::of(secret)?.into()), resource_version: secret.resource_version() };
        self.delete_if(&secret.name_any(), Some(preconditions)).await
    }

    async fn delete_if(&self, name: &str, preconditions: Option<Preconditions>) -> Result<()> {
        match self.api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(kube(format!("delete Secret {name}"))(error)),
        }
    }

    /// Names, labels and annotations of all that match, without their content.
    pub(crate) async fn list(&self, kind: Kind, tenant_uid: Option<&str>) -> Result<Vec<PartialObjectMeta<Secret>>> {
        let tenant = tenant_uid.map(|uid| format!(",{TENANT_UID_LABEL}={uid}")).unwrap_or_default();
        let mut params = ListParams::default().labels(&format!("{}={}{tenant}", names::RECORD_LABEL, kind.label())).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.api.list_metadata(&params).await.map_err(kube(format!("list Secrets of kind {}", kind.label())))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

/// The sealed bytes of a record.
pub(crate) fn sealed(secret: &Secret) -> Result<&[u8]> {
    let data = secret.data.as_ref().and_then(|data| data.get(RECORD));
    data.map(|bytes| bytes.0.as_slice()).ok_or_else(|| Error::Record { name: secret.name_any(), detail: "it holds no record" })
}

pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}
