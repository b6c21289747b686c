//! Input row → the cells that Salesforce gets: one entry a field, from a column, a constant or a formula. `field` knows
//! which fields there are, `cell` what a cell may be: `id`, `picklist` and `value` know the forms, `number` those of people,
//! `local` times without a zone; `doubt` counts what is sent although it looks like a mistake.

mod cell;
mod doubt;
mod field;
mod id;
mod local;
mod number;
mod picklist;
mod value;

use std::ops::Range;

use api::import_job::{Decimal, MappingEntry, Operation, SalesforceTarget, Thousands, ValueSource};
use api::import_run::Warning;
use formula::Value;
use jiff::tz::TimeZone;
use memchr::memchr;
use salesforce::Describe;

use self::cell::CellRule;
use self::doubt::{Doubt, Doubts};
use self::field::MappedField;
use self::number::Number;
use crate::cells::{Cells, Columns};
use crate::dedupe::Compare;
use crate::finding::{Place, PreflightFinding, Problem};
use crate::row::{Header, Record, RowError};

/// Salesforce's limit for the first line of a Bulk job.
const MAX_HEADER: usize = 32_000;

pub(crate) struct Mapping {
    entries: Vec<Entry>,
    fields: Record,
    key: Option<usize>,
    doubts: Doubts,
    /// Where all that is sent stands in cells of the row: which ones, as stretches of cells next to each other.
    stretches: Option<Vec<Range<usize>>>,
}

struct Entry {
    source: Source,
    rule: CellRule,
}

enum Source {
    Column(usize),
    /// As it is sent, and whether it looks like a mistake.
    Constant(Vec<u8>, Option<Doubt>),
    Formula(Value),
}

impl Mapping {
    /// Fields that an error about all of them names.
    const NAMED: usize = 5;

    /// `zone`: that of times that say none. `parents`: what is known of the objects that parents are looked for in. Nothing when a finding was
    /// added.
    pub(crate) fn compile(
        target: &SalesforceTarget,
        zone: Option<&TimeZone>,
        header: &Header,
        describe: &Describe,
        parents: &[Describe],
        findings: &mut Vec<PreflightFinding>,
    ) -> Option<Self> {
        let known = findings.len();
        findings
            .extend(field::check_target(target, describe).into_iter().map(|problem| PreflightFinding { place: Place::Target, problem }));

        let mut entries = Vec::new();
        let mut fields = Record::new();
        let mut targets: Vec<MappedField> = Vec::new();
        for entry in &target.mapping {
            let mut note = |problem| findings.push(PreflightFinding { place: Place::Mapping(entry.to.clone()), problem });
            let resolved = match field::resolve(target, &entry.to, describe, parents) {
                Ok(resolved) => {
                    targets.iter().filter_map(|other| resolved.clash(other)).for_each(&mut note);
                    Some(resolved)
                }
                Err(problem) => {
                    note(problem);
                    None
                }
            };
            let source = match compile_source(entry, header) {
                Ok(source) => Some(source),
                Err(problem) => {
                    note(problem);
                    None
                }
            };
            let number = compile_number(entry).unwrap_or_else(|problem| {
                note(problem);
                None
            });
            let (Some(resolved), Some(source)) = (resolved, source) else { continue };
            let rule = CellRule::new(&resolved, entry.blank_cells.unwrap_or(target.blank_cells()));
            let rule = match number {
                Some(number) => rule.with_number(number),
                None => rule,
            };
            let rule = match zone {
                Some(zone) => rule.with_zone(zone, column(entry)),
                None => rule,
            };
            fields.push_field(resolved.name.as_bytes());
            match finish(source, rule) {
                Ok(entry) => entries.push(entry),
                Err(error) => note(Problem::Constant(error)),
            }
            targets.push(resolved);
        }
        let length = fields.as_slice().len() + 1;
        if length > MAX_HEADER {
            let problem = Problem::HeaderTooLong { found: length, limit: MAX_HEADER };
            findings.push(PreflightFinding { place: Place::Target, problem });
        }
        let key = targets.iter().position(|target| target.key);
        let stretches = stretches(&entries);
        (findings.len() == known).then(|| Self { entries, fields, key, doubts: Doubts::default(), stretches })
    }

    pub(crate) fn fields(&self) -> &Record {
        &self.fields
    }

    pub(crate) fn key(&self) -> Option<usize> {
        self.key
    }

    /// How Salesforce compares what this column gives it, if that finds a row.
    pub(crate) fn compare(&self, column: usize) -> Compare {
        let of_column = |entry: &&Entry| matches!(entry.source, Source::Column(known) if known == column);
        let compares = self.entries.iter().filter(of_column).map(|entry| entry.rule.compare());
        compares.fold(Compare::Exactly, |so_far, compare| if so_far == Compare::Exactly { compare } else { so_far })
    }

