//! What is wrong with a manifest, and where.

use serde::Serialize;

use super::yaml::{Node, Place};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// It is refused, or a job of it ends before its first row.
    Error,
    /// It may be right, but cannot be told from the files alone, or is probably not meant.
    Warning,
}

impl Severity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing to mend.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub file: String,
    /// Both are counted from 1.
    pub line: usize,
    pub column: usize,
    /// Kind, and namespace/name, where they are known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// As in `spec.target.salesforce.mapping[2].formula`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong, and the way out.
    pub message: String,
}

/// A finding about an object before it is known where the object stands.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) severity: Severity,
    pub(super) field: String,
    /// Where it is, if that is another place than the field's.
    pub(super) at: Option<Place>,
    pub(super) message: String,
}

impl About {
    pub(super) fn error(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, field: field.into(), at: None, message: message.into() }
    }

    pub(super) fn warning(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(field, message) }
    }

    pub(super) fn at(self, at: Place) -> Self {
        Self { at: Some(at), ..self }
    }

    pub(super) fn of(self, file: &str, object: &str, root: &Node) -> Finding {
        let Place { line, column } = self.at.unwrap_or_else(|| root.place(&self.field));
        let Self { severity, field, message, .. } = self;
        Finding { severity, file: file.to_owned(), line, column, object: object.to_owned(), field, message }
    }
}
