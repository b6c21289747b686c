//! Text → tokens, each with its place.

use std::iter::Peekable;
use std::str::CharIndices;

use crate::error::{FormulaError, Problem};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Column(String),
    Text(String),
    /// With how it is written.
    Number(f64, String),
    Name(String),
    Sign(Sign),
    End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sign {
    Plus,
    Minus,
    Times,
    Divide,
    Join,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Open,
    Close,
    Comma,
    OpenBrace,
    CloseBrace,
    Colon,
}

impl Sign {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Join => "&",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Open => "(",
            Self::Close => ")",
            Self::Comma => ",",
            Self::OpenBrace => "{",
            Self::CloseBrace => "}",
            Self::Colon => ":",
        }
    }
}

impl Token {
    /// As a person would call it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Column(name) => format!("the column [{name}]"),
            Self::Text(_) => "a text".to_owned(),
            Self::Number(..) => "a number".to_owned(),
            Self::Name(name) => name.clone(),
            Self::Sign(sign) => format!("\"{}\"", sign.text()),
            Self::End => "the end".to_owned(),
        }
    }
}

/// A token and the character, counted from 1, where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) at: usize,
    pub(crate) token: Token,
}

pub(crate) fn tokens(source: &str) -> Result<Vec<Placed>, FormulaError> {
    if source.chars().count() > crate::MAX_LENGTH {
        return Err(FormulaError::new(1, Problem::TooLong));
    }
    let mut lexer = Lexer { source, chars: source.char_indices().peekable(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let placed = lexer.token()?;
        let end = placed.token == Token::End;
        tokens.push(placed);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    chars: Peekable<CharIndices<'s>>,
    /// Characters taken.
    at: usize,
}

impl Lexer<'_> {
    fn take(&mut self) -> Option<char> {
        let taken = self.chars.next().map(|(_, c)| c);
        self.at += usize::from(taken.is_some());
        taken
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let fits = self.chars.peek().is_some_and(|(_, c)| wanted(*c));
        if fits {
            self.take();
        }
        fits
    }

    fn byte(&mut self) -> usize {
        self.chars.peek().map_or(self.source.len(), |(byte, _)| *byte)
    }

    fn token(&mut self) -> Result<Placed, FormulaError> {
        while self.take_if(crate::blank::is_blank_char) {}
        let (start, at) = (self.byte(), self.at + 1);
        let Some(first) = self.take() else { return Ok(Placed { at, token: Token::End }) };
        let token = match first {
            '[' => Token::Column(self.enclosed(']').ok_or(FormulaError::new(at, Problem::OpenColumn))?),
            '"' => Token::Text(self.enclosed('"').ok_or(FormulaError::new(at, Problem::OpenText))?),
            '0'..='9' => self.number(start, at)?,
            'A'..='Z' | 'a'..='z' | '_' => {
                while self.take_if(|c| c.is_alphanumeric() || c == '_') {}
                let end = self.byte();
                Token::Name(self.source[start..end].to_owned())
            }
            _ => Token::Sign(self.sign(first).ok_or_else(|| FormulaError::new(at, stray(first)))?),
        };
        Ok(Placed { at, token })
    }

    /// Up to the closing character; twice the closing character stands for itself.
    fn enclosed(&mut self, close: char) -> Option<String> {
        let mut text = String::new();
        loop {
            let c = self.take()?;
            if c == close && !self.take_if(|next| next == close) {
                return Some(text);
            }
            text.push(c);
        }
    }

    fn number(&mut self, start: usize, at: usize) -> Result<Token, FormulaError> {
        while self.take_if(|c| c.is_ascii_digit()) {}
        if self.take_if(|c| c == '.') {
            while self.take_if(|c| c.is_ascii_digit()) {}
        }
        if self.take_if(|c| c == 'e' || c == 'E') {
            self.take_if(|c| c == '+' || c == '-');
            while self.take_if(|c| c.is_ascii_digit()) {}
        }
        let end = self.byte();
        let text = &self.source[start..end];
        let Some(value) = text.parse().ok().filter(|value: &f64| value.is_finite()) else {
            return Err(FormulaError::new(at, Problem::Number { text: text.to_owned() }));
        };
        if text.len() > 1 && text.starts_with('0') && text.as_bytes()[1].is_ascii_digit() {
            return Err(like_code(at, text, value));
        }
        Ok(Token::Number(value, text.to_owned()))
    }

    fn sign(&mut self, first: char) -> Option<Sign> {
        Some(match first {
            '+' => Sign::Plus,
            '-' => Sign::Minus,
            '*' => Sign::Times,
            '/' => Sign::Divide,
            '&' => Sign::Join,
            '=' => Sign::Equal,
            '<' if self.take_if(|c| c == '>') => Sign::NotEqual,
            '<' if self.take_if(|c| c == '=') => Sign::LessOrEqual,
            '<' => Sign::Less,
            '>' if self.take_if(|c| c == '=') => Sign::GreaterOrEqual,
            '>' => Sign::Greater,
            '(' => Sign::Open,
            ')' => Sign::Close,
            ',' => Sign::Comma,
            '{' => Sign::OpenBrace,
            '}' => Sign::CloseBrace,
            ':' => Sign::Colon,
            _ => return None,
        })
    }
}

/// Refuses a number that is written like a code.
pub(crate) fn like_code(at: usize, text: &str, value: f64) -> FormulaError {
    FormulaError::new(at, Problem::NumberLikeCode { text: text.to_owned(), number: crate::number::text(value) })
}

fn stray(found: char) -> Problem {
    let hint = match found {
        '\'' | '“' | '”' | '„' | '‘' | '’' => ": texts stand in \"straight double quotes\"",
        ';' => ": arguments are separated by a comma",
        '!' => ": not equal is written <>",
        '|' => ": write OR(a, b)",
        ']' => ": its [ is missing; a ] in a column's name is written ]]",
        '%' => ": write 0.05 for 5 %",
        _ => "",
    };
    Problem::Character { found, hint }
}
