//! Insert, update and upsert of one row: the checks in Salesforce's order, then the write.

use std::borrow::Cow;

use super::{Index, Row, RowError, RowState, RowView, Store, duplicate_key, equal, id, index, value};
use crate::schema::{Field, FieldType, RUNNING_USER, Source};

/// What a client wants in a field.
#[derive(Clone, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
}

/// A parent named by one of its keys: `Account.External_Id__c = X`.
#[derive(Clone, Debug)]
pub(crate) struct ParentRef<'a> {
    pub(crate) field: usize,
    pub(crate) object: usize,
    pub(crate) key: usize,
    pub(crate) value: Cow<'a, str>,
}

/// The fields a client sent for one row; fields not named stay as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) cells: Vec<(usize, Cell<'a>)>,
    pub(crate) parents: Vec<ParentRef<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) now: i64,
    /// Save past duplicate rules that only alert.
    pub(crate) allow_duplicates: bool,
}

/// A row that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) number: u32,
    pub(crate) created: bool,
}

type Texts<'a> = Vec<(usize, Option<Cow<'a, str>>)>;

impl Store {
    pub(crate) fn insert(&mut self, object: usize, draft: Draft<'_>, options: WriteOptions) -> Result<Saved, RowError> {
        let mut texts = self.texts(object, draft, |field| field.createable)?;
        if !self.drain {
            self.fill_defaults(object, &mut texts);
        }
        let cells = || texts.iter().filter_map(|(field, text)| text.as_deref().map(|text| (*field, text)));
        let needed = self.schema.objects[object].needed.iter().copied();
        self.require(object, needed.filter(|field| !cells().any(|(given, _)| given == *field)))?;
        let number = self.next_number(object);
        if self.drain {
            self.tables[object].drained += 1;
            return Ok(Saved { number, created: true });
        }
        let row = Row::new(cells(), options.now);
        self.check(object, number, &row, None, options)?;
        self.touch(object, number);
        self.tables[object].rows.push(row);
        self.tables[object].live += 1;
        self.add_to_indexes(object, number);
        Ok(Saved { number, created: true })
    }

    /// Writes a row of the organisation itself: no field is read-only and nothing is drained.
    pub(crate) fn seed(&mut self, object: usize, draft: Draft<'_>, options: WriteOptions) {
        let texts = self.texts(object, draft, |_| true).expect("the server's own rows are valid");
        let row = Row::new(texts.iter().filter_map(|(field, text)| text.as_deref().map(|text| (*field, text))), options.now);
        let number = self.next_number(object);
        self.tables[object].rows.push(row);
        self.tables[object].live += 1;
        self.add_to_indexes(object, number);
    }

    pub(crate) fn update(&mut self, object: usize, id: &str, draft: Draft<'_>, options: WriteOptions) -> Result<Saved, RowError> {
        let number = self.live_row(object, id)?;
        self.update_row(object, number, draft, options)
    }

