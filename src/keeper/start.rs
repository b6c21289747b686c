//! The order in which a keeper comes up: know the time, know itself, see every object, clear away what it had begun, and only then say
//! ready. What only one keeper does it begins when it leads (`lead`); without an election it has swept before it says ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use api::names;
use connect::{AddressPolicy, Dialer};
use jiff::SignedDuration;
use kube::{Client, Config, ResourceExt};
use runtime::events::Events;
use runtime::health::{self, Health};
use runtime::listen::{Limits, Listener};
use runtime::metrics::Metrics;
use runtime::work::Queue;
use runtime::write::Writer;
use runtime::{logs, shutdown};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::args::Args;
use super::audit::Audit;
use super::base::clock::Clock;
use super::base::cluster::Cluster;
use super::base::error::{Error, Result};
use super::base::records::Records;
use super::controllers::{Controllers, ownerless};
use super::files::{FileStore, sweeper};
use super::identity::authority::Authority;
use super::identity::{farewell, installation};
use super::lead::{self, Candidacy, Duties};
use super::listeners::gateway::{self, Gateway};
use super::listeners::serve::{self, Speaks};
use super::listeners::workers::{self, Workers};
use super::storage::Storages;
use super::vault::Vault;
use super::vault::custody::Custodies;
use super::vault::egress::Egress;
use super::vault::region_keys::RegionKeys;
use super::vault::region_rings::RegionRings;
use super::wiring::{self, Key, Stores};

const CLOCK_INTERVAL: Duration = Duration::from_secs(30);
/// How often this keeper tells what it alone knows. What a crash can take from the end of the audit unnoticed is younger than this.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// How often the authority and what is published of it are looked at.
const AUTHORITY_INTERVAL: Duration = Duration::from_secs(300);
/// While a region's storage or the API server is away, the start is tried again.
const START_RETRY: Duration = Duration::from_secs(5);

/// How long everything under way has when the installation ends.
const ORDERLY_END: Duration = Duration::from_secs(20);

/// A keeper at work. Dropping it ends it at once; `finish` ends it in order.
pub struct Running {
    pub worker_address: SocketAddr,
    pub gateway_address: SocketAddr,
    pub installation: String,
    pub health: Health,
    pub metrics: Metrics,
    rooms: Rooms,
    trust: Arc<Trust>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Lets time pass for everything that expires, and sweeps: how a rehearsal sees an hour go by.
    pub async fn advance(&self, by: SignedDuration) -> anyhow::Result<()> {
        self.rooms.cluster.clock.advance(by);
        self.trust.tend(&self.rooms.cluster).await.map_err(chain)?;
        sweeper::sweep(&self.rooms.files, true, true).await.map_err(chain)?;
        ownerless::round(&self.rooms.controllers).await.map_err(chain)
    }

    /// Goes on as if this machine's clock were wrong by this much.
    pub async fn misset_clock(&self, by: SignedDuration) -> anyhow::Result<()> {
        let Cluster { clock, client, metrics, .. } = self.rooms.cluster.as_ref();
        clock.misset(by);
        clock.read(client).await.map_err(chain)?;
        metrics.set_clock_skew(clock.skew().0.as_secs());
        Ok(())
    }

    /// Whom clients trust, in PEM.
    pub fn ca_pem(&self) -> String {
        self.trust.authority.bundle()
    }

    /// Resolves when a part of the keeper ended that should not.
    async fn failed(&mut self) {
        self.tasks.join_next().await;
    }

    pub async fn finish(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.rooms.audit.tell_refusals(true).await;
        self.rooms.audit.publish().await;
        self.rooms.vault.tell_used().await;
    }
}

/// Runs until told to stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    logs::init();
    let stop = shutdown::token()?;
    let config = Config::infer().await.context("how to reach the Kubernetes API")?;
    let client = Client::try_from(config.clone()).context("client for the Kubernetes API")?;
    keep(client, Some(config), args, stop).await
}

