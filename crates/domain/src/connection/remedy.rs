//! The way out, in words: what a person changes when the other side, or the API server, says no.

use api::ConnectionSpec;
use api::connection::{AfterIntake, CredentialKey};

/// What to correct when the system refuses what it is shown; nothing when something else is to blame. `reason` is that of the error: a word of
/// `connect::reasons` or of the reasons of `salesforce`, which this crate does not depend on.
pub fn remedy(spec: &ConnectionSpec, reason: &str) -> Option<String> {
    let secret = &spec.credentials.secret_ref()?.name;
    let login = spec.login()?;
    let joined = |part: fn(&CredentialKey) -> &'static str| login.keys.iter().map(part).collect::<Vec<_>>().join(", ");
    let entries = joined(|key| key.name);
    let again = match spec.credentials.secret_ref()?.after_intake {
        AfterIntake::Delete => ", which is made anew for that,",
        AfterIntake::Keep => "",
    };
    match reason {
        "LoginRefused" => Some(format!("correct entry {entries} of Secret {secret}{again} or {}", login.refused)),
        "KeyUnusable" => Some(format!("correct entry {entries} of Secret {secret}{again}: it is {}", joined(|key| key.holds))),
        _ => None,
    }
}

/// The rule of the Role by which the keeper does with a Secret what a Connection asks for, as its namespace's admin writes it.
pub fn allowance(spec: &ConnectionSpec) -> String {
    let Some(reference) = spec.credentials.secret_ref() else { return String::new() };
    let verbs = match reference.after_intake {
        AfterIntake::Keep => "get",
        AfterIntake::Delete => "get, delete",
    };
    format!(r#"{{apiGroups: [""], resources: [secrets], resourceNames: [{}], verbs: [{verbs}]}}"#, reference.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(system: Value, after_intake: &str) -> ConnectionSpec {
        let mut spec = system;
        spec["credentials"] = json!({"secretRef": {"name": "crm", "afterIntake": after_intake}});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn who_is_refused_reads_which_secret_and_which_entry_to_correct() {
        let flow = json!({"salesforce": {"myDomain": "acme", "auth": {"clientCredentials": {"clientId": "c"}}}});
        let jwt = json!({"salesforce": {"myDomain": "acme", "auth": {"jwtBearer": {"clientId": "c", "username": "u"}}}});
        let database = json!({"postgres": {"host": "db", "database": "d", "user": "u"}});
        for (system, reason, expected) in [
            (&flow, "LoginRefused", Some("correct entry clientSecret of Secret crm or clientId in spec.salesforce.auth.clientCredentials")),
            (
                &jwt,
                "LoginRefused",
                Some("correct entry privateKey of Secret crm or clientId and username in spec.salesforce.auth.jwtBearer"),
            ),
            (&jwt, "KeyUnusable", Some("correct entry privateKey of Secret crm: it is an RSA key in PEM")),
            (&database, "LoginRefused", Some("correct entry password of Secret crm or user and database in spec.postgres")),
            (&database, "Unreachable", None),
            (&flow, "HostRefused", None),
        ] {
            assert_eq!(remedy(&spec(system.clone(), "Keep"), reason).as_deref(), expected, "{reason}");
        }
        let gone = remedy(&spec(database, "Delete"), "LoginRefused").unwrap();
        assert_eq!(gone, "correct entry password of Secret crm, which is made anew for that, or user and database in spec.postgres");
    }

    #[test]
    fn the_rule_of_a_role_has_the_verbs_that_are_needed_and_no_other() {
        let database = json!({"postgres": {"host": "db", "database": "d", "user": "u"}});
        let rule = |after_intake| allowance(&spec(database.clone(), after_intake));
        assert_eq!(rule("Keep"), r#"{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get]}"#);
        assert_eq!(rule("Delete"), r#"{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get, delete]}"#);
    }
}
