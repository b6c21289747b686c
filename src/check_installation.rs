//! `dataimporter check-installation`: what `helm test` runs. Asks operator and keeper whether they are ready, and the keeper for a
//! certificate of the published authority, from where a worker or a person would: over the network and through its policies. When it is told a
//! job, it has that loaded, too: by a run, as a person would start one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use api::import_run::{Action, ImportRunSpec, JobRef};
use api::{ImportJob, ImportRun, Uid, conditions, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use reqwest::{Certificate, Client, StatusCode, Url};

use crate::terminal;

const POLL: Duration = Duration::from_secs(1);
/// One try; a policy that drops packets says nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// As much of an answer as is shown.
const SHOWN: usize = 200;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Namespace of the operator and the keeper.
    #[arg(long, env = "POD_NAMESPACE", default_value = "dataimporter-system")]
    pub namespace: String,
    /// File with the keeper's certificate authority: `ca.crt` of ConfigMap dataimporter-public.
    #[arg(long, env = "CA_FILE")]
    pub ca_file: PathBuf,
    /// Port of Service dataimporter-gateway.
    #[arg(long, env = "GATEWAY_SERVICE_PORT", default_value_t = 443)]
    pub gateway_port: u16,
    /// Seconds in which each check may still succeed: pods start, and network policies take effect late.
    #[arg(long, env = "CHECK_TIMEOUT_SECONDS", default_value_t = 60)]
    pub timeout_seconds: u64,
    /// An ImportJob, as NAMESPACE/NAME, that a run is started of once all else is well, and has to end well.
    #[arg(long)]
    pub import: Option<String>,
    /// Seconds that this run may take.
    #[arg(long, env = "CHECK_IMPORT_TIMEOUT_SECONDS", default_value_t = 600)]
    pub import_timeout_seconds: u64,
    /// Where the operator's health is. Absent: at its Service.
    #[arg(long)]
    pub operator: Option<Url>,
    /// Where the keeper's health is. Absent: at its Service.
    #[arg(long)]
    pub keeper: Option<Url>,
    /// Where the keeper serves workers. Absent: at its Service.
    #[arg(long)]
    pub workers: Option<Url>,
    /// Where the keeper serves people. Absent: at Service dataimporter-gateway.
    #[arg(long)]
    pub gateway: Option<Url>,
}

/// One check, and what it is about.
#[derive(Clone, Debug, PartialEq)]
struct Check {
    what: &'static str,
    /// Whose pods to look at when it fails.
    component: &'static str,
    url: Url,
    asks: Asks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    /// Whether it is ready.
    Readiness,
    /// For a certificate of the published authority; whatever it answers then.
    Certificate,
}

/// What a check found.
#[derive(Debug)]
pub struct Outcome {
    pub passed: bool,
    /// One line for a person.
    pub line: String,
}

