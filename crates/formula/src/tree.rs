//! What was written, before anybody asks what it means.

use crate::token::Sign;

/// A part of a formula and the character where it begins.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) at: usize,
    /// Levels below and including this one.
    pub(crate) depth: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Column(String),
    Text(String),
    Number(f64),
    Name(String),
    Minus(Box<Expr>),
    Binary(Sign, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// Keys with their places, and values.
    Dictionary(Vec<(usize, String, String)>),
}
