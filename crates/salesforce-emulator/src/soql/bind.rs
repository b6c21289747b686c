//! Names looked up: a tree becomes a plan that needs no schema questions when it runs.

use std::collections::HashSet;

use super::SoqlError;
use super::ast::{self, Condition, Function, Item, Literal, Operator};
use super::filter::{Comparison, Filter, Operand, Test, like_parts};
use super::path::{FieldPath, Leaf, Route};
use crate::schema::{Field, FieldType, Object, Schema};
use crate::store::{id, value};

#[derive(Clone, Debug)]
pub(crate) enum Column {
    Field(FieldPath),
    Children { name: String, field: usize, plan: Plan },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// A grouped field as it is.
    Group,
    Function(Function),
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(super) fold: Fold,
    pub(super) path: FieldPath,
    pub(crate) alias: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Rows(Vec<Column>),
    Count,
    Aggregates { group_by: Vec<FieldPath>, items: Vec<Aggregate> },
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) object: usize,
    pub(crate) kind: Kind,
    pub(super) filter: Option<Filter>,
    pub(super) order: Vec<(FieldPath, bool, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    pub(super) all_rows: bool,
}

impl Plan {
    /// Deleted rows belong to the answer too (`queryAll`).
    pub(crate) fn include_deleted(&mut self) {
        self.all_rows = true;
    }

    /// The types of an aggregate's columns: counts and averages have their own.
    pub(crate) fn aggregate_kinds(&self) -> Vec<FieldType> {
        let Kind::Aggregates { items, .. } = &self.kind else { return Vec::new() };
        let kind = |item: &Aggregate| match item.fold {
            Fold::Function(Function::Count | Function::CountDistinct) => FieldType::Int,
            Fold::Function(Function::Sum | Function::Average) => FieldType::Double,
            _ => item.path.kind,
        };
        items.iter().map(kind).collect()
    }

    /// Why Bulk 2.0 would not run this plan.
    pub(crate) fn bulk_refusal(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Rows(columns) if columns.iter().any(|column| matches!(column, Column::Children { .. })) => {
                Some("Aggregate Relationships not supported in Bulk Query")
            }
            Kind::Rows(_) if self.offset > 0 => Some("Offset not supported in Bulk Query"),
            Kind::Rows(_) => None,
            Kind::Count | Kind::Aggregates { .. } => Some("Aggregates not supported in Bulk Query"),
        }
    }
}

struct Binder<'a> {
    schema: &'a Schema,
    text: &'a str,
    now: i64,
    object: usize,
    alias: Option<&'a str>,
}

pub(super) fn query(schema: &Schema, text: &str, query: &ast::Query, now: i64) -> Result<Plan, SoqlError> {
    let object = schema.object(&query.from).ok_or_else(|| {
        let message = format!(
            "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the \
             entity name. Please reference your WSDL or the describe call for the appropriate names.",
            query.from
        );
        SoqlError::at("INVALID_TYPE", text, query.from_at, message)
    })?;
    bind_query(schema, text, query, object, now)
}

pub(super) fn condition(schema: &Schema, text: &str, object: usize, condition: &Condition, now: i64) -> Result<Filter, SoqlError> {
    Binder { schema, text, now, object, alias: None }.condition(condition)
}

fn bind_query(schema: &Schema, text: &str, query: &ast::Query, object: usize, now: i64) -> Result<Plan, SoqlError> {
    let binder = Binder { schema, text, now, object, alias: query.alias.as_deref() };
    let kind = binder.kind(query)?;
    let filter = query.condition.as_ref().map(|condition| binder.condition(condition)).transpose()?;
    let order = query.order.iter().map(|order| Ok((binder.sorted(&order.path)?, order.descending, order.nulls_last)));
    let order = if matches!(kind, Kind::Rows(_)) { order.collect::<Result<_, SoqlError>>()? } else { Vec::new() };
    Ok(Plan { object, kind, filter, order, limit: query.limit, offset: query.offset, all_rows: query.all_rows })
}

