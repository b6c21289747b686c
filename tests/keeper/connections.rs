//! Intake, verification, the refusal to send a stored secret elsewhere, disconnect.

use std::time::Duration;

use anyhow::Result;
use api::{Connection, ImportRun, conditions, names};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use salesforce_emulator::{Action, Fault};
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::wait_for;

use crate::world::{HOME, World, is_true, spec_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_in_shown_to_the_org_and_followed_when_it_changes() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": "wrong-at-first"})).await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Keep")).await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;

    let refused = world.until_connection("crm", "SourceForbidden").await?;
    let message = &conditions::find(&refused.status.unwrap().conditions, conditions::READY).unwrap().message.clone();
    assert!(message.contains("resourceNames: [crm], verbs: [get]}") && message.contains("kubectl import intake acme/crm"), "{message}");

    world.allow("crm").await?;
    world.poke("crm").await?;
    let refused = world.until_connection("crm", "LoginRefused").await?;
    let message = &conditions::find(&refused.status.unwrap().conditions, conditions::READY).unwrap().message.clone();
    assert!(message.contains("correct entry clientSecret of Secret crm"), "{message}");

    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.poke("crm").await?;
    let ready = world.until_connection("crm", "Verified").await?;
    let status = ready.status.clone().unwrap();
    let metadata = status.metadata.clone().unwrap();
    assert_eq!(status.credential_version, Some(2));
    assert_eq!(metadata.user.as_deref(), Some(world.org.username.as_str()));
    assert!(metadata.org_id.is_some() && metadata.system.unwrap().starts_with("Salesforce 00D"));
    assert_eq!(status.endpoint_digest, Some(ready.spec.endpoint_digest()));
    assert!(is_true(Some(&status.conditions), conditions::PLAINTEXT_SOURCE));
    assert!(ready.finalizers().iter().any(|f| f == names::CONNECTION_REVOKE_FINALIZER));

    let stored = world.everything_stored().await?;
    for secret in [world.org.client_secret.as_bytes(), hex::encode(&world.org.client_secret).as_bytes()] {
        assert!(!stored.windows(secret.len()).any(|w| w == secret), "the secret lies in the system namespace in clear");
    }
    let token = world.org.tokens().into_iter().find(|t| t.active).expect("the org issued a token").token;
    assert!(!stored.windows(token.len()).any(|w| w == token.as_bytes()), "a token lies in the system namespace in clear");
    assert!(world.audit()?.contains("CredentialStored"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_should_go_goes_unless_a_tool_would_bring_it_back() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Delete")).await?;
    world.allow("crm").await?;
    let secrets = world.api::<Secret>(HOME);
    let managed = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}});
    secrets.patch("crm", &Default::default(), &kube::api::Patch::Merge(managed)).await?;
    world.put_connection("crm", world.org_spec("crm", "Delete")).await?;
    world.until_connection("crm", "SourceManaged").await?;
    assert!(secrets.get_opt("crm").await?.is_some());

    let unmanaged = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": null}}});
    secrets.patch("crm", &Default::default(), &kube::api::Patch::Merge(unmanaged)).await?;
    world.poke("crm").await?;
    let ready = world.until_connection("crm", "Verified").await?;
    assert!(secrets.get_opt("crm").await?.is_none());
    assert!(!is_true(ready.status.as_ref().map(|s| s.conditions.as_slice()), conditions::PLAINTEXT_SOURCE));
    // Without its source the credential stays usable.
    world.poke("crm").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

