//! `dataimporter validate`: manifests as they stand in Git, before they are applied or merged. files → `yaml` → `inspect` (schema, rules) →
//! `references`, `rows`, `org` → output. What a job may be is said by the crates that run it; here it only gets its place in a file.

mod args;
mod files;
mod finding;
mod inspect;
mod object;
mod org;
mod output;
mod references;
mod rows;
mod rules;
mod schema;
mod yaml;

use std::collections::HashSet;
use std::process::ExitCode;

use jiff::Timestamp;

pub use self::args::Args;
use self::finding::About;
pub use self::finding::{Finding, Severity};
use self::inspect::{Inspection, Kinds};
use self::object::What;
use crate::terminal;

/// What the exit code says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Exit {
    Fine = 0,
    Findings = 1,
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

pub async fn run(args: Args) -> ExitCode {
    match checked(&args).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::error_line(format_args!("dataimporter validate: {}", terminal::without_number(&format!("{error:#}"))));
            Exit::Usage.into()
        }
    }
}

async fn checked(args: &Args) -> anyhow::Result<Exit> {
    let found = files::find(args.paths())?;
    let kinds = Kinds::new();
    let mut inspection = Inspection::new(&kinds);
    for path in &found.files {
        let name = files::name_of(path);
        match files::text_of(path) {
            Ok(text) => inspection.add(&name, &text),
            Err(message) => inspection.unread(&name, message),
        }
    }
    let unsound = together(&mut inspection);
    if args.ask_orgs {
        for (at, about) in org::check(&inspection, |at| !unsound.contains(&at)).await {
            inspection.tell(at, about);
        }
    }
    let counted = inspection.counted;
    let findings = inspection.into_findings();
    terminal::write(output::text(args.output, &findings, counted, &found))?;
    terminal::error_line(output::summary(findings.len(), counted, &found));
    let is_fine = counted.errors == 0 && !(args.strict && counted.warnings > 0);
    Ok(if is_fine { Exit::Fine } else { Exit::Findings })
}

/// What all objects say together, once all files are read. Returns those that something is wrong with.
fn together(inspection: &mut Inspection<'_>) -> HashSet<usize> {
    let now = Timestamp::now();
    let jobs = inspection.objects.iter().enumerate().filter_map(|(at, object)| match &object.what {
        What::Job(job) => Some((at, job)),
        _ => None,
    });
    let mut told: Vec<(usize, About)> =
        jobs.flat_map(|(at, job)| rows::check(job, now).into_iter().map(move |about| (at, about))).collect();
    told.extend(references::check(inspection));
    let unsound = told.iter().filter(|(_, about)| about.severity == Severity::Error).map(|(at, _)| *at).collect();
    told.into_iter().for_each(|(at, about)| inspection.tell(at, about));
    unsound
}

/// Says of manifests what an API server with our definitions would say of them, and no more.
pub struct Judge(Kinds);

impl Judge {
    /// One that knows our kinds as this version has them.
    #[allow(clippy::new_without_default, reason = "it is work")]
    pub fn new() -> Self {
        Self(Kinds::new())
    }

    /// What is wrong with the manifests of a text.
    pub fn judge(&self, text: &str) -> Vec<Finding> {
        let mut inspection = Inspection::new(&self.0);
        inspection.add("", text);
        inspection.into_findings()
    }
}
