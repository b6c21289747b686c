//! Whether a run may have one connection's credential now.

use api::Connection;
use api::identity::has_uid;

use super::Admitted;
use super::rules::Refusal;
use crate::connection::{Consent, StoredCredential};

/// What is judged when a run asks for a Connection's credential, read at that moment.
pub struct ConnectionObserved {
    /// The live object of that name in the run's namespace.
    pub connection: Option<Connection>,
    /// What is stored for the Connection; absent when nothing is.
    pub stored: Option<StoredCredential>,
    /// What the owner of the source Secret lets; absent when the Secret is gone or may not be read.
    pub consent: Option<Consent>,
    /// Highest version ever stored, as far as anything remembers.
    pub ledger: i64,
}

/// The proof that a run may use a connection now.
pub struct Usable {
    connection: Connection,
    version: i64,
}

impl Usable {
    /// The Connection as it is now.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Version of the stored credential that may be opened.
    pub fn version(&self) -> i64 {
        self.version
    }
}

/// Same tenant and namespace follow from [`Admitted`]: the name is looked up in the run's namespace and nowhere else.
pub fn judge_connection(admitted: &Admitted, name: &str, observed: ConnectionObserved) -> Result<Usable, Refusal> {
    let expected = admitted.snapshot().connections.get(name).ok_or(Refusal::NotInSnapshot)?;
    if admitted.is_leaving() {
        return Err(Refusal::TenantLeaving);
    }
    // The worker dials what the snapshot says, not what the Connection says.
    if expected.spec.endpoint_digest() != expected.endpoint_digest {
        return Err(Refusal::SnapshotContradicted);
    }
    let connection = observed.connection.ok_or(Refusal::ConnectionGone)?;
    if !has_uid(&connection.metadata, &expected.uid) || connection.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::ConnectionGone);
    }
    if connection.metadata.namespace.as_deref() != Some(admitted.namespace()) {
        return Err(Refusal::ConnectionGone);
    }
    if connection.spec.suspended() {
        return Err(Refusal::ConnectionSuspended);
    }
    if connection.spec.endpoint_digest() != expected.endpoint_digest {
        return Err(Refusal::Endpoint);
    }
    // Withdrawn a moment ago, it is stored still.
    if observed.consent.is_some_and(|consent| !consent.names(name, &expected.endpoint_digest)) {
        return Err(Refusal::Consent);
    }
    let stored = observed.stored.ok_or(Refusal::NoCredential)?;
    if !stored.serves(&connection.spec) {
        return Err(Refusal::NoCredential);
    }
    if stored.version < expected.min_credential_version || stored.version < observed.ledger {
        return Err(Refusal::CredentialRolledBack);
    }
    Ok(Usable { connection, version: stored.version })
}

#[cfg(test)]
mod tests {
    use api::ConnectionSpec;
    use api::connection::CredentialSource;

    use super::super::fixtures;
    use super::*;
    use crate::testing::edited;

    fn good() -> ConnectionObserved {
        let connection = fixtures::connection();
        let endpoint_digest = connection.spec.endpoint_digest();
        let consent = Some(Consent::default().and("crm", &endpoint_digest));
        let stored = Some(StoredCredential { version: 3, endpoint_digest, source: Some(CredentialSource::of_record("db")) });
        ConnectionObserved { connection: Some(connection), stored, consent, ledger: 3 }
    }

    fn point_elsewhere(spec: &mut ConnectionSpec) {
        *spec = edited(spec, |spec| spec["postgres"]["host"] = "evil.example".into());
    }

    fn judge(edit: fn(&mut ConnectionObserved)) -> Result<i64, Refusal> {
        let admitted = super::super::admit(fixtures::observed()).unwrap_or_else(|r| panic!("{r}"));
        let mut observed = good();
        edit(&mut observed);
        judge_connection(&admitted, "crm", observed).map(|usable| usable.version())
    }

    #[test]
    fn a_connection_is_usable_only_as_the_snapshot_saw_it() {
        type Edit = fn(&mut ConnectionObserved);
        let cases: &[(&str, Result<i64, Refusal>, Edit)] = &[
            ("as it was", Ok(3), |_| ()),
            ("newer credential", Ok(4), |o| o.stored.as_mut().unwrap().version = 4),
            ("gone", Err(Refusal::ConnectionGone), |o| o.connection = None),
            ("re-created", Err(Refusal::ConnectionGone), |o| o.connection.as_mut().unwrap().metadata.uid = Some("new".into())),
            ("of another namespace", Err(Refusal::ConnectionGone), |o| {
                o.connection.as_mut().unwrap().metadata.namespace = Some("beta".into())
            }),
            ("suspended", Err(Refusal::ConnectionSuspended), |o| o.connection.as_mut().unwrap().spec.suspend = Some(true)),
            ("pointed elsewhere", Err(Refusal::Endpoint), |o| {
                point_elsewhere(&mut o.connection.as_mut().unwrap().spec);
            }),
            ("its Secret gone after intake", Ok(3), |o| o.consent = None),
            ("its Secret does not consent any more", Err(Refusal::Consent), |o| o.consent = Some(Consent::default())),
            ("its Secret consents to another Connection", Err(Refusal::Consent), |o| {
                let endpoint = o.stored.as_ref().unwrap().endpoint_digest.clone();
                o.consent = Some(Consent::default().and("other", &endpoint));
            }),
            ("taken from another Secret", Err(Refusal::NoCredential), |o| {
                o.stored.as_mut().unwrap().source = Some(CredentialSource::of_record("other"))
            }),
            ("stored when nobody was asked", Err(Refusal::NoCredential), |o| o.stored.as_mut().unwrap().source = None),
            ("nothing stored", Err(Refusal::NoCredential), |o| o.stored = None),
            ("stored for another endpoint", Err(Refusal::NoCredential), |o| o.stored.as_mut().unwrap().endpoint_digest = "x".into()),
            ("older than the snapshot", Err(Refusal::CredentialRolledBack), |o| {
                o.stored.as_mut().unwrap().version = 1;
                o.ledger = 0;
            }),
            ("older than the ledger", Err(Refusal::CredentialRolledBack), |o| o.ledger = 9),
        ];
        for (name, expected, edit) in cases {
            assert_eq!(judge(*edit), *expected, "{name}");
        }
    }

    #[test]
    fn a_snapshot_that_dials_elsewhere_than_its_digest_says_is_refused() {
        let mut seen = fixtures::observed();
        fixtures::edit_snapshot(&mut seen, |snapshot| {
            let dialed = snapshot.connections.get_mut("crm").unwrap();
            point_elsewhere(&mut dialed.spec);
        });
        let admitted = super::super::admit(seen).unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(judge_connection(&admitted, "crm", good()).err(), Some(Refusal::SnapshotContradicted));
    }

    #[test]
    fn a_tenant_that_leaves_gets_no_credential() {
        let mut seen = fixtures::observed();
        fixtures::leave(&mut seen);
        let admitted = super::super::admit(seen).unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(judge_connection(&admitted, "crm", good()).err(), Some(Refusal::TenantLeaving));
    }

    #[test]
    fn a_connection_the_snapshot_does_not_name_is_refused() {
        let admitted = super::super::admit(fixtures::observed()).unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(judge_connection(&admitted, "other", good()).err(), Some(Refusal::NotInSnapshot));
    }
}
