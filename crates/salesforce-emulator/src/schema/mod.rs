//! The objects and fields of the organisation: types, names, which field is a key, what refers to what.
//!
//! Knows the YAML the schema is written in (`spec`) and nothing of rows, requests or queries.

mod spec;

use std::collections::HashMap;

use serde::Deserialize;

pub use spec::SchemaError;

/// The organisation a server without a schema file has: `schemas/default.yaml`.
pub const DEFAULT_SCHEMA: &str = include_str!("../../schemas/default.yaml");

/// The default of a field that falls to the running user.
pub(crate) const RUNNING_USER: &str = "$User";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldType {
    Id,
    Boolean,
    String,
    Textarea,
    Email,
    Phone,
    Url,
    Picklist,
    Multipicklist,
    Combobox,
    /// A file, as base 64 in JSON; Bulk 2.0 has no place for it.
    Base64,
    Reference,
    Date,
    Datetime,
    Time,
    Int,
    Double,
    Currency,
    Percent,
}

impl FieldType {
    /// The name describe gives the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Textarea => "textarea",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Picklist => "picklist",
            Self::Multipicklist => "multipicklist",
            Self::Combobox => "combobox",
            Self::Base64 => "base64",
            Self::Reference => "reference",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Time => "time",
            Self::Int => "int",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Percent => "percent",
        }
    }

    pub(crate) fn soap_name(self) -> &'static str {
        match self {
            Self::Id | Self::Reference => "tns:ID",
            Self::Boolean => "xsd:boolean",
            Self::Date => "xsd:date",
            Self::Datetime => "xsd:dateTime",
            Self::Time => "xsd:time",
            Self::Int => "xsd:int",
            Self::Double | Self::Currency | Self::Percent => "xsd:double",
            Self::Base64 => "xsd:base64Binary",
            _ => "xsd:string",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Currency | Self::Percent)
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(
            self,
            Self::String | Self::Textarea | Self::Email | Self::Phone | Self::Url | Self::Picklist | Self::Multipicklist | Self::Combobox
        )
    }
}

/// Where a field's value comes from: most are stored, some are made from the row itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    #[default]
    Stored,
    Id,
    IsDeleted,
    Created,
    Modified,
    /// CreatedById and LastModifiedById: the one user of this organisation.
    RunningUser,
    /// First and last name joined.
    PersonName,
    /// The row's number in eight digits.
    AutoNumber,
}

/// What a field reads while nothing is stored in it.
#[derive(Clone, Debug)]
pub(crate) enum Otherwise {
    /// What belongs to the value of another field of the row: a stage is closed, or it is not.
    ByValue { field: usize, values: Vec<(String, String)>, rest: Option<String> },
    /// What the parent has.
    OfParent { reference: usize, object: usize, field: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) kind: FieldType,
    pub(crate) length: u32,
    pub(crate) precision: u32,
    pub(crate) scale: u32,
    pub(crate) required: bool,
    pub(crate) unique: bool,
    pub(crate) external_id: bool,
    pub(crate) id_lookup: bool,
    pub(crate) case_sensitive: bool,
    pub(crate) name_field: bool,
    pub(crate) custom: bool,
    pub(crate) createable: bool,
    pub(crate) updateable: bool,
    /// Object numbers; more than one makes the field polymorphic.
    pub(crate) reference_to: Vec<usize>,
    pub(crate) relationship: Option<String>,
    pub(crate) child_relationship: Option<String>,
    pub(crate) cascade_delete: bool,
    pub(crate) restricted_delete: bool,
    pub(crate) values: Vec<String>,
    pub(crate) restricted: bool,
    pub(crate) default: Option<String>,
    pub(crate) otherwise: Option<Otherwise>,
    pub(crate) source: Source,
    pub(crate) defaulted_on_create: bool,
    pub(crate) permissionable: bool,
    /// The compound field this one is a part of.
    pub(crate) compound: Option<String>,
    pub(crate) extra_type: Option<String>,
}

impl Field {
    /// May rows be found by this field without reading all of them: upsert keys, relationship columns, unique checks.
    pub(crate) fn is_key(&self) -> bool {
        self.external_id || self.unique || self.id_lookup
    }

    pub(crate) fn is_polymorphic(&self) -> bool {
        self.reference_to.len() > 1
    }

    /// Text areas beyond 255 characters live outside the row: no query can look into them.
    pub(crate) fn is_long_text(&self) -> bool {
        self.kind == FieldType::Textarea && self.length > 255
    }

    pub(crate) fn filterable(&self) -> bool {
        !self.is_long_text() && self.kind != FieldType::Base64
    }

    pub(crate) fn sortable(&self) -> bool {
        self.filterable() && self.kind != FieldType::Multipicklist
    }

    pub(crate) fn groupable(&self) -> bool {
        let has_fraction = self.kind.is_number() && self.kind != FieldType::Int;
        let is_kind = !matches!(self.kind, FieldType::Datetime | FieldType::Combobox);
        self.sortable() && is_kind && self.source != Source::AutoNumber && !has_fraction
    }

    /// A row cannot be inserted without it.
    pub(crate) fn needs_value(&self) -> bool {
        self.required && self.default.is_none() && self.otherwise.is_none() && self.source == Source::Stored
    }

    /// An update cannot set it to null.
    pub(crate) fn keeps_value(&self) -> bool {
        self.required && self.source == Source::Stored && self.kind != FieldType::Boolean
    }
}

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
}
