//! Which field of the org an entry means, and whether this operation may write it.

use api::import_job::{Operation, SalesforceTarget};
use salesforce::{Describe, Field, FieldType};

use super::key_field;
use crate::finding::Problem;

/// A field, or a parent found by one of its own fields.
#[derive(Debug)]
pub(super) struct Target {
    /// As Salesforce spells it; for relationships as the job does.
    pub(super) name: String,
    /// The field of this object that is set.
    sets: String,
    pub(super) kind: FieldType,
    /// Characters that a text may have; zero for no limit.
    pub(super) length: u32,
    /// It finds the row.
    pub(super) key: bool,
}

impl Target {
    /// What is wrong when both are mapped.
    pub(super) fn clash(&self, other: &Target) -> Option<Problem> {
        if self.sets != other.sets {
            return None;
        }
        let direct = |target: &Target| target.name == target.sets;
        Some(match (direct(self), direct(other)) {
            (true, true) => Problem::Repeated { field: self.name.clone() },
            (true, false) => Problem::ParentTwice { field: self.name.clone(), relationship: other.name.clone() },
            _ => Problem::ParentTwice { field: other.name.clone(), relationship: self.name.clone() },
        })
    }
}

/// What can be said without looking at single entries.
pub(super) fn check_target(target: &SalesforceTarget, describe: &Describe) -> Vec<Problem> {
    let mut problems = Vec::new();
    let operation = target.operation;
    let allowed = match operation {
        Operation::Insert => describe.createable,
        Operation::Update => describe.updateable,
        Operation::Upsert => describe.createable && describe.updateable,
        Operation::Delete => describe.deletable,
    };
    if !allowed {
        problems.push(Problem::ObjectNotWritable { object: describe.name.clone(), operation });
    }
    if target.match_by.len() != usize::from(operation == Operation::Upsert) {
        problems.push(Problem::MatchByShape);
    }
    if let Some(key) = key_field(target) {
        match describe.field(key) {
            None => problems.push(unknown_field(describe, key)),
            Some(field) if !is_key(field) => problems.push(Problem::NotAKey { field: field.name.clone() }),
            Some(field) if !target.mapping.iter().any(|entry| entry.to.eq_ignore_ascii_case(&field.name)) => {
                problems.push(Problem::KeyNotMapped { field: field.name.clone(), operation });
            }
            Some(_) => {}
        }
    }
    if operation == Operation::Delete && target.mapping.len() > 1 {
        problems.push(Problem::DeleteTakesOnlyId);
    }
    problems
}

/// The field behind a mapping's `to`.
pub(super) fn resolve(target: &SalesforceTarget, to: &str, describe: &Describe) -> Result<Target, Problem> {
    if to.contains('.') || to.contains(':') {
        return resolve_parent(target.operation, to, describe);
    }
    let Some(field) = describe.field(to) else {
        return Err(match relationship(describe, to) {
            Some(_) => Problem::RelationshipShape { relationship: to.to_owned() },
            None => unknown_field(describe, to),
        });
    };
    let key = key_field(target).is_some_and(|key| key.eq_ignore_ascii_case(&field.name));
    if !key {
        check_writable(field, target.operation)?;
    }
    Ok(Target { name: field.name.clone(), sets: field.name.clone(), kind: field.kind, length: field.length, key })
}

/// `Relationship.Field`, or `Object:Relationship.Field` when the parent may be of several kinds.
fn resolve_parent(operation: Operation, to: &str, describe: &Describe) -> Result<Target, Problem> {
    let (object, path) = to.split_once(':').map_or((None, to), |(object, path)| (Some(object), path));
    let shape = || Problem::RelationshipShape { relationship: path.split('.').next().unwrap_or(path).to_owned() };
    let (name, parent_field) = path.split_once('.').ok_or_else(shape)?;
    if name.is_empty() || parent_field.is_empty() || parent_field.contains(['.', ':']) {
        return Err(shape());
    }
    let Some(field) = relationship(describe, name) else {
        let known = describe.fields.iter().filter_map(|field| field.relationship_name.as_deref());
        let near = formula::nearest(name, known).map(str::to_owned);
        return Err(Problem::UnknownRelationship { object: describe.name.clone(), relationship: name.to_owned(), near });
    };
    let (relationship, objects) = (name.to_owned(), || field.reference_to.clone());
    match object {
        None if field.is_polymorphic() => return Err(Problem::ObjectTypeMissing { relationship, objects: objects() }),
        Some(_) if !field.is_polymorphic() => {
            let object = field.reference_to.first().cloned().unwrap_or_default();
            return Err(Problem::ObjectTypeNeedless { relationship, object });
        }
        Some(object) if !field.reference_to.iter().any(|known| known.eq_ignore_ascii_case(object)) => {
            return Err(Problem::ObjectTypeUnknown { relationship, object: object.to_owned(), objects: objects() });
        }
        _ => {}
    }
    check_writable(field, operation)?;
    // The parent's own field is not described here: what it may hold is Salesforce's to say.
    Ok(Target { name: to.to_owned(), sets: field.name.clone(), kind: FieldType::AnyType, length: 0, key: false })
}

fn relationship<'d>(describe: &'d Describe, name: &str) -> Option<&'d Field> {
    let named = |field: &&Field| field.relationship_name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name));
    describe.fields.iter().find(named)
}

fn is_key(field: &Field) -> bool {
    field.is_key() || field.kind == FieldType::Id
}

fn check_writable(field: &Field, operation: Operation) -> Result<(), Problem> {
    let writable = match operation {
        Operation::Insert => field.createable,
        Operation::Update => field.updateable,
        // Some fields are set only when a row is created; a row that is not is Salesforce's to refuse.
        Operation::Upsert => field.createable || field.updateable,
        Operation::Delete => return Err(Problem::DeleteTakesOnlyId),
    };
    if writable { Ok(()) } else { Err(Problem::NotWritable { field: field.name.clone(), operation }) }
}

fn unknown_field(describe: &Describe, name: &str) -> Problem {
    let near = formula::nearest(name, describe.fields.iter().map(|field| field.name.as_str())).map(str::to_owned);
    Problem::UnknownField { object: describe.name.clone(), field: name.to_owned(), near }
}
