//! The digest and the words of an endpoint, and what a status holds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Connection;

fn postgres(edit: impl Fn(&mut Postgres)) -> ConnectionSpec {
    let mut pg = Postgres {
        host: "db".into(),
        port: None,
        database: "crm".into(),
        auth: None,
        user: "reader".into(),
        tls: None,
        allow_insecure_password_authentication: None,
    };
    edit(&mut pg);
    spec(json!({"postgres": pg}))
}

/// A Connection as a person writes it.
fn spec(mut system: Value) -> ConnectionSpec {
    system["credentials"] = json!({"secretRef": {"name": "s", "afterIntake": "Keep"}});
    serde_json::from_value(system).unwrap()
}

#[test]
fn the_endpoint_digest_moves_with_every_part_of_the_servers_identity() {
    let base = postgres(|_| ()).endpoint_digest();
    let edits: [fn(&mut Postgres); 7] = [
        |p| p.host = "db2".into(),
        |p| p.port = Some(5433),
        |p| p.database = "x".into(),
        |p| p.user = "x".into(),
        |p| p.tls = Some(Tls { ca_bundle: Some("pem".into()), server_name: None }),
        |p| p.tls = Some(Tls { ca_bundle: None, server_name: Some("pem".into()) }),
        |p| p.allow_insecure_password_authentication = Some(true),
    ];
    let digests: BTreeSet<_> = edits.iter().map(|e| postgres(e).endpoint_digest()).collect();
    assert_eq!(digests.len(), edits.len());
    assert!(!digests.contains(&base));
}

/// Consents that people have given name these digests, and stored credentials are bound to them.
#[test]
fn endpoint_digests_stay_what_they_are() {
    for (system, digest) in [
        (
            json!({"salesforce": {"myDomain": "acme", "auth": {"clientCredentials": {"clientId": "3MVG"}}}}),
            "ca4c694e32222d7fc124286426ff3abd019f7d4372ef31bde76c0ec5bf00cd79",
        ),
        (
            json!({"salesforce": {
                "loginUrl": "https://login.emulator:8443/", "tls": {"caBundle": "pem"},
                "auth": {"jwtBearer": {"clientId": "3MVG", "username": "ada@acme.example"}},
            }}),
            "f668b84a03b041d0e0b627b7b3e8c64cb6beb42e27a84af33b20754449aed5ad",
        ),
        (
            json!({"postgres": {"host": "db", "database": "crm", "user": "reader"}}),
            "fd02b0361071717f9a4eabf8c9106aafabb9594f3bba281baa8457902e0b0979",
        ),
        (
            json!({"postgres": {
                "host": "db", "port": 5433, "database": "crm", "user": "reader",
                "tls": {"caBundle": "pem", "serverName": "db.example"}, "allowInsecurePasswordAuthentication": true,
            }}),
            "9d071c3a41ea656700c9d73403ea9badc58adce50cf4091f655f6968a98243d5",
        ),
        (
            json!({"mysql": {"host": "db", "database": "crm", "user": "reader"}}),
            "14c9c07a11751ed9b24865965195de9c5ffdcb9149548365eb2daed842b88dce",
        ),
        (
            json!({"mysql": {
                "host": "db", "port": 3307, "database": "crm", "user": "reader", "tls": {"caBundle": "pem", "serverName": "db.example"},
            }}),
            "456f9716f9bb8848f117b24326a37212de69e25048ff3cbca4c6f7421a156f8d",
        ),
        (
            json!({"sqlServer": {"host": "db", "database": "crm", "user": "reader"}}),
            "275c66003d3237d3b022d839e2386d71a3bb2b4204daa42adfceba0dd3b21f12",
        ),
        (
            json!({"sqlServer": {
                "host": "db", "port": 1434, "database": "crm", "user": "reader", "tls": {"caBundle": "pem", "serverName": "db.example"},
            }}),
            "2744e8debd3d81be2bc578f002569e249fca82364d9b7e5efdc098366fbe2a5f",
        ),
        // Who gets the password is the same.
        (
            json!({"sqlServer": {"host": "db", "database": "crm", "user": "reader", "strictEncryption": true}}),
            "275c66003d3237d3b022d839e2386d71a3bb2b4204daa42adfceba0dd3b21f12",
        ),
        (json!({"s3": {"bucket": "lake", "region": "eu-central-1"}}), "d9b6aa149f620b5d6113b36eb4da06b2d2ab4174090e7d39d3732be311a894b5"),
        (
            json!({"s3": {
                "endpoint": "https://minio.example:9000/", "bucket": "lake", "region": "us-east-1", "tls": {"caBundle": "pem"},
            }}),
            "5046e0169e13087090bc7f075b2e7a2217a4103f14c6e3191df4d943d162f874",
        ),
    ] {
        assert_eq!(spec(system.clone()).endpoint_digest(), digest, "{system}");
    }
}

