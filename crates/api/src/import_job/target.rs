//! Where rows go, and what their fields are made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::NumberFormat;
use crate::meta::LocalRef;
use crate::schema::{self, TEXT, exactly_one, rule};
use crate::union::union;

/// Where rows go: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(TargetKind::KEYS)]))]
pub struct Target {
    /// A Salesforce org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salesforce: Option<SalesforceTarget>,
}

/// An object of a Salesforce org, what is done there, and which field gets what.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("(self.operation == 'Upsert') == (has(self.matchBy) && self.matchBy.size() > 0)", "matchBy names the external id field of an Upsert, and only of an Upsert"),
    rule("!(self.operation in ['Update', 'Delete']) || self.mapping.exists(m, m.to == 'Id')", "Update and Delete need a mapping to Id"),
]))]
pub struct SalesforceTarget {
    /// Connection to the org, in the same namespace.
    pub connection_ref: LocalRef,
    /// API name of the object, e.g. `Account` or `Invoice__c`.
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"))]
    pub object: String,
    /// What happens there.
    pub operation: Operation,
    /// External id field that decides whether an Upsert creates or updates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1), inner(length(min = 1, max = 80)))]
    pub match_by: Vec<String>,
    /// What an empty cell means. Absent: `Ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank_cells: Option<BlankCells>,
    /// Which field gets what.
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["to"]))]
    pub mapping: Vec<MappingEntry>,
}

/// What is done with the rows in Salesforce.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Operation {
    /// Each row becomes a record.
    Insert,
    /// Each row changes the record that `Id` names.
    Update,
    /// Each row changes the record that `matchBy` finds, or becomes one.
    Upsert,
    /// Each row moves the record that `Id` names to the recycle bin.
    Delete,
}

/// `Ignore` leaves the field as it is, `Clear` empties it, `Fail` fails the row.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum BlankCells {
    /// The field stays as it is; in a new record it gets Salesforce's default.
    Ignore,
    /// The field is emptied.
    Clear,
    /// The row fails and is not sent.
    Fail,
}

/// One field and where its value comes from.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    exactly_one(ValueSource::KEYS),
    rule("!has(self.number) || has(self.from)", "number says how a column writes its numbers: it goes with from"),
]))]
pub struct MappingEntry {
    /// API name of the field, or `Relationship.ExternalIdField`.
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT))]
    pub to: String,
    /// Name of an input column: a text, in quotes if YAML would read it as something else (`"No"`, `"2026"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT))]
    from: Option<String>,
    /// The same text for every row, in quotes if YAML would read it as something else (`"0047"`, `"true"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = TEXT))]
    value: Option<String>,
    /// A formula over the input columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), regex(pattern = TEXT))]
    formula: Option<String>,
    /// How the column writes its numbers. Absent: as Salesforce takes them, such as `1234.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberFormat>,
    /// What an empty cell means for this field. Absent: the target's `blankCells`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank_cells: Option<BlankCells>,
}

union! {
    /// Where the rows of a job go.
    pub enum TargetKind<'a> = Target::kind {
        /// A Salesforce org.
        "salesforce" salesforce => Salesforce(&'a SalesforceTarget),
    }
}

union! {
    /// Where the value of a field comes from.
    pub enum ValueSource<'a> = MappingEntry::source {
        /// An input column.
        "from" from => From(&'a str),
        /// The same text for every row.
        "value" value => Value(&'a str),
        /// A formula over the input columns.
        "formula" formula => Formula(&'a str),
    }
}

impl Target {
    /// The Salesforce object that is loaded into, if the target is one.
    pub fn salesforce(&self) -> Option<&SalesforceTarget> {
        match self.kind()? {
            TargetKind::Salesforce(salesforce) => Some(salesforce),
        }
    }

    /// The Connection that is loaded through.
    pub fn connection(&self) -> Option<&LocalRef> {
        match self.kind()? {
            TargetKind::Salesforce(salesforce) => Some(&salesforce.connection_ref),
        }
    }

    /// Leaves out the mapping, which is long.
    pub(super) fn forget_mapping(&mut self) {
        let Self { salesforce } = self;
        if let Some(salesforce) = salesforce {
            salesforce.mapping = Vec::new();
        }
    }
}

impl SalesforceTarget {
    /// What an empty cell means, where a field's mapping says nothing else; [`BlankCells::Ignore`] by default.
    pub fn blank_cells(&self) -> BlankCells {
        self.blank_cells.unwrap_or(BlankCells::Ignore)
    }
}