/// Keeps until told to stop, and leads while it holds the lease that it stands for by `election`; without one there is no other keeper. Told to
/// erase everything, nothing works any more, and only the stop is waited for.
pub async fn keep(client: Client, election: Option<Config>, args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let namespace = args.namespace.clone();
    // Begun again in the middle of its end, it makes nothing anew. What cannot be read now is looked at again below.
    if !farewell::is_asked(&client, &namespace).await.unwrap_or(false) {
        let begun = stop.child_token();
        let mut work = Box::pin(work(client.clone(), election, args, begun.clone()));
        tokio::select! {
            outcome = &mut work => return outcome,
            () = farewell::asked(&client, &namespace) => {}
        }
        begun.cancel();
        if tokio::time::timeout(ORDERLY_END, work).await.is_err() {
            tracing::warn!("not everything ended in order before the keeper's own Secrets go");
        }
    }
    farewell::erase(&client, &namespace).await;
    stop.cancelled().await;
    Ok(())
}

async fn work(client: Client, election: Option<Config>, args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let mut running = start(client, election, args, stop.clone()).await?;
    tokio::select! {
        // Told to stop, its parts end, too.
        biased;
        () = stop.cancelled() => {
            running.finish().await;
            Ok(())
        }
        () = running.failed() => anyhow::bail!("a part of the keeper ended"),
    }
}

/// Brings a keeper up; returns once it is ready.
pub async fn start(client: Client, election: Option<Config>, args: Args, stop: CancellationToken) -> anyhow::Result<Running> {
    start_later(client, election, args, stop, SignedDuration::ZERO).await
}

/// Brings a keeper up for which this much more time has passed: how a rehearsal sees one that was down for an hour.
pub async fn start_later(
    client: Client,
    election: Option<Config>,
    args: Args,
    stop: CancellationToken,
    by: SignedDuration,
) -> anyhow::Result<Running> {
    let metrics = Metrics::new();
    let health = Health::new(Instant::now());
    let mut tasks = JoinSet::new();
    let serving = CancellationToken::new();
    tasks.spawn(end_serving(serving.clone(), health.clone(), args.shutdown_delay(), stop.clone()));
    let (health_listen, health_state, health_metrics, health_stop) = (args.listen, health.clone(), metrics.clone(), serving.clone());
    tasks.spawn(async move {
        if let Err(error) = health::serve(health_listen, health_state, health_metrics, health_stop).await {
            tracing::error!(error = %error, "health listener ended");
        }
    });
    let worker_listener = TcpListener::bind(args.worker_listen).await.with_context(|| format!("listen on {}", args.worker_listen))?;
    let gateway_listener = TcpListener::bind(args.gateway_listen).await.with_context(|| format!("listen on {}", args.gateway_listen))?;
    let (worker_address, gateway_address) = (worker_listener.local_addr()?, gateway_listener.local_addr()?);

    let egress = Egress::of(args.egress.proxy()?)?;
    let clock = Clock::default();
    clock.advance(by);
    let records = Records::new(client.clone(), &args.namespace);
    let (uid, authority) = retry("the API server", || identity(&client, &args, &clock, &records)).await;
    let authority = Arc::new(authority);

    let queue = Queue::default();
    let (mut watches, Stores { regions, tenants, due, wake_all }) = wiring::watch(&client, &metrics, &queue);
    let cluster = Arc::new(Cluster {
        writer: Writer::new(client.clone(), names::KEEPER_MANAGER, metrics.clone()),
        events: Events::new(client.clone(), names::KEEPER_MANAGER, &args.identity, metrics.clone()),
        metrics: metrics.clone(),
        namespace: args.namespace.clone(),
        installation: uid.clone(),
        identity: args.identity.clone(),
        clock,
        regions,
        tenants,
        client: client.clone(),
    });
    let rooms = Rooms::furnished(cluster.clone(), &args, records, egress, due, queue.clone());
    health.waiting_for("the first listing of every kind");
    watches.all_synced().await;
    health.waiting_for("the clearing of what it had begun");
    // However long it takes: what must be alive is this process, not every volume.
    health.beating(retry("what this keeper had begun", || sweeper::clear_own(&rooms.files))).await;
    let gateway = args.gateway_hosts.first().map(|host| format!("{host}:{}", args.gateway_port));
    let trust = Arc::new(Trust { authority: authority.clone(), gateway });
    retry("ConfigMap dataimporter-public", || trust.publish(&cluster)).await;

    let tls = |speaks| serve::tls_config(authority.clone(), speaks).map_err(chain);
    let (of_workers, of_people) = serve::limits(serve::open_files());
    let listener = |name, socket, limits: Limits| {
        tracing::info!(listener = name, connections = limits.connections, of_one_address = limits.of_one, "listens");
        Listener { name, socket, limits, metrics: metrics.clone() }
    };
    let worker_listener = listener("workers", worker_listener, of_workers);
    let gateway_listener = listener("gateway", gateway_listener, of_people);
    tasks.spawn(serve::serve(worker_listener, tls(Speaks::Either)?, workers::app(rooms.workers()), serving.clone()));
    tasks.spawn(serve::serve(gateway_listener, tls(Speaks::Http1)?, gateway::app(rooms.gateway()), serving.clone()));
    tasks.spawn(tick(cluster.clone(), rooms.vault.clone(), queue.clone(), stop.clone()));
    tasks.spawn(tell(rooms.audit.clone(), rooms.vault.clone(), stop.clone()));
    tasks.spawn(sweeper::end_readers(rooms.files.clone(), stop.clone()));
    tasks.spawn(renew(cluster.clone(), trust.clone(), stop.clone()));
    let swept = Arc::new(Notify::new());
    let duties = Duties {
        controllers: rooms.controllers.clone(),
        files: rooms.files.clone(),
        queue,
        wake_all,
        health: health.clone(),
        metrics: metrics.clone(),
        swept: swept.clone(),
    };
    let alone = election.is_none();
    let candidacy = election.map(|config| Candidacy { config, namespace: args.namespace.clone(), identity: args.identity.clone() });
    tasks.spawn(lead::run(duties, candidacy, stop.clone()));
    let watching = stop.clone();
    tasks.spawn(async move {
        tokio::select! { () = watches.ended() => tracing::error!("a watch ended"), () = watching.cancelled() => {} }
    });
    if alone {
        health.waiting_for("the first sweep");
        health.beating(swept.notified()).await;
    }
    health.ready();
    tracing::info!(installation = uid, workers = %worker_address, gateway = %gateway_address, "keeper is ready");
    Ok(Running { worker_address, gateway_address, installation: uid, health, metrics, rooms, trust, stop, tasks })
}

