//! The cluster, as the person who calls.

use anyhow::{Context as _, Result, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use super::{Common, Target};

pub(crate) struct Access {
    pub(crate) client: Client,
    pub(crate) system_namespace: String,
    namespace: String,
}

impl Access {
    pub(crate) async fn open(common: &Common) -> Result<Self> {
        let options = KubeConfigOptions { context: common.context.clone(), ..Default::default() };
        let config = match Kubeconfig::read() {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await.context("the kubeconfig cannot be used")?,
            Err(_) if common.context.is_none() => {
                Config::infer().await.context("no cluster: set KUBECONFIG, or run `cargo xtask demo` for one")?
            }
            Err(error) => return Err(anyhow!(error).context("the kubeconfig cannot be read")),
        };
        let namespace = common.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("no connection to the cluster")?;
        Ok(Self { client, system_namespace: common.system_namespace.clone(), namespace })
    }

    pub(crate) fn namespace_of<'a>(&'a self, target: &'a Target) -> &'a str {
        target.namespace.as_deref().unwrap_or(&self.namespace)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn api<K>(&self, target: &Target) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace_of(target))
    }

    /// Gets an object or says which one is missing.
    pub(crate) async fn get<K>(&self, target: &Target) -> Result<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let (kind, namespace) = (K::kind(&()).into_owned(), self.namespace_of(target));
        self.api::<K>(target)
            .get_opt(&target.name)
            .await
            .with_context(|| format!("{kind} {namespace}/{} cannot be read", target.name))?
            .ok_or_else(|| {
                let plural = K::plural(&()).into_owned();
                anyhow!("there is no {kind} {:?} in namespace {namespace}; `kubectl get {plural} -n {namespace}` lists them", target.name)
            })
    }
}
