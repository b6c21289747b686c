//! The objects and fields of the organisation: types, names, which field is a key, what refers to what.
//!
//! Knows the YAML the schema is written in (`spec`) and nothing of rows, requests or queries.

mod field;
mod link;
mod spec;

use std::collections::HashMap;

use serde::Deserialize;

pub(crate) use field::{Field, FieldType, Otherwise, Source};
pub use spec::SchemaError;

/// The organisation a server without a schema file has: `schemas/default.yaml`.
pub const DEFAULT_SCHEMA: &str = include_str!("../../schemas/default.yaml");

/// The default of a field that falls to the running user.
pub(crate) const RUNNING_USER: &str = "$User";

/// A condition that refuses a row when it holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ValidationRule {
    pub(crate) name: String,
    /// A SOQL condition over the row's own fields.
    pub(crate) when: String,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

/// Rows alike in all these fields are duplicates; an alert may be overridden over REST, a block never.
#[derive(Clone, Debug)]
pub(crate) struct DuplicateRule {
    pub(crate) fields: Vec<usize>,
    pub(crate) block: bool,
}

/// A field of another object that points here.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) object: usize,
    pub(crate) field: usize,
    pub(crate) relationship: Option<String>,
    pub(crate) cascade_delete: bool,
    /// The row cannot be deleted while a child points at it.
    pub(crate) restricted_delete: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) plural: String,
    pub(crate) prefix: String,
    pub(crate) custom: bool,
    pub(crate) setup: bool,
    pub(crate) createable: bool,
    pub(crate) deletable: bool,
    pub(crate) undeletable: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) children: Vec<Child>,
    pub(crate) validation_rules: Vec<ValidationRule>,
    pub(crate) duplicate_rules: Vec<DuplicateRule>,
    /// Fields without which no row can be inserted.
    pub(crate) needed: Vec<usize>,
    by_name: HashMap<String, usize>,
    by_relationship: HashMap<String, usize>,
}

impl Object {
    /// Field names are case-insensitive everywhere.
    pub(crate) fn field(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// The field of this name when it holds a file.
    pub(crate) fn file(&self, name: &str) -> Option<usize> {
        self.field(name).filter(|field| self.fields[*field].kind == FieldType::Base64)
    }

    /// The reference field behind `Account` in `Account.Name`.
    pub(crate) fn relationship(&self, name: &str) -> Option<usize> {
        self.by_relationship.get(&name.to_ascii_lowercase()).copied()
    }

    pub(crate) fn child(&self, relationship: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.relationship.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(relationship)))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) objects: Vec<Object>,
    by_name: HashMap<String, usize>,
    by_prefix: HashMap<String, usize>,
}

impl Schema {
    /// The standard objects extended by a schema file.
    pub(crate) fn parse(yaml: &str) -> Result<Self, SchemaError> {
        spec::build(&[
            include_str!("standard/sales.yaml"),
            include_str!("standard/service.yaml"),
            include_str!("standard/campaigns.yaml"),
            include_str!("standard/products.yaml"),
            include_str!("standard/activities.yaml"),
            include_str!("standard/files.yaml"),
            include_str!("standard/setup.yaml"),
            yaml,
        ])
    }

    pub(crate) fn object(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    pub(crate) fn by_prefix(&self, prefix: &str) -> Option<usize> {
        self.by_prefix.get(prefix).copied()
    }

    /// The object number of a name that is known to exist: the standard objects the server itself writes.
    pub(crate) fn standard(&self, name: &str) -> usize {
        self.object(name).unwrap_or_else(|| panic!("the standard objects have {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_schema_extends_the_standard_objects() {
        let schema = Schema::parse(DEFAULT_SCHEMA).unwrap();
        let account = &schema.objects[schema.object("ACCOUNT").unwrap()];
        assert_eq!(account.fields[account.field("ICAO__C").unwrap()].length, 4);
        assert!(account.child("Contacts").unwrap().cascade_delete);
        let runway = &schema.objects[schema.object("Runway__c").unwrap()];
        assert_eq!(runway.prefix, "a00");
        assert_eq!(schema.by_prefix("a00"), schema.object("runway__c"));
        assert_eq!(runway.relationship("airport__r"), runway.field("Airport__c"));
    }

    #[test]
    fn account_name_is_no_key_and_lead_owner_is_polymorphic() {
        let schema = Schema::parse("objects: []").unwrap();
        let account = &schema.objects[schema.object("Account").unwrap()];
        assert!(!account.fields[account.field("Name").unwrap()].is_key());
        let lead = &schema.objects[schema.object("Lead").unwrap()];
        assert!(lead.fields[lead.field("OwnerId").unwrap()].is_polymorphic());
    }

    #[test]
    fn a_reference_to_nowhere_is_named() {
        let text = "objects: [{name: X__c, fields: [{name: Y__c, type: reference, referenceTo: [Nowhere], relationship: Y__r}]}]";
        assert_eq!(Schema::parse(text).unwrap_err().to_string(), "object X__c: field Y__c refers to Nowhere, which is not in the schema");
    }

    #[test]
    fn a_value_from_nowhere_is_named() {
        for (wrong, target) in [("ofParent: Z__r.Name", "Z__r.Name"), ("byValue: {field: Z__c, values: {}}", "Z__c")] {
            let text = format!("objects: [{{name: X__c, fields: [{{name: Y__c, type: string, {wrong}}}]}}]");
            let expected = format!("object X__c: field Y__c takes its value from {target}, which is not there");
            assert_eq!(Schema::parse(&text).unwrap_err().to_string(), expected);
        }
    }
}
