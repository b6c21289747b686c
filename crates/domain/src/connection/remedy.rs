//! The way out, in words: what a person changes when the other side, or the API server, says no.

use api::ConnectionSpec;
use api::connection::{AfterIntake, CredentialKey, CredentialOrigin, SecretRef, ServiceAccountRef};
use k8s_openapi::api::rbac::v1::PolicyRule;

/// What to correct when the system refuses what it is shown; nothing when something else is to blame. `reason` is that of the error: a word of
/// `connect::reasons` or of the reasons of `salesforce`, which this crate does not depend on.
pub fn remedy(spec: &ConnectionSpec, reason: &str) -> Option<String> {
    let login = spec.login()?;
    let joined = |part: fn(&CredentialKey) -> &'static str| login.keys.iter().map(part).collect::<Vec<_>>().join(", ");
    let entries = joined(|key| key.name);
    let (correct, or) = match spec.credentials.origin() {
        Some(CredentialOrigin::Secret(SecretRef { name, after_intake })) => {
            let again = match after_intake {
                AfterIntake::Delete => ", which is made anew for that",
                AfterIntake::Keep => "",
            };
            (format!("correct entry {entries} of Secret {name}{again}"), if again.is_empty() { " or " } else { ", or " })
        }
        Some(CredentialOrigin::Sealed(_)) => (format!("seal {entries} again"), ", or correct "),
        Some(CredentialOrigin::ServiceAccount(_)) | None => {
            return (reason == "LoginRefused").then(|| format!("correct {}", login.refused));
        }
    };
    match reason {
        "LoginRefused" => Some(format!("{correct}{or}{}", login.refused)),
        "KeyUnusable" => Some(format!("{correct}: it is {}", joined(|key| key.holds))),
        _ => None,
    }
}

/// The rules of the Role by which the keeper does with a Secret or a ServiceAccount what a Connection asks for, as its namespace's admin writes
/// them.
pub fn allowance(spec: &ConnectionSpec) -> Vec<PolicyRule> {
    let rule = |resource: &str, name: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(vec![name.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        non_resource_urls: None,
    };
    match spec.credentials.origin() {
        Some(CredentialOrigin::Secret(SecretRef { name, after_intake })) => vec![match after_intake {
            AfterIntake::Keep => rule("secrets", name, &["get"]),
            AfterIntake::Delete => rule("secrets", name, &["get", "delete"]),
        }],
        Some(CredentialOrigin::ServiceAccount(ServiceAccountRef { name, audience: _ })) => {
            vec![rule("serviceaccounts", name, &["get"]), rule("serviceaccounts/token", name, &["create"])]
        }
        Some(CredentialOrigin::Sealed(_)) | None => Vec::new(),
    }
}

/// The same in a message.
pub fn in_words(rules: &[PolicyRule]) -> String {
    let list = |entries: &Option<Vec<String>>| entries.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let words = |rule: &PolicyRule| {
        let (resources, names) = (list(&rule.resources), list(&rule.resource_names));
        format!(r#"{{apiGroups: [""], resources: [{resources}], resourceNames: [{names}], verbs: [{}]}}"#, rule.verbs.join(", "))
    };
    rules.iter().map(words).collect::<Vec<_>>().join(" and ")
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
        let rule = |after_intake| in_words(&allowance(&spec(database.clone(), after_intake)));
        assert_eq!(rule("Keep"), r#"{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get]}"#);
        assert_eq!(rule("Delete"), r#"{apiGroups: [""], resources: [secrets], resourceNames: [crm], verbs: [get, delete]}"#);
    }
    #[test]
    fn tokens_of_a_service_account_need_two_rules() {
        let s3 = json!({"bucket": "lake", "region": "eu-central-1", "auth": {"webIdentity": {"roleArn": "arn:aws:iam::123456789012:role/reader"}}});
        let spec: ConnectionSpec =
            serde_json::from_value(json!({"s3": s3, "credentials": {"serviceAccountRef": {"name": "loader"}}})).unwrap();
        assert_eq!(
            in_words(&allowance(&spec)),
            r#"{apiGroups: [""], resources: [serviceaccounts], resourceNames: [loader], verbs: [get]} and {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [loader], verbs: [create]}"#
        );
        assert!(remedy(&spec, "LoginRefused").unwrap().contains("roleArn in spec.s3.auth.webIdentity"));
    }

    #[test]
    fn what_is_sealed_is_sealed_again_and_needs_no_rule() {
        let sealed = json!({"kid": "k", "enc": "e", "ciphertext": "c"});
        let database = json!({"host": "db", "database": "d", "user": "u"});
        let spec: ConnectionSpec = serde_json::from_value(json!({"postgres": database, "credentials": {"sealed": sealed}})).unwrap();
        let way_out = remedy(&spec, "LoginRefused");
        assert_eq!(way_out.as_deref(), Some("seal password again, or correct user and database in spec.postgres"));
        assert!(allowance(&spec).is_empty());
    }
}
