//! `kubectl import audit verify|export`: is the audit whole, and what does it say. Members of a tenant see their tenant's lines, with a
//! token of the namespace's file account; administrators a whole region's, with one of the account that the chart makes for this.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use api::keeper::AuditReport;

use super::access::Access;
use super::gateway::{Gateway, refusal};
use super::results::save;
use super::{AUDIT_BROKEN, Common, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Check that nothing was changed, removed or added; exits with 6 when something was.
    Verify {
        #[command(flatten)]
        whose: Whose,
    },
    /// Fetch the lines, one JSON document each.
    Export {
        #[command(flatten)]
        whose: Whose,
        /// Where to write them; standard output when absent.
        #[arg(long)]
        to: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Whose {
    #[command(flatten)]
    of: Of,
    /// Address of the gateway, `host:port`, when the published one cannot be reached from here.
    #[arg(long, env = "DATAIMPORTER_GATEWAY")]
    gateway: Option<String>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// The tenant that holds the namespace: its lines only.
    #[arg(long)]
    tenant: Option<String>,
    /// A whole region; for users who may create tokens of ServiceAccount dataimporter-audit-reader in the system namespace.
    #[arg(long)]
    region: Option<String>,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    match args.verb {
        Verb::Verify { whose } => {
            let report: AuditReport = ask(&access, &whose, "/report").await?.json().await.context("the gateway's report cannot be read")?;
            output::either(common.output, &report, || summary(&report))?;
            Ok(if report.whole { ExitCode::SUCCESS } else { ExitCode::from(AUDIT_BROKEN) })
        }
        Verb::Export { whose, to } => {
            save(ask(&access, &whose, "").await?, to, "audit.jsonl").await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn ask(access: &Access, whose: &Whose, what: &str) -> Result<reqwest::Response> {
    let (gateway, path) = match (&whose.of.region, &whose.of.tenant) {
        (Some(region), _) => (Gateway::of_region(access, region, whose.gateway.as_deref()).await?, format!("regions/{region}/audit")),
        (None, tenant) => {
            let (namespace, tenant) = (access.namespace(), tenant.as_deref().unwrap_or_default());
            let gateway = Gateway::of_tenant(access, namespace, tenant, whose.gateway.as_deref()).await?;
            (gateway, format!("namespaces/{namespace}/audit"))
        }
    };
    let request = gateway.http.get(format!("{}/v1/{path}{what}", gateway.base)).bearer_auth(gateway.token.expose());
    let response = request.send().await.map_err(|error| gateway.unreachable(error))?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
}

fn summary(report: &AuditReport) -> String {
    let word = if report.whole { "whole" } else { "NOT WHOLE" };
    let mut text = format!("the audit of region {} is {word}; {} lines are yours", report.region, output::grouped(signed(report.lines)));
    for chain in &report.chains {
        let lines = output::grouped(signed(chain.lines));
        let said = chain.problem.as_deref().map_or_else(|| "whole".to_owned(), |problem| format!("NOT WHOLE: {problem}"));
        text.push_str(&format!("\n  chain {:<24} {lines:>12} lines  {said}", chain.name));
    }
    text
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::keeper::ChainReport;

    #[test]
    fn what_is_not_whole_is_told_with_its_chain_and_reason() {
        let chain = |name: &str, problem: Option<&str>| ChainReport {
            name: name.into(),
            lines: 1200,
            known: 1200,
            hash: "00".into(),
            problem: problem.map(str::to_owned),
        };
        let chains = vec![chain("keeper-0", Some("line 7 was changed")), chain("keeper-0.2", None)];
        let text = summary(&AuditReport { region: "eu".into(), whole: false, lines: 12, chains });
        assert!(text.contains("NOT WHOLE; 12 lines") && text.contains("line 7 was changed"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}
