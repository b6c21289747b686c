//! The order in which a keeper comes up: know the time, know itself, see every object, finish what was due, and only then say ready.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use api::identity::is_same;
use api::{Connection, NamespaceName, Region, Tenant, Upload, names};
use connect::{AddressPolicy, Dialer};
use jiff::SignedDuration;
use kube::{Client, ResourceExt};
use runtime::events::Events;
use runtime::health::{self, Health};
use runtime::listen::{Limits, Listener};
use runtime::metrics::Metrics;
use runtime::store::Store;
use runtime::watch::Watches;
use runtime::work::{Next, Queue};
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
use super::controllers::{Controllers, connections, ownerless, regions, tenants, uploads};
use super::files::{FileStore, sweeper};
use super::identity::authority::Authority;
use super::identity::{farewell, installation};
use super::listeners::gateway::{self, Gateway};
use super::listeners::serve::{self, Speaks};
use super::listeners::workers::{self, Workers};
use super::storage::Storages;
use super::vault::Vault;
use super::vault::custody::Custodies;
use super::vault::egress::Egress;
use super::vault::region_keys::RegionKeys;
use super::vault::region_rings::RegionRings;

const CONCURRENCY: usize = 32;
const CLOCK_INTERVAL: Duration = Duration::from_secs(30);
/// What a crash can take from the end of the audit unnoticed is younger than this.
const HEADS_INTERVAL: Duration = Duration::from_secs(5);
/// How often the authority and what is published of it are looked at.
const AUTHORITY_INTERVAL: Duration = Duration::from_secs(300);
/// While a region's storage or the API server is away, the start is tried again.
const START_RETRY: Duration = Duration::from_secs(5);

/// How long everything under way has when the installation ends.
const ORDERLY_END: Duration = Duration::from_secs(20);

/// What needs a look.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Region(String),
    Tenant(String),
    Connection(String, String),
    Upload(String, String),
}

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
    }
}

/// Runs until told to stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    logs::init();
    let stop = shutdown::token()?;
    let client = Client::try_default().await.context("the cluster's API server")?;
    keep(client, args, stop).await
}

