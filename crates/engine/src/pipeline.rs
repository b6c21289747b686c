//! The steps of a job, compiled once against the header and the org's fields: one input row in, at most one mapped row
//! out. No I/O and no clock; the same rows give the same answers, on which resuming relies.

#![warn(missing_docs)]

use api::import_job::{ImportJobSpec, Step as StepSpec, StepKind};
use api::import_run::Warning;
use salesforce::Describe;

use crate::cells::{Cells, NullWords};
use crate::dedupe::{Compare, Dedupe};
use crate::filter::Filter;
use crate::finding::{Place, PreflightFinding, Problem};
use crate::map::{self, Mapping};
use crate::row::{Header, Record, RowError};

/// What became of an input row.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes to the target.
    Mapped,
    /// A filter left it out.
    Filtered,
    /// It repeats an earlier row.
    Deduplicated,
    /// It cannot be used.
    Failed(RowError),
}

/// Steps and mapping of one job, ready for its rows. Made by [`Pipeline::compile`].
pub struct Pipeline {
    steps: Vec<Step>,
    mapping: Mapping,
    null_words: NullWords,
    /// Formulas work in it; it keeps only its capacity.
    scratch: String,
}

enum Step {
    /// With its number in the job.
    Filter(usize, Filter),
    Dedupe(Dedupe),
}

/// Objects that the job looks for parents in: `Pipeline::compile` wants their describes too.
pub fn parents(spec: &ImportJobSpec, describe: &Describe) -> Vec<String> {
    spec.target.salesforce().map(|target| map::parents(target, describe)).unwrap_or_default()
}

impl Pipeline {
    /// Checks everything that header and describes can tell; nothing has been sent when this fails. A parent that is not
    /// described is not checked.
    ///
    /// # Errors
    ///
    /// All that is wrong with the job, in the order of its manifest.
    pub fn compile(
        spec: &ImportJobSpec,
        header: &Header,
        describe: &Describe,
        parents: &[Describe],
    ) -> Result<Self, Vec<PreflightFinding>> {
        let mut of_mapping = Vec::new();
        let zone = spec.source.zone();
        let known = zone.as_ref().ok().and_then(Option::as_ref);
        let mapping = match spec.target.salesforce() {
            Some(target) => Mapping::compile(target, known, header, describe, parents, &mut of_mapping),
            None => {
                of_mapping.push(PreflightFinding { place: Place::Target, problem: Problem::NoTarget });
                None
            }
        };
        let compare = |column| mapping.as_ref().map_or(Compare::Exactly, |mapping| mapping.compare(column));
        let (steps, mut findings) = compile_steps(spec, header, compare);
        findings.append(&mut of_mapping);
        if findings.iter().any(|finding| finding.problem.is_about_a_column()) {
            findings.insert(0, PreflightFinding { place: Place::Source, problem: Problem::Header(header.described()) });
        }
        if let Err(unknown) = zone {
            findings.insert(0, PreflightFinding { place: Place::Source, problem: Problem::Zone(unknown) });
        }
        match mapping {
            Some(mapping) if findings.is_empty() => {
                Ok(Self { steps, mapping, null_words: NullWords::new(spec.null_words()), scratch: String::new() })
            }
            _ => Err(findings),
        }
    }

    /// Names of the mapped cells, as Salesforce spells them.
    pub fn fields(&self) -> &Record {
        self.mapping.fields()
    }

    /// Which mapped cell finds the row in Salesforce: the external id of an Upsert, the id of an Update or Delete.
    pub fn key(&self) -> Option<usize> {
        self.mapping.key()
    }

    /// A row's outcome depends on the rows before it: to go on behind some rows they must be processed again.
    pub fn remembers_rows(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Dedupe(_)))
    }

    /// What was mapped so far although it looks like a mistake.
    pub fn warnings(&self) -> Vec<Warning> {
        self.mapping.warnings()
    }

    /// Takes a row without a fault, by its number. `mapped` is complete only when the outcome is `Mapped`.
    pub fn process(&mut self, row: u64, input: &Record, mapped: &mut Record) -> Outcome {
        let cells = Cells { row: input, null_words: &self.null_words };
        for step in &mut self.steps {
            match step {
                Step::Filter(number, filter) => match filter.keeps(&cells, &mut self.scratch) {
                    Ok(true) => {}
                    Ok(false) => return Outcome::Filtered,
                    Err(source) => return Outcome::Failed(RowError::Formula { place: Place::Step(*number).to_string(), source }),
                },
                Step::Dedupe(dedupe) => match dedupe.is_new(input, &self.null_words) {
                    Ok(true) => {}
                    Ok(false) => return Outcome::Deduplicated,
                    Err(error) => return Outcome::Failed(error),
                },
            }
        }
        match self.mapping.map(row, &cells, mapped, &mut self.scratch) {
            Ok(()) => Outcome::Mapped,
            Err(error) => Outcome::Failed(error),
        }
    }
}

/// What is wrong with steps and mapping whatever org they are for: all that can be told without one.
pub(crate) fn check(spec: &ImportJobSpec, header: &Header) -> Vec<PreflightFinding> {
    let (_, mut findings) = compile_steps(spec, header, |_| Compare::Exactly);
    findings.extend(spec.target.salesforce().into_iter().flat_map(|target| map::check(target, header)));
    findings
}

/// Fields that Salesforce wants of a new record and that no entry of the mapping gives it.
pub(crate) fn unset(spec: &ImportJobSpec, describe: &Describe, parents: &[Describe]) -> Vec<String> {
    spec.target.salesforce().map(|target| map::unset(target, describe, parents)).unwrap_or_default()
}

fn compile_steps(spec: &ImportJobSpec, header: &Header, compare: impl Fn(usize) -> Compare + Copy) -> (Vec<Step>, Vec<PreflightFinding>) {
    let (mut steps, mut findings) = (Vec::new(), Vec::new());
    for (at, step) in spec.steps.iter().enumerate() {
        match compile_step(at + 1, step, header, compare) {
            Ok(step) => steps.push(step),
            Err(problems) => findings.extend(problems.into_iter().map(|problem| PreflightFinding { place: Place::Step(at + 1), problem })),
        }
    }
    (steps, findings)
}

fn compile_step(number: usize, step: &StepSpec, header: &Header, compare: impl Fn(usize) -> Compare) -> Result<Step, Vec<Problem>> {
    match step.kind() {
        Some(StepKind::Filter(source)) => {
            let filter = Filter::compile(source, header).map_err(|error| vec![error.into()])?;
            Ok(Step::Filter(number, filter))
        }
        Some(StepKind::Dedupe(dedupe)) => {
            let dedupe =
                Dedupe::compile(&dedupe.by, header, compare).map_err(|errors| errors.into_iter().map(Problem::from).collect::<Vec<_>>())?;
            Ok(Step::Dedupe(dedupe))
        }
        None => Err(vec![Problem::StepShape]),
    }
}

#[cfg(test)]
mod tests;
