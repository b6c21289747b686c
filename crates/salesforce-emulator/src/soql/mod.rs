//! SOQL: text → tokens → tree → plan bound to the schema → rows.
//!
//! Knows the schema and reads the store. Knows nothing of HTTP, paging or how rows are written out.

mod ast;
mod bind;
mod dates;
mod eval;
mod filter;
mod lex;
mod parse;
mod path;

use std::sync::LazyLock;

use crate::schema::{DEFAULT_SCHEMA, Schema};
use crate::store::Rule;

pub(crate) use bind::{Column, Kind, Plan};
pub(crate) use eval::{Answer, children, run};
pub(crate) use path::FieldPath;

/// Why a query was refused: Salesforce's code and words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SoqlError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl SoqlError {
    fn malformed(message: impl Into<String>) -> Self {
        Self { code: "MALFORMED_QUERY", message: message.into() }
    }

    /// Shows the place in the text with a caret under it, as the service does.
    fn at(code: &'static str, text: &str, at: usize, message: impl std::fmt::Display) -> Self {
        let start = text[..at].char_indices().rev().nth(19).map_or(0, |(index, _)| index);
        let end = text[at..].char_indices().nth(20).map_or(text.len(), |(index, _)| at + index);
        let shown = text[start..end].replace('\n', " ");
        let caret = " ".repeat(text[start..at].chars().count());
        let column = text[..at].chars().count() + 1;
        Self { code, message: format!("\n{shown}\n{caret}^\nERROR at Row:1:Column:{column}\n{message}") }
    }
}

/// The instant `now` (milliseconds) is what TODAY and its kin are counted from.
pub(crate) fn plan(schema: &Schema, text: &str, now: i64) -> Result<Plan, SoqlError> {
    let query = parse::query(text)?;
    bind::query(schema, text, &query, now)
}

/// Why an organisation with the default schema refuses this query, in Salesforce's words; none when it answers it.
pub fn refusal(query: &str) -> Option<String> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(DEFAULT_SCHEMA).expect("the default schema is tested"));
    plan(&SCHEMA, query, 0).err().map(|error| error.to_string())
}

/// The validation rules of every object, in the order of the objects.
pub(crate) fn compile_rules(schema: &Schema) -> Result<Vec<Vec<Rule>>, SoqlError> {
    let compile = |object: usize| {
        schema.objects[object].validation_rules.iter().map(move |rule| {
            let condition = parse::condition(&rule.when)?;
            let filter = bind::condition(schema, &rule.when, object, &condition, 0)?;
            let refuses: crate::store::RuleCheck = Box::new(move |view| filter.holds(view));
            Ok(Rule { message: rule.message.clone(), field: rule.field.clone(), refuses })
        })
    };
    (0..schema.objects.len()).map(|object| compile(object).collect()).collect()
}