    /// What was sent although it looks like a mistake.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        self.doubts.warnings(|entry| self.entries[entry].rule.field())
    }

    /// `row`: its number.
    pub(crate) fn map(&mut self, row: u64, input: &Cells<'_>, mapped: &mut Record, scratch: &mut String) -> Result<(), RowError> {
        mapped.clear();
        self.doubts.begin_row();
        if self.copy(input, mapped) {
            self.doubts.end_row(row);
            return Ok(());
        }
        mapped.clear();
        // Looked for once a row: hardly any has one.
        let has_cr = memchr(b'\r', input.row.as_slice()).is_some();
        for (at, Entry { source, rule }) in self.entries.iter().enumerate() {
            let doubt = match source {
                Source::Column(column) => rule.apply(input.null_words.read(input.row, *column), has_cr, mapped)?,
                Source::Constant(value, doubt) => {
                    mapped.push_field(value);
                    *doubt
                }
                Source::Formula(formula) => {
                    scratch.clear();
                    let written = formula.write(input, scratch);
                    written.map_err(|source| RowError::Formula { place: format!("mapping to {}", rule.field()), source })?;
                    rule.apply(scratch.as_bytes(), scratch.contains('\r'), mapped)?
                }
            };
            if let Some(doubt) = doubt {
                self.doubts.note(at, doubt);
            }
        }
        if mapped.is_blank() {
            return Err(self.blank_row());
        }
        self.doubts.end_row(row);
        Ok(())
    }

    /// Most rows of most files are sent as they stand, and most mappings name columns in the order of the file: such rows are copied by the
    /// stretch. False: this row or this job is none of those.
    fn copy(&self, input: &Cells<'_>, mapped: &mut Record) -> bool {
        let Some(stretches) = self.stretches.as_ref().filter(|_| input.row.is_known_plain() && input.null_words.is_empty()) else {
            return false;
        };
        let columns = stretches.iter().cloned().flatten();
        let as_they_stand = self.entries.iter().zip(columns).all(|(Entry { rule, .. }, column)| {
            let cell = input.row.get(column);
            cell.is_some_and(|cell| rule.takes_as_it_stands(cell))
        });
        if !as_they_stand {
            return false;
        }
        stretches.iter().for_each(|columns| mapped.push_cells(input.row, columns.clone()));
        mapped.mark_plain();
        !mapped.is_blank()
    }

    /// A line without text is no record to Salesforce: no result would come back for it.
    fn blank_row(&self) -> RowError {
        let names: Vec<_> = self.fields.iter().take(Self::NAMED).map(String::from_utf8_lossy).collect();
        let more = if self.fields.len() > Self::NAMED { ", …" } else { "" };
        RowError::BlankRow { fields: names.join(", ") + more }
    }
}

/// The columns of a mapping that knows nothing but columns, and sends what is in them.
fn stretches(entries: &[Entry]) -> Option<Vec<Range<usize>>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for entry in entries {
        let Source::Column(column) = entry.source else { return None };
        if !entry.rule.sends_cells() {
            return None;
        }
        match stretches.last_mut() {
            Some(stretch) if stretch.end == column => stretch.end += 1,
            _ => stretches.push(column..column + 1),
        }
    }
    Some(stretches)
}

/// Objects that parents are looked for in: what is known of them helps to find mistakes before anything is sent.
pub(crate) fn parents(target: &SalesforceTarget, describe: &Describe) -> Vec<String> {
    field::parents(target, describe)
}

/// What is wrong with the target whatever org it is.
pub(crate) fn check(target: &SalesforceTarget, header: &Header) -> Vec<PreflightFinding> {
    let shape = field::check_shape(target).into_iter().map(|problem| PreflightFinding { place: Place::Target, problem });
    let entries = target.mapping.iter().flat_map(|entry| {
        let problems = [compile_source(entry, header).err(), compile_number(entry).err()];
        problems.into_iter().flatten().map(|problem| PreflightFinding { place: Place::Mapping(entry.to.clone()), problem })
    });
    shape.chain(entries).collect()
}

/// Fields that a new record needs and that the mapping leaves out.
pub(crate) fn unset(target: &SalesforceTarget, describe: &Describe, parents: &[Describe]) -> Vec<String> {
    field::unset(target, describe, parents)
}

fn compile_source(entry: &MappingEntry, header: &Header) -> Result<Source, Problem> {
    match entry.source() {
        Some(ValueSource::From(column)) => Ok(Source::Column(header.find(column)?)),
        Some(ValueSource::Value(value)) => Ok(Source::Constant(value.as_bytes().to_vec(), None)),
        Some(ValueSource::Formula(source)) => Ok(Source::Formula(Value::compile(source, &Columns(header))?)),
        None => Err(Problem::EntryShape),
    }
}

/// The one column that an entry takes, if it takes one.
fn column(entry: &MappingEntry) -> Option<&str> {
    match entry.source()? {
        ValueSource::From(column) => Some(column),
        ValueSource::Value(_) | ValueSource::Formula(_) => None,
    }
}

/// How the column of an entry writes its numbers, if the job says so.
fn compile_number(entry: &MappingEntry) -> Result<Option<Number>, Problem> {
    let Some(format) = entry.number else { return Ok(None) };
    let Some(column) = column(entry) else { return Err(Problem::NumberWithoutColumn) };
    let one_sign =
        matches!((format.decimal, format.thousands), (Decimal::Point, Some(Thousands::Point)) | (Decimal::Comma, Some(Thousands::Comma)));
    if one_sign { Err(Problem::NumberSigns) } else { Ok(Some(Number { column: column.to_owned(), format })) }
}

/// Constants are what they will be for every row, and are judged now.
fn finish(source: Source, rule: CellRule) -> Result<Entry, RowError> {
    let source = match source {
        Source::Constant(value, _) => {
            let mut sent = Record::new();
            let doubt = rule.constant().apply(&value, true, &mut sent)?;
            Source::Constant(sent[0].to_vec(), doubt)
        }
        other => other,
    };
    Ok(Entry { source, rule })
}

/// Whether the operation needs to know which row is meant, and by which field.
fn key_field(target: &SalesforceTarget) -> Option<&str> {
    match target.operation {
        Operation::Insert => None,
        Operation::Update | Operation::Delete => Some("Id"),
        Operation::Upsert => target.match_by.first().map(String::as_str),
    }
}
