//! A field as a query names it: of the row itself or by way of its parents.

use std::borrow::Cow;

use super::filter::folds;
use crate::schema::{Field, FieldType};
use crate::store::RowView;

/// A field of the row itself or of a parent, up to five parents away.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath {
    /// In the schema's own spelling.
    pub(crate) names: Vec<String>,
    pub(crate) kind: FieldType,
    pub(crate) case_sensitive: bool,
    pub(super) usable: Usable,
    pub(super) route: Route,
}

/// What a query may do with a field besides showing it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usable {
    pub(super) filter: bool,
    pub(super) sort: bool,
    pub(super) group: bool,
}

impl Usable {
    fn of(field: &Field) -> Self {
        Self { filter: field.filterable(), sort: field.sortable(), group: field.groupable() }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Route {
    Here(usize),
    /// What kind of parent a reference to several kinds points at: `Owner.Type`.
    Kind,
    /// Only other kinds of parents have the field.
    Nowhere,
    /// A reference and what to read on each object it may point at.
    Parent(usize, Vec<(usize, Route)>),
}

impl FieldPath {
    pub(crate) fn value<'a>(&self, view: &RowView<'a>) -> Option<Cow<'a, str>> {
        follow(&self.route, *view)
    }

    /// The parents a dotted path passes, one for each relationship: none from the first that is not there.
    pub(crate) fn parents<'a>(&self, view: &RowView<'a>) -> Vec<Option<RowView<'a>>> {
        let mut found = vec![None; self.names.len().saturating_sub(1)];
        let (mut route, mut at) = (&self.route, *view);
        for place in &mut found {
            let Route::Parent(field, targets) = route else { break };
            let Some((next, rest)) = parent(&at, *field, targets) else { break };
            *place = Some(next);
            (at, route) = (next, rest);
        }
        found
    }

    /// The field number when the path is a field of the row itself.
    pub(crate) fn own_field(&self) -> Option<usize> {
        match self.route {
            Route::Here(field) => Some(field),
            _ => None,
        }
    }

    /// Texts that are equal to a query fold to the same.
    pub(crate) fn fold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if folds(self.kind, self.case_sensitive) && text.chars().any(|c| !c.is_ascii_lowercase()) {
            Cow::Owned(text.to_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    }

    /// What texts are ordered by: their capitals.
    pub(super) fn sort_key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if folds(self.kind, self.case_sensitive) { Cow::Owned(text.to_uppercase()) } else { Cow::Borrowed(text) }
    }
}

fn follow<'a>(route: &Route, view: RowView<'a>) -> Option<Cow<'a, str>> {
    match route {
        Route::Here(field) => view.get(*field),
        Route::Kind => Some(view.kind()),
        Route::Nowhere => None,
        Route::Parent(field, targets) => {
            let (view, route) = parent(&view, *field, targets)?;
            follow(route, view)
        }
    }
}

fn parent<'a, 'r>(view: &RowView<'a>, field: usize, targets: &'r [(usize, Route)]) -> Option<(RowView<'a>, &'r Route)> {
    let id = view.get(field)?;
    targets.iter().find_map(|(object, route)| {
        let number = view.store.find(*object, &id)?;
        Some((view.store.view(*object, number), route))
    })
}

/// The field a path ends at.
pub(super) struct Leaf {
    pub(super) kind: FieldType,
    pub(super) case_sensitive: bool,
    pub(super) usable: Usable,
}

impl Leaf {
    pub(super) fn of(field: &Field) -> Self {
        Self { kind: field.kind, case_sensitive: field.case_sensitive, usable: Usable::of(field) }
    }

    /// The `Type` of a parent that may be of several kinds.
    pub(super) const KIND: Self =
        Self { kind: FieldType::String, case_sensitive: false, usable: Usable { filter: true, sort: true, group: true } };
}
