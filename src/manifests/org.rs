//! How one gets into the org of a job.

use std::sync::Arc;

use anyhow::{Context, bail};
use api::connection::{AuthFlow, ConnectionSpec, LoginAt, Salesforce, System};
use connect::{Dialer, HttpsOptions, Trust};
use salesforce::auth::{Grant, Login, LoginHost, SigningKey, TokenIssuer};
use salesforce::{Client, SessionCache};

use super::{Job, Manifests};

/// The client of the org that a job loads into. Nothing is asked of it yet.
pub(crate) fn client(manifests: &Manifests, job: &Job, dialer: &Dialer) -> anyhow::Result<Client> {
    let target = job.spec.target.salesforce().context("target: the job has no Salesforce target")?;
    let name = &target.connection_ref.name;
    let connection = manifests.connection(job, name)?;
    let Some(salesforce) = connection.system().and_then(System::org) else { bail!("Connection {name} is not one to Salesforce") };
    let base = salesforce.login_base();
    // The user who runs this command has written the manifest: the host in it is the host they mean.
    let own = url::Url::parse(&base).ok().and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect::<Vec<_>>();
    let allowed: &[String] = match salesforce.login_at() {
        Some(LoginAt::LoginUrl(_)) => &own,
        Some(LoginAt::MyDomain(_)) | None => &[],
    };
    let host = LoginHost::parse(&base, allowed).with_context(|| format!("Connection {name}"))?;
    let trust = Trust::SystemAnd(salesforce.ca_bundle());
    let http = dialer.https(HttpsOptions { trust }).with_context(|| format!("Connection {name}"))?;
    let grant = grant(manifests, job, name, connection, salesforce)?;
    let issuer = TokenIssuer::new(Login::new(http.clone(), host), grant, Arc::new(jiff::Timestamp::now));
    Ok(Client::new(http, Arc::new(SessionCache::new(issuer))))
}

fn grant(manifests: &Manifests, job: &Job, name: &str, connection: &ConnectionSpec, salesforce: &Salesforce) -> anyhow::Result<Grant> {
    match salesforce.auth.flow() {
        Some(AuthFlow::ClientCredentials(client)) => {
            let client_secret = manifests.secret(job, name, connection, "clientSecret")?;
            Ok(Grant::ClientCredentials { client_id: client.client_id.clone(), client_secret })
        }
        Some(AuthFlow::JwtBearer(jwt)) => {
            let pem = manifests.secret(job, name, connection, "privateKey")?;
            let key = SigningKey::from_pem(&pem).with_context(|| format!("Connection {name}"))?;
            Ok(Grant::JwtBearer { client_id: jwt.client_id.clone(), username: jwt.username.clone(), key })
        }
        None => bail!("Connection {name}: auth needs {}", AuthFlow::KEYS.join(" or ")),
    }
}
