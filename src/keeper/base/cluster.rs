//! The cluster, as every room sees it: the API server, what is watched of it, what time it is there, and who we are. Nothing here is secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::connection::{CredentialKind, CredentialSource};
use api::identity::{has_uid, is_same};
use api::tenant::BoundNamespace;
use api::{Connection, ImportJob, NamespaceName, Region, Tenant, Uid, Upload, UploadStatus};
use domain::connection::Consent;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::ListParams;
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use runtime::events::Events;
use runtime::metrics::Metrics;
use runtime::store::{ObjectKey, Store};
use runtime::write::Writer;
use serde::de::DeserializeOwned;

use super::clock::Clock;
use super::error::{Error, Result, kube};
use super::records::{TENANT_UID_LABEL, label};

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) writer: Writer,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    /// Where we and our Secrets are.
    pub(crate) namespace: String,
    pub(crate) installation: String,
    /// Name of this process among its replicas.
    pub(crate) identity: String,
    pub(crate) clock: Clock,
    pub(crate) regions: Store<Region>,
    pub(crate) tenants: Store<Tenant>,
}

impl Cluster {
    pub(crate) fn now(&self) -> Result<Timestamp> {
        self.clock.now()
    }

    /// What the time is at the latest: for whether something may still be served. An error while the time is in doubt.
    pub(crate) fn at_latest(&self) -> Result<Timestamp> {
        self.clock.at_latest()
    }

    pub(crate) fn region(&self, name: &str) -> Result<Arc<Region>> {
        self.regions.get(&ObjectKey::cluster(name)).ok_or_else(|| Error::NoRegion(name.to_owned()))
    }

    /// The region of a tenant, if it is still the very one that the tenant was bound to.
    pub(crate) fn region_of(&self, tenant: &Tenant) -> Result<Arc<Region>> {
        let region = self.region(&tenant.spec.region)?;
        let bound = tenant.status.as_ref().and_then(|s| s.region_uid.as_deref());
        if bound.is_some_and(|bound| has_uid(&region.metadata, bound)) { Ok(region) } else { Err(Error::Unbound(tenant.name_any())) }
    }

    /// The tenant that holds a namespace: the very one there is now, not one of its name that was deleted.
    pub(crate) async fn tenant_of(&self, namespace: &str) -> Result<Option<Arc<Tenant>>> {
        Ok(self.holder(namespace).await?.filter(|tenant| tenant.metadata.deletion_timestamp.is_none()))
    }

    /// The tenant that holds a namespace, even while it is being deleted.
    pub(crate) async fn holder(&self, namespace: &str) -> Result<Option<Arc<Tenant>>> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let live = namespaces.get_opt(namespace).await.map_err(kube(format!("read namespace {namespace}")))?;
        let Some(live) = live else { return Ok(None) };
        let is_it = |bound: &BoundNamespace| bound.name == namespace && has_uid(&live.metadata, &bound.uid);
        let binds = |tenant: &Arc<Tenant>| tenant.status.iter().flat_map(|s| &s.namespaces).any(is_it);
        Ok(self.tenants.by(namespace).into_iter().find(binds))
    }

    /// The tenant under whose keys a record was sealed.
    pub(crate) fn tenant_of_record(&self, record: &ObjectMeta) -> Option<Arc<Tenant>> {
        let uid = label(record, TENANT_UID_LABEL)?;
        self.tenants.all().into_iter().find(|tenant| has_uid(&tenant.metadata, uid))
    }

    /// Whether this very tenant is there, and not being erased.
    pub(crate) async fn tenant_lives(&self, uid: &str) -> Result<bool> {
        let Some(known) = self.tenants.all().into_iter().find(|tenant| has_uid(&tenant.metadata, uid)) else {
            return Ok(false);
        };
        let live = Api::<Tenant>::all(self.client.clone()).get_metadata_opt(&known.name_any()).await.map_err(kube("read the Tenant"))?;
        Ok(live.is_some_and(|live| is_same(&live.metadata, &known.metadata) && live.metadata.deletion_timestamp.is_none()))
    }

    /// The live ImportJob.
    pub(crate) async fn import_job(&self, namespace: &str, name: &str) -> Result<Option<ImportJob>> {
        let jobs: Api<ImportJob> = Api::namespaced(self.client.clone(), namespace);
        jobs.get_opt(name).await.map_err(kube(format!("read ImportJob {namespace}/{name}")))
    }

    /// The live Connection.
    pub(crate) async fn connection(&self, namespace: &str, name: &str) -> Result<Option<Connection>> {
        let connections: Api<Connection> = Api::namespaced(self.client.clone(), namespace);
        connections.get_opt(name).await.map_err(kube(format!("read Connection {namespace}/{name}")))
    }

    /// Whether this very Connection is still there, and is to stay.
    pub(crate) async fn lives(&self, connection: &Connection) -> Result<bool> {
        let live = self.connection(NamespaceName::of(connection)?.as_str(), &connection.name_any()).await?;
        Ok(live.is_some_and(|live| is_same(&live.metadata, &connection.metadata) && live.metadata.deletion_timestamp.is_none()))
    }

    /// What the owner of the source Secret lets, without its content; absent when it is gone or may not be read, and of a sealed credential, which says
    /// itself whom it is for.
    pub(crate) async fn consent(&self, connection: &Connection) -> Result<Option<Consent>> {
        let Some(source) = connection.spec.credentials.source() else { return Ok(None) };
        let namespace = NamespaceName::of(connection)?;
        match self.source_metadata(namespace.as_str(), &source).await {
            Ok(metadata) => Ok(metadata.as_ref().map(Consent::of)),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
            Err(error) => Err(kube(format!("read {source} of {namespace}"))(error)),
        }
    }

    /// The metadata of a Secret or ServiceAccount that a credential comes from, and nothing else of it. Absent: it comes from no other object.
    pub(crate) async fn source_metadata(&self, namespace: &str, source: &CredentialSource) -> kube::Result<Option<ObjectMeta>> {
        async fn of<K>(client: Client, namespace: &str, name: &str) -> kube::Result<ObjectMeta>
        where
            K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        {
            Api::<K>::namespaced(client, namespace).get_metadata(name).await.map(|found| found.metadata)
        }
        let client = self.client.clone();
        match source.kind {
            CredentialKind::Secret => of::<Secret>(client, namespace, &source.name).await.map(Some),
            CredentialKind::ServiceAccount => of::<ServiceAccount>(client, namespace, &source.name).await.map(Some),
            CredentialKind::Sealed => Ok(None),
        }
    }

    /// UIDs of all objects of a kind.
    pub(crate) async fn uids<K>(&self) -> Result<BTreeSet<Uid>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        Ok(self.metadata::<K>().await?.iter().filter_map(Uid::of_meta).collect())
    }

    /// All objects of a kind, without what they say.
    pub(crate) async fn metadata<K>(&self) -> Result<Vec<ObjectMeta>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let mut params = ListParams::default().limit(500);
        let mut all = Vec::new();
        loop {
            let page = api.list_metadata(&params).await.map_err(kube(format!("list {}", K::kind(&()))))?;
            all.extend(page.items.into_iter().map(|item| item.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    pub(crate) async fn write_upload(&self, upload: &Upload, status: &UploadStatus) -> Result<()> {
        let uploads: Api<Upload> = Api::namespaced(self.client.clone(), NamespaceName::of(upload)?.as_str());
        self.writer.apply_status(&uploads, &ObjectKey::of(upload), None, status).await?;
        Ok(())
    }
}
