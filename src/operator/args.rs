//! Flags and environment of the operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::limits::Plans;
use domain::settings::{KeeperSettings, NetworkSettings, ProxySettings, Settings, WorkerSettings};

/// Two looks of the cluster for new kinds, which are half a minute apart.
const KINDS_KNOWN_AFTER: Duration = Duration::from_secs(60);

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Namespace that the operator and the keeper run in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "dataimporter-system")]
    pub namespace: String,
    /// Name of this process among its replicas.
    #[arg(long, env = "POD_NAME", default_value = "operator")]
    pub identity: String,
    /// Image of the worker pods.
    #[arg(long, env = "WORKER_IMAGE")]
    pub worker_image: String,
    /// When the worker image is pulled: IfNotPresent, Always or Never.
    #[arg(long, env = "WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub worker_image_pull_policy: String,
    /// Secrets of this namespace with logins of image registries, which workers get copies of.
    #[arg(long, env = "WORKER_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub worker_image_pull_secrets: Vec<String>,
    /// Memory of a worker pod; request and limit.
    #[arg(long, env = "WORKER_MEMORY", default_value = "256Mi")]
    pub worker_memory: String,
    /// Processor share that a worker pod asks for.
    #[arg(long, env = "WORKER_CPU", default_value = "100m")]
    pub worker_cpu: String,
    /// What workers say: off, error, warn, info, debug, trace, or one a target as in `info,engine=debug`.
    #[arg(long, env = "WORKER_LOG_LEVEL", default_value = "info")]
    pub worker_log_level: String,
    /// Address of the keeper as workers reach it.
    #[arg(long, env = "KEEPER_URL")]
    pub keeper_url: String,
    /// Labels of the keeper's pods in the operator's namespace.
    #[arg(long, env = "KEEPER_SELECTOR", default_value = "app.kubernetes.io/component=keeper", value_delimiter = ',')]
    pub keeper_selector: Vec<String>,
    /// Address ranges of the cluster itself (pods, services, nodes), which workers must not reach as if they were public.
    #[arg(long, env = "CLUSTER_CIDRS", value_delimiter = ',')]
    pub cluster_cidrs: Vec<String>,
    /// Namespace of the cluster's DNS server.
    #[arg(long, env = "DNS_NAMESPACE", default_value = "kube-system")]
    pub dns_namespace: String,
    /// Labels of the pods of the cluster's DNS server.
    #[arg(long, env = "DNS_SELECTOR", default_value = "k8s-app=kube-dns", value_delimiter = ',')]
    pub dns_selector: Vec<String>,
    /// Address ranges of DNS servers that are not pods.
    #[arg(long, env = "DNS_CIDRS", value_delimiter = ',')]
    pub dns_cidrs: Vec<String>,
    /// Ports of the proxy that workers reach public addresses through. None: there is no proxy, and they dial them.
    #[arg(long, env = "PROXY_PORTS", value_delimiter = ',')]
    pub proxy_ports: Vec<String>,
    /// Address ranges of the proxy.
    #[arg(long, env = "PROXY_CIDRS", value_delimiter = ',')]
    pub proxy_cidrs: Vec<String>,
    /// Namespace of the proxy's pods.
    #[arg(long, env = "PROXY_NAMESPACE", default_value = "")]
    pub proxy_namespace: String,
    /// Labels of the proxy's pods.
    #[arg(long, env = "PROXY_SELECTOR", value_delimiter = ',')]
    pub proxy_selector: Vec<String>,
    /// Limits of tenants by plan, as JSON: `{"Standard": {"concurrentRuns": 4}}`. What is absent is built in.
    #[arg(long, env = "PLANS", default_value = "{}")]
    pub plans: Plans,
    /// Address that serves /livez, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How many objects are worked on at once.
    #[arg(long, env = "CONCURRENCY", default_value_t = 32)]
    pub concurrency: usize,
}