/// Prints a line for each check; an error if one failed.
pub async fn run(args: Args) -> Result<()> {
    let outcomes = check(&args).await?;
    for outcome in &outcomes {
        terminal::print(&outcome.line)?;
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    ensure!(failed == 0, "{failed} of {} checks of the installation in namespace {} failed", outcomes.len(), args.namespace);
    if let Some(job) = &args.import {
        let client = kube::Client::try_default().await.context("how to reach the Kubernetes API")?;
        terminal::print(import(client, job, Duration::from_secs(args.import_timeout_seconds)).await?)?;
    }
    Ok(())
}

/// Starts a run of a job and answers with a line about it when it has ended well.
pub async fn import(client: kube::Client, job: &str, limit: Duration) -> Result<String> {
    let (namespace, name) = job.split_once('/').with_context(|| format!("--import {job:?}: write NAMESPACE/NAME"))?;
    let found = Api::<ImportJob>::namespaced(client.clone(), namespace).get(name).await.with_context(|| format!("ImportJob {job}"))?;
    let limit = SignedDuration::try_from(limit).context("--import-timeout-seconds is too long")?;
    let until = Timestamp::now() + limit;
    let spec = ImportRunSpec {
        job_ref: JobRef { name: name.to_owned(), uid: Uid::of(&found)?.into() },
        action: Some(Action::run()),
        start_before: Time(until),
        cancel: None,
    };
    let runs = Api::<ImportRun>::namespaced(client, namespace);
    let run = ImportRun::new(&format!("{name}-check-{}", Timestamp::now().strftime("%Y%m%d%H%M%S")), spec);
    let run = runs.create(&PostParams::default(), &run).await.with_context(|| format!("a run of {job} cannot be started"))?.name_any();
    loop {
        let status = runs.get(&run).await.with_context(|| format!("ImportRun {namespace}/{run}"))?.status.unwrap_or_default();
        let ended = conditions::find(&status.conditions, conditions::SUCCEEDED).filter(|condition| condition.status != "Unknown");
        let rows = status.rows.unwrap_or_default();
        if let Some(condition) = ended {
            ensure!(condition.status == "True", "FAILED  ImportRun {namespace}/{run}: {}: {}", condition.reason, condition.message);
            return Ok(format!("ok      ImportRun {namespace}/{run}: {}, {} rows", condition.reason, rows.succeeded));
        }
        let said = conditions::find(&status.conditions, conditions::READY).map_or("nobody has looked at it", |ready| &ready.message);
        ensure!(
            Timestamp::now() < until,
            "FAILED  ImportRun {namespace}/{run} has not ended after {} s: {said}; look at: kubectl describe importrun {run} -n {namespace}",
            limit.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
}

/// All checks beside one another, in the order in which they are told.
pub async fn check(args: &Args) -> Result<Vec<Outcome>> {
    let until = Instant::now() + Duration::from_secs(args.timeout_seconds);
    let checks = checks(args)?;
    Ok(futures::future::join_all(checks.iter().map(|check| repeated(check, args, until))).await)
}

fn checks(args: &Args) -> Result<[Check; 4]> {
    let at = |given: &Option<Url>, scheme: &str, service: &str, port: u16, path: &str| match given {
        Some(url) => Ok(url.clone()),
        None => {
            let text = format!("{scheme}://{service}.{}.svc:{port}{path}", args.namespace);
            Url::parse(&text).with_context(|| format!("namespace {:?} makes no address", args.namespace))
        }
    };
    let (operator, keeper) = ("dataimporter-operator", "dataimporter-keeper");
    Ok([
        Check {
            what: "operator is ready",
            component: "operator",
            url: at(&args.operator, "http", operator, 8080, "/readyz")?,
            asks: Asks::Readiness,
        },
        Check {
            what: "keeper is ready",
            component: "keeper",
            url: at(&args.keeper, "http", keeper, 8080, "/readyz")?,
            asks: Asks::Readiness,
        },
        Check {
            what: "keeper has a certificate for workers",
            component: "keeper",
            url: at(&args.workers, "https", keeper, 8443, "/")?,
            asks: Asks::Certificate,
        },
        Check {
            what: "keeper has a certificate for people",
            component: "keeper",
            url: at(&args.gateway, "https", "dataimporter-gateway", args.gateway_port, "/")?,
            asks: Asks::Certificate,
        },
    ])
}

/// Until it succeeds, or its time is over.
async fn repeated(check: &Check, args: &Args, until: Instant) -> Outcome {
    loop {
        match once(check, &args.ca_file).await {
            Ok(()) => return Outcome { passed: true, line: format!("ok      {} ({})", check.what, check.url) },
            Err(error) if Instant::now() + POLL >= until => {
                let why = runtime::causes::chain(error.as_ref());
                return Outcome { passed: false, line: failure(check, &args.namespace, &why) };
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// What was asked, what came of it, and where to look.
fn failure(check: &Check, namespace: &str, why: &str) -> String {
    // An answer is somebody else's text.
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!(
        "FAILED  {} ({}): {}; look at: kubectl get pods,networkpolicies -n {namespace}, kubectl logs -n {namespace} -l \
         app.kubernetes.io/component={}",
        check.what,
        check.url,
        why.trim(),
        check.component
    )
}

async fn once(check: &Check, ca_file: &Path) -> Result<()> {
    let client = match check.asks {
        Asks::Readiness => client().build()?,
        Asks::Certificate => client().tls_certs_only(authority(ca_file)?).https_only(true).build()?,
    };
    let answer = client.get(check.url.clone()).send().await.map_err(reqwest::Error::without_url).context("it cannot be reached")?;
    match check.asks {
        Asks::Readiness => {
            let status = answer.status();
            judge(status, &answer.text().await.map_err(reqwest::Error::without_url).context("it did not finish its answer")?)
        }
        // Its certificate was looked at before it could say anything; this client has shown no token, so it says no.
        Asks::Certificate => Ok(()),
    }
}

fn client() -> reqwest::ClientBuilder {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(ANSWER_WITHIN)
}

/// Read anew each time: it may not be published yet.
fn authority(file: &Path) -> Result<Vec<Certificate>> {
    let unpublished =
        || format!("the keeper has not published its authority yet: ConfigMap {}, {}", names::PUBLIC_CONFIGMAP, file.display());
    let pem = std::fs::read(file).with_context(unpublished)?;
    let bundle = Certificate::from_pem_bundle(&pem).map_err(reqwest::Error::without_url).context("the published authority is no PEM")?;
    if bundle.is_empty() {
        bail!("ConfigMap {} holds no certificate under {}", names::PUBLIC_CONFIGMAP, names::PUBLIC_CA_KEY);
    }
    Ok(bundle)
}

/// `/readyz` says with its status whether, and with its words why not.
fn judge(status: StatusCode, said: &str) -> Result<()> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let said: String = said.trim().chars().take(SHOWN).collect();
    Err(anyhow!("it answered {status}{}{said}", if said.is_empty() { "" } else { ": " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            namespace: "elsewhere".into(),
            ca_file: "/no/such/file".into(),
            gateway_port: 8443,
            timeout_seconds: 0,
            import: None,
            import_timeout_seconds: 1,
            operator: None,
            keeper: None,
            workers: None,
            gateway: None,
        }
    }

    #[test]
    fn services_of_the_chart_are_asked_in_the_namespace() {
        let urls = checks(&args()).unwrap().map(|check| check.url.to_string());
        assert_eq!(
            urls,
            [
                "http://dataimporter-operator.elsewhere.svc:8080/readyz",
                "http://dataimporter-keeper.elsewhere.svc:8080/readyz",
                "https://dataimporter-keeper.elsewhere.svc:8443/",
                "https://dataimporter-gateway.elsewhere.svc:8443/",
            ]
        );
        assert!(checks(&Args { namespace: "a b".into(), ..args() }).is_err());
    }

    #[test]
    fn only_ok_is_ready_and_the_answer_says_why_not() {
        judge(StatusCode::OK, "ok\n").unwrap();
        let waiting = judge(StatusCode::SERVICE_UNAVAILABLE, "waiting for the first sweep\n").unwrap_err().to_string();
        assert_eq!(waiting, "it answered 503 Service Unavailable: waiting for the first sweep");
        assert_eq!(judge(StatusCode::NOT_FOUND, "").unwrap_err().to_string(), "it answered 404 Not Found");
    }

    #[test]
    fn a_failure_is_one_line_with_the_place_to_look() {
        let [operator, ..] = checks(&args()).unwrap();
        let line = failure(&operator, "elsewhere", "no\nok      keeper is ready");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("no ok      keeper") && line.ends_with("-l app.kubernetes.io/component=operator"), "{line}");
    }
}
