//! A restore that makes objects anew, as Velero does and `kubectl apply` of a backup: what was kept for the ones of before is theirs once an
//! administrator says whose place they take, and nobody else's.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::import_run::RunReason;
use api::{Connection, ImportJob, ImportRun, Region, Tenant, Uid, conditions, names};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testkit::{Call, Line, wait_for};

use crate::bookmarks::{CANARY, Library, file};
use crate::connections::alive;
use crate::crash::Stage;
use crate::plugin::Desk;
use crate::sealed::published;
use crate::world::{BETA, Ground, HOME, REGION, SYSTEM, World, bind_tenant, spec_of};

/// UIDs of before a restore.
struct Before {
    region: String,
    tenant: String,
    all: Vec<String>,
}

/// Deletes all objects of a kind past everybody, and makes them anew from what a backup has: no UID, no status. Answers with the UIDs of before.
async fn made_anew<K>(api: Api<K>, comes_back: impl Fn(&str) -> bool) -> Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let mut before = Vec::new();
    for object in api.list(&ListParams::default()).await? {
        let name = object.name_any();
        let mut manifest = serde_json::to_value(&object)?;
        manifest["metadata"] = json!({"name": name});
        manifest.as_object_mut().context("an object")?.remove("status");
        let free = json!({"metadata": {"finalizers": null}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(free)).await?;
        api.delete(&name, &DeleteParams::default()).await?;
        wait_for("it to be gone", Duration::from_secs(10), async || Ok(api.get_opt(&name).await?.is_none().then_some(()))).await?;
        if comes_back(&name) {
            api.create(&PostParams::default(), &serde_json::from_value(manifest)?).await?;
        }
        before.push(object.uid().context("a UID")?);
    }
    Ok(before)
}

async fn restored(world: World, comes_back: impl Fn(&str) -> bool) -> Result<(Ground, Before)> {
    let World { keeper, ground, .. } = world;
    keeper.finish().await;
    let before = restore(&ground, comes_back).await?;
    Ok((ground, before))
}

/// Makes the cluster what it is after a restore, while there is no keeper. The keeper's Secrets are what they were.
async fn restore(ground: &Ground, comes_back: impl Fn(&str) -> bool) -> Result<Before> {
    let client = ground.client.clone();
    let namespaced = [
        made_anew::<Connection>(Api::namespaced(client.clone(), HOME), &comes_back).await?,
        made_anew::<ImportJob>(Api::namespaced(client.clone(), HOME), &comes_back).await?,
        made_anew::<ImportRun>(Api::namespaced(client.clone(), HOME), |_| false).await?,
    ];
    let [tenant] = made_anew::<Tenant>(Api::all(client.clone()), |_| true).await?.try_into().ok().context("one tenant")?;
    let [region] = made_anew::<Region>(Api::all(client.clone()), |_| true).await?.try_into().ok().context("one region")?;
    bind_tenant(&client).await?;
    let all = namespaced.into_iter().flatten().chain([tenant.clone(), region.clone()]).collect();
    Ok(Before { region, tenant, all })
}

async fn keeper_of(ground: Ground) -> Result<World> {
    let keeper = ground.start_keeper("keeper-0", &Line::default()).await?;
    ground.with(keeper).await
}

fn rebound(list: Option<&[Condition]>) -> Option<Condition> {
    conditions::find(list?, conditions::REBOUND).cloned()
}

async fn until_said(world: &World, status: &str, words: &str) -> Result<()> {
    let what = format!("the Tenant to say {status} and {words:?}");
    let tenant = world
        .until_tenant(&what, |tenant| {
            rebound(tenant.status.as_ref().map(|s| s.conditions.as_slice()))
                .is_some_and(|c| c.status == status && c.message.contains(words))
        })
        .await?;
    println!("{:?}", rebound(tenant.status.as_ref().map(|s| s.conditions.as_slice())).map(|c| (c.reason, c.message)));
    Ok(())
}

