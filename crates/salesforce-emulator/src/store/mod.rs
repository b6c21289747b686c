//! The rows of the organisation: compact, found by id and by key, written through one set of rules whatever API asks.
//!
//! Knows the schema and Salesforce's row errors. Knows nothing of HTTP, JSON, CSV or queries.

mod error;
pub(crate) mod id;
mod index;
mod recycle;
pub(crate) mod row;
mod undo;
pub(crate) mod value;
mod write;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use error::RowError;
use index::Index;
pub(crate) use index::equal;
pub(crate) use row::{Row, RowState};
pub(crate) use write::{Cell, Draft, ParentRef, WriteOptions};

use crate::schema::{Field, FieldType, Otherwise, Schema, Source};

/// A compiled validation rule: true refuses the row.
pub(crate) struct Rule {
    pub(crate) message: String,
    pub(crate) field: Option<String>,
    pub(crate) refuses: RuleCheck,
}

pub(crate) type RuleCheck = Box<dyn Fn(&RowView<'_>) -> bool + Send + Sync>;

struct Table {
    rows: Vec<Row>,
    live: usize,
    /// By field number, for key fields and for references whose parent takes its children along.
    indexes: HashMap<usize, Index>,
    /// By number of the duplicate rule.
    duplicates: Vec<Index>,
    rules: Vec<Rule>,
    /// Rows counted but not kept (`drain`).
    drained: u64,
}

pub(crate) struct Store {
    pub(crate) schema: Arc<Schema>,
    tables: Vec<Table>,
    running_user: String,
    drain: bool,
    /// Since when a row is in the Recycle Bin and the deletion that took it there.
    bin: HashMap<(usize, u32), recycle::Binned>,
    deletions: u64,
    /// By deletion: the lookups that it emptied.
    cleared: HashMap<u64, Vec<recycle::Cleared>>,
    undo: undo::Undo,
}

impl Store {
    /// `rules` compiles an object's validation rules; `drain` counts and checks inserted rows without keeping them.
    pub(crate) fn new(schema: Arc<Schema>, drain: bool, mut rules: impl FnMut(usize) -> Vec<Rule>) -> Self {
        let tables = (0..schema.objects.len()).map(|number| Table::new(&schema, number, rules(number))).collect();
        Self {
            schema,
            tables,
            running_user: String::new(),
            drain,
            bin: HashMap::new(),
            deletions: 0,
            cleared: HashMap::new(),
            undo: undo::Undo::default(),
        }
    }

    pub(crate) fn set_running_user(&mut self, id: String) {
        self.running_user = id;
    }

    /// Live rows, the drained ones included.
    pub(crate) fn count(&self, object: usize) -> u64 {
        self.tables[object].live as u64 + self.tables[object].drained
    }

    /// Every row number of an object, deleted ones too.
    pub(crate) fn numbers(&self, object: usize) -> std::ops::Range<u32> {
        0..u32::try_from(self.tables[object].rows.len()).expect("an emulated table stays below four billion rows")
    }

    pub(crate) fn view(&self, object: usize, number: u32) -> RowView<'_> {
        RowView { store: self, object, number, row: &self.tables[object].rows[number as usize] }
    }

    /// The row an id names, whatever its state.
    pub(crate) fn find(&self, object: usize, id: &str) -> Option<u32> {
        if !id.starts_with(&self.schema.objects[object].prefix) {
            return None;
        }
        let number = u32::try_from(id::number(id)?.checked_sub(1)?).ok()?;
        let row = self.tables[object].rows.get(number as usize)?;
        (row.state != RowState::Purged).then_some(number)
    }

    pub(crate) fn id_of(&self, object: usize, number: u32) -> String {
        id::format(&self.schema.objects[object].prefix, u64::from(number) + 1)
    }

    /// Live rows whose key field has this value.
    pub(crate) fn by_key(&self, object: usize, field: usize, value: &str) -> Vec<u32> {
        let spec = &self.schema.objects[object].fields[field];
        match spec.source {
            Source::Id => {
                let found = id::canonical(value).and_then(|id| self.find(object, &id));
                found.filter(|number| self.view(object, *number).is_live()).into_iter().collect()
            }
            Source::AutoNumber => {
                let number = value.parse::<u32>().ok().and_then(|n| n.checked_sub(1));
                let known = number.filter(|n| (*n as usize) < self.tables[object].rows.len());
                known.filter(|number| self.view(object, *number).is_live()).into_iter().collect()
            }
            _ => self.indexed(object, field, spec, value),
        }
    }

    /// Can `by_key` answer for this field.
    pub(crate) fn has_index(&self, object: usize, field: usize) -> bool {
        let spec = &self.schema.objects[object].fields[field];
        matches!(spec.source, Source::Id | Source::AutoNumber) || self.tables[object].indexes.contains_key(&field)
    }

    fn indexed(&self, object: usize, field: usize, spec: &Field, value: &str) -> Vec<u32> {
        let Some(index) = self.tables[object].indexes.get(&field) else { return Vec::new() };
        let value = value::trimmed(value);
        let stored = |row: &Row| row.get(field).is_some_and(|text| equal(text, value, spec.case_sensitive));
        let rows = index.rows(index::key(value, spec.case_sensitive));
        rows.iter().copied().filter(|number| stored(&self.tables[object].rows[*number as usize])).collect()
    }

    fn add_to_indexes(&mut self, object: usize, number: u32) {
        self.reindex(object, number, Index::add);
    }

    fn remove_from_indexes(&mut self, object: usize, number: u32) {
        self.reindex(object, number, Index::remove);
    }

    fn reindex(&mut self, object: usize, number: u32, change: fn(&mut Index, u64, u32)) {
        let spec = &self.schema.objects[object];
        let table = &mut self.tables[object];
        let row = &table.rows[number as usize];
        for (field, index) in &mut table.indexes {
            if let Some(text) = row.get(*field) {
                change(index, index::key(text, spec.fields[*field].case_sensitive), number);
            }
        }
        for (rule, index) in spec.duplicate_rules.iter().zip(&mut table.duplicates) {
            if let Some(key) = duplicate_key(row, &rule.fields) {
                change(index, key, number);
            }
        }
    }
}