/// A Role as it was written for `Keep`.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_may_not_be_deleted_is_told_with_what_the_role_lacks_and_goes_once_it_may() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Delete")).await?;
    world.allow("crm").await?;
    let reads = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["crm"], "verbs": ["get"]}]});
    let roles = world.api::<k8s_openapi::api::rbac::v1::Role>(HOME);
    roles.patch("intake-crm", &Default::default(), &kube::api::Patch::Merge(reads)).await?;
    world.put_connection("crm", world.org_spec("crm", "Delete")).await?;

    let status = world.until_connection("crm", "SourceNotDeleted").await?.status.unwrap();
    let message =
        |type_: &str| conditions::find(&status.conditions, type_).map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default();
    for words in
        [r#"resources: [secrets], resourceNames: [crm], verbs: [get, delete]"#, "kubectl import intake acme/crm", "cannot delete resource"]
    {
        assert!(message(conditions::READY).contains(words), "it does not say {words:?}: {}", message(conditions::READY));
    }
    assert!(message(conditions::PLAINTEXT_SOURCE).starts_with("NotDeleted: Secret crm is still readable"), "{status:?}");
    assert!(conditions::is_true(&status.conditions, conditions::STALLED));

    let began = std::time::Instant::now();
    world.allow("crm").await?;
    let ready = world.until_connection("crm", "Verified").await?;
    println!("the verb that was missing: {} ms", began.elapsed().as_millis());
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for the next look");
    assert!(world.api::<Secret>(HOME).get_opt("crm").await?.is_none(), "it is verified and its Secret is there");
    assert!(!is_true(ready.status.as_ref().map(|s| s.conditions.as_slice()), conditions::PLAINTEXT_SOURCE));
    Ok(())
}

