//! The rules of intake, in order: the first that speaks decides.

use api::ConnectionSpec;
use api::connection::AfterIntake;

use super::source::missing_keys;
use crate::lease::StoredCredential;

/// What reading the source Secret gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    Found {
        /// The keys that are there and not empty.
        keys: Vec<String>,
        /// Whether its content is what the stored version was made of; absent when nothing is stored.
        same_as_stored: Option<bool>,
        managed_by: Option<String>,
    },
    Missing,
    /// The namespace's admin has not allowed the keeper to read it.
    Forbidden,
}

pub struct Observed<'a> {
    pub spec: &'a ConnectionSpec,
    pub source: Source,
    pub stored: Option<StoredCredential>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Nothing is stored and the source cannot be read.
    WaitForRole,
    /// Nothing is stored and there is no source.
    WaitForSecret,
    /// The Secret lacks keys.
    KeysMissing(Vec<&'static str>),
    /// The Secret should be deleted after intake, but something would bring it back.
    SourceManaged(String),
    /// What is stored was given for another endpoint, and no new secret came since.
    NeedsReauthentication,
    /// Store the source as this version.
    Store { version: i64, delete_source: bool },
    /// The stored version is good; the source may have to go.
    Keep { delete_source: bool },
}

/// `ledger`: highest version ever stored, so that a version is never given twice.
pub fn decide(observed: &Observed<'_>, ledger: i64) -> Decision {
    let endpoint = observed.spec.endpoint_digest();
    let moved = observed.stored.as_ref().is_some_and(|s| s.endpoint_digest != endpoint);
    match &observed.source {
        Source::Forbidden if observed.stored.is_none() => Decision::WaitForRole,
        Source::Missing if observed.stored.is_none() => Decision::WaitForSecret,
        Source::Forbidden | Source::Missing if moved => Decision::NeedsReauthentication,
        Source::Forbidden | Source::Missing => Decision::Keep { delete_source: false },
        Source::Found { same_as_stored: Some(true), .. } if moved => Decision::NeedsReauthentication,
        Source::Found { keys, same_as_stored, managed_by } => {
            found(observed.spec, keys, *same_as_stored, managed_by.as_ref(), next(observed, ledger))
        }
    }
}

fn found(spec: &ConnectionSpec, keys: &[String], same: Option<bool>, managed_by: Option<&String>, version: i64) -> Decision {
    let missing = missing_keys(spec, |key| keys.iter().any(|k| k == key));
    if !missing.is_empty() {
        return Decision::KeysMissing(missing);
    }
    let delete_source = spec.credentials.secret_ref.as_ref().is_some_and(|r| r.after_intake == AfterIntake::Delete);
    match managed_by {
        Some(tool) if delete_source => Decision::SourceManaged(tool.clone()),
        _ if same == Some(true) => Decision::Keep { delete_source },
        _ => Decision::Store { version, delete_source },
    }
}

fn next(observed: &Observed<'_>, ledger: i64) -> i64 {
    observed.stored.as_ref().map_or(0, |s| s.version).max(ledger) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::connection::{Credentials, Postgres, SecretRef};

    fn spec(after_intake: AfterIntake) -> ConnectionSpec {
        let postgres = Postgres {
            host: "db".into(),
            port: None,
            database: "crm".into(),
            user: "reader".into(),
            tls: None,
            allow_insecure_password_authentication: None,
        };
        let secret_ref = SecretRef { name: "db".into(), after_intake };
        ConnectionSpec {
            salesforce: None,
            postgres: Some(postgres),
            credentials: Credentials { secret_ref: Some(secret_ref) },
            suspend: None,
        }
    }

    fn source(same_as_stored: Option<bool>) -> Source {
        Source::Found { keys: vec!["password".into()], same_as_stored, managed_by: None }
    }

    fn managed(same_as_stored: Option<bool>) -> Source {
        Source::Found { keys: vec!["password".into()], same_as_stored, managed_by: Some("Flux".into()) }
    }

    fn empty() -> Source {
        Source::Found { keys: vec![], same_as_stored: None, managed_by: None }
    }

    fn stored(version: i64) -> Option<StoredCredential> {
        Some(StoredCredential { version, endpoint_digest: spec(AfterIntake::Keep).endpoint_digest() })
    }

    fn elsewhere() -> Option<StoredCredential> {
        Some(StoredCredential { version: 1, endpoint_digest: "other".into() })
    }

    #[test]
    fn the_table_of_intake() {
        use AfterIntake::{Delete, Keep};
        let store = |version, delete_source| Decision::Store { version, delete_source };
        let keep = |delete_source| Decision::Keep { delete_source };
        let cases = [
            ("first secret", Keep, source(None), None, 0, store(1, false)),
            ("first secret, to be deleted", Delete, source(None), None, 0, store(1, true)),
            ("unchanged", Keep, source(Some(true)), stored(1), 1, keep(false)),
            ("unchanged but still there", Delete, source(Some(true)), stored(1), 1, keep(true)),
            ("changed", Keep, source(Some(false)), stored(1), 1, store(2, false)),
            ("changed after a record was restored", Keep, source(Some(false)), stored(1), 7, store(8, false)),
            ("deleted after intake", Delete, Source::Missing, stored(1), 1, keep(false)),
            ("role taken away later", Keep, Source::Forbidden, stored(1), 1, keep(false)),
            ("nothing yet", Keep, Source::Missing, None, 0, Decision::WaitForSecret),
            ("no role", Keep, Source::Forbidden, None, 0, Decision::WaitForRole),
            ("key missing", Keep, empty(), None, 0, Decision::KeysMissing(vec!["password"])),
            ("managed and to be deleted", Delete, managed(None), None, 0, Decision::SourceManaged("Flux".into())),
            ("managed and kept", Keep, managed(None), None, 0, store(1, false)),
            ("moved, same secret", Keep, source(Some(true)), elsewhere(), 1, Decision::NeedsReauthentication),
            ("moved, secret gone", Delete, Source::Missing, elsewhere(), 1, Decision::NeedsReauthentication),
            ("moved, role gone", Keep, Source::Forbidden, elsewhere(), 1, Decision::NeedsReauthentication),
            ("moved, new secret", Keep, source(Some(false)), elsewhere(), 1, store(2, false)),
        ];
        for (name, after_intake, source, stored, ledger, expected) in cases {
            let spec = spec(after_intake);
            assert_eq!(decide(&Observed { spec: &spec, source, stored }, ledger), expected, "{name}");
        }
    }
}
