//! The rules of intake, in order: the first that speaks decides.

use api::ConnectionSpec;
use api::connection::LoginProfile;

use super::source::missing_keys;
use super::{Consent, StoredCredential};

/// What reading the source gave: a Secret, a ServiceAccount, or what is sealed in the Connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// It could be read.
    Found {
        /// The keys of a Secret that are there and not empty.
        keys: Vec<String>,
        /// Whether its content is what the stored version was made of; absent when nothing is stored.
        same_as_stored: Option<bool>,
        /// The tool that would bring the Secret back after a deletion, as `managed_by` finds it in its metadata; absent when there is none.
        managed_by: Option<String>,
        /// What the Secret's annotation lets.
        consent: Consent,
    },
    /// There is no Secret of that name.
    Missing,
    /// The namespace's admin has not allowed the keeper to read it.
    Forbidden,
    /// It is sealed in the Connection itself.
    Sealed(Seal),
}

/// What looking at a sealed credential gave. Who sealed it named the one endpoint it may be shown to: there is nobody else to consent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seal {
    /// What is stored was made of it, so it was not opened.
    Same,
    /// It opened, with all entries that logging in needs.
    Opened,
    /// It does not open.
    Refused(SealRefusal),
}

/// Why a sealed credential does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SealRefusal {
    /// The key that it names is none of this Region's, or was destroyed.
    UnknownKey,
    /// It was sealed for something else, or altered.
    NotForHere,
}

/// What the rules of intake look at, for one Connection.
pub struct Observed<'a> {
    /// Name of the Connection.
    pub name: &'a str,
    /// Its spec as it is now.
    pub spec: &'a ConnectionSpec,
    /// What reading the Secret or ServiceAccount of its `credentials` gave.
    pub source: Source,
    /// What is stored for the Connection; absent when nothing is.
    pub stored: Option<StoredCredential>,
}

/// What to do with a Connection's Secret and with what is stored of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The Connection describes a system, or a way to log in, that this version does not know. What was stored before stays, and is shown
    /// to nobody.
    UnknownSystem,
    /// Nothing is stored, or nothing that is of use without its source, and the source cannot be read.
    WaitForRole,
    /// The same, and there is no source.
    WaitForSource,
    /// The owner of the Secret has not said that this Connection may show it to this endpoint. `withdrawn`: for what is stored it was
    /// said once, and is not any more.
    ConsentMissing {
        /// Tokens are revoked then, and what is stored is destroyed.
        withdrawn: bool,
    },
    /// The Secret lacks keys.
    KeysMissing(Vec<&'static str>),
    /// The Secret should be deleted after intake, but something would bring it back.
    SourceManaged(String),
    /// What is stored was given for another endpoint or by another Secret, and the one that is named cannot be read.
    NeedsReauthentication,
    /// The credential that is sealed in the Connection does not open. What was stored of another one is not used.
    SealRefused(SealRefusal),
    /// Store the source as this version.
    Store {
        /// One more than was ever given to this Connection.
        version: i64,
        /// Whether the Secret is deleted once that is done, as `afterIntake: Delete` asks.
        delete_source: bool,
    },
    /// The stored version is good; the source may have to go.
    Keep {
        /// Whether the Secret is still there and to be deleted.
        delete_source: bool,
    },
}

/// `ledger`: highest version ever stored, so that a version is never given twice.
pub fn decide(observed: &Observed<'_>, ledger: i64) -> Decision {
    let Some(login) = observed.spec.login() else { return Decision::UnknownSystem };
    // What is stored of a ServiceAccount is no more than that its owner consented: without it there are no tokens.
    let needs_source = observed.stored.is_none() || observed.spec.credentials.service_account_ref().is_some();
    let serves = observed.stored.as_ref().is_some_and(|stored| stored.serves(observed.spec));
    match &observed.source {
        Source::Sealed(Seal::Same) => Decision::Keep { delete_source: false },
        Source::Sealed(Seal::Opened) => Decision::Store { version: next(observed, ledger), delete_source: false },
        Source::Sealed(Seal::Refused(refusal)) => Decision::SealRefused(*refusal),
        Source::Found { consent, .. } if !consent.names(observed.name, &observed.spec.endpoint_digest()) => {
            Decision::ConsentMissing { withdrawn: observed.stored.as_ref().is_some_and(|stored| is_withdrawn(observed, stored, consent)) }
        }
        Source::Forbidden if needs_source => Decision::WaitForRole,
        Source::Missing if needs_source => Decision::WaitForSource,
        Source::Forbidden | Source::Missing if !serves => Decision::NeedsReauthentication,
        Source::Forbidden | Source::Missing => Decision::Keep { delete_source: false },
        Source::Found { keys, same_as_stored, managed_by, .. } => {
            let same = serves && *same_as_stored == Some(true);
            found(observed.spec, login, keys, same, managed_by.as_ref(), next(observed, ledger))
        }
    }
}

/// Only the Secret that something was taken from takes its consent back; a Connection that was pointed elsewhere changes nothing about it.
fn is_withdrawn(observed: &Observed<'_>, stored: &StoredCredential, consent: &Consent) -> bool {
    stored.source == observed.spec.credentials.source() && !consent.names(observed.name, &stored.endpoint_digest)
}

