//! The consent of a Secret's owner: an annotation on the Secret names the Connections of its namespace that may have it, each with the
//! digest of the one endpoint it may be shown to. So a person who may write Connections, and no Secrets, sends none anywhere.

use std::collections::BTreeSet;
use std::fmt;

use api::names::CONSENT_ANNOTATION;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Of a longer list these many count: it has to fit into a condition's message.
const LIMIT: usize = 64;

/// `crm=<digest>,warehouse=<digest>`. A Connection may be there twice, with its old endpoint and its next.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Consent(BTreeSet<(String, String)>);

impl Consent {
    /// What a Secret says. Whatever is none of ours in the annotation allows nothing.
    pub fn of(secret: &ObjectMeta) -> Self {
        let text = secret.annotations.as_ref().and_then(|all| all.get(CONSENT_ANNOTATION)).map_or("", String::as_str);
        let entries = text.split([',', ' ', '\n']).filter_map(|entry| entry.split_once('='));
        let sound = entries.filter(|(name, digest)| is_name(name) && is_digest(digest));
        Self(sound.map(|(name, digest)| (name.to_owned(), digest.to_owned())).take(LIMIT).collect())
    }

    /// Whether the owner lets this Connection have the Secret for the endpoint of this digest (64 lower-case hexadecimal digits).
    pub fn names(&self, connection: &str, endpoint_digest: &str) -> bool {
        self.0.contains(&(connection.to_owned(), endpoint_digest.to_owned()))
    }

    /// The same for everybody else, and this endpoint and no other for this Connection.
    pub fn and(mut self, connection: &str, endpoint_digest: &str) -> Self {
        self.0.retain(|(name, _)| name != connection);
        self.0.insert((connection.to_owned(), endpoint_digest.to_owned()));
        self
    }
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.0.iter().map(|(name, digest)| format!("{name}={digest}")).collect();
        f.write_str(&entries.join(","))
    }
}

fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(text: &str) -> Consent {
        let annotations = Some([(CONSENT_ANNOTATION.to_owned(), text.to_owned())].into());
        Consent::of(&ObjectMeta { annotations, ..ObjectMeta::default() })
    }

    #[test]
    fn a_consent_is_for_one_connection_at_one_endpoint() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let both = consent(&format!("crm={a},\n  crm={b}, other={a}"));
        for (name, digest, expected) in [("crm", &a, true), ("crm", &b, true), ("other", &a, true), ("other", &b, false), ("cr", &a, false)]
        {
            assert_eq!(both.names(name, digest), expected, "{name} {digest}");
        }
        assert!(!Consent::of(&ObjectMeta::default()).names("crm", &a));
    }

    #[test]
    fn what_is_no_entry_allows_nothing() {
        let digest = "a".repeat(64);
        for text in
            ["", "=", "*", "crm", "crm=*", "crm=", "*=*", &format!("*={digest}"), &format!("={digest}"), &format!("crm={}", &digest[1..])]
        {
            assert_eq!(consent(text), Consent::default(), "{text}");
        }
        assert!(!consent(&format!("crm={}", digest.to_uppercase())).names("crm", &digest));
    }

    #[test]
    fn the_line_to_add_keeps_what_others_have_and_replaces_what_is_its_own() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let next = consent(&format!("crm={a},other={a}")).and("crm", &b);
        assert_eq!(next.to_string(), format!("crm={b},other={a}"));
        assert_eq!(consent(&next.to_string()), next);
    }

    #[test]
    fn the_longest_consent_fits_into_a_condition() {
        let digest = "a".repeat(64);
        let many: Vec<String> = (0..1000).map(|n| format!("{}{n:04}={digest}", "x".repeat(249))).collect();
        assert!(consent(&many.join(",")).to_string().len() < 24_000);
    }
}
