//! `kubectl import run JOB`

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use api::import_run::{Action, ImportRunSpec, JobRef};
use api::{ImportJob, ImportRun, Uid};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::PostParams;

use super::access::Access;
use super::{Common, ObjectName, output, wait};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ImportJob, as NAME or NAMESPACE/NAME.
    job: ObjectName,
    /// Name of the run; the job's name and the time when absent.
    #[arg(long)]
    name: Option<String>,
    /// Seconds within which the run must start, or it never does.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    start_within: i64,
    #[command(flatten)]
    follow: Follow,
}

#[derive(clap::Args)]
struct Follow {
    /// Follow the run until it has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limits: wait::Limits,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let job: ImportJob = access.get(&args.job).await?;
    let uid = Uid::of(&job)?.into();
    let now = Timestamp::now();
    let name = args.name.unwrap_or_else(|| format!("{}-{}", job.name_any(), now.strftime("%Y%m%d%H%M%S")));
    let spec = ImportRunSpec {
        job_ref: JobRef { name: job.name_any(), uid },
        action: Some(Action::run()),
        start_before: Time(now + SignedDuration::from_secs(args.start_within)),
        cancel: None,
    };
    let namespace = access.namespace_of(&args.job).to_owned();
    let created = access.api::<ImportRun>(&args.job).create(&PostParams::default(), &ImportRun::new(&name, spec)).await;
    let created = match created {
        Err(kube::Error::Api(status)) if status.is_already_exists() => bail!("ImportRun {namespace}/{name} exists: choose another --name"),
        created => created.with_context(|| format!("ImportRun {namespace}/{name} cannot be created"))?,
    };
    if args.follow.wait {
        return wait::follow(&access, common.output, &namespace, &name, &args.follow.limits).await;
    }
    output::either(common.output, &created, || {
        format!("ImportRun {namespace}/{name} created\nfollow it: kubectl import wait {namespace}/{name}")
    })?;
    Ok(ExitCode::SUCCESS)
}
