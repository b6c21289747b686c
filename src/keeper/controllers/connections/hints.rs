//! What people have to write so that a Connection gets what it needs from their Secret or ServiceAccount.

use api::connection::{CredentialOrigin, CredentialSource};
use api::reasons::connection as reasons;
use api::{Connection, NamespaceName, names};
use domain::connection::{Consent, SealRefusal, allowance, in_words, required_keys};
use kube::ResourceExt;

/// What the owner of the source has to write, and where the value would go then.
pub(super) fn consent_hint(namespace: &NamespaceName, connection: &Connection, source: &CredentialSource, consent: Consent) -> String {
    let name = connection.name_any();
    let it = source.shown();
    format!(
        "{source} does not let Connection {name} show {it} to {}. If that should be, its owner says so: kubectl annotate {} {} -n {namespace} --overwrite {}={} (or that annotation in its manifest)",
        connection.spec.endpoint(),
        source.resource(),
        source.name,
        names::CONSENT_ANNOTATION,
        consent.and(&name, &connection.spec.endpoint_digest())
    )
}

/// What the namespace's admin has to write.
pub(super) fn role_hint(namespace: &NamespaceName, connection: &Connection) -> String {
    let not_allowed = match connection.spec.credentials.origin() {
        Some(CredentialOrigin::Secret(secret)) => format!("read Secret {}", secret.name),
        Some(CredentialOrigin::ServiceAccount(account)) => format!("read ServiceAccount {} and ask for its tokens", account.name),
        Some(CredentialOrigin::Sealed(_)) | None => "read what its credentials name".to_owned(),
    };
    let rules = allowance(&connection.spec);
    let rule = if rules.len() == 1 { "rule" } else { "rules" };
    format!(
        "the keeper may not {not_allowed}: the namespace's admin allows it with `kubectl import intake {namespace}/{}`, which prints a Role in {namespace} with the {rule} {}, bound to ServiceAccount dataimporter-keeper of the system namespace",
        connection.name_any(),
        in_words(&rules)
    )
}

/// The same, for a Role that lets the keeper read a Secret that it is to delete.
pub(super) fn deletion_hint(namespace: &NamespaceName, connection: &Connection, secret: &str, said: &str) -> String {
    let name = connection.name_any();
    format!(
        "what Secret {secret} holds is stored encrypted, but the Secret is still there: the API server lets the keeper not delete it, as afterIntake Delete asks ({said}). The Role in {namespace} that lets the keeper read it needs the rule {} (`kubectl import intake {namespace}/{name}` prints it whole); or set spec.credentials.secretRef.afterIntake to Keep",
        in_words(&allowance(&connection.spec))
    )
}

/// Why a sealed credential is not taken in. Nobody can tell what it was sealed for, so what it would have to be is said whole.
pub(super) fn seal_hint(
    namespace: &NamespaceName,
    connection: &Connection,
    tenant: &str,
    region: &str,
    refusal: SealRefusal,
) -> (&'static str, String) {
    let name = connection.name_any();
    let again = format!("seal it again with `kubectl import seal` and the key that `kubectl import seal-key {region}` prints");
    match refusal {
        SealRefusal::UnknownKey => {
            let kid = connection.spec.credentials.sealed().map_or("", |sealed| sealed.kid.as_str());
            let message = format!(
                "credentials.sealed names key {kid}, which is none of region {region} in this installation, or was destroyed after its 90 days: {again}"
            );
            (reasons::SEAL_KEY_UNKNOWN, message)
        }
        SealRefusal::NotForHere => {
            let entries = required_keys(&connection.spec).join(", ");
            let message = format!(
                "credentials.sealed does not open as {entries} of Connection {namespace}/{name}, tenant {tenant}, for {}: it was sealed for something else of these, or altered; {again}",
                connection.spec.endpoint()
            );
            (reasons::SEALED_FOR_ANOTHER, message)
        }
    }
}