fn found(spec: &ConnectionSpec, login: &LoginProfile, keys: &[String], same: bool, managed_by: Option<&String>, version: i64) -> Decision {
    let missing = missing_keys(login, |key| keys.iter().any(|k| k == key));
    if !missing.is_empty() {
        return Decision::KeysMissing(missing);
    }
    let delete_source = spec.credentials.is_deleted_after_intake();
    match managed_by {
        Some(tool) if delete_source => Decision::SourceManaged(tool.clone()),
        _ if same => Decision::Keep { delete_source },
        _ => Decision::Store { version, delete_source },
    }
}

fn next(observed: &Observed<'_>, ledger: i64) -> i64 {
    observed.stored.as_ref().map_or(0, |s| s.version).max(ledger) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::connection::{AfterIntake, CredentialSource};
    use serde_json::json;

    fn of_system(system: &str, described: serde_json::Value, after_intake: AfterIntake) -> ConnectionSpec {
        serde_json::from_value(json!({system: described, "credentials": {"secretRef": {"name": "db", "afterIntake": after_intake}}}))
            .unwrap()
    }

    fn spec(after_intake: AfterIntake) -> ConnectionSpec {
        of_system("postgres", json!({"host": "db", "database": "crm", "user": "reader"}), after_intake)
    }

    #[test]
    fn what_we_do_not_know_is_never_taken_in_or_kept() {
        let strange = of_system("oracle", json!({"host": "db"}), AfterIntake::Keep);
        let digest = strange.endpoint_digest();
        let keys = vec!["password".to_owned()];
        let consent = Consent::default().and("crm", &digest);
        let source = Source::Found { keys, same_as_stored: Some(true), managed_by: None, consent };
        let stored = StoredCredential { version: 3, endpoint_digest: digest, source: Some(CredentialSource::of_record("db")) };
        for source in [source, Source::Missing, Source::Forbidden] {
            for stored in [None, Some(stored.clone())] {
                let observed = Observed { name: "crm", spec: &strange, source: source.clone(), stored };
                assert_eq!(decide(&observed, 3), Decision::UnknownSystem);
            }
        }
    }

    const ELSEWHERE: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

    fn here() -> String {
        spec(AfterIntake::Keep).endpoint_digest()
    }

    fn found(keys: &[&str], same_as_stored: Option<bool>, managed_by: Option<&str>, consent: Consent) -> Source {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Source::Found { keys, same_as_stored, managed_by: managed_by.map(Into::into), consent }
    }

    fn consented(same_as_stored: Option<bool>) -> Source {
        found(&["password"], same_as_stored, None, Consent::default().and("crm", &here()))
    }

    fn managed(same_as_stored: Option<bool>) -> Source {
        found(&["password"], same_as_stored, Some("Flux"), Consent::default().and("crm", &here()))
    }

    fn empty() -> Source {
        found(&[], None, None, Consent::default().and("crm", &here()))
    }

    /// The owner let somebody have it, but not this.
    fn let_only(connection: &str, endpoint: &str) -> Source {
        found(&["password"], Some(true), None, Consent::default().and(connection, endpoint))
    }

    fn of(version: i64, endpoint_digest: String, source: Option<&str>) -> Option<StoredCredential> {
        Some(StoredCredential { version, endpoint_digest, source: source.map(CredentialSource::of_record) })
    }

    fn stored(version: i64) -> Option<StoredCredential> {
        of(version, here(), Some("db"))
    }

    fn elsewhere() -> Option<StoredCredential> {
        of(1, ELSEWHERE.into(), Some("db"))
    }

    #[test]
    fn the_table_of_intake() {
        use AfterIntake::{Delete, Keep};
        let store = |version, delete_source| Decision::Store { version, delete_source };
        let keep = |delete_source| Decision::Keep { delete_source };
        let missing = |withdrawn| Decision::ConsentMissing { withdrawn };
        let cases = [
            ("first secret", Keep, consented(None), None, 0, store(1, false)),
            ("first secret, to be deleted", Delete, consented(None), None, 0, store(1, true)),
            ("unchanged", Keep, consented(Some(true)), stored(1), 1, keep(false)),
            ("unchanged but still there", Delete, consented(Some(true)), stored(1), 1, keep(true)),
            ("changed", Keep, consented(Some(false)), stored(1), 1, store(2, false)),
            ("changed after a record was restored", Keep, consented(Some(false)), stored(1), 7, store(8, false)),
            ("deleted after intake", Delete, Source::Missing, stored(1), 1, keep(false)),
            ("role taken away later", Keep, Source::Forbidden, stored(1), 1, keep(false)),
            ("nothing yet", Keep, Source::Missing, None, 0, Decision::WaitForSource),
            ("no role", Keep, Source::Forbidden, None, 0, Decision::WaitForRole),
            ("key missing", Keep, empty(), None, 0, Decision::KeysMissing(vec!["password"])),
            ("managed and to be deleted", Delete, managed(None), None, 0, Decision::SourceManaged("Flux".into())),
            ("managed and kept", Keep, managed(None), None, 0, store(1, false)),
            ("moved with its owner's consent", Keep, consented(Some(true)), elsewhere(), 1, store(2, false)),
            ("moved, secret gone", Delete, Source::Missing, elsewhere(), 1, Decision::NeedsReauthentication),
            ("moved, role gone", Keep, Source::Forbidden, elsewhere(), 1, Decision::NeedsReauthentication),
            ("moved, new secret", Keep, consented(Some(false)), elsewhere(), 1, store(2, false)),
            (
                "pointed at a Secret that is not there",
                Keep,
                Source::Missing,
                of(1, here(), Some("old")),
                1,
                Decision::NeedsReauthentication,
            ),
            ("pointed at a Secret of the same value", Keep, consented(Some(true)), of(1, here(), Some("old")), 1, store(2, false)),
            ("stored when nobody was asked", Keep, consented(Some(true)), of(1, here(), None), 1, store(2, false)),
            ("stored when nobody was asked, secret gone", Delete, Source::Missing, of(1, here(), None), 1, Decision::NeedsReauthentication),
            ("no consent at all", Keep, found(&["password"], None, None, Consent::default()), None, 0, missing(false)),
            ("consent for another Connection", Keep, let_only("other", &here()), None, 0, missing(false)),
            ("consent for another endpoint", Keep, let_only("crm", ELSEWHERE), None, 0, missing(false)),
            ("moved without consent", Keep, let_only("crm", ELSEWHERE), elsewhere(), 1, missing(false)),
            ("withdrawn", Keep, let_only("other", &here()), stored(1), 1, missing(true)),
            ("withdrawn, to be deleted", Delete, let_only("other", &here()), stored(1), 1, missing(true)),
            ("the consent moved, the Connection did not", Keep, let_only("crm", ELSEWHERE), stored(1), 1, missing(true)),
            ("pointed at a Secret that does not consent", Keep, let_only("other", &here()), of(1, here(), Some("old")), 1, missing(false)),
        ];
        for (name, after_intake, source, stored, ledger, expected) in cases {
            let spec = spec(after_intake);
            assert_eq!(decide(&Observed { name: "crm", spec: &spec, source, stored }, ledger), expected, "{name}");
        }
    }

    #[test]
    fn what_is_sealed_is_taken_in_once_and_asks_nobody_else() {
        let sealed = |digit: &str| -> ConnectionSpec {
            let sealed = json!({"kid": digit.repeat(32), "enc": "e", "ciphertext": "c"});
            let database = json!({"host": "db", "database": "crm", "user": "reader"});
            serde_json::from_value(json!({"postgres": database, "credentials": {"sealed": sealed}})).unwrap()
        };
        let spec = sealed("a");
        let of = |spec: &ConnectionSpec| {
            Some(StoredCredential { version: 4, endpoint_digest: spec.endpoint_digest(), source: spec.credentials.source() })
        };
        let decided = |seal, stored| decide(&Observed { name: "crm", spec: &spec, source: Source::Sealed(seal), stored }, 4);
        assert_eq!(decided(Seal::Opened, None), Decision::Store { version: 5, delete_source: false });
        assert_eq!(decided(Seal::Opened, of(&sealed("b"))), Decision::Store { version: 5, delete_source: false });
        assert_eq!(decided(Seal::Same, of(&spec)), Decision::Keep { delete_source: false });
        for refusal in [SealRefusal::UnknownKey, SealRefusal::NotForHere] {
            for stored in [None, of(&sealed("b"))] {
                assert_eq!(decided(Seal::Refused(refusal), stored), Decision::SealRefused(refusal));
            }
        }
        assert!(of(&spec).unwrap().serves(&spec) && !of(&sealed("b")).unwrap().serves(&spec), "another one serves nothing");
    }

    #[test]
    fn what_is_stored_of_a_service_account_is_of_no_use_without_it() {
        let role =
            json!({"bucket": "lake", "region": "eu-central-1", "auth": {"webIdentity": {"roleArn": "arn:aws:iam::123456789012:role/r"}}});
        let spec: ConnectionSpec =
            serde_json::from_value(json!({"s3": role, "credentials": {"serviceAccountRef": {"name": "loader"}}})).unwrap();
        let digest = spec.endpoint_digest();
        let stored = StoredCredential {
            version: 1,
            endpoint_digest: digest.clone(),
            source: Some(CredentialSource::of_record("serviceaccount/loader")),
        };
        let decided = |source| decide(&Observed { name: "lake", spec: &spec, source, stored: Some(stored.clone()) }, 1);
        assert_eq!(decided(Source::Missing), Decision::WaitForSource);
        assert_eq!(decided(Source::Forbidden), Decision::WaitForRole);
        let found = |consent| Source::Found { keys: Vec::new(), same_as_stored: Some(true), managed_by: None, consent };
        assert_eq!(decided(found(Consent::default().and("lake", &digest))), Decision::Keep { delete_source: false });
        assert_eq!(decided(found(Consent::default())), Decision::ConsentMissing { withdrawn: true });
    }
}
