//! Tree → checked program: resolves columns and functions, settles types. A column is a text that may be read as a
//! number, where a number is asked for; everything else must be said.

use std::collections::HashMap;

use crate::Columns;
use crate::error::{FormulaError, Problem};
use crate::function::{self, FUNCTIONS, Function, Signature};
use crate::near::nearest;
use crate::program::{BoolNode, Calculation, Comparison, NumberNode, TextNode};
use crate::token::Sign;
use crate::tree::{Expr, Kind};

pub(crate) fn value(expr: &Expr, columns: &dyn Columns) -> Result<TextNode, FormulaError> {
    Ok(Checker { columns }.typed(expr)?.into_text())
}

pub(crate) fn condition(expr: &Expr, columns: &dyn Columns) -> Result<BoolNode, FormulaError> {
    Checker { columns }.bool(expr)
}

enum Typed {
    Text(TextNode),
    /// Text from the input, or chosen among such texts and numbers.
    Cell(TextNode),
    Number(NumberNode),
    Bool(BoolNode),
}

impl Typed {
    fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Cell(_) => "a column",
            Self::Number(_) => "a number",
            Self::Bool(_) => "true or false",
        }
    }

    fn into_text(self) -> TextNode {
        match self {
            Self::Text(node) | Self::Cell(node) => node,
            Self::Number(node) => TextNode::Number(Box::new(node)),
            Self::Bool(node) => TextNode::Bool(Box::new(node)),
        }
    }
}

const BE_CLEAR: &str = "write VALUE([A]) for a number or TEXT([A]) for a text";

struct Checker<'c> {
    columns: &'c dyn Columns,
}

