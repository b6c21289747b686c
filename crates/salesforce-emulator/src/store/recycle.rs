//! Delete, undelete and purge: the Recycle Bin keeps what a deletion took along, for fifteen days.

use std::collections::HashSet;

use super::{RowError, RowState, Store};

const BIN_MS: i64 = 15 * 24 * 3600 * 1000;

/// When a row was deleted and by which deletion: undeleting a parent brings back what went with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binned {
    pub(super) at: i64,
    deletion: u64,
}

/// A lookup that a deletion emptied: the field of a row, and the id that was in it.
#[derive(Clone, Debug)]
pub(super) struct Cleared {
    object: usize,
    number: u32,
    field: usize,
    id: String,
}

impl Store {
    /// Deletes a row and the children that follow it and empties the lookups of the others; nothing is deleted when a
    /// child holds a row back.
    pub(crate) fn delete(&mut self, object: usize, id: &str, now: i64, hard: bool) -> Result<u32, RowError> {
        let number = self.live_row(object, id)?;
        let taken = self.taken_along(object, number);
        let cleared = self.let_go(&taken).map_err(|child| self.held_back(object, number, child))?;
        self.deletions += 1;
        for left in &cleared {
            self.set_reference(left, None);
        }
        for (object, number) in taken {
            self.touch(object, number);
            self.remove_from_indexes(object, number);
            self.tables[object].live -= 1;
            let row = &mut self.tables[object].rows[number as usize];
            row.state = RowState::Deleted;
            row.modified = now;
            if hard {
                row.purge();
            } else {
                self.bin.insert((object, number), Binned { at: now, deletion: self.deletions });
            }
        }
        if !hard && !cleared.is_empty() {
            self.cleared.insert(self.deletions, cleared);
        }
        Ok(number)
    }

    /// The row and everything below it that goes with its parent.
    fn taken_along(&self, object: usize, number: u32) -> Vec<(usize, u32)> {
        let mut taken = vec![(object, number)];
        let mut known: HashSet<(usize, u32)> = taken.iter().copied().collect();
        let mut at = 0;
        while at < taken.len() {
            let (object, number) = taken[at];
            let id = self.id_of(object, number);
            for child in self.schema.objects[object].children.iter().filter(|child| child.cascade_delete) {
                let rows = self.pointing_at(child.object, child.field, &id).into_iter().map(|row| (child.object, row));
                taken.extend(rows.filter(|row| known.insert(*row)));
            }
            at += 1;
        }
        taken
    }

    /// The lookups of rows that stay, or the row that holds a parent back.
    fn let_go(&self, taken: &[(usize, u32)]) -> Result<Vec<Cleared>, (usize, u32)> {
        let gone: HashSet<&(usize, u32)> = taken.iter().collect();
        let mut cleared = Vec::new();
        for (object, number) in taken {
            let id = self.id_of(*object, *number);
            for child in self.schema.objects[*object].children.iter().filter(|child| !child.cascade_delete) {
                for row in self.pointing_at(child.object, child.field, &id) {
                    if gone.contains(&(child.object, row)) {
                        continue;
                    }
                    if child.restricted_delete {
                        return Err((child.object, row));
                    }
                    cleared.push(Cleared { object: child.object, number: row, field: child.field, id: id.clone() });
                }
            }
        }
        Ok(cleared)
    }

    fn held_back(&self, object: usize, number: u32, (child, row): (usize, u32)) -> RowError {
        let name = |object: usize, number: u32| {
            let field = self.schema.objects[object].fields.iter().position(|field| field.name_field);
            field
                .and_then(|field| self.view(object, number).get(field))
                .map_or_else(|| self.id_of(object, number), |name| name.into_owned())
        };
        let (parent, children, held_by) = (name(object, number), self.schema.objects[child].plural.to_lowercase(), name(child, row));
        RowError::new(
            "DELETE_FAILED",
            format!(
                "Your attempt to delete {parent} could not be completed because it is associated with the following {children}.: {held_by}\n"
            ),
        )
    }

    /// Live rows whose reference is this id.
    fn pointing_at(&self, object: usize, field: usize, id: &str) -> Vec<u32> {
        if self.has_index(object, field) {
            return self.by_key(object, field, id);
        }
        let points = |number: &u32| {
            let view = self.view(object, *number);
            view.is_live() && view.row.get(field) == Some(id)
        };
        self.numbers(object).filter(points).collect()
    }

    /// The row is not modified by it.
    fn set_reference(&mut self, at: &Cleared, id: Option<&str>) {
        self.touch(at.object, at.number);
        self.remove_from_indexes(at.object, at.number);
        let row = &mut self.tables[at.object].rows[at.number as usize];
        let mut cells: Vec<(usize, &str)> =
            row.cells().filter(|(field, _)| *field != at.field).chain(id.map(|id| (at.field, id))).collect();
        cells.sort_by_key(|(field, _)| *field);
        *row = row.rewrite(cells, row.modified);
        self.add_to_indexes(at.object, at.number);
    }

