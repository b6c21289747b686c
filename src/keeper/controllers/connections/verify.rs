//! Has a credential shown to the system it is for, when that is due, and tells what came of it.

use std::time::Duration;

use api::connection::Verification;
use api::reasons::connection as reasons;
use api::{Connection, NamespaceName, names};
use domain::connection::{A_MINUTE, AT_ONCE, Due, Shown, ShownThrough, again, due, remedy};
use domain::reach::endpoints_of;
use kube::ResourceExt;

use super::{Report, hints};
use crate::keeper::base::error::{Error, Result};
use crate::keeper::controllers::Controllers;
use crate::keeper::vault::TenantKeys;
use crate::keeper::vault::credentials::Stored;

/// A turn that is not free now may be soon.
const TURN: Duration = Duration::from_secs(5);

pub(super) async fn verify(
    controllers: &Controllers,
    keys: &TenantKeys,
    connection: &Connection,
    stored: &Stored,
    report: &mut Report,
) -> Result<()> {
    let Some(system) = connection.spec.system() else {
        super::unknown_system(report);
        return Ok(());
    };
    let (endpoint_digest, endpoints) = (connection.spec.endpoint_digest(), endpoints_of(&keys.region, &keys.tenant.name_any()));
    let shown = Shown {
        endpoint_digest: &endpoint_digest,
        version: stored.credential.version,
        asked: connection.annotations().get(names::RECONCILE_ANNOTATION).map(String::as_str),
        endpoints: &endpoints,
        login_hosts: &keys.region.spec.allowed_login_hosts,
        proxy: controllers.vault.egress_proxy.as_ref().map(|proxy| ShownThrough {
            url: &proxy.url,
            no_proxy: &proxy.no_proxy,
            process: &controllers.process,
        }),
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
    let Some(_turn) = controllers.turn(&keys.tenant, connection, report.now)? else {
        if shown.was_accepted(connection.status.as_ref()) {
            report.keep_verdict();
        } else {
            let message = format!(
                "of this tenant's Connections {AT_ONCE} are verified at a time and {A_MINUTE} a minute: this one has its turn later"
            );
            report.change(|c| c.progressing(reasons::VERIFICATION_WAITS, &message));
        }
        report.next = TURN;
        return Ok(());
    };
    let attempt = shown.attempt(connection.status.as_ref(), report.now);
    report.write_ahead(controllers, connection, &attempt).await?;
    match controllers.vault.show(keys, connection, system, stored, &endpoints).await {
        Ok(metadata) => {
            let metadata = metadata.cut();
            let user = metadata.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
            report.ready(&format!("{} accepted us{user}", metadata.system.clone().unwrap_or_default()));
            report.status.metadata = Some(metadata);
            report.status.verification = Some(Verification { attempts: 0, ..attempt });
        }
        Err(Error::NoTokens(_)) => {
            report.stall(reasons::SOURCE_FORBIDDEN, &hints::role_hint(&NamespaceName::of(connection)?, connection));
            report.status.verification = Some(attempt);
        }
        Err(error @ Error::OwnAudience(_)) => {
            report.stall(reasons::AUDIENCE_REFUSED, &error.to_string());
            report.status.verification = Some(attempt);
        }
        Err(error) if is_theirs(&error) => {
            let reason = error.reason();
            // The chart's policy drops without a word what its values do not list.
            let listed = if reason == connect::reasons::UNREACHABLE && !endpoints.is_empty() {
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
            let by_proxy = reason == connect::reasons::PROXY_REFUSED;
            report.status.verification = Some(if by_proxy { shown.refused_by_proxy(attempt) } else { attempt });
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
