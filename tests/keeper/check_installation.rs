//! What `helm test` runs, against a real keeper: its health, both of its certificates, and what is said when one of them is wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::Result;
use dataimporter::check_installation::{Args, Outcome, check};
use runtime::health::{self, Health};
use runtime::metrics::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::world::{SYSTEM, World};

/// Serves what `health` knows; answers with the address of its readiness.
async fn served(health: &Health) -> Result<String> {
    let free = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?.local_addr()?;
    tokio::spawn(health::serve(free, health.clone(), Metrics::new(), CancellationToken::new()));
    Ok(format!("http://{free}/readyz"))
}

fn said(outcomes: &[Outcome]) -> Vec<bool> {
    outcomes.iter().map(|outcome| outcome.passed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_well_passes_and_what_is_wrong_is_named() -> Result<()> {
    let world = World::start().await?;
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, world.keeper.ca_pem())?;
    let operator = Health::new(Instant::now());
    operator.ready();
    let args = Args {
        namespace: SYSTEM.into(),
        ca_file,
        gateway_port: 443,
        timeout_seconds: 30,
        import: None,
        import_timeout_seconds: 30,
        operator: Some(served(&operator).await?.parse()?),
        keeper: Some(served(&world.keeper.health).await?.parse()?),
        workers: Some(format!("https://{}/", world.keeper.worker_address).parse()?),
        gateway: Some(format!("https://{}/", world.keeper.gateway_address).parse()?),
    };
    let well = check(&args).await?;
    assert_eq!(said(&well), [true; 4], "{well:?}");
    assert!(well[3].line.starts_with("ok      keeper has a certificate for people (https://"), "{}", well[3].line);

    // One that waits says for what; one that nobody listens at is not there.
    operator.waiting_for("the keeper's first start");
    let free = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?.local_addr()?;
    let short = Args { timeout_seconds: 0, keeper: Some(format!("http://{free}/readyz").parse()?), ..args.clone() };
    let waiting = check(&short).await?;
    assert_eq!(said(&waiting), [false, false, true, true], "{waiting:?}");
    assert!(
        waiting[0].line.contains("503 Service Unavailable: waiting for the keeper's first start; look at: kubectl"),
        "{}",
        waiting[0].line
    );
    assert!(waiting[1].line.contains("it cannot be reached"), "{}", waiting[1].line);

    // Another authority, as an installation before this one left it.
    let key = rcgen::KeyPair::generate()?;
    let other = rcgen::CertificateParams::new(Vec::new())?.self_signed(&key)?.pem();
    std::fs::write(&args.ca_file, other)?;
    let strange = check(&short).await?;
    assert_eq!(said(&strange), [false; 4], "{strange:?}");
    assert!(strange[2].line.contains("invalid peer certificate"), "{}", strange[2].line);

    // None at all.
    std::fs::remove_file(&args.ca_file)?;
    let unpublished = check(&short).await?;
    assert!(
        unpublished[3].line.contains("the keeper has not published its authority yet: ConfigMap dataimporter-public"),
        "{unpublished:?}"
    );
    Ok(())
}
