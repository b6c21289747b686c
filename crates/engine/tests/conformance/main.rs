//! What every source of rows has to do, written once and run against every implementation, databases as real servers with TLS.
//! Prints a table of implementations and cases, and fails on the first miss in it; `cargo test -p engine --test conformance`. A name behind
//! `--` runs the cases that have it in their names. `--include-ignored` adds the implementations whose server takes long to build: `cargo xtask
//! test s3` does.

#[path = "../../../connect/tests/support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod authority;
mod cases;
mod everywhere;
mod files;
mod mysql;
#[path = "../support/mysql.rs"]
mod mysql_support;
mod newest;
mod postgres;
mod proxy;
mod put_away;
mod served;
#[path = "../support/served.rs"]
mod served_support;
mod stores;
#[path = "../support/stores.rs"]
mod stores_support;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use async_trait::async_trait;
use engine::source::Source;

/// Somewhere that rows come from.
#[async_trait]
trait Implementation: Send + Sync {
    fn name(&self) -> &'static str;

    /// What server it is, where there is one.
    async fn server(&self) -> Option<String> {
        None
    }

    fn kind(&self) -> Kind;

    /// Rows of `id`, from 1 to `count`, and `text`, as many `x` as `width`.
    async fn numbers(&self, count: u64, width: usize, order_by: &[&str]) -> Made;

    /// A file of `id` and `text` with four rows, of which the second and the third are broken.
    fn broken_rows(&self) -> &'static str {
        "id,text\n1,a\n2\n3,c,d\n4,e\n"
    }

    /// What a person wrote: a file, or a query in words that every database understands.
    async fn written(&self, text: &str, order_by: &[&str]) -> Made;
}

/// A source, and what a case may do to it.
struct Made {
    source: Box<dyn Source>,
    wire: Box<dyn Wire>,
}

/// The way that bytes come.
trait Wire: Send + Sync {
    /// Bytes that were let through so far.
    fn carried(&self) -> u64;

    /// From now on no more bytes come.
    fn cut(&self);

    /// From now on the bytes end, as if they were all.
    fn end_early(&self);

    /// Puts a file of other content in place of this one. False: there is nothing to replace.
    fn replace(&self) -> bool;
}

/// What differs by nature.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    /// Bytes that can be opened as often as one likes, and know their length and version.
    File,
    /// Bytes that come once.
    Stream,
    Database,
}

/// How a case ended; an error is a miss.
enum Held {
    Yes,
    /// It makes no sense here, for this reason.
    NotHere(&'static str),
}

type Verdict = Result<Held, String>;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let all = std::env::args().any(|argument| argument == "--include-ignored");
    runtime.block_on(run(&wanted, all))
}

async fn run(wanted: &[String], all: bool) -> ExitCode {
    let postgres = postgres::Postgres::start().await;
    let mysql = mysql::MySql::start();
    let (https, sftp) = (served::Files::https(), served::Files::sftp());
    let stores = if all { stores::Bucket::all().await } else { Vec::new() };
    let mut implementations: Vec<&dyn Implementation> =
        vec![&files::MEMORY, &files::UPLOAD, &files::GZIP, &files::ZSTD, &files::JSON, &https, &sftp, &postgres, &mysql];
    implementations.extend(stores.iter().map(|store| store as &dyn Implementation));
    for one in &implementations {
        if let Some(server) = one.server().await {
            println!("{}: {}", one.name(), server.trim());
        }
    }
    println!("\n{:44}{}", "", implementations.iter().map(|one| format!("{:14}", one.name())).collect::<String>());
    let (mut misses, mut reasons) = (Vec::new(), Vec::new());
    for (name, case) in cases::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let mut line = String::new();
        for one in &implementations {
            let word = match case(*one).await {
                Ok(Held::Yes) => "yes".to_owned(),
                Ok(Held::NotHere(why)) => {
                    let at = reasons.iter().position(|known| *known == why).unwrap_or_else(|| {
                        reasons.push(why);
                        reasons.len() - 1
                    });
                    format!("– ({})", at + 1)
                }
                Err(what) => {
                    misses.push(format!("{}, {name}: {what}", one.name()));
                    "MISSED".to_owned()
                }
            };
            line.push_str(&format!("{word:14}"));
        }
        println!("{name:44}{line}");
    }
    for (at, why) in reasons.iter().enumerate() {
        println!("({}) {why}", at + 1);
    }
    if wanted.is_empty() || wanted.iter().any(|part| "every format at every place".contains(part.as_str())) {
        let uploads = everywhere::Uploads::new();
        let mut places = vec![uploads.place(), https.place(), sftp.place()];
        places.extend(stores.iter().map(stores::Bucket::place));
        misses.extend(everywhere::table(&places).await);
        misses.extend(newest::misses(&places[1..]).await);
        misses.extend(put_away::misses(&places[1..], &sftp.folder()).await);
    }
    for miss in &misses {
        println!("MISSED: {miss}");
    }
    if misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
