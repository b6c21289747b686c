//! Runs a plan: candidates by key where one is asked for, else every row; then filter, order, offset, limit.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use super::ast::Function;
use super::bind::{Aggregate, Column, Fold, Kind, Plan};
use super::filter::{Comparison, Filter, Operand, Test};
use super::path::FieldPath;
use crate::store::{RowState, RowView, Store};

/// What a plan yields: rows to be written out by the plan's columns, a count, or rows of finished values.
#[derive(Debug)]
pub(crate) enum Answer {
    Rows(Vec<u32>),
    Count(usize),
    Aggregates(Vec<Vec<(String, Option<String>)>>),
}

pub(crate) fn run(store: &Store, plan: &Plan) -> Answer {
    match &plan.kind {
        Kind::Rows(_) => Answer::Rows(rows(store, plan, None)),
        Kind::Count => Answer::Count(rows(store, plan, None).len()),
        Kind::Aggregates { group_by, items } => Answer::Aggregates(aggregate(store, plan, group_by, items)),
    }
}

/// The children of one parent for a sub-query.
pub(crate) fn children(store: &Store, plan: &Plan, reference: usize, parent_id: &str) -> Vec<u32> {
    rows(store, plan, Some((reference, parent_id)))
}

fn rows(store: &Store, plan: &Plan, parent: Option<(usize, &str)>) -> Vec<u32> {
    let filter = plan.filter.as_ref().map(|filter| resolve(store, filter));
    let candidates = match parent {
        Some((reference, id)) if store.has_index(plan.object, reference) => Some(store.by_key(plan.object, reference, id)),
        _ if plan.all_rows => None,
        _ => filter.as_ref().and_then(|filter| by_key(store, plan.object, filter)),
    };
    let wanted = |number: &u32| {
        let view = store.view(plan.object, *number);
        let state = view.is_live() || plan.all_rows && view.state() == RowState::Deleted;
        let of_parent = parent.is_none_or(|(reference, id)| view.get(reference).as_deref() == Some(id));
        state && of_parent && filter.as_ref().is_none_or(|filter| filter.holds(&view))
    };
    let enough = if plan.order.is_empty() { plan.limit.map_or(usize::MAX, |limit| limit.saturating_add(plan.offset)) } else { usize::MAX };
    let mut found: Vec<u32> = match candidates {
        Some(mut numbers) => {
            numbers.sort_unstable();
            numbers.dedup();
            numbers.into_iter().filter(wanted).take(enough).collect()
        }
        None => store.numbers(plan.object).filter(wanted).take(enough).collect(),
    };
    if !plan.order.is_empty() {
        sort(store, plan, &mut found);
    }
    found.drain(..plan.offset.min(found.len()));
    found.truncate(plan.limit.unwrap_or(usize::MAX));
    found
}

/// Inner queries of `IN (SELECT …)` run once, before any row is looked at.
fn resolve(store: &Store, filter: &Filter) -> Filter {
    match filter {
        Filter::And(all) => Filter::And(all.iter().map(|inner| resolve(store, inner)).collect()),
        Filter::Or(any) => Filter::Or(any.iter().map(|inner| resolve(store, inner)).collect()),
        Filter::Not(inner) => Filter::Not(Box::new(resolve(store, inner))),
        Filter::Test(path, Test::InQuery { plan, negated }) => {
            let values = match &plan.kind {
                Kind::Rows(columns) => inner_values(store, plan, columns, path),
                _ => HashSet::new(),
            };
            Filter::Test(path.clone(), Test::In { values, null: false, negated: *negated })
        }
        Filter::Test(..) => filter.clone(),
    }
}

fn inner_values(store: &Store, plan: &Plan, columns: &[Column], path: &FieldPath) -> HashSet<String> {
    let [Column::Field(column)] = columns else { return HashSet::new() };
    let views = rows(store, plan, None).into_iter().map(|number| store.view(plan.object, number));
    views.filter_map(|view| column.value(&view).map(|value| path.fold(&value).into_owned())).collect()
}

