//! What the first import stored opens for ever: rings of format 1, whose keys do not say who wrapped them, and what was sealed under them.
//! `first-import/stored.json` was written by the version before format 2 and is never written again.

use std::collections::BTreeSet;

use bytes::BytesMut;
use envelope::stream::Opener;
use envelope::{EncryptionContext, FileRoot, KeyRing, Kid, Purpose, RootCustody, Scope, SecretRoot, TenantKey, TenantRing};
use serde_json::Value;

fn stored() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/first-import/stored.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(stored: &Value, name: &str) -> Vec<u8> {
    hex::decode(stored[name].as_str().unwrap()).unwrap()
}

fn scope() -> Scope {
    Scope {
        region: "eu-frankfurt".into(),
        installation_uid: "5d0c6d0a-1f0e-4b5e-9d57-9b2d7e6f0a11".into(),
        tenant_uid: "9f3b8c52-7d0d-4a27-8c1c-0c6a4d1e2f33".into(),
    }
}

fn context(kind: &str, name: &str, uid: &str, fields: &[&str]) -> EncryptionContext {
    EncryptionContext {
        scope: scope(),
        namespace: "acme".into(),
        kind: kind.into(),
        name: name.into(),
        uid: uid.into(),
        endpoint_digest: String::new(),
        field_set: fields.iter().map(|field| (*field).to_owned()).collect::<BTreeSet<_>>(),
    }
}

fn unlocked(ring: &TenantRing, root: &dyn RootCustody) -> KeyRing {
    let unwrap = |(kid, wrapped): (Kid, &envelope::WrappedKey)| -> TenantKey {
        root.unwrap(kid, &TenantRing::context(&scope(), kid), &wrapped.ciphertext).unwrap_or_else(|error| panic!("{error}"))
    };
    let keys: Vec<TenantKey> = ring.wrapped().map(unwrap).collect();
    ring.unlock(&scope(), keys).unwrap_or_else(|error| panic!("{error}"))
}

fn opens_everything(ring: &KeyRing, stored: &Value) {
    let credential = ring.open(Purpose::Credential, &context("Connection", "crm", "c-1", &["clientSecret"]), &bytes(stored, "credential"));
    let credential = credential.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(credential.plaintext.as_slice(), br#"{"clientSecret":"73657373"}"#);
    assert_eq!((credential.version, credential.stale), (3, true));

    let key_of_file = context("Upload", "airports", "f-1", &["key", "notAfter=2026-11-27T01:00:00Z"]);
    let key = ring.open_file_key(&key_of_file, &bytes(stored, "fileKey")).unwrap_or_else(|error| panic!("{error}"));
    let mut opener = Opener::new(key, context("Upload", "airports", "f-1", &[]));
    let mut plain = BytesMut::new();
    opener.update(&bytes(stored, "file"), &mut plain).unwrap();
    opener.finish(&mut plain).unwrap();
    assert_eq!(&plain[..], b"Name,City\nFRA,Frankfurt\n");

    let audit_key = ring.audit_key().unwrap_or_else(|error| panic!("{error}"));
    assert!(audit_key.verifies(&[7; 32], &bytes(stored, "auditMac")), "lines of the audit stay provable");
}

#[test]
fn a_ring_of_format_1_under_a_root_key_in_a_secret_opens_and_is_written_on_in_format_2() {
    let stored = stored();
    let root = SecretRoot::parse(stored["rootKeys"]["secret"].as_str().unwrap().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let text = stored["rings"]["secret"].as_str().unwrap();
    assert!(text.contains(r#""format":1"#), "control: it is the old format");
    let ring = TenantRing::from_json(text.as_bytes(), "secret").unwrap_or_else(|error| panic!("{error}"));
    let kids: Vec<String> = ring.entries().map(|entry| entry.kid().to_string()).collect();
    assert_eq!(Value::from(kids), stored["kids"]);
    assert!(ring.wrapped().all(|(_, wrapped)| wrapped.provider == "secret"));
    assert_eq!(ring.wrapped_under().len(), 2, "two root keys wrapped them");
    opens_everything(&unlocked(&ring, &root), &stored);

    let written: Value = serde_json::from_slice(&ring.to_json()).unwrap();
    assert_eq!(written["format"], 2);
    for (key, (_, wrapped)) in written["keys"].as_array().unwrap().iter().zip(ring.wrapped()) {
        assert_eq!((&key["wrapped"]["provider"], &key["material"]), (&Value::from("secret"), &Value::Null));
        assert_eq!(key["wrapped"]["keyVersion"], *wrapped.key_version);
    }
    let again = TenantRing::from_json(&ring.to_json(), "somebody else").unwrap_or_else(|error| panic!("{error}"));
    assert!(again.wrapped().all(|(_, wrapped)| wrapped.provider == "secret"), "a ring that says it is believed");
    opens_everything(&unlocked(&again, &root), &stored);
}

#[test]
fn a_ring_of_format_1_under_a_root_key_in_a_file_opens() {
    let stored = stored();
    let root = FileRoot::parse(stored["rootKeys"]["file"].as_str().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    let ring =
        TenantRing::from_json(stored["rings"]["file"].as_str().unwrap().as_bytes(), "file").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ring.wrapped_under(), [(root.kids().nth(1).unwrap().to_string(), 1)].into(), "wrapped under the file's second line");
    let of_connection = context("Connection", "erp", "c-2", &["password"]);
    let opened = unlocked(&ring, &root).open(Purpose::Credential, &of_connection, &bytes(&stored, "credentialUnderFileRoot"));
    assert_eq!(opened.unwrap_or_else(|error| panic!("{error}")).plaintext.as_slice(), br#"{"password":"68756e74657232"}"#);
}