    /// Brings a row back with everything its deletion took along, and the lookups that nobody set again.
    pub(crate) fn undelete(&mut self, object: usize, id: &str, now: i64) -> Result<(), RowError> {
        let canonical = super::id::canonical(id).ok_or_else(|| RowError::on("MALFORMED_ID", format!("malformed id {id}"), "Id"))?;
        let number = self.find(object, &canonical).ok_or_else(RowError::no_such_row)?;
        if !self.schema.objects[object].undeletable {
            return Err(RowError::new("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Entity type is not undeletable"));
        }
        let binned = self.bin.get(&(object, number)).copied().filter(|binned| now - binned.at <= BIN_MS);
        let Some(binned) = binned else {
            return Err(RowError::on("UNDELETE_FAILED", "Entity is not in the recycle bin", "Id"));
        };
        let together: Vec<(usize, u32)> =
            self.bin.iter().filter(|(_, other)| other.deletion == binned.deletion).map(|(row, _)| *row).collect();
        for (object, number) in together {
            self.bin.remove(&(object, number));
            let row = &mut self.tables[object].rows[number as usize];
            row.state = RowState::Live;
            row.modified = now;
            self.tables[object].live += 1;
            self.add_to_indexes(object, number);
        }
        for left in self.cleared.remove(&binned.deletion).unwrap_or_default() {
            let row = &self.tables[left.object].rows[left.number as usize];
            let parent = self.schema.by_prefix(&left.id[..3]).and_then(|object| self.live_row(object, &left.id).ok());
            if row.state == RowState::Live && row.get(left.field).is_none() && parent.is_some() {
                self.set_reference(&left, Some(&left.id));
            }
        }
        Ok(())
    }

    /// Removes a row from the Recycle Bin for good.
    pub(crate) fn purge(&mut self, object: usize, id: &str) -> Result<(), RowError> {
        let canonical = super::id::canonical(id).ok_or_else(|| RowError::on("MALFORMED_ID", format!("malformed id {id}"), "Id"))?;
        let number = self.find(object, &canonical).ok_or_else(RowError::no_such_row)?;
        if self.bin.remove(&(object, number)).is_none() {
            return Err(RowError::on("INVALID_ID_FIELD", "Invalid record id; no recycle bin entry found", "Id"));
        }
        self.tables[object].rows[number as usize].purge();
        Ok(())
    }

    /// Rows deleted in a time span, for the deleted feed.
    pub(crate) fn deleted_between(&self, object: usize, from: i64, to: i64) -> Vec<(String, i64)> {
        let inside = |at: i64| at >= from && at <= to;
        let rows = self.bin.iter().filter(|((other, _), binned)| *other == object && inside(binned.at));
        let mut rows: Vec<(String, i64)> = rows.map(|((_, number), binned)| (self.id_of(object, *number), binned.at)).collect();
        rows.sort();
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use super::super::{Cell, Draft, WriteOptions};
    use super::*;
    use crate::schema::{DEFAULT_SCHEMA, Schema};

    fn family() -> (Store, usize, usize, String, String) {
        let mut store = Store::new(Arc::new(Schema::parse(DEFAULT_SCHEMA).unwrap()), false, |_| Vec::new());
        let (account, contact) = (store.schema.standard("Account"), store.schema.standard("Contact"));
        let options = WriteOptions { now: 0, allow_duplicates: false };
        let field = |store: &Store, object: usize, name: &str| store.schema.objects[object].field(name).unwrap();
        let name = field(&store, account, "Name");
        let parent = Draft { cells: vec![(name, Cell::Text(Cow::Borrowed("A")))], parents: vec![] };
        store.insert(account, parent, options).unwrap();
        let account_id = store.id_of(account, 0);
        let cells = vec![
            (field(&store, contact, "LastName"), Cell::Text(Cow::Borrowed("C"))),
            (field(&store, contact, "AccountId"), Cell::Text(Cow::Owned(account_id.clone()))),
        ];
        store.insert(contact, Draft { cells, parents: vec![] }, options).unwrap();
        let contact_id = store.id_of(contact, 0);
        (store, account, contact, account_id, contact_id)
    }

    #[test]
    fn children_go_and_come_back_with_their_parent() {
        let (mut store, account, contact, account_id, contact_id) = family();
        store.delete(account, &account_id, 1, false).unwrap();
        assert_eq!((store.count(account), store.count(contact)), (0, 0));
        assert_eq!(store.live_row(contact, &contact_id).unwrap_err().code, "ENTITY_IS_DELETED");
        store.undelete(account, &account_id, 2).unwrap();
        assert_eq!((store.count(account), store.count(contact)), (1, 1));
    }

    #[test]
    fn after_fifteen_days_or_a_purge_nothing_comes_back() {
        let (mut store, account, contact, account_id, contact_id) = family();
        store.delete(contact, &contact_id, 0, false).unwrap();
        assert_eq!(store.undelete(contact, &contact_id, BIN_MS + 1).unwrap_err().code, "UNDELETE_FAILED");
        store.purge(contact, &contact_id).unwrap();
        assert!(store.undelete(contact, &contact_id, 1).is_err());
        store.delete(account, &account_id, 0, true).unwrap();
        assert_eq!(store.undelete(account, &account_id, 1).unwrap_err().code, "INVALID_CROSS_REFERENCE_KEY");
    }

    #[test]
    fn a_lookup_does_not_come_back_without_its_parent() {
        let (mut store, account, contact, account_id, contact_id) = family();
        let options = WriteOptions { now: 0, allow_duplicates: false };
        let field = |name: &str| store.schema.objects[account].field(name).unwrap();
        let (name, parent) = (field("Name"), field("ParentId"));
        let cells = vec![(name, Cell::Text(Cow::Borrowed("B"))), (parent, Cell::Text(Cow::Owned(account_id.clone())))];
        let child = store.insert(account, Draft { cells, parents: vec![] }, options).unwrap().number;
        store.delete(account, &account_id, 1, false).unwrap();
        store.purge(account, &account_id).unwrap();
        store.undelete(contact, &contact_id, 2).unwrap();
        assert_eq!(store.view(account, child).get(parent), None);
        assert!(store.live_row(contact, &contact_id).is_ok());
    }
}