    fn update_row(&mut self, object: usize, number: u32, draft: Draft<'_>, options: WriteOptions) -> Result<Saved, RowError> {
        // A new row has the default instead; one that exists has no null to go back to.
        let fields = &self.schema.objects[object].fields;
        let unticked = |(field, cell): &(usize, Cell<'_>)| matches!(cell, Cell::Null) && fields[*field].kind == FieldType::Boolean;
        if let Some((field, _)) = draft.cells.iter().find(|cell| unticked(cell)) {
            return Err(value::wrong_type(&fields[*field], "null"));
        }
        let texts = self.texts(object, draft, |field| field.updateable)?;
        let old = &self.tables[object].rows[number as usize];
        let row = old.rewrite(overlay(old, &texts), options.now);
        let emptied = texts.iter().filter(|(field, text)| text.is_none() && fields[*field].keeps_value());
        self.require(object, emptied.map(|(field, _)| *field))?;
        self.check(object, number, &row, Some(old), options)?;
        self.touch(object, number);
        self.remove_from_indexes(object, number);
        self.tables[object].rows[number as usize] = row;
        self.add_to_indexes(object, number);
        Ok(Saved { number, created: false })
    }

    /// The row of this key is updated or, when there is none, inserted.
    pub(crate) fn upsert(
        &mut self,
        object: usize,
        key: usize,
        value: Option<&str>,
        mut draft: Draft<'_>,
        options: WriteOptions,
    ) -> Result<Saved, RowError> {
        let spec = &self.schema.objects[object].fields[key];
        let (by_id, name) = (spec.source == Source::Id, spec.name.clone());
        draft.cells.retain(|(field, _)| *field != key);
        let Some(value) = value.map(value::trimmed).filter(|value| !value.is_empty()) else {
            if by_id {
                return self.insert(object, draft, options);
            }
            return Err(RowError::on("MISSING_ARGUMENT", format!("{name} not specified"), &name));
        };
        if by_id {
            return self.update(object, value, draft, options);
        }
        let value = value::coerce(spec, value)?.into_owned();
        match self.by_key(object, key, &value).as_slice() {
            [] => {
                draft.cells.push((key, Cell::Text(Cow::Owned(value))));
                self.insert(object, draft, options)
            }
            [number] => self.update_row(object, *number, draft, options),
            _ => Err(RowError::on("DUPLICATE_EXTERNAL_ID", format!("Duplicate external id specified: {value}"), &name)),
        }
    }

    /// The live row behind an id from a client, or why there is none.
    pub(crate) fn live_row(&self, object: usize, id: &str) -> Result<u32, RowError> {
        let canonical = id::canonical(id).ok_or_else(|| RowError::on("MALFORMED_ID", format!("malformed id {id}"), "Id"))?;
        if !canonical.starts_with(&self.schema.objects[object].prefix) {
            let message = format!("{}: id value of incorrect type: {id}", self.schema.objects[object].fields[0].label);
            return Err(RowError::on("MALFORMED_ID", message, "Id"));
        }
        let number = self.find(object, &canonical).ok_or_else(RowError::no_such_row)?;
        match self.tables[object].rows[number as usize].state {
            RowState::Live => Ok(number),
            _ => Err(RowError::deleted()),
        }
    }

    fn next_number(&self, object: usize) -> u32 {
        let table = &self.tables[object];
        u32::try_from(table.rows.len() as u64 + table.drained).expect("an emulated table stays below four billion rows")
    }

    /// Parents looked up, every text in its stored form, sorted by field.
    fn texts<'a>(&self, object: usize, draft: Draft<'a>, writable: fn(&Field) -> bool) -> Result<Texts<'a>, RowError> {
        let spec = &self.schema.objects[object];
        let mut texts: Texts<'a> = Vec::with_capacity(draft.cells.len() + draft.parents.len());
        for (field, cell) in draft.cells {
            let field_spec = &spec.fields[field];
            if !writable(field_spec) {
                return Err(not_writable(field_spec));
            }
            let text = match cell {
                Cell::Null => None,
                Cell::Text(text) if field_spec.is_key() && value::trimmed(&text).is_empty() => None,
                Cell::Text(Cow::Borrowed(text)) => Some(value::coerce(field_spec, text)?),
                Cell::Text(Cow::Owned(text)) => Some(Cow::Owned(value::coerce(field_spec, &text)?.into_owned())),
            };
            if let (FieldType::Reference, Some(id)) = (field_spec.kind, &text) {
                self.check_reference(field_spec, id)?;
            }
            texts.push((field, text));
        }
        for parent in draft.parents {
            let field_spec = &spec.fields[parent.field];
            if !writable(field_spec) {
                return Err(not_writable(field_spec));
            }
            texts.push((parent.field, Some(Cow::Owned(self.parent_id(&parent)?))));
        }
        texts.sort_by_key(|(field, _)| *field);
        Ok(texts)
    }

    fn parent_id(&self, parent: &ParentRef<'_>) -> Result<String, RowError> {
        let object = &self.schema.objects[parent.object];
        let key = &object.fields[parent.key];
        match self.by_key(parent.object, parent.key, &parent.value).as_slice() {
            [number] => Ok(self.id_of(parent.object, *number)),
            [] => Err(RowError::new(
                "INVALID_FIELD",
                format!("Foreign key external ID: {} not found for field {} in entity {}", parent.value, key.name, object.name),
            )),
            _ => Err(RowError::new(
                "INVALID_FIELD",
                format!("More than one record found for external id field: {} in entity {}: {}", key.name, object.name, parent.value),
            )),
        }
    }

    /// A reference must be of an allowed object and point at a live row.
    fn check_reference(&self, field: &Field, id: &str) -> Result<(), RowError> {
        let allowed = field.reference_to.iter().find(|object| id.starts_with(&self.schema.objects[**object].prefix));
        let Some(&object) = allowed else { return Err(value::wrong_id(field, id)) };
        match self.find(object, id) {
            None => Err(RowError { fields: vec![field.name.clone()], ..RowError::no_such_row() }),
            Some(number) if !self.view(object, number).is_live() => {
                Err(RowError { fields: vec![field.name.clone()], ..RowError::deleted() })
            }
            Some(_) => Ok(()),
        }
    }

    fn fill_defaults(&self, object: usize, texts: &mut Texts<'_>) {
        for (number, field) in self.schema.objects[object].fields.iter().enumerate() {
            let Some(default) = field.default.as_deref() else { continue };
            let virtual_default = field.kind == FieldType::Boolean || default == RUNNING_USER;
            // Null stays null where a field may be null.
            let at = texts.partition_point(|(given, _)| *given < number);
            let given = texts.get(at).filter(|(given, _)| *given == number);
            if virtual_default || given.is_some_and(|(_, text)| text.is_some() || !field.required) {
                continue;
            }
            if given.is_some() {
                texts.remove(at);
            }
            texts.insert(at, (number, Some(Cow::Owned(default.to_owned()))));
        }
    }

    fn require(&self, object: usize, missing: impl Iterator<Item = usize>) -> Result<(), RowError> {
        let missing: Vec<String> = missing.map(|field| self.schema.objects[object].fields[field].name.clone()).collect();
        if missing.is_empty() { Ok(()) } else { Err(RowError::required(missing)) }
    }

    /// What a whole row must satisfy: validation rules, unique fields, duplicate rules.
    fn check(&self, object: usize, number: u32, row: &Row, old: Option<&Row>, options: WriteOptions) -> Result<(), RowError> {
        let table = &self.tables[object];
        let view = RowView { store: self, object, number, row };
        if let Some(rule) = table.rules.iter().find(|rule| (rule.refuses)(&view)) {
            let fields = rule.field.iter().cloned().collect();
            return Err(RowError { code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", message: rule.message.clone(), fields });
        }
        let spec = &self.schema.objects[object];
        for (field, index) in &table.indexes {
            let field_spec = &spec.fields[*field];
            if field_spec.unique
                && let Some(text) = row.get(*field)
                && old.and_then(|old| old.get(*field)) != Some(text)
            {
                self.check_unique(object, number, *field, field_spec, index, text)?;
            }
        }
        for (rule, index) in spec.duplicate_rules.iter().zip(&table.duplicates) {
            let Some(key) = duplicate_key(row, &rule.fields) else { continue };
            let known = index.rows(key).iter().any(|other| *other != number);
            if known && (rule.block || !options.allow_duplicates) {
                return Err(RowError::new("DUPLICATES_DETECTED", "Use one of these records?"));
            }
        }
        Ok(())
    }

    fn check_unique(&self, object: usize, number: u32, field: usize, spec: &Field, index: &Index, text: &str) -> Result<(), RowError> {
        let taken = index.rows(index::key(text, spec.case_sensitive)).iter().copied().find(|other| {
            let value = self.tables[object].rows[*other as usize].get(field);
            *other != number && value.is_some_and(|value| equal(value, text, spec.case_sensitive))
        });
        let Some(other) = taken else { return Ok(()) };
        let id = self.id_of(object, other);
        let message = format!("duplicate value found: {} duplicates value on record with id: {}", spec.name, &id[..15]);
        Err(RowError::new("DUPLICATE_VALUE", message))
    }
}

fn not_writable(field: &Field) -> RowError {
    let message = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is \
         read/write for your profile or permission set.",
        field.name
    );
    RowError::on("INVALID_FIELD_FOR_INSERT_UPDATE", message, &field.name)
}

