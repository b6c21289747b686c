//! The tree of a query as it was written; names are not looked up yet.

/// A dotted name and where it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) names: Vec<String>,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Date(String),
    /// Milliseconds since 1970.
    Datetime(i64),
    /// `TODAY`, `LAST_N_DAYS:7`.
    Named(String, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        path: Path,
        operator: Operator,
        value: Literal,
    },
    In {
        path: Path,
        negated: bool,
        values: Vec<Literal>,
    },
    InQuery {
        path: Path,
        negated: bool,
        query: Box<Query>,
    },
    /// Multi-select picklists: each value is a list that must be there as a whole.
    Includes {
        path: Path,
        negated: bool,
        values: Vec<Literal>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    CountDistinct,
    Sum,
    Average,
    Least,
    Greatest,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Field(Path, Option<String>),
    CountAll,
    Aggregate {
        function: Function,
        path: Path,
        alias: Option<String>,
    },
    Children(Query, usize),
    /// `FIELDS(ALL)`: every field, or only the standard or custom ones.
    Fields(Option<bool>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) path: Path,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) items: Vec<Item>,
    pub(super) from: String,
    pub(super) from_at: usize,
    pub(super) alias: Option<String>,
    pub(super) condition: Option<Condition>,
    pub(super) group_by: Vec<Path>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    pub(super) all_rows: bool,
}
