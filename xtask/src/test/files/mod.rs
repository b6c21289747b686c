//! Other people's files: CSV files that nobody here made, out of packages of four registries, each through the real program
//! into the real emulator. A file is imported as it is — every row and every cell as Python's own csv module reads them — or
//! refused with row, column and remedy, in exactly these words. `table` has the files and what is expected.

mod install;
mod org;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use self::org::{Held, Org};
use self::table::{Expected, FILES, File, TRAITS};
use crate::progress::Progress;
use crate::{process, workspace};

/// Objects of manifests find each other within theirs.
const NAMESPACE: &str = "files";

/// What Python says of a file.
#[derive(Clone, Deserialize)]
struct Source {
    header: Vec<String>,
    /// Columns with a name of their own: only they can be mapped.
    own: Vec<usize>,
    rows: u64,
    traits: BTreeSet<String>,
    /// Digests, see reader.py.
    file: String,
    taken: String,
    sent: String,
}

/// What Python says of a result file.
#[derive(Deserialize)]
struct Results {
    header: Vec<String>,
    taken: String,
    errors: Vec<String>,
}

/// What the program says of its run.
#[derive(Deserialize)]
struct Summary {
    reason: String,
    message: String,
    rows: Rows,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
struct Rows {
    read: u64,
    succeeded: u64,
    failed: u64,
}

/// One run of one file.
struct Run<'a> {
    file: &'a File,
    path: PathBuf,
    source: Source,
    object: String,
}

pub(super) fn check(progress: &Progress) -> Result<()> {
    let shelf = install::shelf(progress)?;
    super::build_programs()?;
    let scratch = workspace::target().join("files");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;

    let mut runs = Vec::new();
    for (number, file) in FILES.iter().enumerate() {
        let path = shelf.join(file.package.name).join(file.package.folder).join(file.path);
        runs.push(Run::prepare(file, path, format!("File_{number}__c")).with_context(|| file.name())?);
    }
    the_files_are_of_every_kind(&runs)?;
    let control = Run::control(&runs, &scratch)?;
    let objects: Vec<Value> = runs.iter().chain([&control]).map(Run::object).collect();
    let org = Org::start(&workspace::built("debug").join("salesforce-emulator"), &objects, &scratch)?;
    for (name, manifest) in ["secret.json", "connection.json"].iter().zip(org.manifests()) {
        std::fs::write(scratch.join(name), manifest.to_string())?;
    }

    let mut failed = Vec::new();
    let mut report = |name: String, result: Result<()>| match result {
        Ok(()) => println!("files: {name} ... ok"),
        Err(error) => {
            println!("files: {name} ... FAILED\n    {error:#}");
            failed.push(name);
        }
    };
    report("a changed cell is noticed".to_owned(), control.must_fail(&org, &scratch));
    for run in &runs {
        report(format!("{} {}", run.file.name(), run.file.expected.word()), run.check(&org, &scratch));
    }
    println!("files: {} passed, {} failed", runs.len() + 1 - failed.len(), failed.len());
    ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
    Ok(())
}

fn the_files_are_of_every_kind(runs: &[Run]) -> Result<()> {
    let files: BTreeSet<&Path> = runs.iter().map(|run| run.path.as_path()).collect();
    let packages: BTreeSet<&str> = runs.iter().map(|run| run.file.package.name).collect();
    ensure!(files.len() >= 20 && packages.len() >= 5, "only {} files of {} packages", files.len(), packages.len());
    let read = runs.iter().filter(|run| !matches!(run.file.expected, Expected::Unreadable(..)));
    let found: BTreeSet<&str> = read.flat_map(|run| &run.source.traits).map(String::as_str).collect();
    let missing: Vec<&str> = TRAITS.into_iter().filter(|wanted| !found.contains(wanted)).collect();
    ensure!(missing.is_empty(), "no file has {}", missing.join(", "));
    println!("files: {} files of {} packages, with {}", files.len(), packages.len(), Vec::from_iter(found).join(", "));
    Ok(())
}

impl<'a> Run<'a> {
    /// Looks at the file: it must be the one that the table speaks of, and Python must read it as the table says.
    fn prepare(file: &'a File, path: PathBuf, object: String) -> Result<Self> {
        let digest = workspace::digest(&path)?;
        ensure!(digest.starts_with(file.sha256), "it is another file than the table has: SHA-256 {digest}");
        let refused = file.expected.refused().iter().map(u64::to_string);
        let source: Source = read(Command::new("python3").arg(reader()).arg("--source").arg(&path).args(file.read_as).args(refused))?;
        ensure!(
            source.rows == file.rows && source.file.starts_with(file.digest),
            "Python reads {} rows, digest {}; the table has {}, {}",
            source.rows,
            source.file,
            file.rows,
            file.digest
        );
        Ok(Self { file, path, source, object })
    }

