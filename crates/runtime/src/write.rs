//! Every write to the Kubernetes API: server-side apply under one field manager, status apart from the rest, creations that
//! must be the first, deletions of exactly one object. Each is bounded in time and counted. Knows no kinds.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use api::Uid;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use crate::metrics::{Metrics, Wrote};
use crate::store::ObjectKey;

/// The API server answers or gives up within this time; so do we.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a write did not succeed, or may not have succeeded: after a timeout the API server may still do it.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The API server refused, or could not be reached.
    #[error("{verb} {kind} {key}")]
    Api {
        /// `apply`, `status`, `patch`, `create` or `delete`.
        verb: &'static str,
        /// Kind of the object, such as `ImportRun`.
        kind: String,
        /// Which object.
        key: ObjectKey,
        /// The client's error, with the server's answer if there was one.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer within 30 seconds.
    #[error("{verb} {kind} {key}: no answer within {} s", TIMEOUT.as_secs())]
    #[allow(missing_docs, reason = "the fields are those of `Api`")]
    Timeout { verb: &'static str, kind: String, key: ObjectKey },
}

impl WriteError {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout { .. } => None,
        }
    }

    /// 409: the object was changed since it was read, or one that is created exists already.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// 404: the object, or its namespace, is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// What the server said, for people; none if it did not answer.
    pub fn server_message(&self) -> Option<&str> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(&status.message),
                _ => None,
            },
            Self::Timeout { .. } => None,
        }
    }

    /// The server understood and refused: quota, admission, validation, size.
    pub fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 413 | 422))
    }
}

/// What an `Api` needs to know of a kind.
pub trait Kind: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync {}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync> Kind for K {}

/// Writes objects under one field manager. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: Cow<'static, str>,
    metrics: Metrics,
}

impl Writer {
    /// `manager` is the name under which the API server notes who owns a field; what this writer applied earlier and now leaves out is removed. Each
    /// write is counted in `metrics`.
    pub fn new(client: Client, manager: impl Into<Cow<'static, str>>, metrics: Metrics) -> Self {
        Self { client, manager: manager.into(), metrics }
    }

    /// The client beneath, for reading; what is written with it is not counted.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Server-side apply of a namespaced object: our fields become what is given, others stay.
    pub async fn apply<K: Kind + Resource<Scope = NamespaceResourceScope>>(&self, object: &K) -> Result<K, WriteError> {
        let key = ObjectKey::of(object);
        self.send::<K, _>("apply", &key, self.namespaced(&key).patch(&key.name, &self.params(), &Patch::Apply(object))).await
    }

    /// Server-side apply of some fields of an existing object, told by UID, so that a deleted one is never made anew.
    pub async fn apply_fields<K: Kind>(&self, api: &Api<K>, key: &ObjectKey, fields: Value) -> Result<K, WriteError> {
        self.send::<K, _>("apply", key, api.patch(&key.name, &self.params(), &Patch::Apply(whole::<K>(key, fields)))).await
    }

    /// Server-side apply of our part of a status. With `version` the write fails with a conflict if anybody wrote since.
    pub async fn apply_status<K: Kind, S: Serialize>(
        &self,
        api: &Api<K>,
        key: &ObjectKey,
        version: Option<&str>,
        status: &S,
    ) -> Result<K, WriteError> {
        let mut fields = json!({"status": status});
        if let Some(version) = version {
            fields["metadata"] = json!({"resourceVersion": version});
        }
        self.send::<K, _>("status", key, api.patch_status(&key.name, &self.params(), &Patch::Apply(whole::<K>(key, fields)))).await
    }

    /// Merge patch of somebody else's object.
    pub async fn merge<K: Kind>(&self, api: &Api<K>, key: &ObjectKey, fields: Value) -> Result<K, WriteError> {
        let params = PatchParams { field_manager: Some(self.manager.to_string()), ..Default::default() };
        self.send::<K, _>("patch", key, api.patch(&key.name, &params, &Patch::Merge(fields))).await
    }

    /// Creates an object that must not be there yet; a conflict says that it is.
    pub async fn create<K: Kind>(&self, api: &Api<K>, object: &K) -> Result<K, WriteError> {
        let params = PostParams { dry_run: false, field_manager: Some(self.manager.to_string()) };
        self.send::<K, _>("create", &ObjectKey::of(object), api.create(&params, object)).await
    }

    /// Deletes exactly this object, if it is still there. `false`: it was not.
    pub async fn delete<K: Kind>(&self, api: &Api<K>, key: &ObjectKey, uid: &Uid) -> Result<bool, WriteError> {
        let preconditions = Some(Preconditions { uid: Some(uid.to_string()), resource_version: None });
        let params = DeleteParams { preconditions, propagation_policy: Some(PropagationPolicy::Background), ..Default::default() };
        let sent = self.send::<K, _>("delete", key, async { api.delete(&key.name, &params).await.map(|_| ()) }).await;
        match sent {
            Ok(()) => Ok(true),
            // Gone, or another object of the same name.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The API of `K` in the key's namespace; its name does not matter.
    pub fn namespaced<K: Kind + Resource<Scope = NamespaceResourceScope>>(&self, key: &ObjectKey) -> Api<K> {
        Api::namespaced(self.client.clone(), key.namespace.as_deref().unwrap_or_default())
    }

    fn params(&self) -> PatchParams {
        PatchParams::apply(&self.manager).force()
    }

    async fn send<K: Kind, T>(
        &self,
        verb: &'static str,
        key: &ObjectKey,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        let kind = K::kind(&()).into_owned();
        let outcome = match tokio::time::timeout(TIMEOUT, call).await {
            Ok(answer) => answer.map_err(|source| WriteError::Api { verb, kind: kind.clone(), key: key.clone(), source: Box::new(source) }),
            Err(_) => Err(WriteError::Timeout { verb, kind: kind.clone(), key: key.clone() }),
        };
        let result = match &outcome {
            Ok(_) => Wrote::Done,
            Err(error) if error.is_conflict() => Wrote::Conflict,
            Err(_) => Wrote::Failed,
        };
        self.metrics.wrote(&kind, verb, result);
        outcome
    }
}

/// The fields with the kind and name that an apply must carry.
fn whole<K: Resource<DynamicType = ()>>(key: &ObjectKey, fields: Value) -> Value {
    let mut object = fields;
    object["apiVersion"] = json!(K::api_version(&()));
    object["kind"] = json!(K::kind(&()));
    object["metadata"]["name"] = json!(key.name);
    if let Some(namespace) = &key.namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}
