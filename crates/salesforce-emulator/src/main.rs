//! The emulator as a program: flags in, one line of JSON out, then it serves until it is stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use salesforce_emulator::{Client, Emulator};
use serde_json::json;

/// A server that behaves like Salesforce, in memory.
///
/// The first line on standard output is {"url":…,"clientId":…,"clientSecret":…}; the log goes to standard error
/// (RUST_LOG sets its level). Everything is lost when the server ends. Who starts it for a while and for itself alone asks for
/// --own-authority and --stop-with-stdin.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// PEM file with the server's certificate chain.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make an authority for this server alone, with a certificate for loopback addresses; "authority" in the first line is what to trust.
    #[arg(long, conflicts_with = "tls_cert")]
    own_authority: bool,
    /// Serve plain HTTP; only on a loopback address.
    #[arg(long, conflicts_with_all = ["tls_cert", "own_authority"])]
    insecure_http: bool,
    /// End when standard input ends, as it does with the program that holds its other end.
    #[arg(long)]
    stop_with_stdin: bool,
    /// What tokens and links call this server, when clients reach it by another name than it listens on.
    #[arg(long)]
    public_url: Option<String>,
    /// YAML file with objects and fields beyond the standard ones; a built-in example when absent.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Consumer key of the registered client; random when absent.
    #[arg(long, env = "EMULATOR_CLIENT_ID")]
    client_id: Option<String>,
    /// Consumer secret of the registered client; random when absent.
    #[arg(long, env = "EMULATOR_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// PEM file with the RSA public key or certificate the client signs JWT assertions with.
    #[arg(long)]
    client_public_key: Option<PathBuf>,
    /// A callback URL of the client, for the web server flow; may be given several times.
    #[arg(long)]
    redirect_uri: Vec<String>,
    /// YAML file with more clients: a list of clientId, clientSecret, publicKey, redirectUris, rotateRefreshTokens, public.
    #[arg(long)]
    clients: Option<PathBuf>,
    /// The one user's name.
    #[arg(long, default_value = "integration@emulator.invalid")]
    username: String,
    /// The one user's password; switches on the username-password flow and SOAP login.
    #[arg(long, env = "EMULATOR_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Open /emulator to everybody who can connect: rows, jobs, tokens, faults, clock.
    #[arg(long)]
    enable_admin: bool,
    /// Count and check inserted rows without keeping them: a sink for benchmarks.
    #[arg(long)]
    drain: bool,
    /// A job is seen InProgress in at least this many polls before it ends.
    #[arg(long, default_value_t = 1)]
    min_polls: u32,
    /// Seconds a session lives without being used.
    #[arg(long, default_value_t = 7200)]
    session_timeout: u64,
    /// API requests a day before REQUEST_LIMIT_EXCEEDED.
    #[arg(long, default_value_t = 5_000_000)]
    daily_api_requests: u64,
    /// Bytes of CSV one job takes.
    #[arg(long, default_value_t = 100_000_000)]
    upload_limit: usize,
    /// Makes result order and injected faults repeatable.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    let stop_with_stdin = args.stop_with_stdin;
    // Before the first line: who has read it may send a signal.
    let stopped = stop_signals().context("signals cannot be waited for")?;
    let running = emulator(args)?.start().await?;
    let mut line = json!({"url": running.url, "clientId": running.client_id, "clientSecret": running.client_secret});
    if let Some(authority) = &running.ca_pem {
        line["authority"] = json!(authority);
    }
    println!("{line}");
    tracing::info!(address = %running.address, url = running.url, "listening");
    tokio::select! {
        () = running.forever() => {}
        () = stopped => {}
        () = stdin_ended(), if stop_with_stdin => {}
    }
    Ok(())
}

/// A thread of its own reads, because the runtime would wait for one of its own before the program ends by a signal.
async fn stdin_ended() {
    let (ended, is_ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An input that cannot be read any more has ended, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = is_ended.await;
}

/// Ctrl-C and the signal a container gets, heard from the moment this returns.
fn stop_signals() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn emulator(args: Args) -> anyhow::Result<Emulator> {
    let mut emulator = Emulator::builder().listen(args.listen);
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => emulator = emulator.tls(read(certificate)?, read(key)?),
        _ if !args.insecure_http && !args.own_authority => {
            bail!("give --tls-cert and --tls-key, or --own-authority or --insecure-http on a loopback address")
        }
        _ if !args.listen.ip().is_loopback() => bail!("--own-authority and --insecure-http are allowed on loopback addresses only"),
        // As it is unless told otherwise.
        _ if args.own_authority => {}
        _ => emulator = emulator.plain_http(),
    }
    if let Some(schema) = &args.schema {
        emulator = emulator.schema(read(schema)?);
    }
    let mut first = Client::random();
    first.client_id = args.client_id.unwrap_or(first.client_id);
    first.client_secret = args.client_secret.unwrap_or(first.client_secret);
    first.public_key = args.client_public_key.as_ref().map(read).transpose()?;
    first.redirect_uris = args.redirect_uri;
    emulator = emulator.client(first);
    if let Some(file) = &args.clients {
        let clients: Vec<Client> =
            serde_saphyr::from_str(&read(file)?).with_context(|| format!("{} is not a list of clients", file.display()))?;
        emulator = clients.into_iter().fold(emulator, Emulator::client);
    }
    let emulator = emulator.behaviour(|behaviour| behaviour.upload_limit = args.upload_limit);
    Ok(emulator.config(|config| {
        config.public_url = args.public_url;
        config.username = args.username;
        config.password_login = args.password.is_some();
        config.password = args.password.unwrap_or_default();
        config.admin = args.enable_admin;
        config.drain = args.drain;
        config.min_polls = args.min_polls;
        config.session_timeout = Duration::from_secs(args.session_timeout);
        config.limits.daily_api_requests = args.daily_api_requests;
        config.seed = args.seed;
    }))
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