#[test]
fn what_has_no_system_that_we_know_or_two_of_them_is_none() {
    let org = json!({"myDomain": "acme", "auth": {"clientCredentials": {"clientId": "3MVG"}}});
    let database = json!({"host": "db", "database": "crm", "user": "reader"});
    assert!(matches!(spec(json!({"salesforce": org})).system(), Some(System::Salesforce(_))));
    assert!(matches!(spec(json!({"postgres": database})).system(), Some(System::Postgres(_))));
    assert!(matches!(spec(json!({"mysql": database})).system(), Some(System::MySql(_))));
    assert!(matches!(spec(json!({"sqlServer": database})).system(), Some(System::SqlServer(_))));
    assert!(matches!(spec(json!({"s3": {"bucket": "lake", "region": "r"}})).system(), Some(System::S3(_))));
    let sftp = json!({"host": "h", "user": "u", "hostKeys": ["SHA256:a"], "auth": {"password": {}}});
    assert!(matches!(spec(json!({"sftp": sftp})).system(), Some(System::Sftp(_))));
    assert!(matches!(spec(json!({"https": {"url": "https://s", "auth": {"bearer": {}}}})).system(), Some(System::Https(_))));
    for unknown in [
        json!({}),
        json!({"oracle": {"host": "db"}}),
        json!({"salesforce": org, "postgres": database}),
        json!({"postgres": database, "mysql": database}),
    ] {
        let spec = spec(unknown.clone());
        assert_eq!((spec.system(), spec.login(), spec.endpoint().as_str()), (None, None, ""), "{unknown}");
    }
    let no_way_in = spec(json!({"salesforce": {"myDomain": "acme", "auth": {"deviceFlow": {}}}}));
    assert_eq!((no_way_in.system().is_some(), no_way_in.login()), (true, None));
}

#[test]
fn no_two_systems_have_the_same_name_or_field() {
    let names: BTreeSet<_> = SystemKind::ALL.iter().map(|kind| kind.profile().name).collect();
    let logins: Vec<_> = SystemKind::ALL.iter().flat_map(|kind| kind.profile().logins).collect();
    let fields: BTreeSet<_> = logins.iter().map(|login| login.field).collect();
    assert_eq!((names.len(), fields.len()), (SystemKind::ALL.len(), logins.len()));
    for kind in SystemKind::ALL {
        assert!(kind.profile().logins.iter().all(|login| login.field.starts_with(&format!("spec.{}", kind.key()))), "{kind:?}");
    }
}

#[test]
fn who_only_asks_what_it_is_to_gets_no_certificate() {
    for system in [
        json!({"salesforce": {"loginUrl": "https://l", "tls": {"caBundle": "pem"}, "auth": {"clientCredentials": {"clientId": "c"}}}}),
        json!({"postgres": {"host": "db", "database": "crm", "user": "reader", "tls": {"caBundle": "pem", "serverName": "s"}}}),
        json!({"mysql": {"host": "db", "database": "crm", "user": "reader", "tls": {"caBundle": "pem", "serverName": "s"}}}),
        json!({"sqlServer": {"host": "db", "database": "crm", "user": "reader", "tls": {"caBundle": "pem", "serverName": "s"}}}),
        json!({"s3": {"endpoint": "https://s", "bucket": "lake", "region": "r", "tls": {"caBundle": "pem"}}}),
        json!({"gcs": {"endpoint": "https://s", "bucket": "lake", "tls": {"caBundle": "pem"}}}),
        json!({"azureBlob": {"endpoint": "https://s", "account": "acme", "container": "lake", "auth": {"sas": {}}, "tls": {"caBundle": "pem"}}}),
        json!({"https": {"url": "https://s", "auth": {"bearer": {}}, "tls": {"caBundle": "pem"}}}),
    ] {
        let mut spec = spec(system);
        let kind = spec.system().unwrap().kind();
        assert!(serde_json::to_string(&spec).unwrap().contains("caBundle"));
        spec.forget_certificates();
        assert!(!serde_json::to_string(&spec).unwrap().contains("caBundle"));
        assert_eq!(spec.system().map(System::kind), Some(kind));
        spec.forget_system();
        assert_eq!(spec.system(), None);
    }
}

#[test]
fn the_endpoint_in_words_names_what_decides_who_gets_the_secret() {
    let tls = Tls { ca_bundle: Some("pem".into()), server_name: Some("db.example".into()) };
    let text = postgres(|p| p.tls = Some(tls.clone())).endpoint();
    assert_eq!(
        text,
        "PostgreSQL db:5432, database crm as reader, trusting the authorities of its caBundle, with the certificate of db.example"
    );
    assert_eq!(postgres(|p| p.user = "a\n---\nb\u{1b}".into()).endpoint(), "PostgreSQL db:5432, database crm as a --- b ");
}

#[test]
fn the_endpoint_digest_ignores_what_is_not_the_server() {
    let mut other = postgres(|p| {
        p.port = Some(5432);
        p.allow_insecure_password_authentication = Some(false);
    });
    other.suspend = Some(true);
    assert_eq!(other.endpoint_digest(), postgres(|_| ()).endpoint_digest());
}

proptest! {
    /// Whatever a system says of itself, the API server takes the status: it counts characters, not bytes.
    #[test]
    fn a_status_holds_whatever_a_system_says(unit in "\\PC{1,3}|.", times in 0_usize..3000) {
        let said = Some(unit.repeat(times));
        let metadata = ConnectionMetadata { system: said.clone(), user: said.clone(), org_id: said.clone(), instance_url: said };
        let metadata = serde_json::to_value(metadata.cut()).unwrap();
        let crd = serde_json::to_value(<Connection as kube_core::CustomResourceExt>::crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let fields = &schema["properties"]["status"]["properties"]["metadata"]["properties"];
        for (field, text) in metadata.as_object().unwrap() {
            let most = fields[field]["maxLength"].as_u64().unwrap() as usize;
            prop_assert!(text.as_str().unwrap().chars().count() <= most, "{field}");
        }
    }
}
