//! Tokens to the tree, by recursive descent.

use super::SoqlError;
use super::ast::{Condition, Function, Item, Literal, Operator, Order, Path, Query};
use super::lex::{Token, tokens};
use crate::store::value;

pub(super) fn query(text: &str) -> Result<Query, SoqlError> {
    let mut parser = Parser::new(text)?;
    let query = parser.query(false)?;
    parser.end()?;
    Ok(query)
}

pub(super) fn condition(text: &str) -> Result<Condition, SoqlError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.condition(0)?;
    parser.end()?;
    Ok(condition)
}

/// Words that end a FROM entry, so that they are not taken for an alias.
const CLAUSES: [&str; 10] = ["WHERE", "ORDER", "GROUP", "LIMIT", "OFFSET", "ALL", "FOR", "HAVING", "WITH", "USING"];
/// Parentheses nest no deeper, so that no query can exhaust the stack.
const DEEPEST: usize = 64;

/// Characters of a query.
const LONGEST: usize = 100_000;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, SoqlError> {
        if text.len() > LONGEST && text.chars().count() > LONGEST {
            return Err(SoqlError {
                code: "QUERY_TOO_COMPLICATED",
                message: format!("SOQL statement is longer than {LONGEST} characters"),
            });
        }
        Ok(Self { text, tokens: tokens(text)?, at: 0 })
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn ahead(&self, by: usize) -> &Token {
        &self.tokens[(self.at + by).min(self.tokens.len() - 1)].0
    }

    fn place(&self) -> usize {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn unexpected(&self) -> SoqlError {
        SoqlError::at("MALFORMED_QUERY", self.text, self.place(), format!("unexpected token: '{}'", self.peek().shown()))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        if found {
            self.next();
        }
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(text) if *text == symbol);
        if found {
            self.next();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), SoqlError> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), SoqlError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn end(&self) -> Result<(), SoqlError> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected()) }
    }

    fn name(&mut self) -> Result<String, SoqlError> {
        match self.peek().clone() {
            Token::Word(name) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn path(&mut self) -> Result<Path, SoqlError> {
        let at = self.place();
        let mut names = vec![self.name()?];
        while self.take_symbol(".") {
            names.push(self.name()?);
        }
        Ok(Path { names, at })
    }

    fn query(&mut self, nested: bool) -> Result<Query, SoqlError> {
        self.expect_word("SELECT")?;
        let mut items = vec![self.item(nested)?];
        while self.take_symbol(",") {
            items.push(self.item(nested)?);
        }
        self.expect_word("FROM")?;
        let from_at = self.place();
        let from = self.name()?;
        self.take_word("AS");
        let is_alias = matches!(self.peek(), Token::Word(word) if !CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause)));
        let alias = if is_alias { Some(self.name()?) } else { None };
        if self.take_word("USING") {
            self.expect_word("SCOPE")?;
            self.name()?;
        }
        let condition = if self.take_word("WHERE") { Some(self.condition(0)?) } else { None };
        if self.take_word("WITH") {
            // SECURITY_ENFORCED and USER_MODE ask for checks of a user who may see everything here.
            self.name()?;
        }
        let group_by = self.group_by()?;
        let order = self.order()?;
        let limit = if self.take_word("LIMIT") { Some(self.number()?) } else { None };
        let offset = if self.take_word("OFFSET") { self.number()? } else { 0 };
        let mut all_rows = false;
        loop {
            if self.take_word("ALL") {
                self.expect_word("ROWS")?;
                all_rows = true;
            } else if self.take_word("FOR") {
                self.name()?;
            } else {
                break;
            }
        }
        Ok(Query { items, from, from_at, alias, condition, group_by, order, limit, offset, all_rows })
    }

    fn group_by(&mut self) -> Result<Vec<Path>, SoqlError> {
        if !self.take_word("GROUP") {
            return Ok(Vec::new());
        }
        self.expect_word("BY")?;
        let mut paths = vec![self.path()?];
        while self.take_symbol(",") {
            paths.push(self.path()?);
        }
        Ok(paths)
    }

    fn order(&mut self) -> Result<Vec<Order>, SoqlError> {
        if !self.take_word("ORDER") {
            return Ok(Vec::new());
        }
        self.expect_word("BY")?;
        let mut orders = Vec::new();
        loop {
            let path = self.path()?;
            let descending = !self.take_word("ASC") && self.take_word("DESC");
            let mut nulls_last = false;
            if self.take_word("NULLS") {
                nulls_last = !self.take_word("FIRST");
                if nulls_last {
                    self.expect_word("LAST")?;
                }
            }
            orders.push(Order { path, descending, nulls_last });
            if !self.take_symbol(",") {
                return Ok(orders);
            }
        }
    }

    fn number(&mut self) -> Result<usize, SoqlError> {
        match self.peek().clone() {
            Token::Figure(text) => {
                let number = text.parse().map_err(|_| self.unexpected())?;
                self.next();
                Ok(number)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn item(&mut self, nested: bool) -> Result<Item, SoqlError> {
        let at = self.place();
        if self.take_symbol("(") {
            if nested {
                return Err(SoqlError::malformed("sub-queries nest only once"));
            }
            let query = self.query(true)?;
            self.expect_symbol(")")?;
            return Ok(Item::Children(query, at));
        }
        if *self.ahead(1) == Token::Symbol("(") {
            return self.function();
        }
        let path = self.path()?;
        let alias = match self.peek() {
            Token::Word(word) if !word.eq_ignore_ascii_case("FROM") => Some(self.name()?),
            _ => None,
        };
        Ok(Item::Field(path, alias))
    }

    fn function(&mut self) -> Result<Item, SoqlError> {
        let place = self.place();
        let name = self.name()?.to_ascii_uppercase();
        self.expect_symbol("(")?;
        if name == "COUNT" && self.take_symbol(")") {
            return Ok(Item::CountAll);
        }
        if name == "FIELDS" {
            let which = match self.name()?.to_ascii_uppercase().as_str() {
                "ALL" => None,
                "STANDARD" => Some(false),
                "CUSTOM" => Some(true),
                _ => return Err(self.unexpected()),
            };
            self.expect_symbol(")")?;
            return Ok(Item::Fields(which));
        }
        let function = match name.as_str() {
            "COUNT" => Function::Count,
            "COUNT_DISTINCT" => Function::CountDistinct,
            "SUM" => Function::Sum,
            "AVG" => Function::Average,
            "MIN" => Function::Least,
            "MAX" => Function::Greatest,
            _ => return Err(SoqlError::at("MALFORMED_QUERY", self.text, place, format!("unexpected token: '{name}'"))),
        };
        let path = self.path()?;
        self.expect_symbol(")")?;
        let alias = match self.peek() {
            Token::Word(word) if !word.eq_ignore_ascii_case("FROM") => Some(self.name()?),
            _ => None,
        };
        Ok(Item::Aggregate { function, path, alias })
    }

    /// AND and OR do not mix without parentheses.
    fn condition(&mut self, depth: usize) -> Result<Condition, SoqlError> {
        let first = self.single(depth)?;
        for (word, join) in [("AND", Condition::And as fn(Vec<Condition>) -> Condition), ("OR", Condition::Or)] {
            if self.peek().is_word(word) {
                let mut all = vec![first];
                while self.take_word(word) {
                    all.push(self.single(depth)?);
                }
                if self.peek().is_word("AND") || self.peek().is_word("OR") {
                    return Err(self.unexpected());
                }
                return Ok(join(all));
            }
        }
        Ok(first)
    }

    fn single(&mut self, depth: usize) -> Result<Condition, SoqlError> {
        if depth > DEEPEST {
            return Err(SoqlError::malformed("conditions are nested too deeply"));
        }
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.single(depth + 1)?)));
        }
        if self.take_symbol("(") {
            let inner = self.condition(depth + 1)?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let path = self.path()?;
        let negated = self.take_word("NOT");
        if self.take_word("IN") {
            return self.membership(path, negated);
        }
        if negated {
            return Err(self.unexpected());
        }
        let excludes = self.peek().is_word("EXCLUDES");
        if excludes || self.peek().is_word("INCLUDES") {
            self.next();
            let values = self.list()?;
            return Ok(Condition::Includes { path, negated: excludes, values });
        }
        let operator = self.operator()?;
        let value = self.literal()?;
        Ok(Condition::Compare { path, operator, value })
    }

    fn membership(&mut self, path: Path, negated: bool) -> Result<Condition, SoqlError> {
        if *self.peek() == Token::Symbol("(") && self.ahead(1).is_word("SELECT") {
            self.next();
            let query = Box::new(self.query(true)?);
            self.expect_symbol(")")?;
            return Ok(Condition::InQuery { path, negated, query });
        }
        let values = self.list()?;
        Ok(Condition::In { path, negated, values })
    }

    fn list(&mut self) -> Result<Vec<Literal>, SoqlError> {
        self.expect_symbol("(")?;
        let mut values = vec![self.literal()?];
        while self.take_symbol(",") {
            values.push(self.literal()?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

    fn operator(&mut self) -> Result<Operator, SoqlError> {
        let operator = match self.peek() {
            Token::Symbol("=") => Operator::Equal,
            Token::Symbol("!=" | "<>") => Operator::NotEqual,
            Token::Symbol("<") => Operator::Less,
            Token::Symbol("<=") => Operator::LessOrEqual,
            Token::Symbol(">") => Operator::Greater,
            Token::Symbol(">=") => Operator::GreaterOrEqual,
            token if token.is_word("LIKE") => Operator::Like,
            _ => return Err(self.unexpected()),
        };
        self.next();
        Ok(operator)
    }

    fn literal(&mut self) -> Result<Literal, SoqlError> {
        let literal = match self.peek().clone() {
            Token::Text(text) => Literal::Text(text),
            Token::Figure(text) => figure(&text).ok_or_else(|| self.unexpected())?,
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "NULL" => Literal::Null,
                "TRUE" => Literal::Bool(true),
                "FALSE" => Literal::Bool(false),
                name => return self.named(name.to_owned()),
            },
            _ => return Err(self.unexpected()),
        };
        self.next();
        Ok(literal)
    }

    fn named(&mut self, name: String) -> Result<Literal, SoqlError> {
        if !super::dates::is_name(&name) {
            return Err(self.unexpected());
        }
        self.next();
        let count = if self.take_symbol(":") { self.number()? } else { 0 };
        Ok(Literal::Named(name, i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

fn figure(text: &str) -> Option<Literal> {
    if let Some(ms) = value::parse_instant(text) {
        return Some(Literal::Datetime(ms));
    }
    if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
        return Some(Literal::Date(text.to_owned()));
    }
    text.parse().ok().map(Literal::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_everything_parses() {
        let text = "select Id, Owner.Name, (SELECT Id FROM Contacts LIMIT 2) FROM Account a WHERE (Name LIKE 'A%' OR NOT Phone = null) \
                    AND CreatedDate >= LAST_N_DAYS:7 AND Id IN (SELECT AccountId FROM Contact) ORDER BY Name DESC NULLS LAST, Id LIMIT 10 OFFSET 5";
        let query = query(text).unwrap();
        assert_eq!((query.items.len(), query.limit, query.offset, query.alias.as_deref()), (3, Some(10), 5, Some("a")));
        assert!(matches!(&query.condition, Some(Condition::And(all)) if all.len() == 3));
        assert!(query.order[0].descending && query.order[0].nulls_last && !query.order[1].descending);
    }

    #[test]
    fn what_is_not_soql_is_refused_with_its_place() {
        for text in [
            "",
            "SELECT FROM Account",
            "SELECT Id FROM",
            "SELECT Id FROM Account WHERE",
            "SELECT Id FROM Account LIMIT x",
            "DELETE",
            "SELECT Id FROM Account WHERE Name = Bob",
            "SELECT * FROM Account",
            "SELECT Id FROM Account WHERE a = 1 AND b = 2 OR c = 3",
        ] {
            assert_eq!(query(text).unwrap_err().code, "MALFORMED_QUERY", "{text}");
        }
        let error = query("SELECT Id FROM Account WHERE Name = Bob").unwrap_err();
        assert!(error.message.ends_with("ERROR at Row:1:Column:37\nunexpected token: 'Bob'"), "{}", error.message);
    }
}
