//! Shows a credential to the system it is for, and learns who we are there.

use api::Connection;
use api::connection::{ConnectionMetadata, Postgres};

use super::super::credentials::{Entries, Stored};
use super::super::error::{Error, Result};
use super::super::state::{Home, Keeper, address_policy, endpoints_of};
use super::Report;
use crate::reach::postgres_params;

pub(super) async fn verify(keeper: &Keeper, home: &Home, connection: &Connection, stored: &Stored, report: &mut Report) -> Result<()> {
    if report.verified(connection.status.as_ref(), stored, &connection.spec.endpoint_digest()) {
        report.keep_ready();
        return Ok(());
    }
    let entries = keeper.open(home, connection, stored)?;
    let outcome = match &connection.spec.postgres {
        Some(postgres) => database(keeper, home, postgres, &entries).await,
        None => org(keeper, home, connection, &entries, stored.credential.version).await,
    };
    match outcome {
        Ok(metadata) => {
            let user = metadata.user.clone().unwrap_or_default();
            report.ready(&format!("{} accepted us as {user}", metadata.system.clone().unwrap_or_default()));
            report.status.metadata = Some(metadata);
        }
        Err(error) if is_theirs(&error) => {
            let (reason, message) = (error.reason(), error.chain());
            if is_transient(&error) { report.wait(reason, &message) } else { report.stall(reason, &message) }
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

async fn org(keeper: &Keeper, home: &Home, connection: &Connection, entries: &Entries, version: i64) -> Result<ConnectionMetadata> {
    let Some(target) = keeper.target(home, connection, entries, version) else { return Ok(ConnectionMetadata::default()) };
    let shared = keeper.session(&target, None).await?;
    let (session, who) = match keeper.sessions.user_info(&target, shared.clone()).await {
        Ok(who) => (shared, who),
        // The session we shared is dead by now: one new one tells whether the credential still is good.
        Err(Error::Salesforce(_)) => {
            let refused = super::super::sessions::token_sha256(&shared.access_token);
            let fresh = keeper.session(&target, Some(&refused)).await?;
            let who = keeper.sessions.user_info(&target, fresh.clone()).await?;
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

async fn database(keeper: &Keeper, home: &Home, postgres: &Postgres, entries: &Entries) -> Result<ConnectionMetadata> {
    let password = entries.text("password").ok_or(Error::Record { name: "credential".into(), detail: "it holds no password" })?;
    let policy = address_policy(&endpoints_of(&home.region, &home.tenant));
    let session = keeper.dialer.with_policy(policy).postgres(&postgres_params(postgres), &password).await?;
    let version = session.server_version.split_whitespace().next().unwrap_or_default();
    Ok(ConnectionMetadata {
        system: Some(format!("PostgreSQL {version}")),
        user: Some(postgres.user.clone()),
        org_id: None,
        instance_url: None,
    })
}