impl Binder<'_> {
    fn object(&self) -> &Object {
        &self.schema.objects[self.object]
    }

    fn kind(&self, query: &ast::Query) -> Result<Kind, SoqlError> {
        if query.items == [Item::CountAll] {
            return Ok(Kind::Count);
        }
        let aggregates = query.items.iter().any(|item| matches!(item, Item::Aggregate { .. } | Item::CountAll));
        if aggregates || !query.group_by.is_empty() {
            return self.aggregates(query);
        }
        let mut columns = Vec::new();
        for item in &query.items {
            match item {
                Item::Field(path, _) => columns.push(Column::Field(self.path(path)?)),
                Item::Children(query, at) => columns.push(self.children(query, *at)?),
                Item::Fields(custom) => {
                    let wanted = |field: &&Field| custom.is_none_or(|custom| field.custom == custom);
                    let names = self.object().fields.iter().filter(wanted).map(|field| field.name.clone());
                    for name in names {
                        columns.push(Column::Field(self.path(&ast::Path { names: vec![name], at: 0 })?));
                    }
                }
                Item::CountAll | Item::Aggregate { .. } => {}
            }
        }
        Ok(Kind::Rows(columns))
    }

    fn aggregates(&self, query: &ast::Query) -> Result<Kind, SoqlError> {
        let group_by: Vec<FieldPath> = query.group_by.iter().map(|path| self.grouped(path)).collect::<Result<_, _>>()?;
        let (mut items, mut unnamed) = (Vec::new(), 0);
        for item in &query.items {
            match item {
                Item::Aggregate { function, path, alias } => {
                    let alias = alias.clone().unwrap_or_else(|| {
                        unnamed += 1;
                        format!("expr{}", unnamed - 1)
                    });
                    items.push(Aggregate { fold: Fold::Function(*function), path: self.path(path)?, alias });
                }
                Item::Field(path, alias) => {
                    let bound = self.path(path)?;
                    if !group_by.iter().any(|group| group.names == bound.names) {
                        let message = format!("Field must be grouped or aggregated: {}", bound.names.join("."));
                        return Err(SoqlError::at("MALFORMED_QUERY", self.text, path.at, message));
                    }
                    let alias = alias.clone().unwrap_or_else(|| bound.names.last().cloned().unwrap_or_default());
                    items.push(Aggregate { fold: Fold::Group, path: bound, alias });
                }
                _ => return Err(SoqlError::malformed("Grouped query cannot use child relationships or COUNT() in the SELECT list")),
            }
        }
        Ok(Kind::Aggregates { group_by, items })
    }

    fn children(&self, query: &ast::Query, at: usize) -> Result<Column, SoqlError> {
        let child = self.object().child(&query.from).ok_or_else(|| {
            let message = format!(
                "Didn't understand relationship '{}' in FROM part of query call. If you are attempting to use a custom relationship, \
                 be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for \
                 the appropriate names.",
                query.from
            );
            SoqlError::at("INVALID_TYPE", self.text, at, message)
        })?;
        let plan = bind_query(self.schema, self.text, query, child.object, self.now)?;
        Ok(Column::Children { name: child.relationship.clone().unwrap_or_default(), field: child.field, plan })
    }

    fn path(&self, path: &ast::Path) -> Result<FieldPath, SoqlError> {
        let names = match path.names.as_slice() {
            [first, rest @ ..] if !rest.is_empty() && self.is_own_name(first) => rest,
            names => names,
        };
        let mut spelled = Vec::new();
        let bound = self.route(self.object, names, &mut spelled, path.at)?;
        let (route, Leaf { kind, case_sensitive, usable }) = bound;
        Ok(FieldPath { names: spelled, kind, case_sensitive, usable, route })
    }

    fn filtered(&self, path: &ast::Path) -> Result<FieldPath, SoqlError> {
        let bound = self.path(path)?;
        if bound.usable.filter { Ok(bound) } else { Err(self.unusable("INVALID_FIELD", &bound, path.at, "filtered")) }
    }

    fn sorted(&self, path: &ast::Path) -> Result<FieldPath, SoqlError> {
        let bound = self.path(path)?;
        if bound.usable.sort { Ok(bound) } else { Err(self.unusable("MALFORMED_QUERY", &bound, path.at, "sorted")) }
    }

    fn grouped(&self, path: &ast::Path) -> Result<FieldPath, SoqlError> {
        let bound = self.path(path)?;
        if bound.usable.group { Ok(bound) } else { Err(self.unusable("MALFORMED_QUERY", &bound, path.at, "grouped")) }
    }

    fn unusable(&self, code: &'static str, path: &FieldPath, at: usize, done: &str) -> SoqlError {
        let name = path.names.last().map_or("", String::as_str);
        SoqlError::at(code, self.text, at, format!("field '{name}' can not be {done} in a query call"))
    }

    fn is_own_name(&self, name: &str) -> bool {
        self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name)) || self.object().name.eq_ignore_ascii_case(name)
    }

    fn route(&self, object: usize, names: &[String], spelled: &mut Vec<String>, at: usize) -> Result<(Route, Leaf), SoqlError> {
        let spec = &self.schema.objects[object];
        let [first, rest @ ..] = names else { return Err(SoqlError::malformed("a field name is missing")) };
        if rest.is_empty() {
            let field = spec.field(first).ok_or_else(|| self.no_column(first, spec, at))?;
            let field_spec = &spec.fields[field];
            spelled.push(field_spec.name.clone());
            return Ok((Route::Here(field), Leaf::of(field_spec)));
        }
        let field = spec.relationship(first).ok_or_else(|| {
            let message = format!(
                "Didn't understand relationship '{first}' in field path. If you are attempting to use a custom relationship, be sure to \
                 append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names."
            );
            SoqlError::at("INVALID_FIELD", self.text, at, message)
        })?;
        let reference = &spec.fields[field];
        spelled.push(reference.relationship.clone().unwrap_or_default());
        if reference.is_polymorphic()
            && let [last] = rest
            && last.eq_ignore_ascii_case("Type")
        {
            spelled.push("Type".to_owned());
            let targets = reference.reference_to.iter().map(|target| (*target, Route::Kind)).collect();
            return Ok((Route::Parent(field, targets), Leaf::KIND));
        }
        let kept = spelled.len();
        let mut targets = Vec::new();
        let mut found = None;
        let mut refused = None;
        for &target in &reference.reference_to {
            let mut tail = spelled[..kept].to_vec();
            match self.route(target, rest, &mut tail, at) {
                Ok((route, leaf)) => {
                    targets.push((target, route));
                    found.get_or_insert((tail, leaf));
                }
                Err(error) => {
                    targets.push((target, Route::Nowhere));
                    refused = Some(error);
                }
            }
        }
        let Some((tail, leaf)) = found else {
            return Err(refused.unwrap_or_else(|| self.no_column(first, spec, at)));
        };
        *spelled = tail;
        Ok((Route::Parent(field, targets), leaf))
    }

    fn no_column(&self, name: &str, object: &Object, at: usize) -> SoqlError {
        let message = format!(
            "No such column '{name}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' after the \
             custom field name. Please reference your WSDL or the describe call for the appropriate names.",
            object.name
        );
        SoqlError::at("INVALID_FIELD", self.text, at, message)
    }

    fn condition(&self, condition: &Condition) -> Result<Filter, SoqlError> {
        let all = |list: &[Condition]| list.iter().map(|inner| self.condition(inner)).collect::<Result<Vec<_>, _>>();
        Ok(match condition {
            Condition::And(list) => Filter::And(all(list)?),
            Condition::Or(list) => Filter::Or(all(list)?),
            Condition::Not(inner) => Filter::Not(Box::new(self.condition(inner)?)),
            Condition::Compare { path, operator, value } => {
                let bound = self.filtered(path)?;
                let test = self.comparison(&bound, path.at, *operator, value)?;
                Filter::Test(bound, test)
            }
            Condition::In { path, negated, values } => {
                let bound = self.filtered(path)?;
                let mut texts = HashSet::new();
                let mut null = false;
                for value in values {
                    let value = meant(&bound, value);
                    if *value == Literal::Null {
                        null = true;
                        continue;
                    }
                    match self.operand(&bound, path.at, value)? {
                        Operand::Text(text) => texts.insert(text),
                        Operand::Number(number) => texts.insert(format!("{number}")),
                        Operand::Span(..) => return Err(self.wrong_type(&bound, path.at)),
                    };
                }
                Filter::Test(bound, Test::In { values: texts, null, negated: *negated })
            }
            Condition::InQuery { path, negated, query } => {
                let bound = self.filtered(path)?;
                let plan = Box::new(self::query(self.schema, self.text, query, self.now)?);
                let one_field = matches!(&plan.kind, Kind::Rows(columns) if matches!(columns.as_slice(), [Column::Field(_)]));
                if !one_field {
                    return Err(SoqlError::malformed("semi join sub-selects must select exactly one field"));
                }
                Filter::Test(bound, Test::InQuery { plan, negated: *negated })
            }
            Condition::Includes { path, negated, values } => {
                let bound = self.filtered(path)?;
                if bound.kind != FieldType::Multipicklist {
                    return Err(self.wrong_type(&bound, path.at));
                }
                let set = |value: &Literal| match value {
                    Literal::Text(text) => Ok(text.split(';').map(str::to_owned).collect()),
                    _ => Err(self.wrong_type(&bound, path.at)),
                };
                let sets = values.iter().map(set).collect::<Result<_, _>>()?;
                Filter::Test(bound, Test::Includes { sets, negated: *negated })
            }
        })
    }

    fn comparison(&self, path: &FieldPath, at: usize, operator: Operator, value: &Literal) -> Result<Test, SoqlError> {
        // Only equality takes empty text for null: everything that is not null is greater than it.
        let value = if matches!(operator, Operator::Equal | Operator::NotEqual) { meant(path, value) } else { value };
        match (Comparison::of(operator), value) {
            (Some(Comparison::Equal), Literal::Null) => Ok(Test::IsNull),
            (Some(Comparison::NotEqual), Literal::Null) => Ok(Test::NotNull),
            (_, Literal::Null) => Err(SoqlError::at("MALFORMED_QUERY", self.text, at, "null can only be compared with = and !=")),
            (None, Literal::Text(pattern)) if path.kind.is_text() => Ok(Test::Like(like_parts(pattern))),
            (None, _) => {
                let message = format!("invalid operator on {} field", path.kind.name());
                Err(SoqlError::at("INVALID_QUERY_FILTER_OPERATOR", self.text, at, message))
            }
            (Some(comparison), value) => {
                let operand = match self.operand(path, at, value)? {
                    Operand::Text(text) if !comparison.is_equality() => Operand::Text(path.sort_key(&text).into_owned()),
                    operand => operand,
                };
                Ok(Test::Compare(comparison, operand))
            }
        }
    }

    /// The value in the form the field is stored in.
    fn operand(&self, path: &FieldPath, at: usize, literal: &Literal) -> Result<Operand, SoqlError> {
        let text = |text: &str| Operand::Text(path.fold(text).into_owned());
        let operand = match (path.kind, literal) {
            (FieldType::Id | FieldType::Reference, Literal::Text(given)) if given.is_empty() => Some(Operand::Text(String::new())),
            (FieldType::Id | FieldType::Reference, Literal::Text(given)) => {
                let canonical = id::canonical(given)
                    .ok_or_else(|| SoqlError::at("INVALID_QUERY_FILTER_OPERATOR", self.text, at, format!("invalid ID field: {given}")))?;
                Some(Operand::Text(canonical))
            }
            (kind, Literal::Text(given)) if kind.is_text() => Some(text(given)),
            (FieldType::Time, Literal::Text(given)) => Some(text(given)),
            (FieldType::Boolean, Literal::Bool(given)) => Some(text(if *given { "true" } else { "false" })),
            (kind, Literal::Number(given)) if kind.is_number() => Some(Operand::Number(*given)),
            (FieldType::Date, Literal::Date(given)) => Some(text(given)),
            (FieldType::Datetime, Literal::Datetime(given)) => Some(Operand::Text(value::format_instant(*given))),
            (FieldType::Date, Literal::Named(name, count)) => {
                super::dates::span(name, *count, self.now).map(|(start, end)| Operand::Span(start.to_string(), end.to_string()))
            }
            (FieldType::Datetime, Literal::Named(name, count)) => super::dates::span(name, *count, self.now)
                .map(|(start, end)| Operand::Span(format!("{start}T00:00:00.000Z"), format!("{end}T00:00:00.000Z"))),
            _ => None,
        };
        operand.ok_or_else(|| self.wrong_type(path, at))
    }

    fn wrong_type(&self, path: &FieldPath, at: usize) -> SoqlError {
        let quoted = if path.kind.is_text() { "should be enclosed in quotes" } else { "should not be enclosed in quotes" };
        let message =
            format!("value of filter criterion for field '{}' must be of type {} and {quoted}", path.names.join("."), path.kind.name());
        SoqlError::at("INVALID_FIELD", self.text, at, message)
    }
}

/// Text that is empty is null, and a box that is not ticked is never null but false.
fn meant<'l>(path: &FieldPath, literal: &'l Literal) -> &'l Literal {
    match (path.kind, literal) {
        (FieldType::Boolean, Literal::Null) => &Literal::Bool(false),
        (kind, Literal::Text(text)) if text.is_empty() && (kind.is_text() || matches!(kind, FieldType::Id | FieldType::Reference)) => {
            &Literal::Null
        }
        (_, literal) => literal,
    }
}
