//! Tokens of a ServiceAccount in place of a secret: who lets us have them, to whom they are shown, and that nobody keeps one.

use anyhow::{Context, Result};
use api::keeper::{IDENTITY_TOKEN, Lease, SourceCredential};
use api::{Connection, Region, conditions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::buckets::{DENIED, bucket, reads_from};
use crate::world::{HOME, REGION, SYSTEM, World};
use testkit::apply_yaml;

const KEY: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
    <AccessKeyId>ASIALAKE</AccessKeyId><SecretAccessKey>hush</SecretAccessKey><SessionToken>FwoG</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

/// What the namespace's admin writes: the keeper reads the ServiceAccount, and may ask for its tokens, too.
async fn allow(world: &World, tokens: bool) -> Result<()> {
    let of_tokens = r#", {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [loader], verbs: [create]}"#;
    let yaml = format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: tokens-loader, namespace: {HOME}}}
rules: [{{apiGroups: [""], resources: [serviceaccounts], resourceNames: [loader], verbs: [get]}}{}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: tokens-loader, namespace: {HOME}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: tokens-loader}}
subjects: [{{kind: ServiceAccount, name: dataimporter-keeper, namespace: {SYSTEM}}}]
"#,
        if tokens { of_tokens } else { "" }
    );
    apply_yaml(&world.client, &yaml).await?;
    world.api::<Role>(HOME).get("tokens-loader").await?;
    Ok(())
}