/// Rows an equality on a key field narrows the question to; none when there is no such equality.
fn by_key(store: &Store, object: usize, filter: &Filter) -> Option<Vec<u32>> {
    match filter {
        Filter::And(all) => all.iter().find_map(|inner| by_key(store, object, inner)),
        Filter::Test(path, test) => {
            let field = path.own_field().filter(|field| store.has_index(object, *field))?;
            match test {
                Test::Compare(Comparison::Equal, Operand::Text(text)) => Some(store.by_key(object, field, text)),
                Test::In { values, null: false, negated: false } => {
                    Some(values.iter().flat_map(|value| store.by_key(object, field, value)).collect())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn sort(store: &Store, plan: &Plan, rows: &mut Vec<u32>) {
    let mut keyed: Vec<(Vec<Option<Cow<'_, str>>>, u32)> = rows
        .iter()
        .map(|number| {
            let view = store.view(plan.object, *number);
            (plan.order.iter().map(|(path, _, _)| path.value(&view)).collect(), *number)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| {
        let each = plan.order.iter().zip(a.iter().zip(b));
        each.map(|((path, descending, nulls_last), (a, b))| order(path, *descending, *nulls_last, a.as_deref(), b.as_deref()))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    *rows = keyed.into_iter().map(|(_, number)| number).collect();
}

fn order(path: &FieldPath, descending: bool, nulls_last: bool, a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => {
            if nulls_last {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (Some(_), None) => {
            if nulls_last {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (Some(a), Some(b)) => {
            let ordering = compare(path, a, b);
            if descending { ordering.reverse() } else { ordering }
        }
    }
}

fn compare(path: &FieldPath, a: &str, b: &str) -> Ordering {
    if path.kind.is_number() {
        let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
        number(a).total_cmp(&number(b))
    } else {
        path.sort_key(a).cmp(&path.sort_key(b))
    }
}

fn aggregate(store: &Store, plan: &Plan, group_by: &[FieldPath], items: &[Aggregate]) -> Vec<Vec<(String, Option<String>)>> {
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<u32>> = BTreeMap::new();
    let unlimited = Plan { limit: None, offset: 0, ..plan.clone() };
    for number in rows(store, &unlimited, None) {
        let view = store.view(plan.object, number);
        let key = group_by.iter().map(|path| path.value(&view).map(Cow::into_owned)).collect();
        groups.entry(key).or_default().push(number);
    }
    if group_by.is_empty() && groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    let rows = groups.into_values().map(|numbers| {
        let views: Vec<RowView<'_>> = numbers.into_iter().map(|number| store.view(plan.object, number)).collect();
        items.iter().map(|item| (item.alias.clone(), fold(item, &views))).collect()
    });
    rows.skip(plan.offset).take(plan.limit.unwrap_or(usize::MAX)).collect()
}

fn fold(item: &Aggregate, views: &[RowView<'_>]) -> Option<String> {
    let values: Vec<Cow<'_, str>> = views.iter().filter_map(|view| item.path.value(view)).collect();
    let numbers = || values.iter().filter_map(|value| value.parse::<f64>().ok());
    match item.fold {
        Fold::Group => values.first().map(|value| value.clone().into_owned()),
        Fold::Function(Function::Count) => Some(values.len().to_string()),
        Fold::Function(Function::CountDistinct) => {
            Some(values.iter().map(|value| item.path.fold(value)).collect::<HashSet<_>>().len().to_string())
        }
        Fold::Function(_) if values.is_empty() => None,
        Fold::Function(Function::Sum) => Some(numbers().sum::<f64>().to_string()),
        Fold::Function(Function::Average) => Some((numbers().sum::<f64>() / values.len() as f64).to_string()),
        Fold::Function(Function::Least) => values.into_iter().min_by(|a, b| compare(&item.path, a, b)).map(Cow::into_owned),
        Fold::Function(Function::Greatest) => values.into_iter().max_by(|a, b| compare(&item.path, a, b)).map(Cow::into_owned),
    }
}