impl Args {
    /// The flags, checked, for the installation of this UID.
    pub(super) fn settings(&self, installation: String) -> anyhow::Result<Settings> {
        let keeper = url::Url::parse(&self.keeper_url).with_context(|| format!("--keeper-url {:?}", self.keeper_url))?;
        ensure!(keeper.scheme() == "https", "--keeper-url {:?}: must be https", self.keeper_url);
        let port = keeper.port_or_known_default().unwrap_or(443);
        Ok(Settings {
            system_namespace: self.namespace.clone(),
            installation,
            worker: WorkerSettings {
                image: self.worker_image.clone(),
                image_pull_policy: self.worker_image_pull_policy.clone(),
                image_pull_secrets: given(&self.worker_image_pull_secrets),
                memory: self.worker_memory.clone(),
                cpu: self.worker_cpu.clone(),
                log_level: self.worker_log_level.clone(),
            },
            keeper: KeeperSettings { url: self.keeper_url.clone(), port, selector: labels("--keeper-selector", &self.keeper_selector)? },
            network: NetworkSettings {
                cluster_cidrs: given(&self.cluster_cidrs),
                dns_namespace: self.dns_namespace.clone(),
                dns_selector: labels("--dns-selector", &self.dns_selector)?,
                dns_cidrs: given(&self.dns_cidrs),
                proxy: self.proxy()?,
            },
            plans: self.plans.clone(),
            kinds_known_after: KINDS_KNOWN_AFTER,
        })
    }

    fn proxy(&self) -> anyhow::Result<Option<ProxySettings>> {
        let port = |text: &String| text.parse().with_context(|| format!("--proxy-ports {text:?}: write a port"));
        let ports = given(&self.proxy_ports).iter().map(port).collect::<anyhow::Result<Vec<u16>>>()?;
        if ports.is_empty() {
            return Ok(None);
        }
        let (cidrs, selector) = (given(&self.proxy_cidrs), labels("--proxy-selector", &self.proxy_selector)?);
        ensure!(
            !cidrs.is_empty() || !selector.is_empty(),
            "--proxy-ports without --proxy-cidrs or --proxy-selector: say where the proxy is"
        );
        ensure!(selector.is_empty() || !self.proxy_namespace.is_empty(), "--proxy-selector without --proxy-namespace");
        Ok(Some(ProxySettings { cidrs, namespace: self.proxy_namespace.clone(), selector, ports }))
    }
}

/// An empty environment variable is an empty list, not a list of one empty word.
fn given(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !word.is_empty()).cloned().collect()
}

fn labels(flag: &str, pairs: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').with_context(|| format!("{flag} {text:?}: write key=value"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    given(pairs).iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn proxy(words: &[&str]) -> anyhow::Result<Option<ProxySettings>> {
        let always = ["operator", "--worker-image", "dataimporter", "--keeper-url", "https://keeper.test:8443"];
        Program::parse_from(always.iter().chain(words)).args.proxy()
    }

    #[test]
    fn a_proxy_has_ports_and_a_place() {
        assert_eq!(proxy(&[]).unwrap(), None);
        assert_eq!(proxy(&["--proxy-ports", "", "--proxy-cidrs", ""]).unwrap(), None);
        let found = proxy(&["--proxy-ports", "3128", "--proxy-cidrs", "10.0.0.5/32,10.0.0.6/32"]).unwrap().unwrap();
        assert_eq!((found.cidrs.len(), found.ports, found.selector.len()), (2, vec![3128], 0));
        let pods = ["--proxy-ports", "3128", "--proxy-selector", "app=squid", "--proxy-namespace", "egress"];
        assert_eq!(proxy(&pods).unwrap().unwrap().namespace, "egress");
        for wrong in [&["--proxy-ports", "3128"][..], &["--proxy-ports", "x", "--proxy-cidrs", "10.0.0.5/32"], &pods[..4]] {
            assert!(proxy(wrong).is_err(), "{wrong:?}");
        }
    }
}