async fn consent(world: &World, consent: Option<&str>) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"dataimporter.io/consent": consent}}});
    world.api::<ServiceAccount>(HOME).patch("loader", &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn says(world: &World, reason: &str, words: &[&str]) -> Result<Connection> {
    let connection = world.until_connection("lake", reason).await?;
    let status = connection.status.as_ref().context("a status")?;
    let message = &conditions::find(&status.conditions, conditions::READY).context("Ready")?.message;
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    Ok(connection)
}

/// The claims of the token in a form.
fn claims(form: &str) -> Result<Value> {
    claims_of(form, "WebIdentityToken=")
}

fn claims_of(form: &str, field: &str) -> Result<Value> {
    let (_, rest) = form.split_once(field).context("a token")?;
    let token = rest.split(['&', '\r', '\n']).next().context("its text")?;
    let payload = token.split('.').nth(1).context("its claims")?;
    Ok(serde_json::from_slice(&BASE64URL.decode(payload)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_with_tokens_that_their_owner_allows_and_nobody_keeps() -> Result<()> {
    let world = World::start().await?;
    let org = world.ready_connection("crm").await?;
    let (server, mut spec) = bucket(&[KEY, DENIED, KEY, DENIED, KEY, DENIED]).await;
    spec["s3"]["auth"] = json!({"webIdentity": {"roleArn": "arn:aws:iam::123456789012:role/reader"}});
    spec["credentials"] = json!({"serviceAccountRef": {"name": "loader"}});
    let endpoints = json!([{"cidr": "127.0.0.1/32", "ports": [server.port, world.org.address.port()], "tenants": ["acme"]}]);
    let listed = json!({"spec": {"privateEndpoints": endpoints}});
    Api::<Region>::all(world.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(listed)).await?;

    world.put_connection("lake", spec.clone()).await?;
    says(&world, "SourceForbidden", &["ask for its tokens", "resources: [serviceaccounts/token]", "kubectl import intake acme/lake"])
        .await?;
    allow(&world, false).await?;
    says(&world, "SourceMissing", &["ServiceAccount loader is not there"]).await?;
    apply_yaml(&world.client, &format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: loader, namespace: {HOME}}}\n")).await?;
    says(&world, "ConsentMissing", &["show tokens of it to S3", "role/reader", "kubectl annotate serviceaccount loader"]).await?;
    let described: api::ConnectionSpec = serde_json::from_value(spec.clone())?;
    let consented = format!("lake={}", described.endpoint_digest());
    consent(&world, Some(&consented)).await?;
    // The rule about tokens is still missing: nobody was shown one.
    says(&world, "SourceForbidden", &["serviceaccounts/token"]).await?;
    assert_eq!(server.asked(), Vec::<String>::new());
    allow(&world, true).await?;
    world.poke("lake").await?;
    let lake = says(&world, "Verified", &["accepted us as arn:aws:iam::123456789012:role/reader"]).await?;

    let asked = server.asked();
    let told = claims(&asked[0])?;
    assert_eq!(told["sub"], "system:serviceaccount:acme:loader");
    assert_eq!(told["aud"], json!(["sts.amazonaws.com"]));
    let life = told["exp"].as_i64().context("an end")? - told["iat"].as_i64().context("a beginning")?;
    assert!((600..=607).contains(&life), "{life} s");

    let worker = world
        .start_run_of("r1", &org, None, |snapshot| {
            reads_from(snapshot, &lake, json!({"file": {"connectionRef": {"name": "lake"}, "path": "in/a.csv"}}));
        })
        .await?;
    let token = world.worker_token(&worker).await?;
    let (lease, source) = (format!("runs/{}/lease", worker.uid), format!("runs/{}/source", worker.uid));
    let answer = world.post(&token, &lease, &json!({"attempt": 1})).await?;
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
    let lease: Lease = answer.json().await?;
    let first = one_entry(lease.source)?;
    assert!(first.starts_with("eyJ") && !first.contains("hush"));
    // Another one, as often as a run needs it.
    let again = one_entry(world.post(&token, &source, &json!({"attempt": 1})).await?.error_for_status()?.json().await?)?;
    assert!(again.starts_with("eyJ"));
    assert_eq!(world.post(&token, &source, &json!({"attempt": 2})).await?.status().as_u16(), 403, "another attempt");

    let (stored, audit) = (world.everything_stored().await?, world.audit()?);
    let signature = |token: &str| token.rsplit('.').next().unwrap_or_default().to_owned();
    for token in [&first, &again] {
        let signature = signature(token);
        assert!(signature.len() > 80 && !audit.contains(&signature), "the audit has a token");
        assert!(!stored.windows(signature.len()).any(|part| part == signature.as_bytes()), "a token is stored");
    }
    let record = b"serviceaccount/loader";
    assert!(stored.windows(record.len()).any(|part| part == record), "the control: the record of who consented is there");

    // A token that opens the cluster itself goes nowhere, whoever consented.
    let issuer = claims(&asked[0])?["iss"].clone();
    let before = server.asked().len();
    for (name, audience) in [("own", issuer), ("ours", json!("dataimporter-files.eu.some-installation"))] {
        let mut own = spec.clone();
        own["credentials"]["serviceAccountRef"]["audience"] = audience;
        let described: api::ConnectionSpec = serde_json::from_value(own.clone())?;
        consent(&world, Some(&format!("{consented},{name}={}", described.endpoint_digest()))).await?;
        world.put_connection(name, own).await?;
        world.until_connection(name, "AudienceRefused").await?;
    }
    assert_eq!(server.asked().len(), before, "the server was shown something");

    // Taken back: no token any more, neither for the run nor for a look.
    consent(&world, None).await?;
    let refused = world.post(&token, &source, &json!({"attempt": 1})).await?;
    let (status, said) = (refused.status().as_u16(), refused.text().await?);
    assert!(status == 403 && said.contains("AuthorizationFailed"), "{status}: {said}");
    world.poke("lake").await?;
    says(&world, "ConsentMissing", &[]).await?;
    assert!(world.audit()?.contains("ConsentWithdrawn"));
    Ok(())
}

const ACCESS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 72\r\n\r\n\
    {\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-to-all\"}";
const MAY_NOT: &str = "HTTP/1.1 403 Forbidden\r\nx-ms-error-code: AuthorizationPermissionMismatch\r\ncontent-length: 0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_azure_is_shown_tokens_for_its_own_audience() -> Result<()> {
    let world = World::start().await?;
    let (server, of_s3) = bucket(&[ACCESS, MAY_NOT]).await;
    world.open(server.port).await?;
    let endpoint = &of_s3["s3"]["endpoint"];
    let identity = json!({
        "tenantId": "ab1f708d-50f6-404c-a006-d71b2ac7a606", "clientId": "f997392c-e15a-4ad8-af9e-cd6966caba7f", "authorityHost": endpoint,
    });
    let spec = json!({
        "azureBlob": {
            "endpoint": endpoint, "account": "acme", "container": "exports", "auth": {"workloadIdentity": identity},
            "tls": of_s3["s3"]["tls"],
        },
        "credentials": {"serviceAccountRef": {"name": "loader"}},
    });
    apply_yaml(&world.client, &format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: loader, namespace: {HOME}}}\n")).await?;
    allow(&world, true).await?;
    let described: api::ConnectionSpec = serde_json::from_value(spec.clone())?;
    assert!(described.endpoint().contains("by tokens for api://AzureADTokenExchange"), "{}", described.endpoint());
    consent(&world, Some(&format!("lake={}", described.endpoint_digest()))).await?;
    world.put_connection("lake", spec).await?;
    says(&world, "Verified", &["accepted us as f997392c-e15a-4ad8-af9e-cd6966caba7f"]).await?;
    let asked = server.asked();
    assert_eq!(claims_of(&asked[0], "client_assertion=")?["aud"], json!(["api://AzureADTokenExchange"]));
    assert!(asked[1].contains("authorization: Bearer access-to-all"), "{}", asked[1]);
    assert!(!world.audit()?.contains("access-to-all"));
    // What was accepted an hour ago is of no use without the ServiceAccount.
    world.delete::<ServiceAccount>(HOME, "loader").await?;
    world.poke("lake").await?;
    says(&world, "SourceMissing", &["ServiceAccount loader is not there: create it"]).await?;
    Ok(())
}

fn one_entry(source: Option<SourceCredential>) -> Result<String> {
    let Some(SourceCredential::Entries(mut entries)) = source else { anyhow::bail!("no entries were handed out") };
    let token = entries.remove(IDENTITY_TOKEN).context("a token")?;
    assert!(entries.is_empty(), "nothing else is handed out");
    Ok(token.expose().to_owned())
}
