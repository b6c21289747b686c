//! Reads a file of the disk or of a server, or a query of a database, to its end and throws its rows away: what a source takes by itself.
//! `cargo xtask bench sources` and others have it beside the programs of other people. Secrets are in the environment, and of servers that a
//! benchmark made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connect::{
    AddressPolicy, Dialer, HttpsFilesParams, HttpsLogin, MySqlParams, PostgresCredential, PostgresParams, S3Key, S3Params, SftpLogin,
    SftpParams,
};
use engine::Memory;
use engine::row::Batch;
use engine::source::blob::{LocalBlob, RemoteBlob, UploadBlob};
use engine::source::mysql::MySqlSource;
use engine::source::postgres::PostgresSource;
use engine::source::{FileSource, Said, Source, Start, Zoneless};
use futures::StreamExt;
use tokio_util::io::ReaderStream;

/// Size of one read from a file of the disk: that of `dataimporter run`.
const READ: usize = 256 << 10;

/// Of a file beyond a quarter of it, parts are fetched.
const LITTLE: Memory = Memory::of(Some(64 << 20));

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn blob(place: &str, path: String) -> RemoteBlob {
    let dialer = Dialer::new(AddressPolicy::unrestricted());
    let ca_bundle = || std::env::var("READ_CA").ok().map(|file| std::fs::read_to_string(file).expect("an authority"));
    match place {
        "sftp" => {
            let (host, port) = ("127.0.0.1".to_owned(), env("READ_PORT").parse().expect("a port"));
            let params = SftpParams { host, port, user: env("READ_USER"), host_keys: vec![env("READ_HOST_KEY")], directory: None };
            let key = std::fs::read_to_string(env("READ_KEY")).expect("a private key").into();
            RemoteBlob::new(Arc::new(dialer.sftp(&params, &SftpLogin::Key { key, passphrase: None, certificate: None })), path)
        }
        "https" => {
            let params = HttpsFilesParams { url: env("READ_URL"), redirects: Vec::new(), ca_bundle: ca_bundle() };
            RemoteBlob::new(Arc::new(dialer.https_files(&params, &HttpsLogin::Bearer(env("READ_SECRET").into())).expect("a client")), path)
        }
        "s3" => {
            let (endpoint, bucket) = (Some(env("READ_URL")), env("READ_BUCKET"));
            let params = S3Params { endpoint, region: "us-east-1".to_owned(), bucket, ca_bundle: ca_bundle(), requester_pays: false };
            let key = S3Key { id: env("READ_USER").into(), secret: env("READ_SECRET").into(), customer_key: None };
            RemoteBlob::new(Arc::new(dialer.s3(&params, &key).expect("a client")), path)
        }
        other => panic!("{other} is no place that is known here"),
    }
}

/// `what`: the path of a file, or a query.
fn source(place: &str, what: String) -> Box<dyn Source> {
    let dialer = Dialer::new(AddressPolicy::unrestricted());
    let ca_bundle = || Some(std::fs::read_to_string(env("READ_CA")).expect("an authority"));
    let (host, port) = ("127.0.0.1".to_owned(), || env("READ_PORT").parse().expect("a port"));
    let query = || serde_json::from_value(serde_json::json!({"connectionRef": {"name": "db"}, "query": what})).expect("a query");
    let (user, password) = ("importer".to_owned(), || env("READ_SECRET").into());
    match place {
        "postgres" => {
            let (database, ca_bundle) = ("warehouse".to_owned(), ca_bundle());
            let params =
                PostgresParams { host, port: port(), database, user, ca_bundle, server_name: None, allow_insecure_password: false };
            let credential = PostgresCredential::Password(password());
            Box::new(PostgresSource { dialer, params, credential, query: query(), since: None, zoneless: Zoneless::default() })
        }
        "mysql" => {
            let params = MySqlParams { host, port: port(), database: "bench".to_owned(), user, ca_bundle: ca_bundle(), server_name: None };
            Box::new(MySqlSource {
                dialer,
                params,
                password: password(),
                query: query(),
                since: None,
                zoneless: Zoneless::default(),
                time_left: Duration::from_secs(3_600),
            })
        }
        "file" => {
            let file = std::fs::File::open(&what).unwrap_or_else(|error| panic!("{what}: {error}"));
            let bytes = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ).boxed();
            Box::new(FileSource::new(UploadBlob::new(bytes), Said::default()))
        }
        "parts" => {
            let file = std::fs::File::open(&what).unwrap_or_else(|error| panic!("{what}: {error}"));
            Box::new(FileSource::new(LocalBlob::new(file), Said::default()).within(LITTLE))
        }
        place => Box::new(FileSource::new(blob(place, what), Said::default())),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // `cargo test` runs benches without arguments.
    let (Some(place), Some(path)) = (arguments.next(), arguments.next()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let began = Instant::now();
    let rows = runtime.block_on(async {
        let source = source(&place, path);
        let mut rows = source.open(&Start::First, &BTreeSet::new()).await.unwrap_or_else(|error| panic!("{}", connect::explain(&error)));
        let (mut batch, mut read) = (Batch::new(), 0);
        while rows.next(&mut batch).await.unwrap_or_else(|error| panic!("{}", connect::explain(&error))) {
            read += batch.rows().len();
        }
        read
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim().to_owned();
    println!("{rows} rows, {:.3} s, {peak} at most", began.elapsed().as_secs_f64());
}
