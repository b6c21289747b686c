//! The cluster, as the person who calls.

use anyhow::{Context as _, Result, anyhow, bail};
use api::{ImportJob, ImportRun};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource as _, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::messages::of_kubeconfig;
use super::{Common, ObjectName};

/// Of a job's runs this many are named.
const SHOWN: usize = 5;

pub(crate) struct Access {
    pub(crate) client: Client,
    pub(crate) system_namespace: String,
    namespace: String,
}

impl Access {
    pub(crate) async fn open(common: &Common) -> Result<Self> {
        let options = KubeConfigOptions { context: common.context.clone(), ..Default::default() };
        let config = match Kubeconfig::read() {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| anyhow!(of_kubeconfig(&error)))?,
            // Nobody chose one: it may be a pod that asks.
            Err(KubeconfigError::FindPath | KubeconfigError::ReadConfig(..)) if nobody_chose() && common.context.is_none() => {
                Config::incluster().map_err(|_| {
                    anyhow!("there is no kubeconfig, and this is no pod of a cluster; set KUBECONFIG to one (`cargo xtask demo` makes one with its cluster)")
                })?
            }
            Err(error) => bail!(of_kubeconfig(&error)),
        };
        let namespace = common.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("no connection to the cluster")?;
        Ok(Self { client, system_namespace: common.system_namespace.clone(), namespace })
    }

    /// What a person may have given instead of a run's name: the job's.
    async fn job_instead(&self, target: &ObjectName) -> Result<Option<String>> {
        let (namespace, name) = (self.namespace_of(target), &target.name);
        if self.api::<ImportJob>(target).get_opt(name).await.ok().flatten().is_none() {
            return Ok(None);
        }
        let of_job = ListParams::default().fields(&format!("spec.jobRef.name={name}"));
        let mut runs = self
            .api::<ImportRun>(target)
            .list(&of_job)
            .await
            .with_context(|| format!("the runs of {namespace}/{name} cannot be read"))?
            .items;
        runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp()));
        let newest: Vec<String> = runs.iter().take(SHOWN).map(kube::ResourceExt::name_any).collect();
        Ok(Some(match newest.is_empty() {
            true => format!(
                "{name:?} is an ImportJob in namespace {namespace} that has never run; `kubectl import run {namespace}/{name}` starts it"
            ),
            false => {
                format!("{name:?} is an ImportJob in namespace {namespace}, and this asks about one of its runs: {}", newest.join(", "))
            }
        }))
    }

    pub(crate) fn namespace_of<'a>(&'a self, target: &'a ObjectName) -> &'a str {
        target.namespace.as_deref().unwrap_or(&self.namespace)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn api<K>(&self, target: &ObjectName) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace_of(target))
    }

    /// Gets an object or says which one is missing.
    pub(crate) async fn get<K>(&self, target: &ObjectName) -> Result<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let (kind, namespace) = (K::kind(&()).into_owned(), self.namespace_of(target));
        let found = self.api::<K>(target).get_opt(&target.name).await;
        if let Some(found) = found.with_context(|| format!("{kind} {namespace}/{} cannot be read", target.name))? {
            return Ok(found);
        }
        if kind == ImportRun::kind(&())
            && let Some(job) = self.job_instead(target).await?
        {
            bail!(job);
        }
        let plural = K::plural(&()).into_owned();
        bail!("there is no {kind} {:?} in namespace {namespace}; `kubectl get {plural} -n {namespace}` lists them", target.name)
    }
}

/// Whether the kubeconfig is the one in the home folder, which need not be there.
fn nobody_chose() -> bool {
    std::env::var_os("KUBECONFIG").is_none_or(|paths| std::env::split_paths(&paths).all(|path| path.as_os_str().is_empty()))
}
