//! Tokens → tree, by precedence climbing. From weak to strong: comparisons, `&`, `+ -`, `* /`, sign.

use crate::MAX_DEPTH;
use crate::error::{FormulaError, Problem};
use crate::token::{Placed, Sign, Token, like_code, tokens};
use crate::tree::{Expr, Kind};

pub(crate) fn parse(source: &str) -> Result<Expr, FormulaError> {
    let tokens = tokens(source)?;
    if tokens.len() == 1 {
        return Err(FormulaError::new(1, Problem::Empty));
    }
    let mut parser = Parser { tokens, next: 0, open: 0 };
    let expr = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    /// Levels being parsed right now.
    open: usize,
}

fn strength(sign: Sign) -> Option<u8> {
    Some(match sign {
        Sign::Equal | Sign::NotEqual | Sign::Less | Sign::LessOrEqual | Sign::Greater | Sign::GreaterOrEqual => 1,
        Sign::Join => 2,
        Sign::Plus | Sign::Minus => 3,
        Sign::Times | Sign::Divide => 4,
        _ => return None,
    })
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    /// Moves on; the end stays the end.
    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn take_sign(&mut self, sign: Sign) -> bool {
        let there = *self.peek() == Token::Sign(sign);
        if there {
            self.take();
        }
        there
    }

    fn expect(&mut self, sign: Sign, expected: &'static str) -> Result<(), FormulaError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> FormulaError {
        let behind = self.next.checked_sub(1).map(|before| &self.tokens[before].token);
        let hint = match (behind, self.peek()) {
            (Some(Token::Sign(Sign::Equal)), Token::Sign(Sign::Equal)) => "; equal is written =",
            (Some(Token::Sign(Sign::Join)), Token::Sign(Sign::Join)) => "; write AND(a, b)",
            (Some(Token::Name(_)), Token::Column(_) | Token::Text(_)) => "; arguments stand in parentheses",
            (Some(Token::Text(_)), Token::Name(_)) => "; a quote inside a text is written twice",
            _ => "",
        };
        FormulaError::new(self.at(), Problem::Unexpected { expected, found: self.peek().describe(), hint })
    }

    fn expression(&mut self, weakest: u8) -> Result<Expr, FormulaError> {
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(FormulaError::new(self.at(), Problem::TooDeep));
        }
        let mut left = self.operand()?;
        while let Token::Sign(sign) = *self.peek()
            && let Some(strength) = strength(sign).filter(|strength| *strength > weakest)
        {
            let at = self.at();
            self.take();
            let right = self.expression(strength)?;
            left = node(at, left.depth.max(right.depth), Kind::Binary(sign, Box::new(left), Box::new(right)))?;
        }
        self.open -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, FormulaError> {
        let at = self.at();
        match self.peek() {
            Token::Sign(Sign::Minus) => {
                self.take();
                let inner = self.expression(4)?;
                node(at, inner.depth, Kind::Minus(Box::new(inner)))
            }
            Token::Sign(Sign::Open) => {
                self.take();
                let inner = self.expression(0)?;
                self.expect(Sign::Close, "a closing parenthesis")?;
                Ok(inner)
            }
            Token::Sign(Sign::OpenBrace) => {
                self.take();
                node(at, 0, Kind::Dictionary(self.entries()?))
            }
            Token::Sign(_) | Token::End => Err(self.unexpected("a column, text, number or function")),
            _ => match self.take() {
                Token::Column(name) => node(at, 0, Kind::Column(name)),
                Token::Text(text) => node(at, 0, Kind::Text(text)),
                Token::Number(value, _) => node(at, 0, Kind::Number(value)),
                Token::Name(name) if self.take_sign(Sign::Open) => {
                    let arguments = self.arguments()?;
                    let depth = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
                    node(at, depth, Kind::Call(name, arguments))
                }
                Token::Name(name) => node(at, 0, Kind::Name(name)),
                Token::Sign(_) | Token::End => unreachable!("matched above"),
            },
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, FormulaError> {
        let mut arguments = Vec::new();
        if self.take_sign(Sign::Close) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if self.take_sign(Sign::Close) {
                return Ok(arguments);
            }
            self.expect(Sign::Comma, "a comma or a closing parenthesis")?;
        }
    }

    fn entries(&mut self) -> Result<Vec<(usize, String, String)>, FormulaError> {
        let mut entries = Vec::new();
        while !self.take_sign(Sign::CloseBrace) {
            let at = self.at();
            let key = self.literal()?;
            self.expect(Sign::Colon, "a colon between key and value")?;
            entries.push((at, key, self.literal()?));
            if !self.take_sign(Sign::Comma) && *self.peek() != Token::Sign(Sign::CloseBrace) {
                return Err(self.unexpected("a comma or a closing brace"));
            }
        }
        Ok(entries)
    }

    /// A key or value of MAP is a text: a number must be one that its text looks like.
    fn literal(&mut self) -> Result<String, FormulaError> {
        let at = self.at();
        match self.peek() {
            Token::Text(_) | Token::Number(..) => match self.take() {
                Token::Text(text) => Ok(text),
                Token::Number(value, written) if crate::number::text(value) != written => Err(like_code(at, &written, value)),
                Token::Number(_, written) => Ok(written),
                _ => unreachable!("matched above"),
            },
            _ => Err(self.unexpected("a text or a number")),
        }
    }
}

fn node(at: usize, below: usize, kind: Kind) -> Result<Expr, FormulaError> {
    let depth = below + 1;
    if depth > MAX_DEPTH {
        return Err(FormulaError::new(at, Problem::TooDeep));
    }
    Ok(Expr { at, depth, kind })
}