/// All fields of a duplicate rule must be filled for it to speak.
fn duplicate_key(row: &Row, fields: &[usize]) -> Option<u64> {
    let texts = fields.iter().map(|field| row.get(*field)).collect::<Option<Vec<_>>>()?;
    Some(index::key(&texts.join("\u{1}"), false))
}

impl Table {
    fn new(schema: &Schema, number: usize, rules: Vec<Rule>) -> Self {
        let object = &schema.objects[number];
        let indexed = |field: &Field| field.source == Source::Stored && (field.is_key() || follows_parent(field));
        Self {
            rows: Vec::new(),
            live: 0,
            indexes: object.fields.iter().enumerate().filter(|(_, f)| indexed(f)).map(|(i, _)| (i, Index::default())).collect(),
            duplicates: object.duplicate_rules.iter().map(|_| Index::default()).collect(),
            rules,
            drained: 0,
        }
    }
}

/// Children are looked up when their parent is deleted, and by sub-queries. Owners own too much to be worth it.
fn follows_parent(field: &Field) -> bool {
    field.kind == FieldType::Reference && field.default.is_none()
}

/// One row as its fields read, made-up ones included.
#[derive(Clone, Copy)]
pub(crate) struct RowView<'a> {
    pub(crate) store: &'a Store,
    pub(crate) object: usize,
    pub(crate) number: u32,
    row: &'a Row,
}

impl<'a> RowView<'a> {
    pub(crate) fn id(&self) -> String {
        self.store.id_of(self.object, self.number)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.row.state == RowState::Live
    }

    pub(crate) fn state(&self) -> RowState {
        self.row.state
    }

    /// The object of the row; queues are groups of their own kind.
    pub(crate) fn kind(&self) -> Cow<'a, str> {
        let object = &self.store.schema.objects[self.object];
        let queue = || object.field("Type").and_then(|field| self.row.get(field)).filter(|kind| *kind == "Queue");
        match object.name.as_str() {
            "Group" => Cow::Borrowed(queue().unwrap_or("Group")),
            name => Cow::Borrowed(name),
        }
    }

    pub(crate) fn modified(&self) -> i64 {
        self.row.modified
    }

    pub(crate) fn get(&self, field: usize) -> Option<Cow<'a, str>> {
        let object = &self.store.schema.objects[self.object];
        let spec = &object.fields[field];
        match spec.source {
            Source::Stored => self.stored(field, spec),
            Source::Id => Some(Cow::Owned(self.id())),
            Source::IsDeleted => Some(Cow::Borrowed(if self.is_live() { "false" } else { "true" })),
            Source::Created => Some(Cow::Owned(value::format_instant(self.row.created))),
            Source::Modified => Some(Cow::Owned(value::format_instant(self.row.modified))),
            Source::RunningUser => Some(Cow::Borrowed(&self.store.running_user)),
            Source::AutoNumber => Some(Cow::Owned(format!("{:08}", self.number + 1))),
            Source::PersonName => {
                let parts = ["FirstName", "LastName"].map(|name| object.field(name).and_then(|field| self.row.get(field)));
                let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
                (!name.is_empty()).then_some(Cow::Owned(name))
            }
        }
    }

    fn otherwise(&self, otherwise: &'a Otherwise) -> Option<Cow<'a, str>> {
        match otherwise {
            Otherwise::ByValue { field, values, rest } => {
                let given = self.get(*field)?;
                let found = values.iter().find(|(value, _)| value.eq_ignore_ascii_case(&given)).map(|(_, text)| text);
                found.or(rest.as_ref()).map(|text| Cow::Borrowed(text.as_str()))
            }
            Otherwise::OfParent { reference, object, field } => {
                let number = self.store.find(*object, &self.get(*reference)?)?;
                self.store.view(*object, number).get(*field)
            }
        }
    }

    /// Booleans and owners that were never set read as their default; the other defaults were stored on insert.
    fn stored(&self, field: usize, spec: &'a Field) -> Option<Cow<'a, str>> {
        if let Some(text) = self.row.get(field) {
            return Some(Cow::Borrowed(text));
        }
        if let Some(otherwise) = &spec.otherwise {
            return self.otherwise(otherwise).or((spec.kind == FieldType::Boolean).then_some(Cow::Borrowed("false")));
        }
        match spec.default.as_deref() {
            Some(crate::schema::RUNNING_USER) => Some(Cow::Borrowed(&self.store.running_user)),
            Some("true") if spec.kind == FieldType::Boolean => Some(Cow::Borrowed("true")),
            Some(_) if spec.kind == FieldType::Boolean => Some(Cow::Borrowed("false")),
            _ => None,
        }
    }
}
