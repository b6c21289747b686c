//! The header of an upload: which field each column sets, or why the whole job fails.

use crate::schema::{FieldType, Object, Schema, Source};

/// What a column means for the rows below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Field(usize),
    /// A parent named by its key: the reference field, the parent's object and the key field there.
    Parent {
        field: usize,
        object: usize,
        key: usize,
    },
}

/// Files have no column: Bulk 2.0 takes none.
pub(crate) fn resolve(schema: &Schema, object: &Object, header: &str) -> Option<Column> {
    if let Some(field) = object.field(header) {
        return (object.fields[field].kind != FieldType::Base64).then_some(Column::Field(field));
    }
    let (prefix, path) = match header.split_once(':') {
        Some((prefix, path)) => (Some(prefix), path),
        None => (None, header),
    };
    let (relationship, key) = path.split_once('.')?;
    let field = object.relationship(relationship)?;
    let reference = &object.fields[field];
    // A polymorphic reference must say which object it means, any other must not.
    let target = match (prefix, reference.is_polymorphic()) {
        (Some(name), true) => schema.object(name).filter(|target| reference.reference_to.contains(target))?,
        (None, false) => *reference.reference_to.first()?,
        _ => return None,
    };
    let key = schema.objects[target].field(key)?;
    let spec = &schema.objects[target].fields[key];
    (spec.is_key() && spec.source != Source::Id).then_some(Column::Parent { field, object: target, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DEFAULT_SCHEMA;

    fn column(object: &str, header: &str) -> Option<Column> {
        let schema = Schema::parse(DEFAULT_SCHEMA).unwrap();
        resolve(&schema, &schema.objects[schema.standard(object)], header)
    }

    #[test]
    fn names_are_case_insensitive_and_unknown_ones_are_none() {
        assert!(matches!(column("Account", "NAME"), Some(Column::Field(_))));
        for header in ["Nam", "\u{feff}Name", " Name", "Parent", "Parent.", "Parent.Name", "Parent.Parent.External_Id__c"] {
            assert_eq!(column("Account", header), None, "{header}");
        }
    }

    #[test]
    fn a_polymorphic_reference_needs_its_object_and_others_refuse_it() {
        assert!(column("Lead", "User:Owner.Email").is_some());
        assert_eq!(column("Lead", "Owner.Email"), None);
        assert!(column("Contact", "Owner.Email").is_some());
        assert_eq!(column("Contact", "User:Owner.Email"), None);
        assert_eq!(column("Lead", "Owner:User.Email"), None);
        assert!(column("Contact", "Account.External_Id__c").is_some());
    }
}
