//! The keeper's file gateway: where it is, whom it trusts, and a ten-minute token that the API server issues to the person
//! who asks, so that RBAC decides and the API server's audit log names them.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use api::names;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};

use super::access::Access;
use super::messages::Advised;

pub(crate) struct Gateway {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: api::keeper::SecretText,
}

impl Gateway {
    /// `account` is one of the two file accounts of the tenant's namespace; `address` replaces the published one.
    pub(crate) async fn open(access: &Access, namespace: &str, account: &str, address: Option<&str>) -> Result<Self> {
        let files = files_account(access, namespace, account).await?;
        let region = label(&files, names::REGION_LABEL)?;
        Self::reach(access, address, namespace, account, |uid| names::files_audience(&region, uid)).await
    }

    /// As a member of the tenant, which must hold the namespace.
    pub(crate) async fn of_tenant(access: &Access, namespace: &str, tenant: &str, address: Option<&str>) -> Result<Self> {
        let account = names::FILES_READER_ACCOUNT;
        let holder = label(&files_account(access, namespace, account).await?, names::TENANT_LABEL)?;
        if holder != tenant {
            bail!("namespace {namespace} belongs to Tenant {holder}: pass --namespace with one of Tenant {tenant}");
        }
        Self::open(access, namespace, account, address).await
    }

    /// As somebody who may read the audit of whole regions.
    pub(crate) async fn of_region(access: &Access, region: &str, address: Option<&str>) -> Result<Self> {
        let namespace = access.system_namespace.clone();
        Self::reach(access, address, &namespace, names::AUDIT_READER_ACCOUNT, |uid| names::audit_audience(region, uid)).await
    }

    /// `audience`: of the token, for an installation.
    async fn reach(
        access: &Access,
        address: Option<&str>,
        namespace: &str,
        account: &str,
        audience: impl FnOnce(&str) -> String,
    ) -> Result<Self> {
        let public = config_map(access, names::PUBLIC_CONFIGMAP).await?;
        let installation = config_map(access, names::INSTALLATION_CONFIGMAP).await?;
        let part = |data: &ConfigMap, key: &str| data.data.as_ref().and_then(|d| d.get(key).cloned());
        let ca = part(&public, names::PUBLIC_CA_KEY)
            .ok_or_else(|| anyhow!("the keeper has not published its certificate yet: wait until it is ready"))?;
        let uid = part(&installation, "uid").ok_or_else(|| anyhow!("the keeper has not started yet: wait until it is ready"))?;
        let base = match address.map(str::to_owned).or_else(|| part(&public, "gateway")) {
            Some(address) => format!("https://{address}"),
            None => bail!("no gateway address is published; pass --gateway HOST:PORT, or set gateway.hosts in the chart"),
        };
        let token = token(access, namespace, account, audience(&uid)).await?;
        let http = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(ca.as_bytes()).context("the published certificates cannot be read")?)
            .connect_timeout(Duration::from_secs(10))
            .no_proxy()
            .build()?;
        Ok(Self { http, base, token })
    }

    pub(crate) fn unreachable(&self, error: reqwest::Error) -> Advised {
        let said = format!("the gateway at {} cannot be reached", self.base);
        Advised::new(said, "pass --gateway HOST:PORT if it has another address from here", error.without_url())
    }
}

pub(super) async fn config_map(access: &Access, name: &str) -> Result<ConfigMap> {
    let namespace = &access.system_namespace;
    Api::<ConfigMap>::namespaced(access.client.clone(), namespace).get(name).await.map_err(|error| {
        let said = format!("ConfigMap {namespace}/{name} cannot be read");
        anyhow!(Advised::new(said, "if Dataimporter is installed elsewhere, pass --system-namespace", error))
    })
}

/// A file account; its labels say whose namespace it is.
pub(super) async fn files_account(access: &Access, namespace: &str, account: &str) -> Result<ServiceAccount> {
    let accounts: Api<ServiceAccount> = Api::namespaced(access.client.clone(), namespace);
    accounts
        .get(account)
        .await
        .with_context(|| format!("ServiceAccount {namespace}/{account} cannot be read, and namespace {namespace} must belong to a Tenant"))
}

pub(super) fn label(account: &ServiceAccount, key: &str) -> Result<String> {
    let found = account.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    found.ok_or_else(|| anyhow!("ServiceAccount {} has no label {key}: wait until the Tenant is Ready", account.name_any()))
}

async fn token(access: &Access, namespace: &str, account: &str, audience: String) -> Result<api::keeper::SecretText> {
    let accounts: Api<ServiceAccount> = Api::namespaced(access.client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences: vec![audience], expiration_seconds: Some(names::TOKEN_SECONDS), bound_object_ref: None },
        ..TokenRequest::default()
    };
    let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.with_context(|| {
        let needed = match account {
            names::AUDIT_READER_ACCOUNT => "Role dataimporter-audit-reader",
            _ => "the role Owner or Editor",
        };
        format!("you may not ask for a token of {account} in namespace {namespace}: it needs {needed} there")
    })?;
    let status = issued.status.ok_or_else(|| anyhow!("the API server issued no token"))?;
    Ok(api::keeper::SecretText::new(status.token))
}

/// Turns the gateway's refusal into words.
pub(crate) async fn refusal(response: reqwest::Response) -> anyhow::Error {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let said = text.trim();
    match said.is_empty() {
        true => anyhow!("the gateway answered {status}"),
        false => anyhow!("the gateway answered {status}: {said}"),
    }
}