/// Keeps until told to stop. Told to erase everything, nothing works any more, and only the stop is waited for.
pub async fn keep(client: Client, args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let namespace = args.namespace.clone();
    // Begun again in the middle of its end, it makes nothing anew. What cannot be read now is looked at again below.
    if !farewell::is_asked(&client, &namespace).await.unwrap_or(false) {
        let begun = stop.child_token();
        let mut work = Box::pin(work(client.clone(), args, begun.clone()));
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

async fn work(client: Client, args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let mut running = start(client, args, stop.clone()).await?;
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
pub async fn start(client: Client, args: Args, stop: CancellationToken) -> anyhow::Result<Running> {
    start_later(client, args, stop, SignedDuration::ZERO).await
}

/// Brings a keeper up for which this much more time has passed: how a rehearsal sees one that was down for an hour.
pub async fn start_later(client: Client, args: Args, stop: CancellationToken, by: SignedDuration) -> anyhow::Result<Running> {
    let metrics = Metrics::new();
    let health = Health::new(Instant::now());
    let mut tasks = JoinSet::new();
    let (health_listen, health_state, health_metrics, health_stop) = (args.listen, health.clone(), metrics.clone(), stop.clone());
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
    let (mut watches, stores) = watch(&client, &metrics, &queue);
    let q = queue.clone();
    let due = stores.due.clone();
    let cluster = Arc::new(cluster(client.clone(), &args, metrics.clone(), uid.clone(), clock, stores));
    let rooms = Rooms::furnished(cluster.clone(), &args, records, egress, due, q);
    health.waiting_for("the first listing of every kind");
    watches.all_synced().await;
    health.waiting_for("the first sweep");
    // However long it takes: what must be alive is this process, not every volume.
    health.beating(retry("the first sweep", || sweeper::start(&rooms.files))).await;
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
    tasks.spawn(serve::serve(worker_listener, tls(Speaks::Either)?, workers::app(rooms.workers()), stop.clone()));
    tasks.spawn(serve::serve(gateway_listener, tls(Speaks::Http1)?, gateway::app(rooms.gateway()), stop.clone()));
    tasks.spawn(sweeper::run(rooms.files.clone(), stop.clone()));
    tasks.spawn(ownerless::run(rooms.controllers.clone(), stop.clone()));
    tasks.spawn(connections::ask_after_sources(rooms.controllers.clone(), stop.clone()));
    tasks.spawn(tick(cluster.clone(), queue.clone(), stop.clone()));
    tasks.spawn(report_refusals(rooms.audit.clone(), stop.clone()));
    tasks.spawn(renew(cluster.clone(), trust.clone(), stop.clone()));
    let (controllers, shown) = (rooms.controllers.clone(), metrics.clone());
    tasks.spawn(
        queue.run(CONCURRENCY, health.clone(), metrics.clone(), stop.clone(), move |key| {
            reconcile(controllers.clone(), metrics.clone(), key)
        }),
    );
    let watching = stop.clone();
    tasks.spawn(async move {
        tokio::select! { () = watches.ended() => tracing::error!("a watch ended"), () = watching.cancelled() => {} }
    });
    health.ready();
    tracing::info!(installation = uid, workers = %worker_address, gateway = %gateway_address, "keeper is ready");
    Ok(Running { worker_address, gateway_address, installation: uid, health, metrics: shown, rooms, trust, stop, tasks })
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

struct Stores {
    regions: Store<Region>,
    tenants: Store<Tenant>,
    due: Arc<Notify>,
}

/// Watches what the controllers look after; each change wakes its key, and what follows from a Region or Tenant wakes with it.
fn watch(client: &Client, metrics: &Metrics, queue: &Queue<Key>) -> (Watches, Stores) {
    let mut watches = Watches::new(client.clone(), metrics.clone());
    // Of Connections and Uploads only their metadata is asked: what to do is read live.
    let connections = Store::pruned(
        |c: &Connection| c.namespace().into_iter().collect(),
        |c| {
            c.status = None;
            c.spec.forget_system();
        },
    );
    let tenants = Store::new(|t: &Tenant| t.status.iter().flat_map(|s| &s.namespaces).map(|n| n.name.clone()).collect());
    let regions = Store::new(|_: &Region| Vec::new());
    let uploads = Store::pruned(|_: &Upload| Vec::new(), |upload| upload.status = None);

    let wake_connections = {
        let (q, all) = (queue.clone(), connections.clone());
        move |tenant: &Tenant| {
            let held = tenant.status.iter().flat_map(|s| &s.namespaces).map(|n| &n.name);
            for namespace in tenant.spec.namespaces.iter().chain(held).collect::<BTreeSet<_>>() {
                for connection in all.by(namespace) {
                    q.wake(Key::Connection(namespace.clone(), connection.name_any()));
                }
            }
        }
    };

    let (q, all_tenants, of_tenant) = (queue.clone(), tenants.clone(), wake_connections.clone());
    let wake_region = move |old: Option<&Region>, new: Option<&Region>| {
        let Some(region) = new.or(old) else { return };
        let edited = !same_generation(old, new);
        if edited {
            q.wake(Key::Region(region.name_any()));
        }
        // Where they may go, and whether anything can be done there.
        if edited || !same_service(old, new) {
            for tenant in all_tenants.all().iter().filter(|t: &&Arc<Tenant>| t.spec.region == region.name_any()) {
                q.wake(Key::Tenant(tenant.name_any()));
                of_tenant(tenant);
            }
        }
    };
    watches.objects("Region", None, regions.clone(), Box::new(wake_region));

    let due = Arc::new(Notify::new());
    let (q, rule_changed) = (queue.clone(), due.clone());
    let wake_tenant = move |old: Option<&Tenant>, new: Option<&Tenant>| {
        let Some(tenant) = new.or(old) else { return };
        q.wake(Key::Tenant(tenant.name_any()));
        if old.map(|t| domain::retention::tenant_rule(&t.spec)) != new.map(|t| domain::retention::tenant_rule(&t.spec)) {
            rule_changed.notify_one();
        }
        if !same_binding(old, new) {
            // Those of a namespace that it let go, too.
            old.into_iter().chain(new).for_each(&wake_connections);
        }
    };
    watches.objects("Tenant", None, tenants.clone(), Box::new(wake_tenant));

    let q = queue.clone();
    let wake_connection = move |old: Option<&Connection>, new: Option<&Connection>| {
        // Our own status and finalizer are no news; spec, deletion, annotations and finalizers of others are.
        let others =
            |c: &Connection| c.finalizers().iter().filter(|f| *f != names::CONNECTION_REVOKE_FINALIZER).cloned().collect::<Vec<_>>();
        let same_finalizers = old.map(others) == new.map(others);
        if let Some(connection) = new.filter(|_| !same_generation(old, new) || !same_finalizers)
            && let Ok(namespace) = NamespaceName::of(connection)
        {
            q.wake(Key::Connection(namespace.into(), connection.name_any()));
        }
    };
    watches.objects("Connection", None, connections.clone(), Box::new(wake_connection));

    let q = queue.clone();
    let wake_upload = move |old: Option<&Upload>, new: Option<&Upload>| {
        if let (None, Some(upload)) = (old, new)
            && let Ok(namespace) = NamespaceName::of(upload)
        {
            q.wake(Key::Upload(namespace.into(), upload.name_any()));
        }
    };
    watches.objects("Upload", None, uploads, Box::new(wake_upload));
    (watches, Stores { regions, tenants, due })
}

/// Neither spec nor annotations nor deletion changed.
fn same_generation<K: ResourceExt>(old: Option<&K>, new: Option<&K>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            old.meta().generation == new.meta().generation
                && old.meta().deletion_timestamp == new.meta().deletion_timestamp
                && is_same(old.meta(), new.meta())
                && old.annotations() == new.annotations()
        }
        _ => false,
    }
}

/// Whether a region can do as much as before, by the keeper's own word.
fn same_service(old: Option<&Region>, new: Option<&Region>) -> bool {
    use api::conditions::{CLOCK_SKEW, KEY_CUSTODY, STORAGE_READY, is_true};
    let of = |region: Option<&Region>| {
        let conditions = region?.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        Some([STORAGE_READY, KEY_CUSTODY, CLOCK_SKEW].map(|type_| is_true(conditions, type_)))
    };
    of(old) == of(new)
}

/// Whether a tenant is bound as before, to its region and its namespaces, with keys as ready as before.
fn same_binding(old: Option<&Tenant>, new: Option<&Tenant>) -> bool {
    let of = |tenant: Option<&Tenant>| {
        let status = tenant?.status.as_ref()?;
        Some((
            status.region_uid.clone(),
            status.namespaces.clone(),
            api::conditions::is_true(&status.conditions, api::conditions::KEYS_READY),
        ))
    };
    of(old) == of(new)
}

fn cluster(client: Client, args: &Args, metrics: Metrics, installation: String, clock: Clock, stores: Stores) -> Cluster {
    Cluster {
        writer: Writer::new(client.clone(), names::KEEPER_MANAGER, metrics.clone()),
        events: Events::new(client.clone(), names::KEEPER_MANAGER, &args.identity, metrics.clone()),
        metrics,
        namespace: args.namespace.clone(),
        installation,
        identity: args.identity.clone(),
        clock,
        regions: stores.regions,
        tenants: stores.tenants,
        client,
    }
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

async fn reconcile(controllers: Arc<Controllers>, metrics: Metrics, key: Key) -> std::result::Result<Next, ()> {
    let began = Instant::now();
    let (kind, outcome) = match &key {
        Key::Region(name) => ("Region", regions::reconcile(&controllers, name).await),
        Key::Tenant(name) => ("Tenant", tenants::reconcile(&controllers, name).await),
        Key::Connection(namespace, name) => ("Connection", connections::reconcile(&controllers, namespace, name).await),
        Key::Upload(namespace, name) => ("Upload", uploads::reconcile(&controllers, namespace, name).await),
    };
    metrics.reconciled(kind, began.elapsed(), outcome.is_err());
    outcome.map_err(|error| {
        tracing::warn!(kind, object = ?key, reason = error.reason(), error = error.chain(), "reconcile failed; tried again");
    })
}

async fn tick(cluster: Arc<Cluster>, queue: Queue<Key>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(CLOCK_INTERVAL)).await.is_some() {
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

/// Says in statuses how far the audit goes, and in the audit how often callers were refused.
async fn report_refusals(audit: Arc<Audit>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(HEADS_INTERVAL)).await.is_some() {
        audit.tell_refusals(false).await;
        audit.publish().await;
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
