//! Shows a credential to the system it is for, and learns who we are there.

use std::time::Duration;

use api::connection::{ConnectionMetadata, Postgres, System, SystemKind, Verification};
use api::region::PrivateEndpoint;
use api::{Connection, names};
use domain::connection::{A_MINUTE, AT_ONCE, Due, Shown, again, due, remedy};
use domain::reach::endpoints_of;
use kube::ResourceExt;

use super::super::audit::Event;
use super::super::credentials::{Entries, Stored};
use super::super::error::{Error, Result};
use super::super::sessions::Target;
use super::super::state::{Home, Keeper};
use super::Report;
use crate::reach::{address_policy, postgres_params};

/// A turn that is not free now may be soon.
const TURN: Duration = Duration::from_secs(5);

pub(super) async fn verify(keeper: &Keeper, home: &Home, connection: &Connection, stored: &Stored, report: &mut Report) -> Result<()> {
    let Some(system) = connection.spec.system() else {
        super::unknown_system(report);
        return Ok(());
    };
    let (endpoint_digest, endpoints) = (connection.spec.endpoint_digest(), endpoints_of(&home.region, &home.tenant.name_any()));
    let shown = Shown {
        endpoint_digest: &endpoint_digest,
        version: stored.credential.version,
        asked: connection.annotations().get(names::RECONCILE_ANNOTATION).map(String::as_str),
        endpoints: &endpoints,
        login_hosts: &home.region.spec.allowed_login_hosts,
    };
    report.shown = true;
    match due(&shown, connection.status.as_ref(), report.now) {
        Due::Now => {}
        Due::Fresh => {
            report.keep_verdict();
            return Ok(());
        }
        Due::At(at) => {
            report.keep_verdict();
            report.come_back(at);
            return Ok(());
        }
    }
    let Some(_turn) = keeper.turn(&home.scope.tenant_uid, connection, report.now) else {
        if shown.was_accepted(connection.status.as_ref()) {
            report.keep_verdict();
        } else {
            let message = format!(
                "of this tenant's Connections {AT_ONCE} are verified at a time and {A_MINUTE} a minute: this one has its turn later"
            );
            report.change(|c| c.progressing("VerificationWaits", &message));
        }
        report.next = TURN;
        return Ok(());
    };
    let attempt = shown.attempt(connection.status.as_ref(), report.now);
    report.write_ahead(keeper, connection, &attempt).await?;
    let entries = keeper.open(home, connection, stored, Event::new("CredentialOpened").with("for", "Verification")).await?;
    let outcome = match system {
        System::Salesforce(salesforce) => {
            let target = keeper.target(home, connection, salesforce, &entries, stored.credential.version);
            org(keeper, &target).await
        }
        System::Postgres(postgres) => database(keeper, &endpoints, postgres, &entries).await,
    };
    match outcome {
        Ok(metadata) => {
            let metadata = metadata.cut();
            let user = metadata.user.clone().unwrap_or_default();
            report.ready(&format!("{} accepted us as {user}", metadata.system.clone().unwrap_or_default()));
            report.status.metadata = Some(metadata);
            report.status.verification = Some(Verification { attempts: 0, ..attempt });
        }
        Err(error) if is_theirs(&error) => {
            let reason = error.reason();
            // The chart's policy drops without a word what its values do not list.
            let listed = if reason == "Unreachable" && !endpoints.is_empty() {
                "; a private address must stand in the chart's keeper.privateEndpoints, too"
            } else {
                ""
            };
            let remedy = remedy(&connection.spec, reason).map(|remedy| format!(": {remedy}")).unwrap_or_default();
            let message = format!("{}{listed}{remedy}", error.chain());
            if is_transient(&error) {
                report.wait(reason, &message)
            } else {
                report.stall(reason, &message)
            }
            report.come_back(again(&attempt));
            report.status.verification = Some(attempt);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What the other side, or the way to it, is to blame for.
fn is_theirs(error: &Error) -> bool {
    matches!(error, Error::Salesforce(_) | Error::Connect(_))
}

fn is_transient(error: &Error) -> bool {
    match error {
        Error::Salesforce(error) => error.class() == salesforce::Class::Transient,
        Error::Connect(error) => error.is_transient(),
        _ => false,
    }
}

async fn org(keeper: &Keeper, target: &Target<'_>) -> Result<ConnectionMetadata> {
    let shared = keeper.session(target, None).await?;
    let (session, who) = match keeper.sessions.user_info(target, shared.clone()).await {
        Ok(who) => (shared, who),
        // The session we shared is dead by now: one new one tells whether the credential still is good.
        Err(Error::Salesforce(_)) => {
            let refused = super::super::sessions::token_sha256(&shared.access_token);
            let fresh = keeper.session(target, Some(&refused)).await?;
            let who = keeper.sessions.user_info(target, fresh.clone()).await?;
            (fresh, who)
        }
        Err(error) => return Err(error),
    };
    let host = session.instance_url.host_str().unwrap_or_default().to_owned();
    Ok(ConnectionMetadata {
        system: Some(format!("Salesforce {} ({})", who.organization_id, host.split('.').next().unwrap_or_default())),
        user: Some(who.username),
        org_id: Some(who.organization_id),
        instance_url: Some(session.instance_url.as_str().trim_end_matches('/').to_owned()),
    })
}

async fn database(keeper: &Keeper, endpoints: &[PrivateEndpoint], postgres: &Postgres, entries: &Entries) -> Result<ConnectionMetadata> {
    let password = entries.text("password").ok_or(Error::Record { name: "credential".into(), detail: "it holds no password" })?;
    let policy = address_policy(SystemKind::Postgres, endpoints);
    let session = keeper.dialer.with_policy(policy).postgres(&postgres_params(postgres), &password).await?;
    let version = session.server_version.split_whitespace().next().unwrap_or_default();
    Ok(ConnectionMetadata {
        system: Some(format!("PostgreSQL {version}")),
        user: Some(postgres.user.clone()),
        org_id: None,
        instance_url: None,
    })
}
