//! What went wrong, in words for the caller: each cause once, and the way out. Errors of libraries are taken apart here, because their
//! own text is for programmers.

use std::error::Error as StdError;

use kube::Config;
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::core::Status;

use super::Common;
use crate::terminal::without_number;

/// All of an error: its causes, each once, and what to do.
pub(crate) async fn of(error: &anyhow::Error, common: &Common) -> String {
    let (mut said, mut ways) = (String::new(), String::new());
    for cause in error.chain() {
        let (text, is_last) = match cause.downcast_ref::<kube::Error>() {
            Some(error) => (of_cluster(error, common).await, true),
            None if cause.is::<reqwest::Error>() => (why(cause, "the installation"), true),
            None => (without_number(&cause.to_string()), cause.is::<std::io::Error>()),
        };
        if let Some(Advised { way, .. }) = cause.downcast_ref() {
            ways = format!("; {way}{ways}");
        }
        // A cause whose text is in that of its effect already.
        if !said.contains(&text) {
            said.push_str(if said.is_empty() { "" } else { ": " });
            said.push_str(&text);
        }
        if is_last {
            break;
        }
    }
    said + &ways
}

/// An error with what to do about it, which is told after its cause.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(crate) struct Advised {
    said: String,
    way: String,
    source: Box<dyn StdError + Send + Sync>,
}

impl Advised {
    pub(crate) fn new(said: impl Into<String>, way: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { said: said.into(), way: way.into(), source: Box::new(source) }
    }
}

async fn of_cluster(error: &kube::Error, common: &Common) -> String {
    match error {
        kube::Error::Api(status) => refused(status),
        kube::Error::Service(cause) => unreachable(cause.as_ref(), &server(common).await),
        kube::Error::HyperError(cause) => unreachable(cause, &server(common).await),
        kube::Error::Auth(cause) => format!("the user of the kubeconfig cannot be authenticated: {}", innermost(cause)),
        kube::Error::SerdeError(_) => {
            "the API server's answer cannot be read; is another version of Dataimporter installed there?".to_owned()
        }
        other => innermost(other),
    }
}

/// What the API server refuses it says in words of its own.
fn refused(status: &Status) -> String {
    let said = status.message.trim();
    match status.code {
        401 => format!("{said}; log in to the cluster again, or correct the user in the kubeconfig"),
        // A quota and a policy say what to do about them.
        403 if said.contains(" cannot ") => format!("{said}; whoever looks after the Tenant can give you a role (spec.members)"),
        404 if said.contains("page not found") || said.contains("could not find the requested resource") => {
            "the cluster has no such kind; Dataimporter is not installed in it, or another version is".to_owned()
        }
        409 => format!("{said}; try again"),
        429 | 500..=599 => format!("{}; try again in a moment", if said.is_empty() { "the API server cannot answer now" } else { said }),
        _ if said.is_empty() => format!("the API server answered {}", status.code),
        _ => said.to_owned(),
    }
}

fn unreachable(cause: &(dyn StdError + 'static), server: &str) -> String {
    let why = why(cause, "the kubeconfig");
    format!("{server} cannot be reached: {why}; see whether it is the cluster you mean (`kubectl config view --minify`)")
}

/// Why a server was not reached whose authorities `trusting` names.
pub(crate) fn why(cause: &(dyn StdError + 'static), trusting: &str) -> String {
    match explain::is_of_unknown_issuer(cause) {
        true => format!("its certificate is signed by nobody {trusting} trusts"),
        false => without_number(&explain::explain(cause).text),
    }
}

async fn server(common: &Common) -> String {
    let options = KubeConfigOptions { context: common.context.clone(), ..Default::default() };
    match Config::from_kubeconfig(&options).await {
        Ok(config) => format!("the API server at {}", config.cluster_url.to_string().trim_end_matches('/')),
        Err(_) => "the API server".to_owned(),
    }
}

/// A kubeconfig that is no good. Its own text is left out: it holds credentials.
pub(crate) fn of_kubeconfig(error: &KubeconfigError) -> String {
    let choose = "`kubectl config get-contexts` lists them, --context or `kubectl config use-context` chooses one";
    match error {
        KubeconfigError::ReadConfig(cause, path) => {
            format!("the kubeconfig {} cannot be read: {}; correct KUBECONFIG", path.display(), without_number(&cause.to_string()))
        }
        KubeconfigError::Parse(_) => format!("{} is no YAML of its kind; correct it, or set KUBECONFIG to another", named()),
        KubeconfigError::CurrentContextNotSet => format!("the kubeconfig has no current context; {choose}"),
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name:?}; {choose}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("the kubeconfig has no cluster {name:?}, which its context names"),
        other => format!("the kubeconfig cannot be used: {}", without_number(&other.to_string())),
    }
}

/// The kubeconfig as a person chose it; of several nobody says which.
fn named() -> String {
    match std::env::var_os("KUBECONFIG")
        .filter(|paths| std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()).count() == 1)
    {
        Some(path) => format!("the kubeconfig {}", std::path::Path::new(&path).display()),
        None => "the kubeconfig".to_owned(),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    without_number(&innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use anyhow::anyhow;

    async fn words(error: anyhow::Error) -> String {
        let common = Common { namespace: None, context: None, system_namespace: "sys".into(), output: Output::Text };
        of(&error, &common).await
    }

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, message: message.into(), ..Status::default() }))
    }

    #[tokio::test]
    async fn a_cause_is_told_once_and_the_way_out_after_it() {
        let refused = api(404, "configmaps \"x\" not found");
        let told = words(anyhow!(Advised::new("ConfigMap sys/x cannot be read", "pass --system-namespace", refused))).await;
        assert_eq!(told, "ConfigMap sys/x cannot be read: configmaps \"x\" not found; pass --system-namespace");
        let wrapped = anyhow!(std::io::Error::from_raw_os_error(13)).context("a.csv cannot be read");
        assert_eq!(words(wrapped).await, "a.csv cannot be read: Permission denied");
        assert_eq!(words(anyhow!("b").context("a: b")).await, "a: b");
    }

    #[tokio::test]
    async fn what_the_api_server_refuses_has_its_own_words_and_a_way_out() {
        for (code, message, expected) in [
            (403, "x is forbidden: exceeded quota: dataimporter", "x is forbidden: exceeded quota: dataimporter"),
            (422, "spec: Invalid value", "spec: Invalid value"),
            (503, "", "the API server cannot answer now; try again in a moment"),
            (418, "", "the API server answered 418"),
        ] {
            assert_eq!(words(anyhow!(api(code, message))).await, expected);
        }
    }
}