async fn annotate<K>(api: &Api<K>, name: &str, value: Option<&str>) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = json!({"metadata": {"annotations": {names::REBIND_ANNOTATION: value}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Tokens that the org takes.
fn issued_now(world: &World) -> BTreeSet<String> {
    world.org.tokens().into_iter().filter(|token| token.active).map(|token| token.token).collect()
}

fn said(output: &Output) -> String {
    format!("{:?}\n{}{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What of this UID the keeper still keeps.
async fn kept_of(world: &World, uids: &[String]) -> Result<Vec<String>> {
    let secrets = world.api::<Secret>(SYSTEM).list(&ListParams::default()).await?;
    let of = |secret: &&Secret| {
        let text = serde_json::to_string(&secret.metadata).unwrap_or_default();
        uids.iter().any(|uid| text.contains(uid.as_str()))
    };
    Ok(secrets.iter().filter(of).map(|secret| secret.name_any()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_makes_everything_anew_loses_nothing_once_the_keeper_is_told() -> Result<()> {
    let library = Library::open().await?;
    let first = library.run("r1", file()).await?;
    library.ends(&first, RunReason::Completed, &["1", "v0", CANARY]).await?;
    let sealed_to = published(&library.world, None).await?.kid;
    let Library { world, job, server, .. } = library;
    // Nobody could give the credentials once more.
    for secret in ["crm", "lake"] {
        world.delete::<Secret>(HOME, secret).await?;
    }
    let issued = issued_now(&world);
    ensure!(!issued.is_empty(), "control: no token was issued");

    let (ground, before) = restored(world, |_| true).await?;
    let desk = Desk::new(&ground.server)?;
    let tenants: Api<Tenant> = Api::all(ground.client.clone());
    let dry = desk.call(&["keys", "rebind", "--dry-run"]).await?;
    for words in [
        format!("Region {REGION} takes the place of {} (region-keys 2, root-key 1)", before.region),
        format!("Tenant acme takes the place of {} (bookmark 1, credential 2, key-ring 1, tokens 1)", before.tenant),
    ] {
        ensure!(dry.status.success() && said(&dry).contains(&words), "{words:?} is not in {}", said(&dry));
    }
    ensure!(!tenants.get("acme").await?.annotations().contains_key(names::REBIND_ANNOTATION), "a dry run has written");
    let asked = desk.call(&["keys", "rebind"]).await?;
    ensure!(asked.status.success(), "{}", said(&asked));

    let world = keeper_of(ground).await?;
    let waited = desk.call(&["keys", "rebind", "--wait", "--timeout", "60"]).await?;
    ensure!(waited.status.success(), "{}", said(&waited));
    println!("{}", said(&waited));

    let org = world.until_connection("crm", "Verified").await?;
    let lake = world.until_connection("lake", "Verified").await?;
    assert_eq!(lake.status.as_ref().and_then(|status| status.credential_version), Some(1));
    assert!(issued_now(&world).is_disjoint(&issued), "a token that nobody remembers lives");
    assert!(alive(&world).await? > 0, "control: the new Connection has its own");
    wait_for("nothing of before", Duration::from_secs(30), async || Ok(kept_of(&world, &before.all).await?.is_empty().then_some(())))
        .await?;

    // The job goes on where it was, what is sealed in Git opens, and the audit is one.
    let job = world.api::<ImportJob>(HOME).get(&job.name_any()).await?;
    let library = Library { world, job, org, lake, server };
    let second = library.run("r2", file()).await?;
    assert_eq!(library.bookmark(&second).await?, ["1", "v0", CANARY]);
    assert_eq!(published(&library.world, None).await?.kid, sealed_to);
    let audit = library.world.audit()?;
    for words in ["\"RegionRebound\"", "\"TenantRebound\"", "\"Rebinding\"", "\"CredentialStored\""] {
        assert!(audit.contains(words), "{words} is not in the audit");
    }
    let region = Api::<Region>::all(library.world.client.clone()).get(REGION).await?.status.unwrap_or_default().conditions;
    assert!(
        !conditions::is_true(&region, conditions::AUDIT_BROKEN) && conditions::is_true(&region, conditions::STORAGE_READY),
        "{region:?}"
    );
    assert_eq!(rebound(Some(&region)).map(|c| c.reason), Some("Done".to_owned()));

    // The annotation may stay, or go.
    until_said(&library.world, "True", &before.tenant).await?;
    annotate(&tenants, "acme", None).await?;
    library.world.until_tenant("no word of it", |t| rebound(t.status.as_ref().map(|s| s.conditions.as_slice())).is_none()).await?;
    library.world.keeper.advance(SignedDuration::ZERO).await?;
    assert_eq!(library.bookmark(&second).await?, ["1", "v0", CANARY]);
    let output = desk.call(&["keys", "rebind"]).await?;
    ensure!(said(&output).contains("Nothing of before a restore is kept"), "{}", said(&output));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_opens_for_the_same_name_and_endpoint_only_and_ends_with_the_annotation() -> Result<()> {
    let world = World::start().await?;
    let first = world.ready_connection("crm").await?.uid().context("a UID")?;
    let lost = world.ready_connection("lost").await?.uid().context("a UID")?;
    for secret in ["crm", "lost"] {
        world.delete::<Secret>(HOME, secret).await?;
    }
    let (ground, before) = restored(world, |_| false).await?;
    let asked = Desk::new(&ground.server)?.call(&["keys", "rebind"]).await?;
    ensure!(asked.status.success(), "{}", said(&asked));
    let world = keeper_of(ground).await?;
    until_said(&world, "False", "Connection acme/crm is not there").await?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    for uid in [&first, &lost] {
        assert!(world.secret_exists(&format!("connection-{uid}")).await?, "what is waited for was destroyed");
    }

    // Another name.
    world.put_connection("crm-2", spec_of(&world.org, "crm", "Keep")).await?;
    world.until_connection("crm-2", "SourceMissing").await?;
    // The name, and somebody else's server.
    let mut elsewhere = spec_of(&world.org, "crm", "Keep");
    elsewhere["salesforce"]["loginUrl"] = json!("https://127.0.0.1:9");
    world.put_connection("crm", elsewhere).await?;
    world.until_connection("crm", "NeedsReauthentication").await?;
    world.put_connection("crm", spec_of(&world.org, "crm", "Keep")).await?;
    world.until_connection("crm", "Verified").await?;
    world.poke("crm-2").await?;
    world.until_connection("crm-2", "SourceMissing").await?;
    assert!(!world.secret_exists(&format!("connection-{first}")).await?, "it is there twice");

    // Nobody comes for the other one.
    until_said(&world, "False", "Connection acme/lost is not there").await?;
    annotate(&Api::<Tenant>::all(world.client.clone()), "acme", None).await?;
    let of_tenant = [before.tenant.clone()];
    wait_for("what nobody came for to be destroyed, and its keys", Duration::from_secs(30), async || {
        world.keeper.advance(SignedDuration::ZERO).await?;
        Ok(kept_of(&world, &of_tenant).await?.is_empty().then_some(()))
    })
    .await?;
    world.poke("crm").await?;
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_who_is_there_or_across_regions() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let (tenants, regions) = (Api::<Tenant>::all(world.client.clone()), Api::<Region>::all(world.client.clone()));
    let (acme, eu) = (Uid::of(&tenants.get("acme").await?)?, regions.get(REGION).await?);
    let stored = world.everything_stored().await?.len();
    for (value, words) in
        [(acme.as_str(), "keeps what is its own"), ("../root", "is no UID"), ("11111111-1111-4111-8111-111111111111", "are not there")]
    {
        annotate(&tenants, "acme", Some(value)).await?;
        until_said(&world, "False", words).await?;
    }
    annotate(&tenants, "acme", None).await?;

    // A Region that names another one from its first moment has a root key of its own.
    let mut dallas = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "spec": eu.spec});
    dallas["metadata"] = json!({"name": "us-dallas", "annotations": {names::REBIND_ANNOTATION: eu.uid()}});
    let dallas = regions.create(&PostParams::default(), &serde_json::from_value(dallas)?).await?;
    let secrets = world.api::<Secret>(SYSTEM);
    let root = |region: &Region| format!("root-{}", region.uid().unwrap_or_default());
    let made = wait_for("a root key of its own", Duration::from_secs(20), async || Ok(secrets.get_opt(&root(&dallas)).await?)).await?;
    assert_ne!(made.data, secrets.get(&root(&eu)).await?.data, "it has the root key of a Region that is there");
    let region = wait_for("its word", Duration::from_secs(20), async || {
        Ok(rebound(regions.get("us-dallas").await?.status.as_ref().map(|s| s.conditions.as_slice())))
    })
    .await?;
    assert_eq!((region.status.as_str(), region.reason.as_str()), ("False", "Refused"));
    regions.delete("us-dallas", &DeleteParams::default()).await?;
    world.until_connection("crm", "Verified").await?;
    assert!(world.everything_stored().await?.len() >= stored, "something was taken");

    // A Tenant of another Region, with the place of one that is gone.
    let (ground, before) = restored(world, |_| true).await?;
    ground.settle_beta("us-dallas", &json!({"volume": {"name": "dallas"}})).await?;
    annotate(&tenants, BETA, Some(&before.tenant)).await?;
    let world = keeper_of(ground).await?;
    let condition = wait_for("beta's word", Duration::from_secs(30), async || {
        Ok(rebound(tenants.get(BETA).await?.status.as_ref().map(|s| s.conditions.as_slice())))
    })
    .await?;
    println!("{} {}", condition.reason, condition.message);
    assert_eq!(condition.status, "False", "{condition:?}");
    let beta = tenants.get(BETA).await?.uid().unwrap_or_default();
    let credentials = ListParams::default().labels(&format!("dataimporter.io/record=credential,dataimporter.io/tenant-uid={beta}"));
    assert!(world.api::<Secret>(SYSTEM).list(&credentials).await?.items.is_empty(), "it took a credential over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_may_die_after_any_of_its_writes_while_it_takes_over() -> Result<()> {
    let mut stage = Stage::set().await?;
    let (tenants, regions) = (Api::<Tenant>::all(stage.world.client.clone()), Api::<Region>::all(stage.world.client.clone()));
    let (mut unknown, mut with_tokens) = (BTreeSet::new(), 0);
    // Given once, and taken over from round to round.
    stage.world.ready_connection("crm").await?;
    stage.world.delete::<Secret>(HOME, "crm").await?;
    for writes in 1.. {
        let issued = issued_now(&stage.world).difference(&unknown).cloned().collect::<BTreeSet<_>>();
        with_tokens += usize::from(!issued.is_empty());
        stage.mortal.kill().await?;
        let before = restore(&stage.world, |_| true).await?;
        annotate(&regions, REGION, Some(&before.region)).await?;
        annotate(&tenants, "acme", Some(&before.tenant)).await?;
        let lived = stage.keeper_that_dies_after(Some(writes), Call::is_write).await? && stage.line.mend();
        if !lived {
            // Who dies between the org's answer and the note of it leaves a token that nobody knows of, and that may be issued a moment after
            // the death.
            stage.mortal.kill().await?;
            stage.world.org_is_quiet().await;
            unknown.extend(issued_now(&stage.world).difference(&issued).cloned());
            stage.next_keeper().await?;
        }

        let world = &stage.world;
        let round = format!("died after write {writes}");
        let connection = match world.until_connection("crm", "Verified").await {
            Ok(connection) => connection,
            Err(error) => {
                let (tenant, region) = (tenants.get("acme").await?.status, regions.get(REGION).await?.status);
                let said = [tenant.map(|status| status.conditions), region.map(|status| status.conditions)];
                return Err(error.context(format!("{round}, and Tenant and Region say {said:?}")));
            }
        };
        ensure!(connection.status.as_ref().and_then(|status| status.credential_version) == Some(1), "{round}: {:?}", connection.status);
        wait_for("nothing of before", Duration::from_secs(30), async || {
            let poke = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: jiff::Timestamp::now().to_string()}}});
            tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&poke)).await?;
            regions.patch(REGION, &PatchParams::default(), &Patch::Merge(&poke)).await?;
            Ok(kept_of(world, &before.all).await?.is_empty().then_some(()))
        })
        .await
        .context(round.clone())?;
        until_said(world, "True", &before.tenant).await.context(round.clone())?;
        ensure!(issued_now(world).is_disjoint(&issued), "{round}: a token of before lives");
        world.audit().context(round.clone())?;
        let said = regions.get(REGION).await?.status.unwrap_or_default().conditions;
        ensure!(!conditions::is_true(&said, conditions::AUDIT_BROKEN), "{round}: {said:?}");
        if lived {
            println!("died after each of {} writes", writes - 1);
            ensure!(writes > 8, "did the line go dead?");
            ensure!(with_tokens > 8, "control: a token was issued in {with_tokens} rounds only");
            return Ok(());
        }
        ensure!(writes < 100, "it comes to no end");
    }
    Ok(())
}