/// Somebody's policy counts finalizers, or somebody forbids them.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_gets_no_finalizer_says_why() -> Result<()> {
    let world = World::start().await?;
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-finalizers}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [dataimporter.io], apiVersions: ["*"], resources: [connections], operations: [CREATE, UPDATE]}]
  validations: [{expression: "!has(object.metadata.finalizers) || object.metadata.name == 'other'", message: nobody holds objects up here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-finalizers}
spec: {policyName: no-finalizers, validationActions: [Deny]}
"#;
    testkit::apply_yaml(&world.client, policy).await?;
    let probe = json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": "probe", "finalizers": ["a.example/b"]},
        "spec": world.org_spec("crm", "Keep")
    });
    let probe: Connection = serde_json::from_value(probe)?;
    let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
    wait_for("the policy", Duration::from_secs(30), async || {
        Ok(world.api::<Connection>(HOME).create(&dry_run, &probe).await.err().filter(|error| error.to_string().contains("nobody holds")))
    })
    .await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    let status = world.until_connection("crm", "FinalizerRefused").await?.status.unwrap();
    let message = conditions::find(&status.conditions, conditions::READY).unwrap().message.clone();
    assert!(message.contains("dataimporter.io/revoke") && message.contains("nobody holds objects up here"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_secret_is_not_sent_to_another_endpoint_until_its_owner_gives_it_for_that_one() -> Result<()> {
    let world = World::start().await?;
    let evil = salesforce_emulator::Emulator::builder().start().await?;
    world.open(evil.address.port()).await?;
    world.ready_connection("crm").await?;
    world.delete::<Secret>(HOME, "crm").await?;
    let elsewhere = spec_of(&evil, "crm", "Keep");
    world.put_connection("crm", elsewhere.clone()).await?;
    world.until_connection("crm", "NeedsReauthentication").await?;
    assert!(evil.requests().is_empty(), "the other endpoint was asked");

    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world.until_connection("crm", "Verified").await?;

    world.put_secret("crm", json!({"clientSecret": evil.client_secret})).await?;
    world.consent("crm", "crm", &elsewhere).await?;
    world.put_connection("crm", elsewhere).await?;
    wait_for("control: it can be reached", Duration::from_secs(30), async || Ok((!evil.requests().is_empty()).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_login_hosts_of_salesforce_and_of_the_region_see_a_secret() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": "s"})).await?;
    world.allow("crm").await?;
    let mut spec = world.org_spec("crm", "Keep");
    spec["salesforce"]["loginUrl"] = json!(format!("https://localhost:{}", world.org.address.port()));
    world.consent("crm", "crm", &spec).await?;
    world.put_connection("crm", spec).await?;
    world.until_connection("crm", "HostRefused").await?;
    assert!(world.org.requests().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_stops_runs_revokes_every_token_and_destroys_the_record() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let uid = connection.uid().unwrap();
    let worker = world.start_run("r1", &connection, None).await?;
    assert!(alive(&world).await? > 0, "control: a token is alive before");
    world.delete::<Connection>(HOME, "crm").await?;

    let runs = world.api::<ImportRun>(HOME);
    wait_for("the run to be cancelled", Duration::from_secs(20), async || Ok(runs.get(&worker.run).await?.spec.cancelled().then_some(())))
        .await?;
    assert!(world.api::<Connection>(HOME).get_opt("crm").await?.is_some(), "the Connection waits for its run");
    world.finish_run(&worker).await?;
    let connections = world.api::<Connection>(HOME);
    wait_for("the Connection to be gone", Duration::from_secs(20), async || Ok(connections.get_opt("crm").await?.is_none().then_some(())))
        .await?;
    assert_eq!(alive(&world).await?, 0, "a token outlived the Connection");
    assert!(!world.secret_exists(&format!("connection-{uid}")).await?);
    assert!(!world.secret_exists(&format!("tokens-{uid}")).await?);
    let audit = world.audit()?;
    assert!(audit.contains("CredentialDestroyed"));
    Ok(())
}

/// How many of all the tokens that the org ever issued are alive, asked of the org itself as any client would (RFC 7662).
pub(crate) async fn alive(world: &World) -> Result<usize> {
    let authority = reqwest::Certificate::from_pem(world.org.ca_pem.clone().unwrap_or_default().as_bytes())?;
    let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?;
    let mut alive = 0;
    for issued in world.org.tokens() {
        let form = [("token", &issued.token), ("client_id", &world.org.client_id), ("client_secret", &world.org.client_secret)];
        let answer = http.post(format!("{}/services/oauth2/introspect", world.org.url)).form(&form).send().await?.error_for_status()?;
        let answer: serde_json::Value = answer.json().await?;
        alive += usize::from(answer["active"].as_bool().ok_or_else(|| anyhow::anyhow!("an introspection says {answer}"))?);
    }
    Ok(alive)
}

pub(crate) async fn until_gone(world: &World, name: &str) -> Result<()> {
    let connections = world.api::<Connection>(HOME);
    // An attempt at an org that does not answer takes half a minute, and the next one follows after fifteen seconds.
    wait_for("the Connection to be gone", Duration::from_secs(90), async || Ok(connections.get_opt(name).await?.is_none().then_some(())))
        .await
}

pub(crate) async fn nothing_is_stored(world: &World, uid: &str) -> Result<()> {
    for record in ["connection", "tokens"] {
        assert!(!world.secret_exists(&format!("{record}-{uid}")).await?, "the record {record} outlived the Connection");
    }
    Ok(())
}

/// The org is down for logins and revocations, and says whether a token is alive: once it is back, the keeper may be faster than a test.
pub(crate) fn do_not_answer_the_keeper(world: &World) {
    for call in ["*/oauth2/token", "*/oauth2/revoke"] {
        world.org.inject(Fault::new(Action::DropBefore).on("POST", call).times(u32::MAX));
    }
}

/// What the keeper said about a Connection that is gone.
pub(crate) async fn said(world: &World, reason: &str) -> Result<Option<String>> {
    let events = world.api::<k8s_openapi::api::core::v1::Event>(HOME).list(&Default::default()).await?;
    Ok(events.items.into_iter().find(|event| event.reason.as_deref() == Some(reason)).and_then(|event| event.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_org_is_down_revocation_is_pending_and_once_it_is_back_every_token_is_dead_before_the_connection_is_gone() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap();
    do_not_answer_the_keeper(&world);
    world.delete::<Connection>(HOME, "crm").await?;
    let pending = world.until_connection("crm", "RevocationPending").await?;
    let message = conditions::find(&pending.status.unwrap().conditions, conditions::READY).unwrap().message.clone();
    assert!(message.contains("could not be revoked yet"), "{message}");
    assert!(alive(&world).await? > 0, "control: while it is pending, a token is alive");
    world.org.clear_faults();
    until_gone(&world, "crm").await?;
    assert_eq!(alive(&world).await?, 0);
    assert_eq!(said(&world, "RevocationFailed").await?, None);
    nothing_is_stored(&world, &uid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_minutes_a_connection_goes_without_revocation_and_that_is_said() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap();
    world.org.inject(Fault::new(Action::DropBefore).on("POST", "*").times(u32::MAX));
    world.delete::<Connection>(HOME, "crm").await?;
    world.until_connection("crm", "RevocationPending").await?;
    world.keeper.advance(SignedDuration::from_mins(10)).await?;
    until_gone(&world, "crm").await?;
    world.org.clear_faults();
    assert!(alive(&world).await? > 0, "control: what is said is true");
    let note = said(&world, "RevocationFailed").await?.unwrap_or_default();
    assert!(note.contains("could not be revoked") && note.contains("may live until their session ends"), "{note}");
    assert!(world.audit()?.lines().any(|line| line.contains("RevocationFailed") && line.contains(&uid)), "nothing in the audit");
    nothing_is_stored(&world, &uid).await
}

/// A worker says that Salesforce refuses its token, and is wrong or lies: whatever it says, the token is not forgotten alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_worker_calls_dead_is_revoked_too() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run("r1", &connection, None).await?;
    let token = world.worker_token(&worker).await?;
    for _ in 0..3 {
        let refused = world.org.tokens().iter().map(|t| hex::encode(Sha256::digest(&t.token))).next_back();
        let session = json!({"attempt": 1, "connection": "crm", "refusedSha256": refused});
        world.post(&token, &format!("runs/{}/session", worker.uid), &session).await?.error_for_status()?;
    }
    assert!(world.org.tokens().len() >= 4 && alive(&world).await? > 0, "control: tokens were issued");
    world.finish_run(&worker).await?;
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    assert_eq!(alive(&world).await?, 0, "a token was forgotten on a worker's word");
    Ok(())
}

/// The worker hangs up, or is killed, while its token is being issued: nobody has it, and it is alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_caller_hung_up_is_written_down_and_revoked() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run("r1", &connection, None).await?;
    let token = world.worker_token(&worker).await?;
    let before = world.org.tokens();
    let refused = before.iter().map(|t| hex::encode(Sha256::digest(&t.token))).next_back().expect("the org issued a token");
    let session = json!({"attempt": 1, "connection": "crm", "refusedSha256": refused});
    world.org.inject(Fault::new(Action::SlowBody { milliseconds: 1500 }).on("POST", "*/oauth2/token"));
    let url = world.workers(&format!("runs/{}/session", worker.uid));
    let asked = world.http.post(url).bearer_auth(&token).json(&session).timeout(Duration::from_millis(700)).send().await;
    assert!(asked.is_err_and(|error| error.is_timeout()), "control: the caller hung up");
    assert_eq!(world.org.tokens().len(), before.len() + 1, "control: the org issued a token meanwhile");
    world.finish_run(&worker).await?;
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    assert_eq!(alive(&world).await?, 0, "the token that nobody got outlived the Connection");
    Ok(())
}

/// Revoking a token needs no credential, so a lost one keeps no token alive.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_revoked_though_the_credential_is_lost_and_the_endpoint_is_another() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    assert!(alive(&world).await? > 0, "control");
    let system = world.api::<Secret>(crate::world::SYSTEM);
    system.delete(&format!("connection-{}", connection.uid().unwrap()), &Default::default()).await?;
    let elsewhere = json!({"spec": {"salesforce": {"loginUrl": "https://127.0.0.1:1"}}});
    world.api::<Connection>(HOME).patch("crm", &Default::default(), &kube::api::Patch::Merge(elsewhere)).await?;
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    assert_eq!(alive(&world).await?, 0);
    Ok(())
}

/// The region holds the keys: without it nothing opens, which neither wedges the Connection or the Tenant nor is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_went_first_holds_nothing_up_and_nothing_is_claimed() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap();
    world.ready_connection("second").await?;
    world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body("a\n1\n").send().await?.error_for_status()?;
    kube::Api::<api::Region>::all(world.client.clone()).delete(crate::world::REGION, &Default::default()).await?;
    wait_for("the keeper to know", Duration::from_secs(20), async || {
        world.poke("crm").await?;
        let crm = world.api::<Connection>(HOME).get("crm").await?;
        let ready = crm.status.and_then(|s| conditions::find(&s.conditions, conditions::READY).map(|c| c.reason.clone()));
        Ok((ready.as_deref() == Some("RegionUnknown")).then_some(()))
    })
    .await?;

    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    let note = said(&world, "RevocationFailed").await?.unwrap_or_default();
    assert!(note.contains("its keys are gone"), "{note}");
    nothing_is_stored(&world, &uid).await?;

    let tenants = kube::Api::<api::Tenant>::all(world.client.clone());
    tenants.delete("acme", &Default::default()).await?;
    wait_for("the Tenant to be gone", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    assert_eq!(std::fs::read_dir(world.files()).map_or(0, Iterator::count), 0, "files of the erased tenant are on the volume");
    let left = world.api::<Secret>(crate::world::SYSTEM).list(&Default::default()).await?;
    let of_tenant = left.items.iter().filter(|s| s.labels().contains_key("dataimporter.io/tenant-uid")).count();
    assert_eq!(of_tenant, 0, "records of the erased tenant are left");
    let events = kube::Api::<k8s_openapi::api::core::v1::Event>::all(world.client.clone()).list(&Default::default()).await?;
    assert!(events.items.iter().any(|e| e.reason.as_deref() == Some("ErasedUnrevoked")), "nobody says that tokens may be alive");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_takes_its_tokens_with_it_and_waits_for_an_org_that_is_down() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    do_not_answer_the_keeper(&world);
    let tenants = kube::Api::<api::Tenant>::all(world.client.clone());
    tenants.delete("acme", &Default::default()).await?;
    let blocked = |t: &api::Tenant| {
        let status = t.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        conditions::find(status, conditions::KEYS_READY).is_some_and(|c| c.reason == "ErasureBlocked")
    };
    world.until_tenant("its erasure to wait", blocked).await?;
    assert!(alive(&world).await? > 0, "control: while it waits, a token is alive");
    world.org.clear_faults();
    wait_for("the Tenant to be gone", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    assert_eq!(alive(&world).await?, 0);
    // The Connection is left to its author, and goes without the tenant.
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await
}

/// The word that lets go of a tenant was given for another one of its name, or for none: from a manifest, or a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_let_go_unerased_only_by_a_word_about_itself() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    do_not_answer_the_keeper(&world);
    let tenants = kube::Api::<api::Tenant>::all(world.client.clone());
    let word = async |word: &str| {
        let patch = json!({"metadata": {"annotations": {"dataimporter.io/release-unerased": word}}});
        tenants.patch("acme", &Default::default(), &kube::api::Patch::Merge(patch)).await.map(drop)
    };
    word("11111111-2222-3333-4444-555555555555").await?;
    tenants.delete("acme", &Default::default()).await?;
    let blocked = |t: &api::Tenant| {
        let status = t.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        conditions::find(status, conditions::KEYS_READY).is_some_and(|c| c.reason == "ErasureBlocked")
    };
    let waiting = world.until_tenant("its erasure to wait", blocked).await?;
    let uid = waiting.metadata.uid.unwrap_or_default();
    let status = waiting.status.unwrap_or_default();
    let told = conditions::find(&status.conditions, conditions::KEYS_READY).map(|c| c.message.clone()).unwrap_or_default();
    assert!(told.contains(&format!("dataimporter.io/release-unerased={uid}")), "the line to write is not told: {told}");
    word(&uid).await?;
    wait_for("the Tenant to be let go", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(())))
        .await?;
    let events = kube::Api::<k8s_openapi::api::core::v1::Event>::all(world.client.clone()).list(&Default::default()).await?;
    assert!(events.items.iter().any(|e| e.reason.as_deref() == Some("ReleasedUnerased")), "nobody says that it was not erased");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_connection_keeps_its_last_word() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let mut spec = world.org_spec("crm", "Keep");
    spec["suspend"] = json!(true);
    world.put_connection("crm", spec).await?;
    world.put_secret("crm", json!({"clientSecret": "changed"})).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let connection = world.until_connection("crm", "Verified").await?;
    let status = connection.status.unwrap();
    assert_eq!(status.credential_version, Some(1));
    let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
    assert_eq!((status.observed_generation, ready.observed_generation), (connection.metadata.generation, connection.metadata.generation));

    // Of another endpoint, which nothing was shown to, it says nothing good.
    let mut elsewhere = world.org_spec("crm", "Keep");
    elsewhere["suspend"] = json!(true);
    elsewhere["salesforce"]["loginUrl"] = json!("https://127.0.0.1:1");
    world.put_connection("crm", elsewhere).await?;
    world.until_connection("crm", "Suspended").await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world.until_connection("crm", "LoginRefused").await?;
    Ok(())
}
