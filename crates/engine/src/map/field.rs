//! Which field of the org an entry means, and whether this operation may write it.

use api::import_job::{Operation, SalesforceTarget};
use salesforce::{Describe, Field, FieldType};

use super::key_field;
use super::picklist::Picklist;
use crate::finding::Problem;

/// A field, or a parent found by one of its own fields.
#[derive(Debug)]
pub(super) struct MappedField {
    /// As Salesforce spells it; for relationships as the job does.
    pub(super) name: String,
    /// The field of this object that is set.
    sets: String,
    pub(super) kind: FieldType,
    /// UTF-16 units that a text may have; zero for no limit.
    pub(super) length: u32,
    /// It finds the row.
    pub(super) key: bool,
    /// It finds the parent.
    pub(super) finds_parent: bool,
    pub(super) case_sensitive: bool,
    /// How the parent is named that its ids point to, where there is one only.
    pub(super) relationship: Option<String>,
    /// The values it has or should have.
    pub(super) picklist: Option<Picklist>,
}

impl MappedField {
    /// What is wrong when both are mapped.
    pub(super) fn clash(&self, other: &MappedField) -> Option<Problem> {
        if self.sets != other.sets {
            return None;
        }
        let direct = |target: &MappedField| target.name == target.sets;
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
    problems.extend(match_by_shape(target));
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
    problems.extend(delete_shape(target));
    problems
}

/// What can be said without the org.
pub(super) fn check_shape(target: &SalesforceTarget) -> Vec<Problem> {
    match_by_shape(target).into_iter().chain(delete_shape(target)).collect()
}

fn match_by_shape(target: &SalesforceTarget) -> Option<Problem> {
    (target.match_by.len() != usize::from(target.operation == Operation::Upsert)).then_some(Problem::MatchByShape)
}

fn delete_shape(target: &SalesforceTarget) -> Option<Problem> {
    (target.operation == Operation::Delete && target.mapping.len() > 1).then_some(Problem::DeleteTakesOnlyId)
}

/// Fields that Salesforce wants of a new record and that no entry of the mapping gives it. A row that lacks one fails, unless a trigger or a
/// flow of the org sets it.
pub(super) fn unset(target: &SalesforceTarget, describe: &Describe, parents: &[Describe]) -> Vec<String> {
    if !matches!(target.operation, Operation::Insert | Operation::Upsert) {
        return Vec::new();
    }
    let set: Vec<String> =
        target.mapping.iter().filter_map(|entry| resolve(target, &entry.to, describe, parents).ok()).map(|field| field.sets).collect();
    let wanted = describe.fields.iter().filter(|field| field.createable && !field.nillable && !field.defaulted_on_create);
    wanted.filter(|field| !set.contains(&field.name)).map(|field| field.name.clone()).collect()
}

/// The field behind a mapping's `to`.
pub(super) fn resolve(target: &SalesforceTarget, to: &str, describe: &Describe, parents: &[Describe]) -> Result<MappedField, Problem> {
    if to.contains('.') || to.contains(':') {
        return resolve_parent(target.operation, to, describe, parents);
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
    Ok(MappedField {
        name: field.name.clone(),
        sets: field.name.clone(),
        kind: field.kind,
        length: field.length,
        key,
        finds_parent: false,
        case_sensitive: field.case_sensitive,
        relationship: field.relationship_name.clone().filter(|_| !field.is_polymorphic()),
        picklist: Picklist::of(field),
    })
}

/// Where a column finds its parent.
struct Path<'d> {
    /// The field that points to the parent.
    field: &'d Field,
    object: &'d str,
    /// The parent's field.
    found_by: &'d str,
}

/// `Relationship.Field`, or `Object:Relationship.Field` when the parent may be of several kinds.
fn parent_path<'d>(to: &'d str, describe: &'d Describe) -> Result<Path<'d>, Problem> {
    let (object, path) = to.split_once(':').map_or((None, to), |(object, path)| (Some(object), path));
    let shape = || Problem::RelationshipShape { relationship: path.split('.').next().unwrap_or(path).to_owned() };
    let (name, found_by) = path.split_once('.').ok_or_else(shape)?;
    if name.is_empty() || found_by.is_empty() || found_by.contains(['.', ':']) {
        return Err(shape());
    }
    let Some(field) = relationship(describe, name) else {
        let known = describe.fields.iter().filter_map(|field| field.relationship_name.as_deref());
        let near = formula::nearest(name, known).map(str::to_owned);
        return Err(Problem::UnknownRelationship { object: describe.name.clone(), relationship: name.to_owned(), near });
    };
    let (relationship, objects) = (name.to_owned(), || field.reference_to.clone());
    let only = field.reference_to.first().map(String::as_str).unwrap_or_default();
    let object = match object {
        None if field.is_polymorphic() => return Err(Problem::ObjectTypeMissing { relationship, objects: objects() }),
        Some(_) if !field.is_polymorphic() => return Err(Problem::ObjectTypeNeedless { relationship, object: only.to_owned() }),
        None => only,
        Some(object) => match field.reference_to.iter().find(|known| known.eq_ignore_ascii_case(object)) {
            Some(known) => known,
            None => return Err(Problem::ObjectTypeUnknown { relationship, object: object.to_owned(), objects: objects() }),
        },
    };
    Ok(Path { field, object, found_by })
}

/// Objects that parents are looked for in, each once, without the target itself.
pub(super) fn parents(target: &SalesforceTarget, describe: &Describe) -> Vec<String> {
    let mut objects: Vec<String> = Vec::new();
    for entry in target.mapping.iter().filter(|entry| entry.to.contains('.')) {
        let Ok(path) = parent_path(&entry.to, describe) else { continue };
        if !path.object.is_empty() && path.object != describe.name && !objects.iter().any(|known| known == path.object) {
            objects.push(path.object.to_owned());
        }
    }
    objects
}

fn resolve_parent(operation: Operation, to: &str, describe: &Describe, parents: &[Describe]) -> Result<MappedField, Problem> {
    let Path { field, object, found_by } = parent_path(to, describe)?;
    check_writable(field, operation)?;
    let target = MappedField {
        name: to.to_owned(),
        sets: field.name.clone(),
        kind: FieldType::AnyType,
        length: 0,
        key: false,
        finds_parent: true,
        case_sensitive: false,
        relationship: None,
        picklist: None,
    };
    // What cannot be described is Salesforce's to judge.
    let Some(parent) = std::iter::once(describe).chain(parents).find(|parent| parent.name == object) else { return Ok(target) };
    let (object, keys) = (parent.name.clone(), || parent.fields.iter().filter(|f| is_key(f)).map(|f| f.name.clone()).collect());
    match parent.field(found_by) {
        None => {
            let near = near_field(parent, found_by);
            Err(Problem::UnknownParentField { object, field: found_by.to_owned(), near, keys: keys() })
        }
        Some(key) if !is_key(key) => Err(Problem::ParentNotByKey { object, field: key.name.clone(), keys: keys() }),
        Some(key) => Ok(MappedField { kind: key.kind, length: key.length, case_sensitive: key.case_sensitive, ..target }),
    }
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
    Problem::UnknownField { object: describe.name.clone(), field: name.to_owned(), near: near_field(describe, name) }
}

fn near_field(describe: &Describe, name: &str) -> Option<String> {
    formula::nearest(name, describe.fields.iter().map(|field| field.name.as_str())).map(str::to_owned)
}
