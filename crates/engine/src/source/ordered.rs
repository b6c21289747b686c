//! The statement around a query whose rows come in an order, for databases that do not compare rows, or find their way by an index only where the
//! comparison is spelled out: beyond which value of a watermark, behind which key.

use super::{QueryError, Replay, Since, Start};

/// A column that rows are ordered by.
pub(super) trait KeyColumn {
    /// What is compared and ordered by.
    fn expression(&self) -> &str;

    /// A value of the column as a statement has it.
    fn literal(&self, value: &str) -> Result<String, QueryError>;
}

/// What databases write differently.
pub(super) struct Dialect<K> {
    /// A condition that holds for rows that have NULL in one of these columns, too: reading them tells that they cannot be resumed, leaving them
    /// out would lose them.
    pub(super) or_null: fn(&str, &[K]) -> String,
    /// A last column, which says whether a row is behind the key.
    pub(super) mark: fn(&str) -> String,
}

/// The query, in order and from where reading begins. Without keys it is as it stands: a query in a query may not have two columns of one name.
/// The line ends keep a comment at its end from swallowing the rest.
pub(super) fn select<K: KeyColumn>(
    query: &str,
    keys: &[K],
    since: Option<&Since>,
    start: &Start,
    dialect: &Dialect<K>,
) -> Result<String, QueryError> {
    let beyond_watermark = || match (since, keys) {
        (Some(since), [watermark, ..]) => {
            let value = [since.value().to_owned()];
            beyond(std::slice::from_ref(watermark), &value, dialect).map(Some).map_err(|error| error.of_watermark(since))
        }
        _ => Ok(None),
    };
    let (condition, mark) = match start {
        Start::First | Start::Again { .. } => (beyond_watermark()?, String::new()),
        // Where the run began lies before its key. Another run may have gone further meanwhile, and rows between are this one's all the same.
        Start::Behind { key, replay: Replay::None } => (Some(beyond(keys, key, dialect)?), String::new()),
        Start::Behind { key, replay: Replay::Seen } => (beyond_watermark()?, (dialect.mark)(&beyond(keys, key, dialect)?)),
    };
    if keys.is_empty() {
        return Ok(query.to_owned());
    }
    let rest = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    let order: Vec<&str> = keys.iter().map(KeyColumn::expression).collect();
    Ok(format!("SELECT q.*{mark} FROM (\n{query}\n) AS q{rest} ORDER BY {}", order.join(", ")))
}

fn beyond<K: KeyColumn>(keys: &[K], values: &[String], dialect: &Dialect<K>) -> Result<String, QueryError> {
    if values.len() != keys.len() || values.is_empty() {
        return Err(QueryError::KeyShape { expected: keys.len(), found: values.len() });
    }
    // a > x OR (a = x AND (b > y OR …)).
    let mut condition = String::new();
    for (key, value) in keys.iter().zip(values).rev() {
        let (expression, value) = (key.expression(), key.literal(value)?);
        condition = match condition.as_str() {
            "" => format!("{expression} > {value}"),
            deeper => format!("{expression} > {value} OR ({expression} = {value} AND ({deeper}))"),
        };
    }
    Ok((dialect.or_null)(&condition, keys))
}