fn chain(error: Error) -> anyhow::Error {
    anyhow::anyhow!(error.chain())
}

async fn identity(client: &Client, args: &Args, clock: &Clock, records: &Records) -> Result<(String, Authority)> {
    clock.read(client).await?;
    let now = clock.now()?;
    Ok((installation::uid(client, &args.namespace).await?, Authority::load(records, server_names(args), now).await?))
}

/// Tries until it works; says every time what is in the way.
async fn retry<T, Fut: Future<Output = Result<T>>>(what: &str, attempt: impl Fn() -> Fut) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::warn!(error = error.chain(), reason = error.reason(), "waiting for {what}"),
        }
        tokio::time::sleep(START_RETRY).await;
    }
}

/// Names in our certificate: the Services of the chart, this host, and what people use.
fn server_names(args: &Args) -> Vec<String> {
    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for service in ["dataimporter-keeper", "dataimporter-gateway"] {
        for suffix in ["", ".svc", ".svc.cluster.local"] {
            all.push(format!("{service}.{}{suffix}", args.namespace));
        }
        all.push(service.to_owned());
    }
    all.extend(args.gateway_hosts.iter().filter(|host| !host.is_empty()).cloned());
    all.sort();
    all.dedup();
    all
}

/// The rooms, each made of those above it.
struct Rooms {
    cluster: Arc<Cluster>,
    audit: Arc<Audit>,
    vault: Arc<Vault>,
    files: Arc<FileStore>,
    admission: Arc<Admission>,
    controllers: Arc<Controllers>,
}

