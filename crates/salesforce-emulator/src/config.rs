//! What a server can be told: who may log in, its limits, and the switches for behaviour no public source settles.

use std::time::Duration;

/// A registered application and what it may do.
#[derive(Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Client {
    /// Id of the application, as its `client_id` in OAuth.
    pub client_id: String,
    /// Its secret, in clear.
    pub client_secret: String,
    /// PEM of the RSA public key or certificate that signs this client's JWT assertions.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Where the web server flow may send a person back to. Empty: nowhere.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// A refresh hands out a new refresh token and kills the old one.
    #[serde(default)]
    pub rotate_refresh_tokens: bool,
    /// The web server flow works without a client secret.
    #[serde(default)]
    pub public: bool,
}

/// Which call fails after a second PUT: sources disagree, so it is a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPut {
    /// The PUT is taken, the closing PATCH is refused.
    SpoilsClose,
    /// The PUT itself is refused and the job stays spoiled.
    IsRefused,
}

/// Open questions about the real service, one switch each (`differences.toml` lists them).
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// HTTP status that answers a new ingest job.
    pub ingest_create_status: u16,
    /// What a second PUT of data into one job does.
    pub second_put: SecondPut,
    /// Bytes of CSV one job takes.
    pub upload_limit: usize,
    /// Result sets without rows have a header line (else they are empty).
    pub empty_results_have_header: bool,
    /// Success and failure results of an aborted job can be read.
    pub results_on_aborted: bool,
    /// A second `UploadComplete` is refused (else answered with the job as it is).
    pub second_close_is_refused: bool,
    /// Attempts of one batch before the job fails.
    pub batch_retries: u32,
    /// Rows that one batch of a job processes.
    pub batch_rows: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ingest_create_status: 200,
            second_put: SecondPut::SpoilsClose,
            upload_limit: 100_000_000,
            empty_results_have_header: true,
            results_on_aborted: true,
            second_close_is_refused: true,
            batch_retries: 20,
            batch_rows: 10_000,
        }
    }
}

/// Allowances of the organisation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// REST calls of a day, as `DailyApiRequests` has it.
    pub daily_api_requests: u64,
    /// Rows that ingest jobs may bring in a day.
    pub daily_bulk_records: u64,
    /// Batches of a day, as `DailyBulkApiBatches` has it.
    pub daily_bulk_batches: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { daily_api_requests: 5_000_000, daily_bulk_records: 150_000_000, daily_bulk_batches: 15_000 }
    }
}

/// All that one server is told.
#[derive(Clone)]
pub struct Config {
    /// What tokens and links call this server; its own address when absent.
    pub public_url: Option<String>,
    /// Applications that may log in. Empty: one with random credentials is made at the start.
    pub clients: Vec<Client>,
    /// The one user of the organisation.
    pub username: String,
    /// Its password, for `password_login`.
    pub password: String,
    /// The username-password grant and SOAP login.
    pub password_login: bool,
    /// How long an access token lives.
    pub session_timeout: Duration,
    /// Whether the tester's door `/emulator` is open, which counts rows and injects faults.
    pub admin: bool,
    /// Insert counts and checks rows without keeping them.
    pub drain: bool,
    /// A job is seen InProgress in at least this many polls…
    pub min_polls: u32,
    /// …but waits no longer than this for somebody to poll.
    pub poll_patience: Duration,
    /// The switches for behaviour no public source settles.
    pub behaviour: Behaviour,
    /// Allowances of the organisation.
    pub limits: Limits,
    /// Makes result order and injected faults repeatable.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: None,
            clients: Vec::new(),
            username: "integration@emulator.invalid".to_owned(),
            password: String::new(),
            password_login: false,
            session_timeout: Duration::from_secs(2 * 3600),
            admin: false,
            drain: false,
            min_polls: 1,
            poll_patience: Duration::from_secs(5),
            behaviour: Behaviour::default(),
            limits: Limits::default(),
            seed: 1,
        }
    }
}
