//! `kubectl import keys rebind`: after a restore that made objects anew, says to the keeper whose place they take. It reads what the keeper's
//! Secrets say of themselves and none of what they hold, and writes one annotation to each Tenant and Region; the keeper does the rest.

mod plan;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use api::names::{REBIND_ANNOTATION, RECORD_LABEL};
use api::{Region, Tenant, Uid, conditions};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ObjectMeta;
use serde_json::json;

use self::plan::{Pair, Plan};
use super::access::Access;
use super::{Common, Output, TIMED_OUT, output};
use crate::terminal;

const POLL: Duration = Duration::from_millis(500);
/// Secrets are listed in pages of this size.
const PAGE: u32 = 500;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// After a restore that made Regions and Tenants anew: let them take over what was kept for the ones of before.
    Rebind(Rebind),
}

#[derive(clap::Args)]
struct Rebind {
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Wait until the keeper has taken all of it over.
    #[arg(long)]
    wait: bool,
    /// Seconds to wait at most.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let What::Rebind(args) = args.what;
    rebind(common, args).await
}

async fn rebind(common: &Common, args: Rebind) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let plan = look(&access).await?;
    let told = json!({"rebind": plan.pairs, "problems": plan.problems, "dryRun": args.dry_run});
    output::either(common.output, &told, || text(&plan, &access.system_namespace))?;
    for problem in &plan.problems {
        terminal::error_line(format_args!("error: {problem}"));
    }
    if !args.dry_run {
        for pair in plan.pairs.iter().filter(|pair| !pair.asked) {
            say(&access, pair).await?;
        }
        if args.wait && !wait(&access, common.output, &plan.pairs, Duration::from_secs(args.timeout)).await? {
            return Ok(ExitCode::from(TIMED_OUT));
        }
    }
    Ok(if plan.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(access: &Access) -> Result<Plan> {
    let namespace = &access.system_namespace;
    let secrets: Api<Secret> = Api::namespaced(access.client.clone(), namespace);
    let mut params = ListParams::default().labels(RECORD_LABEL).limit(PAGE);
    let mut records: Vec<ObjectMeta> = Vec::new();
    loop {
        let page =
            secrets.list_metadata(&params).await.with_context(|| format!("the Secrets of namespace {namespace} cannot be listed"))?;
        records.extend(page.items.into_iter().map(|item| item.metadata));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let regions = Api::<Region>::all(access.client.clone()).list(&ListParams::default()).await.context("the Regions cannot be listed")?;
    let tenants = Api::<Tenant>::all(access.client.clone()).list(&ListParams::default()).await.context("the Tenants cannot be listed")?;
    Ok(plan::plan(&records, &regions.items, &tenants.items))
}

fn text(plan: &Plan, namespace: &str) -> String {
    if plan.pairs.is_empty() && plan.problems.is_empty() {
        return format!("Nothing of before a restore is kept in namespace {namespace}.");
    }
    let line = |pair: &Pair| {
        let kept = pair.kept.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ");
        let asked = if pair.asked { ", asked for already" } else { "" };
        format!("{} {} takes the place of {} ({kept}{asked})", pair.kind, pair.name, pair.earlier)
    };
    plan.pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Says to the keeper what `pair` says, of this very object.
async fn say(access: &Access, pair: &Pair) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"uid": pair.uid, "annotations": {REBIND_ANNOTATION: pair.earlier}}}));
    let (client, params) = (access.client.clone(), PatchParams::default());
    let written = match pair.kind {
        "Region" => Api::<Region>::all(client).patch_metadata(&pair.name, &params, &patch).await.map(drop),
        _ => Api::<Tenant>::all(client).patch_metadata(&pair.name, &params, &patch).await.map(drop),
    };
    written.with_context(|| format!("{} {} cannot be annotated", pair.kind, pair.name))
}

/// Answers whether all of it was taken over in time.
async fn wait(access: &Access, format: Output, pairs: &[Pair], limit: Duration) -> Result<bool> {
    let until = Instant::now() + limit;
    for pair in pairs {
        let mut shown = String::new();
        loop {
            let said = rebound(access, pair).await?;
            if said.as_ref().is_some_and(|condition| condition.status == "True" && condition.message.contains(pair.earlier.as_str())) {
                break;
            }
            let line = said.map_or("waiting for the keeper".to_owned(), |condition| format!("{}: {}", condition.reason, condition.message));
            if format == Output::Text && shown != line {
                terminal::error_line(format_args!("  {} {}: {line}", pair.kind, pair.name));
                shown.clone_from(&line);
            }
            if Instant::now() > until {
                terminal::error_line(format_args!("error: {} {} has not taken everything over: {line}", pair.kind, pair.name));
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(true)
}

/// What the keeper says of it.
async fn rebound(access: &Access, pair: &Pair) -> Result<Option<Condition>> {
    let client = access.client.clone();
    let (uid, said) = match pair.kind {
        "Region" => {
            let region = Api::<Region>::all(client).get(&pair.name).await?;
            (Uid::of(&region)?, region.status.unwrap_or_default().conditions)
        }
        _ => {
            let tenant = Api::<Tenant>::all(client).get(&pair.name).await?;
            (Uid::of(&tenant)?, tenant.status.unwrap_or_default().conditions)
        }
    };
    if uid != pair.uid {
        return Err(anyhow!("{} {} was made anew meanwhile; call this once more", pair.kind, pair.name));
    }
    Ok(conditions::find(&said, conditions::REBOUND).cloned())
}