impl Rooms {
    fn furnished(cluster: Arc<Cluster>, args: &Args, records: Records, egress: Egress, due: Arc<Notify>, queue: Queue<Key>) -> Self {
        let Egress { said, proxy } = egress;
        let storages = Storages::new(args.storage_dir.clone(), &args.identity, args.storage_reserve, records.clone(), proxy.clone());
        let custodies = Custodies::new(records.clone(), args.root_key_dir.clone());
        let region_rings = RegionRings::new(records.clone(), custodies.clone(), &cluster.installation);
        let region_keys = Arc::new(RegionKeys::new(region_rings.clone()));
        let heads = Writer::new(cluster.client.clone(), names::audit_manager(&args.identity), cluster.metrics.clone());
        let of_regions = queue.clone();
        let wake_region = Box::new(move |region| of_regions.wake(Key::Region(region)));
        let audit = Arc::new(Audit::new(cluster.clone(), region_keys, storages.clone(), heads, wake_region));
        let dialer = Dialer::new(AddressPolicy::closed()).through(proxy);
        let vault = Arc::new(Vault::new(cluster.clone(), audit.clone(), records.clone(), custodies, region_rings, dialer, said));
        let files = Arc::new(FileStore::new(cluster.clone(), audit.clone(), vault.clone(), storages, records, args.plans.clone(), due));
        let admission = Arc::new(Admission::new(cluster.clone(), audit.clone(), args.peer_ip_check));
        let wake_connection = Box::new(move |namespace, name| queue.wake(Key::Connection(namespace, name)));
        let controllers = Arc::new(Controllers::new(cluster.clone(), audit.clone(), vault.clone(), files.clone(), wake_connection));
        Self { cluster, audit, vault, files, admission, controllers }
    }

    fn workers(&self) -> Arc<Workers> {
        let Self { cluster, audit, vault, files, admission, controllers: _ } = self;
        Workers::new(cluster.clone(), audit.clone(), vault.clone(), files.clone(), admission.clone())
    }

    fn gateway(&self) -> Arc<Gateway> {
        let Self { cluster, audit, vault, files, admission, controllers: _ } = self;
        Gateway::new(cluster.clone(), audit.clone(), vault.clone(), files.clone(), admission.clone())
    }
}

/// What serves goes on for a while after this keeper says that it is not ready: its address stands in others' caches until then.
async fn end_serving(serving: CancellationToken, health: Health, delay: Duration, stop: CancellationToken) {
    stop.cancelled().await;
    health.waiting_for("its end");
    tokio::time::sleep(delay).await;
    serving.cancel();
}

async fn tick(cluster: Arc<Cluster>, vault: Arc<Vault>, queue: Queue<Key>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(CLOCK_INTERVAL)).await.is_some() {
        vault.rings.forget_old();
        let skewed = cluster.clock.skew().1;
        if let Err(error) = cluster.clock.read(&cluster.client).await {
            tracing::warn!(error = error.chain(), "the API server's time could not be read");
        }
        cluster.metrics.set_clock_skew(cluster.clock.skew().0.as_secs());
        if cluster.clock.skew().1 != skewed {
            cluster.regions.all().iter().for_each(|region| queue.wake(Key::Region(region.name_any())));
        }
    }
}

/// Says in statuses how far the audit goes and which credentials were used, and in the audit how often callers were refused.
async fn tell(audit: Arc<Audit>, vault: Arc<Vault>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TELL_INTERVAL)).await.is_some() {
        audit.tell_refusals(false).await;
        audit.publish().await;
        vault.tell_used().await;
    }
}

/// What the keeper tells everybody so that they know it.
struct Trust {
    authority: Arc<Authority>,
    /// Where people reach the gateway.
    gateway: Option<String>,
}

impl Trust {
    /// Brings the authority to where it should be by now, and what is published with it.
    async fn tend(&self, cluster: &Cluster) -> Result<()> {
        self.authority.tend(cluster.now()?).await?;
        self.publish(cluster).await
    }

    /// Written again when nothing changed, too: what somebody else made of it does not stay.
    async fn publish(&self, cluster: &Cluster) -> Result<()> {
        let (bundle, gateway) = (self.authority.bundle(), self.gateway.as_deref());
        installation::publish(&cluster.client, &cluster.namespace, &bundle, gateway, &cluster.installation).await
    }
}

async fn renew(cluster: Arc<Cluster>, trust: Arc<Trust>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(AUTHORITY_INTERVAL)).await.is_some() {
        if let Err(error) = trust.tend(&cluster).await {
            tracing::error!(
                reason = error.reason(),
                error = error.chain(),
                "the keeper's certificate could not be looked after; tried again"
            );
        }
    }
}
