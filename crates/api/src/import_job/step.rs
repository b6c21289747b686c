//! What happens to rows before they are mapped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{TEXT, exactly_one};
use crate::union::union;

/// One step; has exactly one key.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(StepKind::KEYS)]))]
pub struct Step {
    /// A formula; rows for which it is false are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), regex(pattern = TEXT))]
    filter: Option<String>,
    /// Leaves out rows that repeat earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dedupe: Option<Dedupe>,
}

/// By which columns a row repeats an earlier one.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dedupe {
    /// Columns that together must be new; the first row is kept.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255), regex(pattern = TEXT)))]
    pub by: Vec<String>,
}

union! {
    /// What one step does.
    pub enum StepKind<'a> = Step::kind {
        /// A formula; rows for which it is false are left out.
        "filter" filter => Filter(&'a str),
        /// Leaves out rows that repeat earlier ones.
        "dedupe" dedupe => Dedupe(&'a Dedupe),
    }
}