/// The old cells with the new ones over them, in field order.
fn overlay<'a>(old: &'a Row, texts: &'a Texts<'_>) -> Vec<(usize, &'a str)> {
    let kept = old.cells().filter(|(field, _)| !texts.iter().any(|(given, _)| given == field));
    let mut cells: Vec<(usize, &str)> =
        kept.chain(texts.iter().filter_map(|(field, text)| text.as_deref().map(|text| (*field, text)))).collect();
    cells.sort_by_key(|(field, _)| *field);
    cells
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::{DEFAULT_SCHEMA, Schema};

    const NOW: WriteOptions = WriteOptions { now: 1_000, allow_duplicates: false };

    fn store() -> Store {
        Store::new(Arc::new(Schema::parse(DEFAULT_SCHEMA).unwrap()), false, |_| Vec::new())
    }

    fn draft<'a>(store: &Store, object: usize, cells: &[(&str, &'a str)]) -> Draft<'a> {
        let field = |name| store.schema.objects[object].field(name).unwrap();
        let cell = |text: &'a str| if text == "#N/A" { Cell::Null } else { Cell::Text(Cow::Borrowed(text)) };
        Draft { cells: cells.iter().map(|(name, text)| (field(name), cell(text))).collect(), parents: Vec::new() }
    }

    fn insert(store: &mut Store, object: &str, cells: &[(&str, &str)]) -> Result<String, String> {
        let object = store.schema.object(object).unwrap();
        let draft = draft(store, object, cells);
        store.insert(object, draft, NOW).map(|saved| store.id_of(object, saved.number)).map_err(|error| error.cell())
    }

    #[test]
    fn every_missing_required_field_is_named_at_once() {
        let error = insert(&mut store(), "Lead", &[("City", "Bonn")]).unwrap_err();
        assert_eq!(error, "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName, Company]:LastName Company --");
    }

    #[test]
    fn a_taken_unique_value_names_the_row_that_has_it_whatever_its_case() {
        let mut store = store();
        let first = insert(&mut store, "Account", &[("Name", "A"), ("icao__c", "EDDF")]).unwrap();
        let error = insert(&mut store, "Account", &[("Name", "B"), ("icao__c", "eddf")]).unwrap_err();
        let expected = format!("DUPLICATE_VALUE:duplicate value found: icao__c duplicates value on record with id: {}:--", &first[..15]);
        assert_eq!(error, expected);
    }

    #[test]
    fn upsert_creates_once_and_updates_afterwards() {
        let mut store = store();
        let account = store.schema.object("Account").unwrap();
        let key = store.schema.objects[account].field("icao__c").unwrap();
        let one = draft(&store, account, &[("Name", "A")]);
        let first = store.upsert(account, key, Some("EDDF"), one, NOW).unwrap();
        let two = draft(&store, account, &[("Phone", "1")]);
        let second = store.upsert(account, key, Some("EDDF"), two, NOW).unwrap();
        assert_eq!((first.created, second.created, first.number), (true, false, second.number));
        assert_eq!(store.view(account, 0).get(store.schema.objects[account].field("Name").unwrap()).as_deref(), Some("A"));
    }

    #[test]
    fn null_clears_and_required_fields_cannot_be_cleared() {
        let mut store = store();
        let account = store.schema.object("Account").unwrap();
        let id = insert(&mut store, "Account", &[("Name", "A"), ("Phone", "1")]).unwrap();
        let clear = draft(&store, account, &[("Phone", "#N/A")]);
        store.update(account, &id, clear, NOW).unwrap();
        assert_eq!(store.view(account, 0).get(store.schema.objects[account].field("Phone").unwrap()), None);
        let clear = draft(&store, account, &[("Name", "#N/A")]);
        assert_eq!(store.update(account, &id, clear, NOW).unwrap_err().code, "REQUIRED_FIELD_MISSING");
    }

    #[test]
    fn references_must_be_of_the_right_object_and_alive() {
        let mut store = store();
        let contact = insert(&mut store, "Contact", &[("LastName", "X")]).unwrap();
        let wrong = insert(&mut store, "Contact", &[("LastName", "Y"), ("AccountId", &contact)]).unwrap_err();
        assert!(wrong.starts_with("MALFORMED_ID:Account ID: id value of incorrect type"), "{wrong}");
        let missing = insert(&mut store, "Contact", &[("LastName", "Y"), ("AccountId", "0015e0000000099")]).unwrap_err();
        assert_eq!(missing, "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:AccountId --");
    }

    #[test]
    fn read_only_fields_are_refused() {
        let error = insert(&mut store(), "Account", &[("Name", "A"), ("CreatedDate", "2026-01-01T00:00:00Z")]).unwrap_err();
        assert!(error.starts_with("INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: CreatedDate."));
    }
}
