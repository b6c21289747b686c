//! Input row → the cells that Salesforce gets: one entry a field, from a column, a constant or a formula. `field` knows
//! which fields there are, `cell` what a cell may be.

mod cell;
mod field;
mod id;

use api::import_job::{MappingEntry, Operation, SalesforceTarget};
use csv::ByteRecord;
use formula::Value;
use memchr::memchr;
use salesforce::Describe;

use self::cell::CellRule;
use self::field::Target;
use crate::cells::{Cells, Columns};
use crate::finding::{Finding, Place, Problem};
use crate::row::{Header, RowError};

/// Salesforce's limit for the first line of a Bulk job.
const MAX_HEADER: usize = 32_000;

pub(crate) struct Mapping {
    entries: Vec<Entry>,
    fields: ByteRecord,
    key: Option<usize>,
}

struct Entry {
    source: Source,
    rule: CellRule,
}

enum Source {
    Column(usize),
    /// As it is sent.
    Constant(Vec<u8>),
    Formula(Value),
}

impl Mapping {
    /// Fields that an error about all of them names.
    const NAMED: usize = 5;

    /// Nothing when a finding was added.
    pub(crate) fn compile(target: &SalesforceTarget, header: &Header, describe: &Describe, findings: &mut Vec<Finding>) -> Option<Self> {
        let known = findings.len();
        findings.extend(field::check_target(target, describe).into_iter().map(|problem| Finding { place: Place::Target, problem }));

        let mut entries = Vec::new();
        let mut fields = ByteRecord::new();
        let mut targets: Vec<Target> = Vec::new();
        for entry in &target.mapping {
            let mut note = |problem| findings.push(Finding { place: Place::Mapping(entry.to.clone()), problem });
            let resolved = match field::resolve(target, &entry.to, describe) {
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
            let (Some(resolved), Some(source)) = (resolved, source) else { continue };
            let rule = CellRule::new(&resolved, entry.blank_cells.unwrap_or(target.blank_cells()));
            fields.push_field(resolved.name.as_bytes());
            match finish(source, rule) {
                Ok(entry) => entries.push(entry),
                Err(error) => note(Problem::Constant(error)),
            }
            targets.push(resolved);
        }
        let length = fields.as_slice().len() + fields.len();
        if length > MAX_HEADER {
            let problem = Problem::HeaderTooLong { found: length, limit: MAX_HEADER };
            findings.push(Finding { place: Place::Target, problem });
        }
        let key = targets.iter().position(|target| target.key);
        (findings.len() == known).then_some(Self { entries, fields, key })
    }

    pub(crate) fn fields(&self) -> &ByteRecord {
        &self.fields
    }

    pub(crate) fn key(&self) -> Option<usize> {
        self.key
    }

    pub(crate) fn map(&self, input: &ByteRecord, mapped: &mut ByteRecord, scratch: &mut String) -> Result<(), RowError> {
        mapped.clear();
        // Looked for once a row: hardly any has one.
        let has_cr = memchr(b'\r', input.as_slice()).is_some();
        for Entry { source, rule } in &self.entries {
            match source {
                Source::Column(column) => rule.apply(input.get(*column).unwrap_or_default(), has_cr, mapped)?,
                Source::Constant(value) => mapped.push_field(value),
                Source::Formula(formula) => {
                    scratch.clear();
                    let written = formula.write(&Cells(input), scratch);
                    written.map_err(|source| RowError::Formula { place: format!("mapping to {}", rule.field()), source })?;
                    rule.apply(scratch.as_bytes(), scratch.contains('\r'), mapped)?;
                }
            }
        }
        if mapped.as_slice().is_empty() { Err(self.blank_row()) } else { Ok(()) }
    }

    /// A line without text is no record to Salesforce: no result would come back for it.
    fn blank_row(&self) -> RowError {
        let names: Vec<_> = self.fields.iter().take(Self::NAMED).map(String::from_utf8_lossy).collect();
        let more = if self.fields.len() > Self::NAMED { ", …" } else { "" };
        RowError::BlankRow { fields: names.join(", ") + more }
    }
}

fn compile_source(entry: &MappingEntry, header: &Header) -> Result<Source, Problem> {
    match (&entry.from, &entry.value, &entry.formula) {
        (Some(column), None, None) => Ok(Source::Column(header.find(column)?)),
        (None, Some(value), None) => Ok(Source::Constant(value.as_bytes().to_vec())),
        (None, None, Some(source)) => Ok(Source::Formula(Value::compile(source, &Columns(header))?)),
        _ => Err(Problem::EntryShape),
    }
}

/// Constants are what they will be for every row, and are judged now.
fn finish(source: Source, rule: CellRule) -> Result<Entry, RowError> {
    let source = match source {
        Source::Constant(value) => {
            let mut sent = ByteRecord::new();
            rule.constant().apply(&value, true, &mut sent)?;
            Source::Constant(sent[0].to_vec())
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
