//! An installation that serves no region yet: it refuses what it would serve, and says which value is missing.

use api::{Region, Tenant};
use kube::Api;
use kube::api::PostParams;
use serde::de::DeserializeOwned;
use testkit::wait_for;

use crate::rights::rights_of;
use crate::support::{SOON, World, tenant_yaml};

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_and_region_is_refused_with_the_value_that_is_missing() {
    let world = World::without_operator().await;
    world.apply(&rights_of(&[])).await;
    let dry_run = PostParams { dry_run: true, field_manager: None };
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    let tenant = read(&tenant_yaml("acme", &["acme"]));
    // Policies take effect some seconds after they are written.
    let refused = wait_for("the policy", SOON, async || Ok(tenants.create(&dry_run, &tenant).await.err())).await.unwrap().to_string();
    assert!(refused.contains("serves no region yet") && refused.contains("chart's value regions"), "{refused}");

    let regions: Api<Region> = Api::all(world.client.clone());
    let mut region = regions.get("eu-frankfurt").await.unwrap();
    region.metadata = kube::core::ObjectMeta { name: Some("us-dallas".into()), ..Default::default() };
    let refused = regions.create(&dry_run, &region).await.unwrap_err().to_string();
    assert!(refused.contains("serves no region yet"), "{refused}");

    // One value later the same are served: what stands above is no refusal of the objects themselves.
    world.apply(&rights_of(&["eu-frankfurt", "us-dallas"])).await;
    wait_for("the policy of two regions", SOON, async || Ok(tenants.create(&dry_run, &tenant).await.ok())).await.unwrap();
    regions.create(&dry_run, &region).await.unwrap();
}
