//! The state of one emulated organisation: rows, jobs, tokens, cursors, usage, clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::bulk::Jobs;
use crate::config::Config;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::oauth::Tokens;
use crate::rest::cursors::Cursors;
use crate::schema::Schema;
use crate::soql;
use crate::store::{Cell, Draft, Store, WriteOptions, id};

tokio::task_local! {
    static IN_TRANSACTION: ();
}

pub(crate) struct Org {
    pub(crate) config: Config,
    pub(crate) url: String,
    pub(crate) schema: Arc<Schema>,
    pub(crate) org_id: String,
    pub(crate) user_id: String,
    pub(crate) jobs: Jobs,
    pub(crate) usage: AtomicU64,
    pub(crate) bulk_records: AtomicU64,
    pub(crate) bulk_batches: AtomicU64,
    store: RwLock<Store>,
    tokens: Mutex<Tokens>,
    cursors: Mutex<Cursors>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    clock_ahead_ms: AtomicI64,
    transactions: tokio::sync::Mutex<()>,
}

impl Org {
    pub(crate) fn new(config: Config, url: String, schema: Schema) -> Result<Self, soql::SoqlError> {
        let schema = Arc::new(schema);
        let rules = soql::compile_rules(&schema)?;
        let mut rules = rules.into_iter();
        let mut store = Store::new(schema.clone(), config.drain, |_| rules.next().unwrap_or_default());
        let now = Timestamp::now().as_millisecond();
        let (org_id, user_id) = seed(&mut store, &config, now);
        let seed = config.seed;
        Ok(Self {
            url,
            schema,
            org_id,
            user_id,
            jobs: Jobs::default(),
            usage: AtomicU64::new(0),
            bulk_records: AtomicU64::new(0),
            bulk_batches: AtomicU64::new(0),
            store: RwLock::new(store),
            tokens: Mutex::default(),
            cursors: Mutex::default(),
            faults: Mutex::new(Faults::new(seed)),
            journal: Mutex::default(),
            clock_ahead_ms: AtomicI64::new(0),
            transactions: tokio::sync::Mutex::default(),
            config,
        })
    }

    /// Milliseconds since 1970 on the organisation's own clock, which tests may put forward.
    pub(crate) fn now(&self) -> i64 {
        Timestamp::now().as_millisecond() + self.clock_ahead_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn advance_clock(&self, ms: i64) {
        self.clock_ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().expect("no writer panicked")
    }

    /// Inside `transaction` changes are logged so that they can be taken back; outside they are not.
    pub(crate) fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        let mut store = self.store.write().expect("no writer panicked");
        store.record(IN_TRANSACTION.try_with(|()| ()).is_ok());
        store
    }

    /// Several requests that succeed or fail together: `work` says whether its changes stay. One at a time.
    pub(crate) async fn transaction<T>(&self, work: impl Future<Output = (T, bool)>) -> T {
        let alone = self.transactions.lock().await;
        let checkpoint = self.store_mut().checkpoint();
        let (result, keep) = IN_TRANSACTION.scope((), work).await;
        let mut store = self.store_mut();
        if keep {
            store.forget(checkpoint)
        } else {
            store.roll_back(checkpoint)
        }
        drop(alone);
        result
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("no holder panicked")
    }

    pub(crate) fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().expect("no holder panicked")
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panicked")
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("no holder panicked")
    }

    pub(crate) fn identity_url(&self) -> String {
        format!("{}/id/{}/{}", self.url, self.org_id, self.user_id)
    }

    /// The number of rows of `object` and a SHA-256 over the values of `fields`, the same whatever order rows came in.
    pub(crate) fn digest(&self, object: usize, fields: &[usize]) -> (u64, String) {
        let store = self.store();
        let live = store.numbers(object).map(|number| store.view(object, number)).filter(|view| view.is_live());
        let mut lines: Vec<String> =
            live.map(|view| fields.iter().map(|field| view.get(*field).unwrap_or_default()).collect::<Vec<_>>().join("\u{1f}")).collect();
        lines.sort_unstable();
        let mut digest = Sha256::new();
        for line in &lines {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        (lines.len() as u64, hex::encode(digest.finalize()))
    }
}

/// The rows every organisation has: itself, its user, its standard price book, and the definitions of its objects.
fn seed(store: &mut Store, config: &Config, now: i64) -> (String, String) {
    let schema = store.schema.clone();
    let user = schema.standard("User");
    let user_id = store.id_of(user, 0);
    store.set_running_user(user_id.clone());
    let organization = schema.standard("Organization");
    let organization_cells: [(&str, &str); 5] = [
        ("Name", "Salesforce Emulator"),
        ("InstanceName", "EMU0"),
        ("IsSandbox", "false"),
        ("OrganizationType", "Developer Edition"),
        ("LanguageLocaleKey", "en_US"),
    ];
    put(store, organization, &organization_cells, now);
    let profile = schema.standard("Profile");
    put(store, profile, &[("Name", "System Administrator")], now);
    let profile_id = store.id_of(profile, 0);
    let user_cells = [
        ("Username", config.username.as_str()),
        ("LastName", "Integration"),
        ("Alias", "integr"),
        ("Email", "integration@emulator.invalid"),
        ("IsActive", "true"),
        ("TimeZoneSidKey", "GMT"),
        ("LocaleSidKey", "en_US"),
        ("LanguageLocaleKey", "en_US"),
        ("EmailEncodingKey", "UTF-8"),
        ("ProfileId", profile_id.as_str()),
        ("UserType", "Standard"),
    ];
    put(store, user, &user_cells, now);
    put(store, schema.standard("Pricebook2"), &[("Name", "Standard Price Book"), ("IsActive", "true"), ("IsStandard", "true")], now);
    let definition = schema.standard("EntityDefinition");
    for object in &schema.objects {
        let developer_name = object.name.trim_end_matches("__c");
        let cells = [
            ("DurableId", object.name.as_str()),
            ("QualifiedApiName", object.name.as_str()),
            ("DeveloperName", developer_name),
            ("Label", object.label.as_str()),
            ("PluralLabel", object.plural.as_str()),
            ("KeyPrefix", object.prefix.as_str()),
        ];
        put(store, definition, &cells, now);
    }
    (store.id_of(organization, 0), user_id)
}

fn put(store: &mut Store, object: usize, cells: &[(&str, &str)], now: i64) {
    let field = |name: &str| store.schema.objects[object].field(name).unwrap_or_else(|| panic!("the standard objects have {name}"));
    let cells = cells.iter().map(|(name, text)| (field(name), Cell::Text((*text).into()))).collect();
    let draft = Draft { cells, parents: Vec::new() };
    store.seed(object, draft, WriteOptions { now, allow_duplicates: true });
}

/// `750…` and `01g…` ids for jobs and cursors.
pub(crate) fn serial_id(prefix: &str, number: u64) -> String {
    id::format(prefix, number)
}
