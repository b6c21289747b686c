//! Why a row was refused, in Salesforce's words.

/// One error of one row: the status code, the message a person reads, the fields it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) fields: Vec<String>,
}

impl RowError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: Vec::new() }
    }

    pub(crate) fn on(code: &'static str, message: impl Into<String>, field: &str) -> Self {
        Self { code, message: message.into(), fields: vec![field.to_owned()] }
    }

    pub(crate) fn required(fields: Vec<String>) -> Self {
        Self { code: "REQUIRED_FIELD_MISSING", message: format!("Required fields are missing: [{}]", fields.join(", ")), fields }
    }

    pub(crate) fn deleted() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted")
    }

    pub(crate) fn no_such_row() -> Self {
        Self::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    }

    /// The one cell of a Bulk result: `CODE:message:fields --`.
    pub(crate) fn cell(&self) -> String {
        match self.fields.as_slice() {
            [] => format!("{}:{}:--", self.code, self.message),
            fields => format!("{}:{}:{} --", self.code, self.message, fields.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bulk_cell_ends_in_dashes_with_and_without_field() {
        assert_eq!(RowError::required(vec!["Name".into()]).cell(), "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --");
        assert_eq!(RowError::deleted().cell(), "ENTITY_IS_DELETED:entity is deleted:--");
    }
}
