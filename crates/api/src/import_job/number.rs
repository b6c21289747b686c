//! How numbers are written in a column.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, rule};

/// The signs of numbers as people write them, such as `1.234,56`; they are sent as `1234.56`. A value that is none fails its row.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.thousands) || self.thousands != self.decimal", "decimal and thousands must be two signs"),
]))]
pub struct NumberFormat {
    /// What stands before the fraction.
    pub decimal: Decimal,
    /// What stands between groups of three digits before it: a blank stands for no-break, narrow no-break and thin ones, too, and `'` for the
    /// typographic apostrophe. Numbers without it are read as well. Absent: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<Thousands>,
}

/// What stands before the fraction of a number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Decimal {
    /// A point.
    #[serde(rename = ".")]
    Point,
    /// A comma.
    #[serde(rename = ",")]
    Comma,
}

/// What stands between groups of three digits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Thousands {
    /// A point.
    #[serde(rename = ".")]
    Point,
    /// A comma.
    #[serde(rename = ",")]
    Comma,
    /// An apostrophe, typographic or not.
    #[serde(rename = "'")]
    Apostrophe,
    /// A blank of any width, breaking or not.
    #[serde(rename = " ")]
    Blank,
}
