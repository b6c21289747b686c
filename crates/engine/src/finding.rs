//! What is wrong with a job, found before anything is sent: all findings at once, each with its place and a way out.

use api::import_job::Operation;

use crate::row::{ColumnError, RowError};

/// One thing to mend in the job, the file or the org. Holds no row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PreflightFinding {
    /// Which part of the job the finding is about, or that of the org which the part names.
    pub place: Place,
    /// What is wrong there. Its text says what to do about it.
    pub problem: Problem,
}

/// A part of a job's spec. Displayed as the beginning of a finding: `step 2`, `mapping to Name`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Place {
    /// Counted from 1.
    #[error("step {0}")]
    Step(usize),
    /// The entry of the mapping with this text as its `to`.
    #[error("mapping to {0}")]
    Mapping(String),
    /// `spec.target`, but for its mapping.
    #[error("target")]
    Target,
    /// `spec.source`, the header of what it gives included.
    #[error("source")]
    Source,
}

/// What is wrong with a part of a job. `object`, `field` and `relationship` are names as Salesforce writes them or, where it does not know
/// them, as the job does; `near` is the most similar name that there is, `keys` are the fields by which a parent is found.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum Problem {
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error("{0}")]
    Formula(#[from] formula::FormulaError),
    /// What there is instead of columns that are missing.
    #[error("{0}")]
    Header(String),
    #[error("a step has exactly one of filter and dedupe")]
    StepShape,
    #[error("an entry has exactly one of from, value and formula")]
    EntryShape,
    #[error("`number` says how a column writes its numbers, and goes with `from` only; in a formula use SUBSTITUTE")]
    NumberWithoutColumn,
    #[error("the signs in `number` are one: what stands before the fraction cannot stand between thousands, too")]
    NumberSigns,
    #[error("{0}")]
    Zone(api::UnknownZone),
    /// What the job says of its file cannot be.
    #[error("{0}")]
    Format(String),
    #[error("the job has no Salesforce target")]
    NoTarget,
    #[error("{object} does not allow {operation:?} for this user")]
    ObjectNotWritable { object: String, operation: Operation },
    #[error("{object} has no field {field}, or this user may not see it{}", .near.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    UnknownField { object: String, field: String, near: Option<String> },
    #[error("{field} cannot be written on {operation:?}: it is calculated or kept by Salesforce, or this user may not edit it")]
    NotWritable { field: String, operation: Operation },
    #[error("{field} is mapped twice; names differ only in case")]
    Repeated { field: String },
    #[error("{object} has no relationship {relationship}{}", .near.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    UnknownRelationship { object: String, relationship: String, near: Option<String> },
    #[error("a relationship is written {relationship}.ExternalIdField, one level deep")]
    RelationshipShape { relationship: String },
    #[error("{relationship} may point to {}: write {}:{relationship}.…", .objects.join(", "), .objects.first().map_or("Object", String::as_str))]
    ObjectTypeMissing { relationship: String, objects: Vec<String> },
    #[error("{relationship} points to {object} only: leave out the part before the colon")]
    ObjectTypeNeedless { relationship: String, object: String },
    #[error("{relationship} cannot point to {object}, only to {}", .objects.join(", "))]
    ObjectTypeUnknown { relationship: String, object: String, objects: Vec<String> },
    #[error("{}", parent_field(.object, .field, "has no such field, or this user may not see it", .near.as_deref(), .keys))]
    UnknownParentField { object: String, field: String, near: Option<String>, keys: Vec<String> },
    #[error("{}", parent_field(.object, .field, "cannot be found by this field: it is no key", None, .keys))]
    ParentNotByKey { object: String, field: String, keys: Vec<String> },
    #[error("{field} and {relationship} set the same parent: keep one of them")]
    ParentTwice { field: String, relationship: String },
    #[error("matchBy names exactly one field on Upsert, and none otherwise")]
    MatchByShape,
    #[error("matchBy {field} is neither an external id nor a field that Salesforce can look up by; mark it as External ID in Setup")]
    NotAKey { field: String },
    #[error("{operation:?} finds its rows by {field}: map it")]
    KeyNotMapped { field: String, operation: Operation },
    #[error("Delete takes nothing but Id")]
    DeleteTakesOnlyId,
    #[error("the names of all mapped fields together have {found} characters, more than {limit}")]
    HeaderTooLong { found: usize, limit: usize },
    /// A constant that would fail every row.
    #[error("{0}")]
    Constant(RowError),
}

/// Keys that a message lists.
const KEYS: usize = 10;

/// Why a parent's field finds no parent, and which ones do.
fn parent_field(object: &str, field: &str, why: &str, near: Option<&str>, keys: &[String]) -> String {
    let near = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    let more = if keys.len() > KEYS { ", …" } else { "" };
    let listed = keys.iter().take(KEYS).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("{field}: {object} {why}{near}; it is found by {listed}{more}, or mark a field as External ID in Setup")
}

impl Problem {
    /// It speaks of a column that the source does not have, or not once.
    pub(crate) fn is_about_a_column(&self) -> bool {
        match self {
            Self::Column(_) => true,
            Self::Formula(error) => matches!(error.problem, formula::Problem::Column(_)),
            _ => false,
        }
    }
}