impl Checker<'_> {
    fn typed(&self, expr: &Expr) -> Result<Typed, FormulaError> {
        let fail = |problem| Err(FormulaError::new(expr.at, problem));
        match &expr.kind {
            Kind::Column(name) => match self.columns.find(name) {
                Ok(column) => Ok(Typed::Cell(TextNode::Column(column))),
                Err(problem) => fail(Problem::Column(problem)),
            },
            Kind::Text(text) => Ok(Typed::Text(TextNode::Literal(text.as_str().into()))),
            Kind::Number(value) => Ok(Typed::Number(NumberNode::Literal(*value))),
            Kind::Name(name) if name.eq_ignore_ascii_case("true") => Ok(Typed::Bool(BoolNode::Literal(true))),
            Kind::Name(name) if name.eq_ignore_ascii_case("false") => Ok(Typed::Bool(BoolNode::Literal(false))),
            Kind::Name(name) => fail(Problem::Name { name: name.clone(), near: near_function(name) }),
            Kind::Minus(inner) => Ok(Typed::Number(NumberNode::Minus(Box::new(self.number(inner)?)))),
            Kind::Binary(sign, left, right) => self.binary(expr.at, *sign, left, right),
            Kind::Dictionary(_) => fail(Problem::StrayDictionary),
            Kind::Call(name, arguments) => {
                let Some(signature) = function::find(name) else {
                    return fail(Problem::Function { name: name.clone(), near: near_function(name) });
                };
                if !signature.arguments.contains(&arguments.len()) {
                    let Signature { name, usage, .. } = signature;
                    return fail(Problem::Arguments { name, usage, found: arguments.len() });
                }
                self.call(expr.at, signature.function, arguments)
            }
        }
    }

    fn text(&self, expr: &Expr) -> Result<Box<TextNode>, FormulaError> {
        Ok(Box::new(self.typed(expr)?.into_text()))
    }

    fn number(&self, expr: &Expr) -> Result<NumberNode, FormulaError> {
        self.as_number(expr.at, self.typed(expr)?)
    }

    fn as_number(&self, at: usize, typed: Typed) -> Result<NumberNode, FormulaError> {
        match typed {
            Typed::Number(node) => Ok(node),
            Typed::Cell(node) => Ok(NumberNode::Read(Box::new(node))),
            other => {
                let (expected, remedy) = ("a number", "make it one with VALUE(…), or join texts with &");
                Err(FormulaError::new(at, Problem::Type { expected, found: other.describe(), remedy }))
            }
        }
    }

    fn bool(&self, expr: &Expr) -> Result<BoolNode, FormulaError> {
        match self.typed(expr)? {
            Typed::Bool(node) => Ok(node),
            other => {
                let (expected, remedy) = ("true or false", "compare it with something, as in [Active] = \"true\"");
                Err(FormulaError::new(expr.at, Problem::Type { expected, found: other.describe(), remedy }))
            }
        }
    }

    fn bools(&self, exprs: &[Expr]) -> Result<Vec<BoolNode>, FormulaError> {
        exprs.iter().map(|expr| self.bool(expr)).collect()
    }

    fn binary(&self, at: usize, sign: Sign, left: &Expr, right: &Expr) -> Result<Typed, FormulaError> {
        let (l, r) = (self.typed(left)?, self.typed(right)?);
        let calculation = match sign {
            Sign::Join => return Ok(join(l, r)),
            Sign::Plus => match (&l, &r) {
                (Typed::Cell(_), Typed::Cell(_)) => {
                    let remedy = "join texts with &, add numbers with VALUE([A]) + VALUE([B])";
                    return Err(FormulaError::new(at, Problem::Ambiguous { what: "+ between two columns", remedy }));
                }
                (Typed::Text(_), _) | (_, Typed::Text(_)) => return Ok(join(l, r)),
                _ => Calculation::Add,
            },
            Sign::Minus => Calculation::Subtract,
            Sign::Times => Calculation::Multiply,
            Sign::Divide => Calculation::Divide,
            _ => return self.comparison(at, sign, l, r),
        };
        let (l, r) = (self.as_number(left.at, l)?, self.as_number(right.at, r)?);
        Ok(Typed::Number(NumberNode::Calculate(calculation, Box::new(l), Box::new(r))))
    }

    fn comparison(&self, at: usize, sign: Sign, left: Typed, right: Typed) -> Result<Typed, FormulaError> {
        let comparison = match sign {
            Sign::NotEqual => Comparison::NotEqual,
            Sign::Less => Comparison::Less,
            Sign::LessOrEqual => Comparison::LessOrEqual,
            Sign::Greater => Comparison::Greater,
            Sign::GreaterOrEqual => Comparison::GreaterOrEqual,
            _ => Comparison::Equal,
        };
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let node = match (left, right) {
            (Typed::Cell(_), Typed::Cell(_)) if !equality => {
                return Err(FormulaError::new(at, Problem::Ambiguous { what: "this comparison of two columns", remedy: BE_CLEAR }));
            }
            (Typed::Text(l) | Typed::Cell(l), Typed::Text(r) | Typed::Cell(r)) => BoolNode::Texts(comparison, Box::new(l), Box::new(r)),
            (l @ (Typed::Number(_) | Typed::Cell(_)), r @ (Typed::Number(_) | Typed::Cell(_))) => {
                let side = |typed| match typed {
                    Typed::Cell(node) => Ok(NumberNode::ReadToCompare(Box::new(node))),
                    other => self.as_number(at, other),
                };
                BoolNode::Numbers(comparison, Box::new(side(l)?), Box::new(side(r)?))
            }
            (Typed::Bool(l), Typed::Bool(r)) if equality => {
                let same = BoolNode::Same(Box::new(l), Box::new(r));
                if comparison == Comparison::Equal { same } else { BoolNode::Not(Box::new(same)) }
            }
            (l, r) => {
                let remedy = match (&l, &r) {
                    (Typed::Bool(_), _) | (_, Typed::Bool(_)) => "a column holds text, as in [Active] = \"true\"",
                    _ => "make them alike with VALUE(…) or TEXT(…)",
                };
                let problem = Problem::Incomparable { left: l.describe(), right: r.describe(), remedy };
                return Err(FormulaError::new(at, problem));
            }
        };
        Ok(Typed::Bool(node))
    }

    fn call(&self, at: usize, function: Function, arguments: &[Expr]) -> Result<Typed, FormulaError> {
        let text = |number: usize| self.text(&arguments[number]);
        let number = |index: usize| self.number(&arguments[index]).map(Box::new);
        let count = || match arguments.get(1) {
            Some(count) => self.number(count).map(Box::new),
            None => Ok(Box::new(NumberNode::Literal(1.0))),
        };
        Ok(match function {
            Function::And => Typed::Bool(BoolNode::And(self.bools(arguments)?)),
            Function::Or => Typed::Bool(BoolNode::Or(self.bools(arguments)?)),
            Function::Not => Typed::Bool(BoolNode::Not(Box::new(self.bool(&arguments[0])?))),
            Function::If => self.choose(arguments)?,
            Function::IsBlank => Typed::Bool(BoolNode::IsBlank(text(0)?)),
            Function::Contains => Typed::Bool(BoolNode::Contains(text(0)?, text(1)?)),
            Function::Begins => Typed::Bool(BoolNode::Begins(text(0)?, text(1)?)),
            Function::Coalesce => self.coalesce(arguments)?,
            Function::Len => Typed::Number(NumberNode::Length(text(0)?)),
            Function::Value => Typed::Number(match self.typed(&arguments[0])? {
                Typed::Number(node) => node,
                Typed::Bool(node) => return self.as_number(at, Typed::Bool(node)).map(Typed::Number),
                Typed::Text(node) | Typed::Cell(node) => NumberNode::Read(Box::new(node)),
            }),
            Function::Text => Typed::Text(*text(0)?),
            Function::Left => Typed::Text(TextNode::Left(text(0)?, count()?)),
            Function::Right => Typed::Text(TextNode::Right(text(0)?, count()?)),
            Function::Mid => Typed::Text(TextNode::Mid(text(0)?, number(1)?, number(2)?)),
            Function::Trim => Typed::Text(TextNode::Trim(text(0)?)),
            Function::Upper => Typed::Text(TextNode::Upper(text(0)?)),
            Function::Lower => Typed::Text(TextNode::Lower(text(0)?)),
            Function::Substitute => Typed::Text(TextNode::Substitute { text: text(0)?, old: text(1)?, new: text(2)? }),
            Function::Map => self.map(arguments)?,
        })
    }

    fn choose(&self, arguments: &[Expr]) -> Result<Typed, FormulaError> {
        let condition = Box::new(self.bool(&arguments[0])?);
        Ok(match (self.typed(&arguments[1])?, self.typed(&arguments[2])?) {
            (Typed::Number(then), Typed::Number(or)) => Typed::Number(NumberNode::If(condition, Box::new(then), Box::new(or))),
            (Typed::Bool(then), Typed::Bool(or)) => Typed::Bool(BoolNode::If(condition, Box::new(then), Box::new(or))),
            (then, or) => {
                let cells = readable(&then) && readable(&or);
                let node = TextNode::If(condition, Box::new(then.into_text()), Box::new(or.into_text()));
                if cells { Typed::Cell(node) } else { Typed::Text(node) }
            }
        })
    }

    fn coalesce(&self, arguments: &[Expr]) -> Result<Typed, FormulaError> {
        let values: Vec<Typed> = arguments.iter().map(|argument| self.typed(argument)).collect::<Result<_, _>>()?;
        if values.iter().all(|value| matches!(value, Typed::Number(_))) {
            let numbers = arguments.iter().map(|argument| self.number(argument)).collect::<Result<_, _>>()?;
            return Ok(Typed::Number(NumberNode::Coalesce(numbers)));
        }
        let cells = values.iter().all(readable);
        let node = TextNode::Coalesce(values.into_iter().map(Typed::into_text).collect());
        Ok(if cells { Typed::Cell(node) } else { Typed::Text(node) })
    }

    fn map(&self, arguments: &[Expr]) -> Result<Typed, FormulaError> {
        let Kind::Dictionary(listed) = &arguments[1].kind else {
            return Err(FormulaError::new(arguments[1].at, Problem::NoDictionary));
        };
        let mut entries: HashMap<Box<str>, Box<str>> = HashMap::with_capacity(listed.len());
        for (at, key, entry) in listed {
            if entries.insert(key.as_str().into(), entry.as_str().into()).is_some() {
                return Err(FormulaError::new(*at, Problem::RepeatedKey { key: key.clone() }));
            }
        }
        let default = arguments.get(2).map(|default| self.text(default)).transpose()?;
        Ok(Typed::Text(TextNode::Map { key: self.text(&arguments[0])?, entries, default }))
    }
}

/// Can be read as a number without being told to.
fn readable(typed: &Typed) -> bool {
    matches!(typed, Typed::Cell(_) | Typed::Number(_))
}

fn join(left: Typed, right: Typed) -> Typed {
    let mut parts = match left.into_text() {
        TextNode::Join(parts) => parts,
        other => vec![other],
    };
    parts.push(right.into_text());
    Typed::Text(TextNode::Join(parts))
}

fn near_function(name: &str) -> Option<&'static str> {
    nearest(name, FUNCTIONS.iter().map(|signature| signature.name))
}