    /// The first file again with one cell changed behind Python's back.
    fn control(runs: &[Self], scratch: &Path) -> Result<Self> {
        let first = runs.first().context("the table has files")?;
        let path = scratch.join("changed.csv");
        let text = std::fs::read_to_string(&first.path)?;
        let (cell, changed) = table::CONTROL;
        ensure!(text.matches(cell).count() == 1, "{cell} must stand once in {}", first.file.name());
        std::fs::write(&path, text.replace(cell, changed))?;
        Ok(Self { file: first.file, path, source: first.source.clone(), object: "Changed__c".to_owned() })
    }

    fn must_fail(&self, org: &Org, scratch: &Path) -> Result<()> {
        match self.check(org, scratch) {
            Ok(()) => bail!("it was not"),
            Err(error) if format!("{error:#}").contains("Salesforce holds") => Ok(()),
            Err(error) => Err(error.context("something else was")),
        }
    }

    fn field(column: usize) -> String {
        format!("C{column}__c")
    }

    /// An object with a long text field for every column that can be mapped.
    fn object(&self) -> Value {
        let fields = self.source.own.iter().map(|column| json!({"name": Self::field(*column), "type": "textarea", "length": 131_072}));
        json!({"name": self.object, "fields": fields.collect::<Vec<_>>()})
    }

    fn job(&self) -> Value {
        let mapping = self.source.own.iter().map(|column| json!({"from": self.source.header[*column], "to": Self::field(*column)}));
        let mut job = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "file", "namespace": NAMESPACE},
            "spec": {
                "source": {"upload": {"name": "file"}},
                "target": {"salesforce": {
                    "connectionRef": {"name": "crm"}, "object": self.object, "operation": "Insert", "mapping": mapping.collect::<Vec<_>>(),
                }},
            },
        });
        let told = [("encoding", self.file.encoding), ("delimiter", self.file.delimiter)];
        for (key, value) in told.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            job["spec"]["source"]["upload"]["format"]["csv"][key] = json!(value);
        }
        job
    }

    fn check(&self, org: &Org, scratch: &Path) -> Result<()> {
        let folder = scratch.join(&self.object);
        let job = scratch.join(format!("{}.json", self.object));
        std::fs::write(&job, self.job().to_string())?;
        let summary = self.import(&job, scratch, &folder)?;
        let fields: Vec<String> = self.source.own.iter().map(|column| Self::field(*column)).collect();
        let held = org.holds(&self.object, &fields)?;
        if let Expected::Unreadable(reason, message) = self.file.expected {
            ensure!(summary.message == message, "it said: {}", summary.message);
            ensure!(summary.reason == reason, "it ended with {}", summary.reason);
            ensure!(held.count == 0, "nothing should be in Salesforce, not {} rows", held.count);
            return Ok(());
        }
        let refused = self.file.expected.refused();
        let taken = self.source.rows - refused.len() as u64;
        let rows = Rows { read: self.source.rows, succeeded: taken, failed: refused.len() as u64 };
        ensure!(summary.rows == rows, "{} {}: {:?} instead of {rows:?}", summary.reason, summary.message, summary.rows);
        let sent = Held { count: taken, sha256: self.source.sent.clone() };
        ensure!(held == sent, "Salesforce holds {held:?} instead of {sent:?}");
        self.check_results(&folder)
    }

    /// The results have every column of the input, also those that cannot be mapped, and say why rows were refused.
    fn check_results(&self, folder: &Path) -> Result<()> {
        let columns = self.source.header.len().to_string();
        let results = |name: &str| -> Result<Results> {
            read(Command::new("python3").arg(reader()).arg("--results").arg(folder.join(name)).arg(&columns))
        };
        let succeeded = results("succeeded.csv")?;
        ensure!(succeeded.header == self.source.header, "the results have the columns {:?}", succeeded.header);
        ensure!(succeeded.taken == self.source.taken, "succeeded.csv has other cells than the file");
        let errors = results("failed.csv")?.errors;
        let rows: Vec<u64> = errors.iter().filter_map(|error| row_of(error)).collect();
        let Expected::Refused(refused, first) = self.file.expected else {
            ensure!(errors.is_empty(), "refused: {errors:?}");
            return Ok(());
        };
        ensure!(rows == refused, "rows {rows:?} were refused instead of {refused:?}");
        ensure!(errors[0] == first, "it said: {}", errors[0]);
        Ok(())
    }

    fn import(&self, job: &Path, scratch: &Path, results: &Path) -> Result<Summary> {
        let mut command = Command::new(workspace::built("debug").join("dataimporter"));
        command.arg("run").arg("--file").arg(&self.path).arg("--results-dir").arg(results);
        for manifest in [job, &scratch.join("secret.json"), &scratch.join("connection.json")] {
            command.arg("-f").arg(manifest);
        }
        let output = command.args(["--results-for-reimport", "--quiet", "-o", "json"]).stdin(Stdio::null()).output()?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

fn reader() -> PathBuf {
    workspace::root().join("xtask/src/test/files/reader.py")
}

fn read<T: for<'de> Deserialize<'de>>(command: &mut Command) -> Result<T> {
    serde_json::from_str(&process::output(command)?).context("reader.py says something else than was agreed")
}

/// The row that an error names.
fn row_of(error: &str) -> Option<u64> {
    error.split_once("row ")?.1.split(' ').next()?.parse().ok()
}
