//! The checked program: three kinds of nodes, one for each type of value, so that nothing is left to be wrong about
//! types when rows come.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Has a text.
#[derive(Debug)]
pub(crate) enum TextNode {
    Column(usize),
    Literal(Box<str>),
    Number(Box<NumberNode>),
    Bool(Box<BoolNode>),
    Join(Vec<TextNode>),
    If(Box<BoolNode>, Box<TextNode>, Box<TextNode>),
    Coalesce(Vec<TextNode>),
    Left(Box<TextNode>, Box<NumberNode>),
    Right(Box<TextNode>, Box<NumberNode>),
    Mid(Box<TextNode>, Box<NumberNode>, Box<NumberNode>),
    Trim(Box<TextNode>),
    Upper(Box<TextNode>),
    Lower(Box<TextNode>),
    Substitute { text: Box<TextNode>, old: Box<TextNode>, new: Box<TextNode> },
    Map { key: Box<TextNode>, entries: HashMap<Box<str>, Box<str>>, default: Option<Box<TextNode>> },
}

/// Has a number, or is blank.
#[derive(Debug)]
pub(crate) enum NumberNode {
    Literal(f64),
    Read(Box<TextNode>),
    /// The same, unless it looks like a code: as a number it would be equal to other codes.
    ReadToCompare(Box<TextNode>),
    Minus(Box<NumberNode>),
    Calculate(Calculation, Box<NumberNode>, Box<NumberNode>),
    Length(Box<TextNode>),
    If(Box<BoolNode>, Box<NumberNode>, Box<NumberNode>),
    Coalesce(Vec<NumberNode>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Is true or false.
#[derive(Debug)]
pub(crate) enum BoolNode {
    Literal(bool),
    And(Vec<BoolNode>),
    Or(Vec<BoolNode>),
    Not(Box<BoolNode>),
    If(Box<BoolNode>, Box<BoolNode>, Box<BoolNode>),
    Same(Box<BoolNode>, Box<BoolNode>),
    Texts(Comparison, Box<TextNode>, Box<TextNode>),
    Numbers(Comparison, Box<NumberNode>, Box<NumberNode>),
    IsBlank(Box<TextNode>),
    Contains(Box<TextNode>, Box<TextNode>),
    Begins(Box<TextNode>, Box<TextNode>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
