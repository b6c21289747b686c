//! One field: its type, what may be done with it, where its value comes from.

use serde::Deserialize;

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
